//! Who may come in.

use std::io::Write;

use super::*;
use crate::onion::{Directory, run};

fn basic(user_and_password: &str) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(user_and_password);
    format!("Proxy-Authorization: Basic {text}\r\n\r\n")
}

/// The answer of SOCKS to this user, and the reply behind it.
fn socks(proxy: &Relay, user: &str, password: &str, target: SocketAddr) -> (u8, Option<u8>) {
    let mut client = connect(proxy);
    client.write_all(&[5, 1, 2]).unwrap();
    finds(&mut client, &[5, 2]);
    let login = [&[1, user.len() as u8], user.as_bytes(), &[password.len() as u8], password.as_bytes()].concat();
    client.write_all(&login).unwrap();
    let mut answer = [0; 2];
    client.read_exact(&mut answer).unwrap();
    if answer[1] != 0 {
        return (answer[1], None);
    }
    client.write_all(&socks_request(1, target)).unwrap();
    (0, Some(reply(&mut client).0))
}

fn file(directory: &Directory) -> String {
    let line = run(["proxy", "--hash-password", "onion"], "peel\n").succeeded().stdout;
    assert!(line.starts_with("onion:$argon2id$"), "{line}");
    let other = run(["proxy", "--hash-password", "shallot"], "skin").succeeded().stdout;
    directory.write("users", line + &other)
}

#[test]
fn k17_s4_users_log_in_in_each_language_and_nobody_sees_their_passwords() {
    let directory = Directory::new();
    let proxy = proxy(&["--users", &file(&directory), "--allow", "127.0.0.0/8", "--max-per-user", "1"]);
    let (listener, address) = target();
    let answer = |more: &str| {
        let mut client = ask_http(&proxy, address, more);
        let head = head(&mut client);
        (client, head)
    };
    let (_, without) = answer("\r\n");
    assert!(without.starts_with("HTTP/1.1 407 "), "{without}");
    assert!(without.to_ascii_lowercase().contains("proxy-authenticate: basic realm=\"onion\""), "{without}");
    for wrong in ["onion:wrong", "leek:peel", "onion:"] {
        assert!(answer(&basic(wrong)).1.starts_with("HTTP/1.1 407 "), "{wrong}");
    }
    let (client, right) = answer(&basic("onion:peel"));
    assert!(right.starts_with("HTTP/1.1 200 "), "{right}");
    // The one tunnel that this user may have is there.
    assert!(answer(&basic("onion:peel")).1.starts_with("HTTP/1.1 503 "));
    assert_eq!(socks(&proxy, "shallot", "wrong", address).1, None);
    assert_eq!(socks(&proxy, "shallot", "skin", address), (0, Some(0)));
    drop(client);
    // SOCKS4a has no passwords.
    let mut client = connect(&proxy);
    client.write_all(&[4, 1, 0, 1, 127, 0, 0, 1, 0]).unwrap();
    finds(&mut client, &[0, 91]);
    drop(listener);
    proxy.signal("TERM");
    let (status, log) = proxy.finish();
    assert_eq!(status, Some(0));
    let log = log.join("\n");
    assert!(log.contains("user \"onion\" http1 to") && log.contains("user \"shallot\" socks5 to"), "{log}");
    assert!(!log.contains("peel") && !log.contains("wrong") && !log.contains("b25pb246"), "{log}");
}

#[test]
fn k17_an_address_that_was_wrong_too_often_is_not_looked_at() {
    let directory = Directory::new();
    let mut proxy = proxy(&["--users", &file(&directory), "--allow", "127.0.0.0/8"]);
    let (_listener, address) = target();
    assert_eq!(socks(&proxy, "onion", "peel", address), (0, Some(0)));
    for _ in 0..10 {
        assert_ne!(socks(&proxy, "onion", "wrong", address).0, 0);
    }
    proxy.hears(&["127.0.0.1 was wrong 10 times"]);
    assert_ne!(socks(&proxy, "onion", "peel", address).0, 0, "be it right");
}

#[test]
fn files_of_users_with_mistakes_are_refused_and_show_nothing() {
    let directory = Directory::new();
    for (text, expected) in
        [("onion:secret", "no hash of Argon2"), ("secret", "write NAME:HASH"), (":secret", "the user has no name")]
    {
        let file = directory.write("users", text);
        let error = run(["proxy", "tcp:127.0.0.1:0", "--users", &file], "").failed(1);
        assert!(error.contains(expected) && error.contains("line 1") && !error.contains("secret"), "{error}");
    }
    assert!(run(["proxy", "--hash-password", "onion"], "").failed(2).contains("no password"));
    assert!(run(["proxy", "--hash-password", "on:ion"], "peel").failed(2).contains("no colon"));
}
