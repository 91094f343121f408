//! How tunnels end, and the proxy itself.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use super::*;
use crate::onion::Directory;
use crate::relay::pattern;

#[test]
fn s10_what_one_side_says_behind_the_end_of_the_other_arrives() {
    let proxy = proxy(LOOPBACK);
    for client_first in [true, false] {
        let (client, far) = tunnel(&proxy);
        let (mut first, mut second) = if client_first { (client, far) } else { (far, client) };
        let (asked, answered) = (pattern(1, 100_000), pattern(2, 200_000));
        let asking = std::thread::spawn({
            let asked = asked.clone();
            move || {
                first.write_all(&asked).unwrap();
                first.shutdown(Shutdown::Write).unwrap();
                rest(&mut first).unwrap()
            }
        });
        assert_eq!(rest(&mut second).unwrap(), asked);
        second.write_all(&answered).unwrap();
        second.shutdown(Shutdown::Write).unwrap();
        assert_eq!(asking.join().unwrap(), answered);
    }
}

#[test]
fn s10_strictly_the_end_of_one_side_is_that_of_both() {
    let mut proxy = proxy(&["--half-close", "no", "--allow", "127.0.0.0/8"]);
    let (mut client, mut far) = tunnel(&proxy);
    far.write_all(b"all that there is").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    finds(&mut client, b"all that there is");
    assert_eq!(rest(&mut client).unwrap(), b"");
    // The other side sees the end too, though the client has said none.
    assert_eq!(rest(&mut far).unwrap(), b"");
    proxy.hears(&["0 bytes there, 17 back", "ended"]);
}

#[test]
fn s11_a_reset_of_one_side_is_one_of_the_other() {
    let mut proxy = proxy(LOOPBACK);
    for client_first in [true, false] {
        let (client, far) = tunnel(&proxy);
        let (mut first, mut second) = if client_first { (client, far) } else { (far, client) };
        first.write_all(b"!").unwrap();
        finds(&mut second, b"!");
        rustix::net::sockopt::set_socket_linger(&first, Some(std::time::Duration::ZERO)).unwrap();
        drop(first);
        assert_eq!(
            second.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset,
            "client first: {client_first}"
        );
    }
    proxy.hears(&["lost, LISTEN side"]);
    proxy.hears(&["lost, CONNECT side"]);
    // An end is none.
    let (client, mut far) = tunnel(&proxy);
    drop(client);
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn s11_a_reset_behind_an_end_is_noticed_while_the_other_side_is_waited_for() {
    let mut proxy = proxy(&["--half-close", "none", "--allow", "127.0.0.0/8"]);
    for client_first in [true, false] {
        let (client, far) = tunnel(&proxy);
        let (mut first, mut second) = if client_first { (client, far) } else { (far, client) };
        first.write_all(b"!").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        finds(&mut second, b"!");
        assert_eq!(second.read(&mut [0]).unwrap(), 0);
        second.write_all(b"?").unwrap();
        finds(&mut first, b"?");
        rustix::net::sockopt::set_socket_linger(&first, Some(std::time::Duration::ZERO)).unwrap();
        drop(first);
        let side = if client_first { "LISTEN" } else { "CONNECT" };
        proxy.hears(&[&format!("lost, {side} side: the peer is gone behind its end"), "1 bytes there, 1 back"]);
        // It has read an end, so only its writes tell.
        while second.write(b"still there?").is_ok() {}
    }
}

#[test]
fn s13_tunnels_go_on_while_the_proxy_ends_and_there_are_no_new_ones() {
    let mut proxy = proxy(LOOPBACK);
    let (mut client, mut far) = tunnel(&proxy);
    let mut undecided = connect(&proxy);
    undecided.write_all(&[5]).unwrap();
    let address = proxy.endpoint.strip_prefix("tcp:").unwrap().to_owned();
    proxy.signal("TERM");
    proxy.hears(&["asked to end"]);
    assert_eq!(TcpStream::connect(&address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // Who has not yet asked is not heard.
    assert!(!matches!(undecided.read(&mut [0]), Ok(1..)));
    client.write_all(b"still").unwrap();
    finds(&mut far, b"still");
    far.write_all(b"here").unwrap();
    finds(&mut client, b"here");
    drop((client, far));
    let (status, log) = proxy.finish();
    assert_eq!(status, Some(0));
    assert!(log.iter().any(|line| line.contains("5 bytes there, 4 back")), "{log:#?}");
}

#[test]
fn s13_out_of_patience_tunnels_are_aborted() {
    let proxy = proxy(&["--patience", "0", "--allow", "127.0.0.0/8"]);
    let (mut client, _far) = tunnel(&proxy);
    proxy.signal("TERM");
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let (status, log) = proxy.finish();
    assert_eq!(status, Some(0));
    assert!(log.iter().any(|line| line.contains("aborted; ")), "{log:#?}");
}

#[test]
fn rules_are_read_again_and_wrong_ones_change_nothing() {
    let directory = Directory::new();
    let file = directory.write("rules", "deny *");
    let mut proxy = proxy(&["--rules", &file]);
    let (_listener, address) = target();
    let status = |proxy: &Relay| answer_http(proxy, address).1[9..12].to_owned();
    assert_eq!(status(&proxy), "403");
    directory.write("rules", "allow 127.0.0.0/8");
    proxy.signal("HUP");
    proxy.hears(&["the rules were read again"]);
    assert_eq!(status(&proxy), "200");
    directory.write("rules", "allow everything, please");
    proxy.signal("HUP");
    proxy.hears(&["the rules stay as they are", "line 1"]);
    assert_eq!(status(&proxy), "200");
}

#[test]
fn a_peer_has_so_many_connections() {
    let mut proxy = proxy(&["--max-per-peer", "1", "--allow", "127.0.0.0/8"]);
    let _one = tunnel(&proxy);
    assert!(!matches!(connect(&proxy).read(&mut [0]), Ok(1..)), "nothing is said");
    proxy.hears(&["turned away", "127.0.0.1 has 1 connections already"]);
}

#[test]
fn a_line_in_json_for_each_tunnel() {
    let mut proxy = proxy(&["--log-format", "json", "--allow", "127.0.0.0/8"]);
    let (mut client, mut far) = tunnel(&proxy);
    client.write_all(b"abc").unwrap();
    finds(&mut far, b"abc");
    drop((client, far));
    let line: serde_json::Value = serde_json::from_str(&proxy.hears(&["\"ended\""])).unwrap();
    for (field, expected) in [
        ("protocol", "\"socks5\""),
        ("outcome", "\"ended\""),
        ("bytes_there", "3"),
        ("bytes_back", "0"),
        ("reason", "null"),
    ] {
        assert_eq!(line[field].to_string(), expected, "{field} of {line}");
    }
    assert!(line["target"].as_str().unwrap().starts_with("tcp 127.0.0.1:"), "{line}");
    answer_http(&proxy, "127.0.0.1:1");
    let line: serde_json::Value = serde_json::from_str(&proxy.hears(&["not joined"])).unwrap();
    assert_eq!(line["reason"], "connection_refused", "{line}");
}
