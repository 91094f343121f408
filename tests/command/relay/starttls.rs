//! STARTTLS on one side of a relay, and the greeting that the other side then has too many or too few.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use futures::io::AsyncReadExt;
use futures::poll;
use onionskin::endpoint::Listener;
use onionskin::runtime;

use super::{Files, Layers, Relay, block_on, dial};
use crate::onion::run;

/// A server in clear that greets, and hears one line.
fn server() -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hears = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        writeln!(socket, "220-server\r\n220 is ready\r").unwrap();
        let mut line = String::new();
        BufReader::new(socket.try_clone().unwrap()).read_line(&mut line).unwrap();
        writeln!(socket, "250 server heard it\r").unwrap();
        line
    });
    (format!("tcp:{address}"), hears)
}

#[test]
fn a_client_hears_one_greeting_wherever_starttls_is() {
    let files = Files::new();
    let near = files.server(Layers::Tls).replace("+tls:", "+starttls:smtp:name=relay.example:");
    let far = files.client(Layers::Tls).replace("+tls:", "+starttls:smtp:");

    // client ── TLS ──▶ outer ──▶ server
    let (address, hears) = server();
    let outer = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &address, &[]);
    block_on(async {
        let mut client = dial(&format!("{}{far}", outer.endpoint)).await.unwrap();
        client.write_line("EHLO client.example").await.unwrap();
        let answer = client.read_line().await.unwrap().unwrap();
        assert_eq!(answer, b"250 server heard it", "no greeting stands before it");
    });
    assert_eq!(hears.join().unwrap(), "EHLO client.example\r\n");

    // client ──▶ inner ── TLS ──▶ outer ──▶ server
    let (address, hears) = server();
    let outer = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &address, &[]);
    let inner = Relay::start("tcp:127.0.0.1:0", &format!("{}{far}", outer.endpoint), &[]);
    let mut client = TcpStream::connect(inner.endpoint.strip_prefix("tcp:").unwrap()).unwrap();
    let mut lines = BufReader::new(client.try_clone().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "220 localhost ESMTP", "it waits for a greeting, and gets one");
    client.write_all(b"EHLO client.example\r\n").unwrap();
    assert_eq!(lines.next().unwrap(), "250 server heard it");
    assert_eq!(hears.join().unwrap(), "EHLO client.example\r\n");

    // client ── TLS ──▶ middle ── TLS ──▶ outer ──▶ server
    let (address, hears) = server();
    let outer = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &address, &[]);
    let middle = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &format!("{}{far}", outer.endpoint), &[]);
    block_on(async {
        let mut client = dial(&format!("{}{far}", middle.endpoint)).await.unwrap();
        client.write_line("RSET").await.unwrap();
        assert_eq!(client.read_line().await.unwrap().unwrap(), b"250 server heard it");
    });
    assert_eq!(hears.join().unwrap(), "RSET\r\n");
}

#[test]
fn a_greeting_that_comes_again_inside_tls_is_passed_on() {
    let files = Files::new();
    let near = files.server(Layers::Tls).replace("+tls:", "+starttls:sieve:");
    let far = files.client(Layers::Tls).replace("+tls:", "+starttls:sieve:");
    let (address, hears) = server();
    let outer = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &address, &[]);
    block_on(async {
        let mut client = dial(&format!("{}{far}", outer.endpoint)).await.unwrap();
        assert_eq!(client.read_line().await.unwrap().unwrap(), b"220-server", "the server's words, whatever they are");
        client.write_line("NOOP").await.unwrap();
    });
    assert_eq!(hears.join().unwrap(), "NOOP\r\n");
}

#[test]
fn a_server_that_greets_in_another_protocol_is_not_joined() {
    let files = Files::new();
    let near = files.server(Layers::Tls).replace("+tls:", "+starttls:imap:");
    let far = files.client(Layers::Tls).replace("+tls:", "+starttls:imap:");
    let (address, _) = server();
    let mut relay = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &address, &[]);
    block_on(async {
        let mut client = dial(&format!("{}{far}", relay.endpoint)).await.unwrap();
        client.read_line().await.unwrap_err();
    });
    relay.hears(&["#1", "not joined, CONNECT side", "imap: the peer was to send the greeting and sent \"220-server\""]);
}

#[test]
fn two_protocols_cannot_be_joined() {
    let files = Files::new();
    let near = files.server(Layers::Tls).replace("+tls:", "+starttls:imap:");
    let far = files.client(Layers::Tls).replace("+tls:", "+starttls:smtp:");
    let outcome = run(["relay", &format!("tcp:127.0.0.1:0{near}"), &format!("tcp:127.0.0.1:1{far}")], "");
    assert!(outcome.failed(2).contains("LISTEN speaks imap and CONNECT smtp"));
    for (protocol, part) in [("mysql", "cannot be relayed"), ("tds", "both need the step")] {
        let near = near.replace("imap", protocol);
        let outcome = run(["relay", &format!("tcp:127.0.0.1:0{near}"), "tcp:127.0.0.1:1"], "");
        assert!(outcome.failed(2).contains(part));
    }
}

