//! Each wrong input ends with its exit status and one line that names the thing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use futures::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime;
use rcgen::{CertificateParams, date_time_ymd};

use crate::common::{Authority, BOTH};
use crate::onion::{Directory, Server, run};

#[track_caller]
fn fails(status: i32, arguments: &[&str], script: &str, names: &[&str]) {
    let line = run(arguments.iter().copied(), script).failed(status);
    for name in names {
        assert!(line.contains(name), "{name:?} is not named: {line}");
    }
}

#[test]
fn endpoints_that_are_none() {
    for command in ["connect", "serve"] {
        fails(2, &[command, "udp:127.0.0.1:1"], "", &["udp", "tcp:HOST:PORT, unix:PATH"]);
        fails(2, &[command, "tcp:127.0.0.1"], "", &["PORT", "tcp:HOST:PORT"]);
        fails(2, &[command, "tcp:127.0.0.1:1+ssl"], "", &["ssl", "are tls"]);
        fails(2, &[command, "tcp:127.0.0.1:1+tls:min=1.3:max=1.2:insecure=yes"], "", &[]);
    }
    fails(2, &["connect", "stdio"], "", &["stdio", "typed in"]);
    fails(2, &["connect", "tcp:127.0.0.1:1+proxy-header:optional=yes"], "", &["`optional` is for servers"]);
    fails(2, &["serve", "tcp:127.0.0.1:0:timeout=5"], "", &["`timeout` is for clients"]);
    fails(2, &["serve", "tcp:127.0.0.1:0+proxy-header:version=1"], "", &["for clients"]);
    fails(2, &["serve", "tcp:127.0.0.1:0+tls"], "", &["--cert"]);
    fails(2, &["serve", "tcp:127.0.0.1:0+tls:sni=a.example"], "", &["sni"]);
    fails(2, &["connect", "tcp:127.0.0.1:1+tls:insecure=yes:client-ca=a.pem"], "", &["client-ca"]);
    fails(2, &["connect", "tcp:127.0.0.1:1+tls:insecure=yes:cert=a.pem"], "", &["key=PEM"]);
}

#[test]
fn relays_that_cannot_be_meant() {
    let listen = "tcp:127.0.0.1:0";
    fails(2, &["relay", "udp:127.0.0.1:1", listen], "", &["udp", "tcp:HOST:PORT"]);
    fails(2, &["relay", listen, "tcp:127.0.0.1:1+ssl"], "", &["tcp:127.0.0.1:1+ssl", "known ones are tls"]);
    fails(2, &["relay", "tcp:127.0.0.1:0+tls", listen], "", &["tcp:127.0.0.1:0+tls: ", "needs `cert` and `key`"]);
    fails(2, &["relay", listen, "unix:/nowhere+tls"], "", &["unix:/nowhere+tls: ", "tls:sni=NAME"]);
    fails(1, &["relay", listen, "tcp:127.0.0.1:1+tls:ca=/nowhere.pem"], "", &["/nowhere.pem"]);
    for option in ["--max-connections", "--patience"] {
        for value in ["-1", "many", "99999999999999999999999"] {
            let outcome = run(["relay", listen, listen, &format!("{option}={value}")], "");
            assert_eq!(outcome.status, Some(2), "{outcome:?}");
        }
    }
    // What would have no effect is no limit that somebody can rely on.
    for option in ["--wait=5", "--half-close"] {
        run(["relay", "stdio", listen, "--check", option], "").succeeded();
        fails(2, &["relay", listen, listen, "--check", option], "", &["--wait and --half-close", "no LISTEN is stdio"]);
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", taken.local_addr().unwrap());
    fails(1, &["relay", &address, listen], "", &[&address, "choose another port"]);
}

#[test]
fn options_that_do_not_go_together() {
    fails(2, &["connect", "tcp:127.0.0.1:1", "--cert", "a.pem"], "", &["--cert", "--key"]);
    fails(2, &["serve", "tcp:127.0.0.1:0", "--key", "a.pem"], "", &["--cert", "--key"]);
    let directory = Directory::new();
    let text = directory.text();
    for name in ["a.example", "a.example=b.pem", "=b.pem,c.pem"] {
        fails(2, &["serve", "tcp:127.0.0.1:0", "--self-signed", &text, "--name", name], "", &[name, "NAME=CERT,KEY"]);
    }
}

#[test]
fn a_command_line_that_cannot_be_read() {
    for arguments in [&["frobnicate"][..], &["connect"], &["serve", "--port", "1"], &[]] {
        assert_eq!(run(arguments.iter().copied(), "").status, Some(2), "{arguments:?}");
    }
    for arguments in
        [&["--help"][..], &["--version"], &["connect", "--help"], &["serve", "--help"], &["relay", "--help"]]
    {
        run(arguments.iter().copied(), "").succeeded();
    }
}

#[test]
fn files_that_are_missing_or_hold_something_else() {
    let directory = Directory::new();
    let ca = Authority::new();
    let (chain, key) = ca.pem_identity("a.example");
    let (_, other) = ca.pem_identity("b.example");
    let chain = directory.write("chain.pem", chain);
    let key = directory.write("key.pem", key);
    let other = directory.write("other.pem", other);
    let empty = directory.write("empty.pem", "");
    let broken = directory.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let missing = directory.file("missing.pem");

    for file in [&missing, &empty, &broken] {
        fails(1, &["connect", "tcp:127.0.0.1:1", "--ca", file], "", &[file, "--ca"]);
        fails(1, &["serve", "tcp:127.0.0.1:0", "--cert", file, "--key", &key], "", &[file]);
        fails(1, &["serve", "tcp:127.0.0.1:0", "--cert", &chain, "--key", file], "", &[file]);
        fails(1, &["serve", &format!("tcp:127.0.0.1:0+tls:cert={file}:key={key}")], "", &[file]);
    }
    fails(1, &["serve", "tcp:127.0.0.1:0", "--cert", &chain, "--key", &other], "", &[&chain, &other]);
    fails(1, &["connect", "tcp:127.0.0.1:1", "--cert", &chain, "--key", &other], "", &[&chain, &other]);
}

#[test]
fn a_directory_with_a_part_of_the_files() {
    let directory = Directory::new();
    directory.write("key.pem", "precious");
    let text = directory.text();
    fails(1, &["serve", "tcp:127.0.0.1:0", "--self-signed", &text], "", &[&text, "key.pem"]);
    assert_eq!(std::fs::read(directory.path().join("key.pem")).unwrap(), b"precious");
}

#[test]
fn addresses_that_are_taken_or_empty() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let endpoint = format!("tcp:{address}");
    fails(1, &["serve", &endpoint], "", &[&address.to_string(), "choose another port"]);
    // Nobody listens at the port of tcpmux, and no other test can be given it.
    fails(1, &["connect", "tcp:127.0.0.1:1"], "", &["tcp:127.0.0.1:1", "listening"]);
    fails(1, &["connect", "tcp:no-such-host.invalid:1"], "", &["no-such-host.invalid"]);

    #[cfg(unix)]
    {
        let directory = Directory::new();
        let file = directory.write("file", "");
        fails(1, &["serve", &format!("unix:{file}")], "", &[&file]);
        let nobody = directory.file("nobody.sock");
        fails(1, &["connect", &format!("unix:{nobody}")], "", &[&nobody, "listening"]);
        fails(1, &["serve", "systemd:0"], "", &["systemd:0", "LISTEN_FDS"]);
        fails(1, &["serve", "fd:0"], "", &["fd:0", "no stream socket"]);
    }
}

