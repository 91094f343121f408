//! Many tunnels over one connection.

use std::io::{ErrorKind, Read, Write};

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::{Address, Socket};
use onionskin::tunnel::http2::Tunnels;

use super::*;
use crate::onion::{Directory, Server, run};
use crate::relay::{Files, Layers, block_on, dial};

/// A connection of HTTP/2 to the proxy.
pub(super) fn carrier(proxy: &Relay) -> Tunnels {
    block_on(async { Tunnels::over(dial(&proxy.endpoint).await.unwrap()).await.unwrap() })
}

/// One more tunnel, and the target's end of it.
pub(super) fn open(tunnels: &Tunnels) -> (Connection<Socket>, TcpStream) {
    let (listener, address) = target();
    let tunnel = block_on(tunnels.open(Address::from(address))).unwrap();
    (tunnel, accept(&listener))
}

fn says(tunnel: &mut Connection<Socket>, bytes: &[u8]) {
    block_on(async {
        tunnel.write_all(bytes).await.unwrap();
        tunnel.flush().await.unwrap();
    });
}

fn hears(tunnel: &mut Connection<Socket>, expected: &[u8]) {
    let mut found = vec![0; expected.len()];
    block_on(tunnel.read_exact(&mut found)).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn in_clear_and_behind_tls_that_has_agreed_on_it() {
    let files = Files::new();
    let mut clear = proxy(LOOPBACK);
    let mut tls = proxy_at(&format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls)), LOOPBACK);
    let secured = format!("{}{}", tls.endpoint, files.client(Layers::Tls));
    for (way, step) in [(clear.endpoint.clone(), ":version=2"), (secured.clone(), ""), (secured, ":version=1")] {
        let (listener, address) = target();
        let endpoint = format!("{way}+connect:127.0.0.1:{}{step}", address.port());
        let mut client = block_on(dial(&endpoint)).unwrap();
        let mut far = accept(&listener);
        says(&mut client, b"there");
        finds(&mut far, b"there");
        far.write_all(b"back").unwrap();
        hears(&mut client, b"back");
        block_on(client.close()).unwrap();
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "{endpoint}");
    }
    clear.hears(&["#1.1 from", "http2 to", "5 bytes there, 4 back"]);
    tls.hears(&["#1.1 from", "http2 to", "5 bytes there, 4 back"]);
    tls.hears(&["#2 from", "http1 to", "5 bytes there, 4 back"]);
}

#[test]
fn t5_t10_t11_what_becomes_of_one_tunnel_is_nothing_to_the_others() {
    let mut proxy = proxy(LOOPBACK);
    let tunnels = carrier(&proxy);
    let (mut first, mut first_far) = open(&tunnels);
    let refused = block_on(tunnels.open(Address::from(closed_port()))).unwrap_err();
    assert!(refused.is_target() && refused.to_string().contains("502"), "{refused}");
    // A reset of the target, and one of the client.
    let (mut second, second_far) = open(&tunnels);
    rustix::net::sockopt::set_socket_linger(&second_far, Some(std::time::Duration::ZERO)).unwrap();
    drop(second_far);
    let error = block_on(second.read(&mut [0])).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    let (mut third, mut third_far) = open(&tunnels);
    says(&mut third, b"!");
    finds(&mut third_far, b"!");
    third.reset().unwrap();
    says(&mut first, b"drives the connection");
    finds(&mut first_far, b"drives the connection");
    assert_eq!(third_far.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    first_far.write_all(b"still there").unwrap();
    hears(&mut first, b"still there");
    proxy.hears(&["#1.2 from", "not joined", "refused"]);
    proxy.hears(&["#1.3 from", "lost, CONNECT side"]);
    proxy.hears(&["#1.4 from", "lost, LISTEN side"]);
}

#[test]
fn connect_shows_the_tree_in_which_it_stands() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let proxy = proxy(LOOPBACK);
    let port = server.endpoint.rsplit_once(':').unwrap().1;
    let endpoint = format!("{}+connect:127.0.0.1:{port}:version=2", proxy.endpoint);
    let outcome = run(["connect", &endpoint], "ECHO a\n\\layers\n\\quit\n").succeeded();
    let drawing = &outcome.stderr;
    assert!(drawing.contains(&format!("    ┌── [ http2#1 ]   tcp 127.0.0.1:{port}  open  bytes ")), "{drawing}");
    assert!(drawing.contains("◀ this one") && drawing.contains("\nwire                  tcp 127.0.0.1:"), "{drawing}");
    assert!(drawing.contains("\nhop 1         http2#1 at tcp 127.0.0.1:"), "{drawing}");
}

