//! What clients may take.

use std::io::{ErrorKind, Read, Write};

use futures::io::AsyncReadExt;
use onionskin::runtime::Address;
use onionskin::tunnel::http2::Connect;

use super::http2::{carrier, open};
use super::*;
use crate::relay::block_on;

#[test]
fn so_many_tunnels_in_all_languages_together() {
    let mut proxy = proxy(&["--max-tunnels", "2", "--allow", "127.0.0.0/8"]);
    let tunnels = carrier(&proxy);
    let (inside, _far) = open(&tunnels);
    let (client, far) = tunnel(&proxy);
    let (_listener, address) = target();
    let (_, answer) = answer_http(&proxy, address);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("error=connection_limit_reached"), "{answer}");
    proxy.hears(&["not joined", "there are 2 tunnels already"]);
    let error = block_on(tunnels.open(Address::from(address))).unwrap_err().to_string();
    assert!(error.contains("503"), "{error}");
    // One that has ended leaves its place to another.
    drop((client, far));
    proxy.hears(&["socks5 to", "ended"]);
    let (mut another, mut far) = open(&tunnels);
    far.write_all(b"!").unwrap();
    block_on(another.read_exact(&mut [0])).unwrap();
    drop((inside, another, tunnels));
    proxy.signal("TERM");
    let (_, log) = proxy.finish();
    let last = log.last().unwrap();
    assert!(last.contains("tunnels: 3 granted, 2 refused"), "{log:#?}");
    assert!(!last.contains("cancel request"), "that is said of databases: {last}");
}

#[test]
fn s8_a_head_may_be_so_long() {
    let (short, long) = (proxy(&["--head-size", "1024", "--allow", "127.0.0.0/8"]), proxy(LOOPBACK));
    let (_listener, address) = target();
    let more = |bytes| format!("X-More: {}\r\n\r\n", "a".repeat(bytes));
    for (proxy, bytes, expected) in [(&short, 2000, "431"), (&short, 500, "200"), (&long, 2000, "200")] {
        let head = head(&mut ask_http(proxy, address, &more(bytes)));
        assert_eq!(head[9..12], *expected, "{bytes}: {head}");
    }
    for (proxy, bytes, is_granted) in [(&short, 2000, false), (&short, 500, true), (&long, 2000, true)] {
        let connect = Connect::new(Address::from(address)).field("x-more", "a".repeat(bytes)).unwrap();
        let opened = block_on(carrier(proxy).open(connect));
        assert_eq!(opened.is_ok(), is_granted, "{bytes}: {opened:?}");
    }
}

#[test]
fn a_client_of_http2_that_says_nothing_is_given_up_like_any_other() {
    let (short, long) = (proxy(&["--request-timeout", "1"]), proxy(&["--request-timeout", "1000"]));
    let mut clients = [&short, &long].map(connect);
    for client in &mut clients {
        client.write_all(b"PRI ").unwrap();
    }
    let [mut given_up, mut waited_for] = clients;
    let _ = rest(&mut given_up);
    waited_for.set_nonblocking(true).unwrap();
    let error = loop {
        match waited_for.read(&mut [0; 100]) {
            Ok(0) => panic!("it has more time"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_connection_of_http2_without_a_tunnel_is_given_up() {
    let proxy = proxy(&["--idle-carrier", "1", "--max-connections", "1", "--allow", "127.0.0.0/8"]);
    let tunnels = carrier(&proxy);
    let (tunnel, far) = open(&tunnels);
    drop((tunnel, far));
    let driving = std::thread::spawn(move || drop(block_on(tunnels.drive())));
    driving.join().unwrap();
    // Its place is free.
    let _next = super::tunnel(&proxy);
}
