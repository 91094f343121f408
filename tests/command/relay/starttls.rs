//! STARTTLS on one side of a relay, and the greeting that the other side then has too many or too few.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

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
}

#[test]
fn connect_passes_what_is_typed_through_tls_as_it_is() {
    let files = Files::new();
    let near = files.server(Layers::Tls).replace("+tls:", "+starttls:smtp:");
    let (address, hears) = server();
    let relay = Relay::start(&format!("tcp:127.0.0.1:0{near}"), &address, &[]);
    let endpoint = format!("{}+starttls:smtp:sni=localhost", relay.endpoint);
    let ca = files.directory.file("ca.pem");
    let outcome = run(["connect", "--crlf", "--ca", &ca, &endpoint], "\\starttls is text\n").succeeded();
    assert_eq!(outcome.stdout, "250 server heard it\r\n");
    assert_eq!(hears.join().unwrap(), "\\starttls is text\r\n", "as it is, but for the end of the line");
    let outcome = run(["connect", "--lockstep", &endpoint], "");
    assert!(outcome.failed(2).contains("--lockstep is for the onion line protocol"));
}