#[test]
fn it_draws_the_tunnels_when_it_is_asked() {
    let mut proxy = proxy(LOOPBACK);
    let tunnels = carrier(&proxy);
    let (mut first, mut far) = open(&tunnels);
    let (second, _other) = open(&tunnels);
    says(&mut first, b"there");
    finds(&mut far, b"there");
    proxy.signal("USR1");
    proxy.hears(&["connections: 1, of which carry many tunnels: 1"]);
    proxy.hears(&["#1 from tcp 127.0.0.1:"]);
    proxy.hears(&["    ┌── [ http2#1 ]   tcp 127.0.0.1:", "  open  bytes 5 in, 0 out"]);
    proxy.hears(&["    ├── [ http2#3 ]   tcp 127.0.0.1:", "  open"]);
    proxy.hears(&["[ http2 ]             server  2 tunnels"]);
    drop((first, second, tunnels));
    proxy.hears(&["#1.2 from"]);
}

#[test]
fn t11_a_reset_behind_an_end_is_noticed_while_the_target_is_waited_for() {
    let mut proxy = proxy(&["--half-close", "none", "--allow", "127.0.0.0/8"]);
    let tunnels = carrier(&proxy);
    let (mut tunnel, mut far) = open(&tunnels);
    says(&mut tunnel, b"!");
    block_on(tunnel.close()).unwrap();
    finds(&mut far, b"!");
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    tunnel.reset().unwrap();
    let driving = std::thread::spawn(move || block_on(tunnels.drive()));
    proxy.hears(&["#1.1 from", "lost, LISTEN side: the peer is gone behind its end"]);
    while far.write(b"still there?").is_ok() {}
    drop(proxy);
    drop(driving.join());
}

#[test]
fn s13_its_tunnels_go_on_while_the_proxy_ends_and_there_are_no_new_ones() {
    let mut proxy = proxy(LOOPBACK);
    let tunnels = carrier(&proxy);
    let (mut tunnel, mut far) = open(&tunnels);
    proxy.signal("TERM");
    proxy.hears(&["asked to end"]);
    let (_listener, address) = target();
    // Each connection hears of it by itself, the log perhaps a moment before.
    let error = (0..1000).find_map(|_| block_on(tunnels.open(Address::from(address))).err()).unwrap();
    assert!(!error.is_target(), "{error}");
    says(&mut tunnel, b"still");
    finds(&mut far, b"still");
    far.write_all(b"here").unwrap();
    hears(&mut tunnel, b"here");
    drop(far);
    assert_eq!(block_on(tunnel.read(&mut [0])).unwrap(), 0);
    block_on(tunnel.close()).unwrap();
    let driving = std::thread::spawn(move || block_on(tunnels.drive()));
    let (status, log) = proxy.finish();
    assert_eq!(status, Some(0), "{log:#?}");
    drop((driving.join(), tunnel));
}

#[test]
fn s13_out_of_patience_its_tunnels_are_aborted() {
    let proxy = proxy(&["--patience", "0", "--allow", "127.0.0.0/8"]);
    let tunnels = carrier(&proxy);
    let (mut tunnel, _far) = open(&tunnels);
    proxy.signal("TERM");
    // Lost, and not at its end.
    block_on(tunnel.read(&mut [0])).unwrap_err();
    let (status, log) = proxy.finish();
    assert_eq!(status, Some(0), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("#1.1 from") && line.contains("aborted; ")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("1 accepted: 0 ended") && line.contains("1 aborted")), "{log:#?}");
}

#[test]
fn users_log_in_for_each_tunnel() {
    let directory = Directory::new();
    let line = run(["proxy", "--hash-password", "onion"], "peel").succeeded().stdout;
    let users = directory.write("users", line);
    let password = |text: &str| directory.write(text, text);
    let proxy = proxy(&["--users", &users, "--allow", "127.0.0.0/8"]);
    let (_listener, address) = target();
    let dial_as = |user: &str, file: &str| {
        let step = format!("+connect:127.0.0.1:{}:version=2:user={user}:password-file={file}", address.port());
        block_on(dial(&format!("{}{step}", proxy.endpoint)))
    };
    dial_as("onion", &password("peel")).unwrap();
    let error = dial_as("onion", &password("wrong")).unwrap_err().to_string();
    assert!(!error.contains("wrong") && error.contains("password"), "{error}");
}
