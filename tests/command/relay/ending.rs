//! How a relay ends that is asked to.

use std::io::ErrorKind;
use std::net::TcpStream;

use futures::channel::oneshot;
use futures::future::join_all;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{Files, Layers, NOBODY, Path, Relay, block_on, greet, pattern, read_all, runtime};
use crate::onion::{Directory, finish, onion};

const CONNECTIONS: usize = 20;

const SIZE: usize = 1024 * 1024;

#[test]
fn connections_in_progress_lose_nothing() {
    for signal in ["TERM", "INT"] {
        let files = Files::new();
        let mut path = Path::new(&files, Layers::Tls, Layers::None, &["--patience", "60"]);
        block_on(async {
            let mut pairs = Vec::new();
            for index in 0..CONNECTIONS {
                let (mut client, mut server) = path.join().await;
                greet(&mut client, &mut server).await;
                let (tell, outcome) = oneshot::channel();
                runtime().spawn(Box::pin(async move {
                    server.write_all(&pattern(index as u8, SIZE)).await.unwrap();
                    server.close().await.unwrap();
                    tell.send(read_all(&mut server).await).unwrap();
                }));
                pairs.push((client, outcome));
            }
            // Each is in the middle of it when the signal comes.
            let mut begun = [[0; 1000]; CONNECTIONS];
            for ((client, _), begun) in pairs.iter_mut().zip(&mut begun) {
                client.read_exact(begun).await.unwrap();
            }
            path.relay.signal(signal);
            path.relay.hears(&["asked to end: 20 connections"]);
            let address = path.relay.endpoint.strip_prefix("tcp:").unwrap();
            assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);

            join_all(pairs.into_iter().zip(begun).enumerate().map(async |(index, ((mut client, outcome), begun))| {
                let seed = index as u8;
                // A client that reads in small pieces, and only then answers.
                let mut read = begun.to_vec();
                let mut piece = [0; 1000];
                loop {
                    match client.read(&mut piece).await.unwrap() {
                        0 => break,
                        count => read.extend_from_slice(&piece[..count]),
                    }
                }
                assert!(read == pattern(seed, SIZE), "{} bytes", read.len());
                client.write_all(&pattern(!seed, SIZE)).await.unwrap();
                client.close().await.unwrap();
                let (read, result) = outcome.await.unwrap();
                result.unwrap();
                assert!(read == pattern(!seed, SIZE), "{} bytes", read.len());
            }))
            .await;
        });
        let (status, log) = path.relay.finish();
        assert_eq!(status, Some(0), "{log:#?}");
        let last = log.last().unwrap();
        assert!(last.contains("20 accepted: 20 ended, 0 not joined, 0 lost, 0 aborted"), "{last}");
    }
}

#[test]
fn without_connections_it_ends_at_once() {
    let path = Path::new(&Files::new(), Layers::None, Layers::None, &["--patience", "4000000000"]);
    path.relay.signal("TERM");
    let (status, log) = path.relay.finish();
    assert_eq!(status, Some(0));
    assert!(log.last().unwrap().contains("0 accepted: 0 ended"), "{log:#?}");
}

#[test]
fn those_that_do_not_end_in_time_are_aborted_and_counted() {
    let mut path = Path::new(&Files::new(), Layers::None, Layers::None, &["--patience", "1"]);
    block_on(async {
        let (mut ends, mut its_server) = path.join().await;
        let (mut stays, mut other_server) = path.join().await;
        greet(&mut ends, &mut its_server).await;
        greet(&mut stays, &mut other_server).await;
        path.relay.signal("TERM");
        ends.close().await.unwrap();
        its_server.close().await.unwrap();
        read_all(&mut ends).await.1.unwrap();
        // Aborted, which is no graceful end.
        for conn in [&mut stays, &mut other_server] {
            let (read, result) = read_all(conn).await;
            assert!(read.is_empty(), "{read:?}");
            assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    });
    path.relay.hears(&["out of patience: 1 connections"]);
    path.relay.hears(&["#1 ", "ended"]);
    path.relay.hears(&["#2 ", "aborted; 1 bytes there, 0 back"]);
    let (status, log) = path.relay.finish();
    assert_eq!(status, Some(0), "{log:#?}");
    assert!(log.last().unwrap().contains("2 accepted: 1 ended, 0 not joined, 0 lost, 1 aborted"), "{log:#?}");
}

#[test]
fn a_second_signal_does_not_wait_for_anybody() {
    let mut path = Path::new(&Files::new(), Layers::None, Layers::None, &["--patience", "4000000000"]);
    let _pair = block_on(path.join());
    path.relay.signal("TERM");
    path.relay.hears(&["asked to end: 1 connections"]);
    path.relay.signal("TERM");
    assert_eq!(path.relay.finish().0, Some(128 + 15));
}

#[test]
fn after_one_that_was_killed_another_listens_at_its_socket() {
    let directory = Directory::new();
    let listen = format!("unix:{}", directory.file("s"));
    let relay = Relay::start(&listen, NOBODY, &[]);
    let second = || finish(onion(["relay", &listen, NOBODY]).spawn().unwrap());
    let line = second().stderr;
    assert!(line.contains("is in use"), "control: the first one lives: {line}");
    relay.signal("KILL");
    assert_eq!(relay.finish().0, None);
    assert!(directory.path().join("s").exists(), "control: it could not remove its socket");
    let relay = Relay::start(&listen, NOBODY, &[]);
    relay.signal("TERM");
    assert_eq!(relay.finish().0, Some(0));
    assert!(!directory.path().join("s").exists());
}
