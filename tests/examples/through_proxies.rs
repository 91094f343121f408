//! The client that goes through proxies.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use crate::process::program;

/// A proxy that is the target itself, and says this to the first request and that to what comes then. Returns its port.
fn proxy(first: &'static str, second: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        for answer in [first, second] {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if socket.read(&mut byte).unwrap() == 0 {
                    return;
                }
                head.push(byte[0]);
            }
            socket.write_all(answer.as_bytes()).unwrap();
        }
    });
    port
}

fn run(port: u16) -> (Output, String) {
    let endpoint = format!("tcp:127.0.0.1:{port}+connect:origin.example:80");
    let output = Command::new(program("through_proxies")).arg(endpoint).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn the_route_is_shown_and_then_it_is_a_connection_like_any_other() {
    let port = proxy("HTTP/1.1 200 Well\r\n\r\n", "HTTP/1.1 204 Nothing\r\n\r\n");
    let (output, text) = run(port);
    assert!(output.status.success(), "{output:?}");
    assert!(
        text.starts_with(&format!("1: http1 at tcp 127.0.0.1:{port} to tcp origin.example:80  status 200")),
        "{text}"
    );
    assert!(text.ends_with("HTTP/1.1 204 Nothing\n"), "{text}");
}

#[test]
fn who_wants_a_password_is_named() {
    let refusal = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"the cellar\"\r\nContent-Length: 0\r\n\r\n";
    let (output, _) = run(proxy(refusal, ""));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("wants a password for the cellar"), "{error}");
}