#[test]
fn connect_passes_what_is_typed_through_tls_as_it_is() {
    let files = Files::new();
    let near = files.server(Layers::Tls).replace("+tls:", "+starttls:smtp:");
    let (address, hears) = server();
    let relay = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &address, &[]);
    let endpoint = format!("{}+starttls:smtp:sni=localhost", relay.endpoint);
    let ca = files.directory.file("ca.pem");
    let outcome =
        run(["connect", "--half-close", "--crlf", "--ca", &ca, &endpoint], "\\starttls is text\n").succeeded();
    assert_eq!(outcome.stdout, "250 server heard it\r\n");
    assert_eq!(hears.join().unwrap(), "\\starttls is text\r\n", "as it is, but for the end of the line");
}

/// What psql sends to have a query cancelled, and a longer one, as of version 3.2 of the protocol.
fn cancel_requests() -> [Vec<u8>; 2] {
    let short = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02".to_vec();
    let long = [b"\0\0\0\x2c", &short[4..12], &[7; 32]].concat();
    [short, long]
}

#[test]
fn a_query_is_cancelled_through_starttls_on_both_sides() {
    let files = Files::new();
    let near = files.server(Layers::Tls).replace("+tls:", "+starttls:postgres:");
    let far = files.client(Layers::Tls).replace("+tls:", "+starttls:postgres:");
    block_on(async {
        let runtime = runtime::preferred().unwrap();
        let listener = Listener::new(runtime, &format!("tcp:127.0.0.1:0{near}").parse().unwrap()).await.unwrap();
        let server = listener.endpoint().transport.to_string();
        let mut relay = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &format!("{server}{far}"), &[]);
        for (number, request) in cancel_requests().into_iter().enumerate() {
            let mut client = dial(&relay.endpoint).await.unwrap();
            client.send_all(&request).await.unwrap();
            let mut conn = listener.accept().await.unwrap().ready().await.unwrap();
            assert_eq!(conn.layers().tls().count(), 1, "it is said inside TLS");
            let mut heard = vec![0; request.len()];
            conn.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, request);
            // The client is to wait until the server has done it.
            let mut end = [0];
            let waiting = poll!(client.read(&mut end));
            assert!(waiting.is_pending(), "the server has not closed yet: {waiting:?}");
            // As PostgreSQL does: without a close_notify.
            drop(conn);
            assert_eq!(client.read(&mut end).await.unwrap(), 0, "nothing is answered");
            let number = format!("#{}", number + 1);
            relay.hears(&[&number, "cancel request passed on", &format!("{} bytes there", request.len())]);
        }
        relay.signal("TERM");
        let (status, log) = relay.finish();
        assert_eq!(status, Some(0));
        assert!(log.iter().any(|line| line.contains("2 accepted") && line.contains("2 cancel request")), "{log:#?}");
    });
}

#[test]
fn a_cancel_request_for_a_server_that_is_gone_is_not_told_as_heard() {
    let files = Files::new();
    let near = files.server(Layers::Tls).replace("+tls:", "+starttls:postgres:");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut relay = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &format!("tcp:{gone}"), &[]);
    block_on(async {
        let mut client = dial(&relay.endpoint).await.unwrap();
        client.send_all(&cancel_requests()[0]).await.unwrap();
        client.read(&mut [0]).await.unwrap_err();
    });
    relay.hears(&["#1", "not joined, CONNECT side"]);
}

#[test]
fn a_relay_of_ftp_says_what_does_not_go_through_it() {
    let files = Files::new();
    let near = files.server(Layers::Tls).replace("+tls:", "+starttls:ftp:");
    let far = files.client(Layers::Tls).replace("+tls:", "+starttls:ftp:");
    for (near, far) in [(&*near, &*far), ("", &*far)] {
        let mut relay = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &format!("tcp:127.0.0.1:1{far}"), &[]);
        relay.hears(&["WARN", "ftp: data connections do not go through here"]);
    }
    let help = run(["relay", "--help"], "").succeeded().stdout;
    for said in
        ["data connections go through the relay", "SCRAM channel binding check failed", "channel_binding=disable"]
    {
        assert!(help.contains(said), "{said}");
    }
    // The others have nothing to be warned of.
    for near in [near.clone(), near.replace("ftp", "imap")] {
        let relay = Relay::start(&format!("tcp:127.0.0.1:0{near}"), "tcp:127.0.0.1:1", &[]);
        relay.signal("TERM");
        let (_, log) = relay.finish();
        assert!(log.iter().all(|line| !line.contains("WARN")), "{log:#?}");
    }
}
