//! `--max-per-peer`: nobody has all the connections.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{Relay, block_on, dial, expect_reset, greet, listen, read_all};

#[test]
fn one_more_than_a_peer_may_have_is_turned_away_until_one_is_gone() {
    let far = listen("tcp:127.0.0.1:0");
    let connect = far.endpoint().transport.to_string();
    let mut relay = Relay::start("tcp:127.0.0.1:0", &connect, &["--max-per-peer", "2"]);
    block_on(async {
        let mut both = Vec::new();
        for _ in 0..2 {
            let mut client = dial(&relay.endpoint).await.unwrap();
            let mut server = far.accept().await.unwrap().ready().await.unwrap();
            greet(&mut client, &mut server).await;
            both.push((client, server));
        }
        expect_reset(&relay, || {});
        let line = relay.hears(&["#3 ", "turned away"]);
        let why = "turned away, LISTEN side: 127.0.0.1 has 2 connections already, as many as one peer may have";
        assert!(line.contains(why), "{line}");
        // The two others have not noticed.
        for (client, server) in &mut both {
            greet(client, server).await;
        }
        let (mut client, mut server) = both.remove(0);
        client.close().await.unwrap();
        server.close().await.unwrap();
        read_all(&mut client).await.1.unwrap();
        drop((client, server));
        relay.hears(&["#1 ", "ended"]);
        // The seat is free when both sides have closed, which is a little later than the line in the log.
        let accepted = async {
            let mut server = far.accept().await.unwrap().ready().await.unwrap();
            server.write_all(b"!").await.unwrap();
            server.flush().await.unwrap();
        };
        let admitted = async {
            loop {
                let Ok(mut client) = dial(&relay.endpoint).await else { continue };
                if client.read_exact(&mut [0]).await.is_ok() {
                    break;
                }
            }
        };
        join(accepted, admitted).await;
    });
    relay.signal("TERM");
    assert!(relay.hears(&["accepted: "]).contains("turned away"));
}

/// Behind a proxy all connections come from one address, and the headers tell the peers apart.
#[test]
fn a_proxy_speaks_for_peers_of_their_own() {
    let far = listen("tcp:127.0.0.1:0");
    let connect = far.endpoint().transport.to_string();
    let mut relay = Relay::start("tcp:127.0.0.1:0+proxy-header", &connect, &["--max-per-peer", "1"]);
    let address = relay.endpoint.strip_prefix("tcp:").unwrap().to_owned();
    let client = |from: &str| {
        let mut client = TcpStream::connect(&address).unwrap();
        let family = if from.contains(':') { "TCP6" } else { "TCP4" };
        let to = if from.contains(':') { "2001:db8::25" } else { "192.0.2.25" };
        client.write_all(format!("PROXY {family} {from} {to} 4000 25\r\n").as_bytes()).unwrap();
        client
    };
    let accept = || block_on(async { far.accept().await.unwrap().ready().await.unwrap() });
    let refused = |mut client: TcpStream| match client.read(&mut [0]) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        Ok(count) => panic!("{count} bytes, and no reset"),
    };

    let mut held = Vec::new();
    for peer in ["192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:2::1"] {
        held.push((client(peer), accept()));
    }
    refused(client("192.0.2.1"));
    relay.hears(&["from tcp 127.0.0.1:", "turned away, LISTEN side: 192.0.2.1 has 1 connections"]);
    refused(client("2001:db8:0:1:ffff::"));
    relay.hears(&["turned away, LISTEN side: 2001:db8:0:1::/64 has 1 connections"]);
}
