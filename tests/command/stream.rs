//! `onion stream`: one stream of a policy, from the terminal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{JoinHandle, spawn};

use crate::onion::run;

fn policy(listener: &TcpListener, stream: &str) -> String {
    let port = listener.local_addr().unwrap().port();
    format!(
        r#"{{ "retry": {{ "twice": {{ "backoff": [1], "conceal": 1 }} }},
             "s": {{ "it": {{ "endpoint": "127.0.0.1", "port": {port}, "retry": "twice", {stream} }} }} }}"#
    )
}

/// A policy in a file of its own, so that standard input is free.
fn file(listener: &TcpListener, stream: &str) -> (crate::onion::Directory, String) {
    let directory = crate::onion::Directory::new();
    let file = directory.file("policy.json");
    std::fs::write(&file, policy(listener, stream)).unwrap();
    (directory, file)
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Answers so many requests of HTTP with this, and returns their first lines and bodies.
fn http(listener: TcpListener, answers: &'static [&'static str]) -> JoinHandle<Vec<String>> {
    spawn(move || {
        let mut asked = Vec::new();
        let mut reader: Option<BufReader<TcpStream>> = None;
        for answer in answers {
            let reader = reader.get_or_insert_with(|| BufReader::new(listener.accept().unwrap().0));
            let (mut first, mut len) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    len = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; len];
            reader.read_exact(&mut body).unwrap();
            asked.push(format!("{} {}", first.trim_end(), String::from_utf8(body).unwrap()));
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        asked
    })
}

#[test]
fn what_http_gets_is_printed_and_its_status_is_that_of_the_process() {
    for (answer, status, printed) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n", Some(0), "hello\n"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n", Some(4), "no\n"),
        ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", Some(5), ""),
        ("HTTP/1.1 302 There\r\nContent-Length: 0\r\n\r\n", Some(3), ""),
    ] {
        let listener = listener();
        let stream = r#""http_url": "/${what}", "metadata": { "what": "" }"#;
        let (_directory, file) = file(&listener, stream);
        let server = http(listener, Box::leak(Box::new([answer])));
        let outcome = run(["stream", &file, "it", "--set", "what=a b"], "");
        assert_eq!((outcome.status, &*outcome.stdout), (status, printed), "{outcome:?}");
        assert_eq!(server.join().unwrap(), ["GET /a%20b HTTP/1.1 "]);
    }
}

#[test]
fn lines_are_messages_and_events_are_told() {
    let listener = listener();
    let (_directory, file) = file(&listener, r#""http_method": "POST""#);
    let server = http(listener, &["HTTP/1.1 204 OK\r\n\r\n", "HTTP/1.1 204 OK\r\n\r\n", "HTTP/1.1 204 OK\r\n\r\n"]);
    let outcome = run(["stream", &file, "it", "--send", "zero", "--send", "-", "--events"], "one\ntwo\n").succeeded();
    assert_eq!(server.join().unwrap(), ["zero", "one", "two"].map(|text| format!("POST / HTTP/1.1 {text}")));
    for line in ["connecting (attempt 1)", "connected", "message #1 acknowledged", "message #3 acknowledged"] {
        assert!(outcome.stderr.lines().any(|found| found == line), "{line}: {outcome:?}");
    }
}

#[test]
fn so_many_messages_are_received_and_no_more() {
    let listener = listener();
    let (_directory, file) = file(&listener, r#""protocol": "mqtt", "mqtt_subscribe": "a""#);
    let broker = spawn(move || {
        let (mut broker, _) = listener.accept().unwrap();
        let mut head = [0; 2];
        broker.read_exact(&mut head).unwrap();
        broker.read_exact(&mut vec![0; head[1].into()]).unwrap();
        broker.write_all(&[0x20, 2, 0, 0]).unwrap();
        broker.read_exact(&mut [0; 8]).unwrap();
        broker.write_all(b"\x90\x03\0\x01\0").unwrap();
        broker.write_all(&b"\x30\x08\0\x01ahello".repeat(3)).unwrap();
        let mut rest = Vec::new();
        broker.read_to_end(&mut rest).unwrap();
        rest
    });
    let outcome = run(["stream", &file, "it", "--count", "2"], "").succeeded();
    assert_eq!(outcome.stdout, "hello\nhello\n");
    assert_eq!(broker.join().unwrap(), [0xe0, 0], "the end is said");
}

#[test]
fn what_fails_is_one_line_and_what_makes_no_sense_too() {
    let gone = listener();
    let policy = policy(&gone, r#""protocol": "raw""#);
    // It keeps its port.
    rustix::net::shutdown(&gone, rustix::net::Shutdown::Both).unwrap();
    let line = run(["stream", "-", "it"], &policy).failed(1);
    assert!(line.contains("cannot connect to tcp:127.0.0.1:"), "{line}");
    assert!(run(["stream", "-", "at"], &policy).failed(2).contains(r#"no stream is called "at""#));
    assert!(run(["stream", "-", "it", "--set", "x"], &policy).failed(2).contains("not NAME=VALUE"));
    assert!(run(["stream", "-", "it", "--set", "x=y"], &policy).failed(2).contains(r#"no value is called "x""#));
}

#[test]
fn bytes_of_raw_go_in_and_come_out_as_they_are() {
    let listener = listener();
    let (_directory, file) = file(&listener, r#""protocol": "raw", "opportunistic": true"#);
    let server = spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"no line").unwrap();
    });
    let outcome = run(["stream", &file, "it", "--events"], "").succeeded();
    assert_eq!(outcome.stdout, "no line");
    assert!(outcome.stderr.contains("disconnected: the peer has ended"), "{outcome:?}");
    server.join().unwrap();
}
