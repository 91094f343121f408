//! What clients are answered, in each language.

use std::io::Write;
use std::net::SocketAddr;

use super::*;
use crate::relay::{Files, Layers, block_on, dial};

#[test]
fn s1_success_is_said_when_the_target_is_reached_and_failure_says_why() {
    let mut proxy = proxy(LOOPBACK);
    let (mut client, answer) = answer_http(&proxy, closed_port());
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("proxy-status: onionskin; error=connection_refused"), "{answer}");
    rest(&mut client).unwrap();
    let (listener, address) = target();
    let (mut client, answer) = answer_http(&proxy, address);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let lower = answer.to_ascii_lowercase();
    assert!(!lower.contains("content-length") && !lower.contains("transfer-encoding"), "{answer}");
    let mut far = accept(&listener);
    far.write_all(b"who speaks first").unwrap();
    finds(&mut client, b"who speaks first");
    drop((client, far));
    let line = proxy.hears(&["http1 to tcp 127.0.0.1:1:", "not joined", "refused"]);
    assert!(line.contains("from tcp 127.0.0.1:"), "{line}");
    proxy.hears(&["0 bytes there, 16 back"]);
}

#[test]
fn k15_the_reply_of_socks_comes_behind_the_connection_and_has_its_address() {
    let proxy = proxy(LOOPBACK);
    let mut client = ask_socks(&proxy, 1, closed_port());
    assert_eq!(reply(&mut client).0, 5);
    let (listener, address) = target();
    let mut client = ask_socks(&proxy, 1, address);
    let (code, bound) = reply(&mut client);
    assert_eq!((code, bound), (0, accept(&listener).peer_addr().unwrap()));
}

#[test]
fn s5_bytes_behind_the_request_wait_for_the_target() {
    let proxy = proxy(LOOPBACK);
    let (listener, address) = target();
    let mut client = ask_http(&proxy, address, "\r\nbehind the head");
    let mut far = accept(&listener);
    finds(&mut far, b"behind the head");
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
    let mut client = connect(&proxy);
    let all = [&[5, 1, 0], &socks_request(1, address)[..], b"behind the request"].concat();
    client.write_all(&all).unwrap();
    let mut far = accept(&listener);
    finds(&mut far, b"behind the request");
    finds(&mut client, &[5, 0]);
    assert_eq!(reply(&mut client).0, 0);
}

#[test]
fn s6_without_a_rule_nobody_reaches_this_machine() {
    let (listener, address) = target();
    listener.set_nonblocking(true).unwrap();
    let port = address.port();
    let denied = proxy(&["--allow", "*"]);
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]", "[64:ff9b::7f00:1]", "0x7f000001"]
    {
        let (_, answer) = answer_http(&denied, format_args!("{host}:{port}"));
        // Not every resolver takes the last one for a number.
        let expected = ["destination_ip_prohibited", "dns_error"];
        assert!(
            answer.starts_with("HTTP/1.1 502 ") && expected.iter().any(|one| answer.contains(one)),
            "{host} {answer}"
        );
    }
    assert_eq!(reply(&mut ask_socks(&denied, 1, address)).0, 2);
    assert!(listener.accept().is_err(), "nobody came");
    listener.set_nonblocking(false).unwrap();
    let allowed = proxy(LOOPBACK);
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let (_, answer) = answer_http(&allowed, format_args!("{host}:{port}"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host} {answer}");
        accept(&listener);
    }
}

#[test]
fn s6_ports_and_names_are_denied_with_403_and_the_order_of_the_options_counts() {
    let (_listener, address) = target();
    let port = address.port();
    let (network, this) = (format!("127.0.0.0/8:{port}"), format!("localhost:{port}"));
    for (options, host, expected) in [
        (["--allow", &network, "--deny", &this], "localhost", 200),
        (["--deny", &this, "--allow", &network], "localhost", 403),
        (["--deny", &this, "--allow", &network], "127.0.0.1", 200),
    ] {
        let proxy = proxy(&options);
        let (_, answer) = answer_http(&proxy, format_args!("{host}:{port}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{options:?} {answer}");
        let (_, answer) = answer_http(&proxy, "a.example:25");
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("http_request_denied"), "{answer}");
    }
}

#[test]
fn s7_the_proxy_does_not_reach_itself() {
    let mut own = proxy_at("tcp:0.0.0.0:0", &["--allow", "0.0.0.0/0"]);
    let port = own.endpoint.rsplit_once(':').unwrap().1.to_owned();
    own.endpoint = format!("tcp:127.0.0.1:{port}");
    let (_, answer) = answer_http(&own, format_args!("127.0.0.1:{port}"));
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("proxy_loop_detected"), "{answer}");
    assert_eq!(reply(&mut ask_socks(&own, 1, SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())))).0, 1);
    let (_listener, address) = target();
    assert!(answer_http(&own, address).1.starts_with("HTTP/1.1 200 "));
}

#[test]
fn k13_k14_other_commands_of_socks_are_refused_and_the_connection_ends() {
    let proxy = proxy(LOOPBACK);
    let (_listener, address) = target();
    for command in [2, 3] {
        let mut client = ask_socks(&proxy, command, address);
        assert_eq!(reply(&mut client).0, 7, "command {command}");
        assert_eq!(rest(&mut client).unwrap(), b"");
    }
    let mut client = ask_socks(&proxy, 1, closed_port());
    assert_eq!(reply(&mut client).0, 5);
    assert_eq!(rest(&mut client).unwrap(), b"");
    assert_eq!(reply(&mut ask_socks(&proxy, 1, address)).0, 0);
}

#[test]
fn behind_tls_and_with_a_certificate_to_a_target_with_tls() {
    let files = Files::new();
    let (chain, key) = files.authority.pem_identity("client.test");
    let (chain, key) = (files.directory.write("client.pem", chain), files.directory.write("client.key", key));
    let ca = files.directory.file("ca.pem");
    let proxy = proxy_at(&format!("tcp:127.0.0.1:0{}:client-ca={ca}", files.server(Layers::Tls)), LOOPBACK);
    let far = format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls));
    let far = block_on(onionskin::listen(&far)).unwrap();
    let port = far.local_address().as_tcp().unwrap().port();
    for step in ["connect", "socks5", "socks4a"] {
        let through = |identity: &str| {
            let near = files.client(Layers::Tls);
            format!("{}{near}{identity}+{step}:localhost:{port}{}", proxy.endpoint, files.client(Layers::Tls))
        };
        let identity = format!(":cert={chain}:key={key}");
        let way = through(&identity);
        let both = futures::future::join(dial(&way), async {
            far.accept().await?.ready().await.map_err(std::io::Error::from)
        });
        let (client, server) = block_on(both);
        assert_eq!((client.unwrap().route().len(), server.unwrap().layers().tls().count()), (1, 1), "{step}");
        assert!(block_on(dial(&through(""))).is_err(), "{step}: without a certificate");
    }
}