#[test]
fn certificates_that_are_not_accepted() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let ca = directory.file("ca.pem");
    let common = ["connect", &server.endpoint, "--ca"];

    let wrong_name = [&common[..], &[&ca]].concat();
    fails(1, &wrong_name, "\\starttls wrong.example\n", &["layer #", "wrong.example"]);
    let stranger = directory.write("stranger.pem", Authority::new().pem());
    let unknown_issuer = [&common[..], &[&stranger]].concat();
    fails(1, &unknown_issuer, "\\starttls\n", &["layer #", "127.0.0.1", "--ca"]);

    let authority = Authority::new();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    let (chain, key) = authority.issue(&params);
    let (chain, key) = (directory.write("expired.pem", chain), directory.write("expired.key", key));
    let expired = Server::start(["tcp:127.0.0.1:0", "--cert", &chain, "--key", &key]);
    let ca = directory.write("authority.pem", authority.pem());
    fails(1, &["connect", &expired.endpoint, "--ca", &ca], "\\starttls localhost\n", &["layer #", "expired", "renew"]);
}

#[test]
fn local_commands_that_cannot_be_meant() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let ca = directory.file("ca.pem");
    let connect = ["connect", &server.endpoint, "--ca", &ca];
    fails(2, &connect, "\\startls\nECHO secret\n", &[r"\startls", r"\starttls"]);
    fails(2, &connect, "\\starttls a b\n", &["a b", "host name"]);
    fails(2, &connect, "\\rstarttls\n", &["--cert", "--key"]);
    fails(1, &[&connect[..], &["--lockstep"]].concat(), "\\stoptls\n", &["STOPTLS", "no layer to stop"]);
}

#[test]
fn a_peer_that_speaks_no_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp:{}+tls:insecure=yes", listener.local_addr().unwrap());
    let peer = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"220 mail.example\r\n").unwrap();
        // Until the client has gone.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    fails(1, &["connect", &endpoint], "", &["layer #", "220 mail.example", "tls step"]);
    peer.join().unwrap();
}

#[test]
fn a_connection_that_is_cut_is_no_clean_end() {
    let ca = Authority::new();
    let server = ca.server("localhost", BOTH);
    let runtime = runtime::preferred().unwrap();
    let listener = runtime::block_on(runtime, runtime.listen_tcp(([127, 0, 0, 1], 0).into())).unwrap();
    let endpoint = format!("tcp:{}+tls:insecure=yes", listener.local_address().as_tcp().unwrap());
    let peer = thread::spawn(move || {
        runtime::block_on(runtime, async {
            let mut conn = Connection::new(listener.accept().await.unwrap());
            conn.start_tls(server.accept().unwrap()).await.unwrap();
            assert_eq!(conn.read_line().await.unwrap().unwrap(), b"hello");
            conn.write_line("half of the truth").await.unwrap();
            // Below the layer, and without a reset: until the client has gone.
            let mut socket = conn.into_inner().io;
            socket.close().await.unwrap();
            let _ = socket.read_to_end(&mut Vec::new()).await;
        });
    });
    let outcome = run(["connect", &endpoint, "--lockstep"], "hello\nagain\n");
    assert_eq!(outcome.lines(), ["half of the truth"], "{outcome:?}");
    let line = outcome.failed(1);
    assert!(line.contains("layer #") && line.contains("without a close_notify"), "{line}");
    peer.join().unwrap();
}
