//! A local socket in the place of a connection: what one side says, and how it ends, is what the other hears.
//!
//! The application is a thread with a stream of the standard library, because that is who needs a bridge.

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{join, join3};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::{BridgeError, Bridged, Error};
use onionskin::runtime::{self, Address, Runtime, Socket, block_on, tcp_pair};
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tls::Version;

use crate::executor::{Task, alone, run};
use crate::peers::{client, pair, pattern, server, start};

type Crossing = futures::future::BoxFuture<'static, Result<Bridged, BridgeError>>;

/// Runs a test with every runtime and at depths 0 to 3: the application's stream, the bridge, and the peer.
fn with_each<F: Future<Output = ()>>(test: impl Fn(TcpStream, Crossing, Connection<Socket>, usize) -> F) {
    for &runtime in runtime::all() {
        for depth in 0..=3 {
            block_on(runtime, async {
                let (conn, peer) = connected(runtime, depth).await;
                let (stream, local) = tcp_pair(runtime).unwrap();
                test(stream, Box::pin(conn.bridge(local)), peer, depth).await;
            });
        }
    }
}

async fn connected(runtime: &'static dyn Runtime, depth: usize) -> (Connection<Socket>, Connection<Socket>) {
    let listener = runtime.listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    let (left, right) = join(runtime.connect_tcp(address), listener.accept()).await;
    let connect = |socket| Connection::with_timer(socket, Arc::new(runtime));
    let (mut left, mut right) = (connect(left.unwrap()), connect(right.unwrap()));
    for version in &[Version::Tls13, Version::Tls12, Version::Tls13][..depth] {
        let (started, accepted) = join(left.start_tls(client(*version)), right.start_tls(server())).await;
        started.unwrap();
        accepted.unwrap();
    }
    (left, right)
}

/// Lets a thread do what blocks.
async fn in_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = oneshot::channel();
    std::thread::spawn(move || done.send(work()).ok());
    wait.await.expect("the thread did not panic")
}

#[test]
fn the_application_ends_first_and_still_hears_the_answer() {
    with_each(|mut stream, bridge, mut peer, depth| async move {
        let application = in_a_thread(move || {
            stream.write_all(b"question").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let peer = async {
            let mut question = String::new();
            peer.read_to_string(&mut question).await.unwrap();
            peer.write_all(format!("answer to {question}").as_bytes()).await.unwrap();
            peer.close().await.unwrap();
        };
        let (answer, bridged, ()) = join3(application, bridge, peer).await;
        assert_eq!(answer, "answer to question", "depth {depth}");
        let bridged = bridged.unwrap();
        assert_eq!((bridged.to_peer, bridged.from_peer), (8, 18));
    });
}

#[test]
fn the_peer_ends_first_and_still_hears_the_answer() {
    with_each(|mut stream, bridge, mut peer, depth| async move {
        let application = in_a_thread(move || {
            let mut news = Vec::new();
            stream.read_to_end(&mut news).unwrap();
            stream.write_all(&news).unwrap();
        });
        let peer = async {
            peer.write_all(b"news").await.unwrap();
            peer.close().await.unwrap();
            let mut echo = Vec::new();
            peer.read_to_end(&mut echo).await.unwrap();
            echo
        };
        let ((), bridged, echo) = join3(application, bridge, peer).await;
        assert_eq!(echo, b"news", "depth {depth}");
        bridged.unwrap();
    });
}

#[test]
fn megabytes_cross_both_ways_at_once() {
    with_each(|stream, bridge, peer, depth| async move {
        let reading = stream.try_clone().unwrap();
        let application = in_a_thread(move || {
            let (mut reading, mut writing) = (reading, stream);
            let writer = std::thread::spawn(move || {
                writing.write_all(&pattern(1_500_000)).unwrap();
                writing.shutdown(Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            reading.read_to_end(&mut received).unwrap();
            writer.join().unwrap();
            received
        });
        let (mut reader, mut writer) = peer.split();
        let peer = async {
            let mut received = Vec::new();
            let write = async {
                writer.write_all(&pattern(1_000_000)).await.unwrap();
                writer.close().await.unwrap();
            };
            let (read, ()) = join(reader.read_to_end(&mut received), write).await;
            read.unwrap();
            received
        };
        let (at_application, bridged, at_peer) = join3(application, bridge, peer).await;
        assert!(at_application == pattern(1_000_000), "depth {depth}");
        assert!(at_peer == pattern(1_500_000), "depth {depth}");
        let bridged = bridged.unwrap();
        assert_eq!((bridged.to_peer, bridged.from_peer), (1_500_000, 1_000_000));
    });
}

#[test]
fn a_lost_peer_is_no_end_to_the_application() {
    with_each(|mut stream, bridge, mut peer, depth| async move {
        let application = in_a_thread(move || {
            let mut heard = [0; 4];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"half");
            stream.read(&mut [0]).map_err(|error| error.kind())
        });
        let peer = async move {
            peer.send_all(b"half").await.unwrap();
            let socket = peer.into_inner().io;
            // Inside TLS an end without a close_notify is a loss. Without TLS only a reset is.
            if depth == 0 { socket.reset().unwrap() } else { drop(socket) }
        };
        let (after, bridged, ()) = join3(application, bridge, peer).await;
        assert_eq!(after, Err(ErrorKind::ConnectionReset), "depth {depth}");
        let error = bridged.unwrap_err();
        assert!(!error.is_local(), "{error}");
        assert_eq!(error.error().is_truncated(), depth > 0, "{error}");
        assert!(error.to_string().starts_with("the peer's side of the bridge: "), "{error}");
    });
}

#[test]
fn all_that_was_said_before_a_loss_is_heard_by_a_slow_reader() {
    with_each(|mut stream, bridge, mut peer, depth| async move {
        // Without TLS it would take a reset to make a loss, and that may overtake what was sent to the bridge itself.
        if depth == 0 {
            return;
        }
        let (gone, wait) = oneshot::channel();
        let application = in_a_thread(move || {
            futures::executor::block_on(wait).unwrap();
            let (mut heard, mut piece) = (Vec::<u8>::new(), [0; 1000]);
            loop {
                match stream.read(&mut piece) {
                    Ok(0) => panic!("a loss is no end"),
                    Ok(count) => heard.extend_from_slice(&piece[..count]),
                    Err(error) => return (heard, error.kind()),
                }
            }
        });
        // As much as it takes to have some of it wait in each socket.
        let peer = async move {
            let sent = pattern(700_000);
            peer.write_all(&sent).await.unwrap();
            peer.flush().await.unwrap();
            drop(peer.into_inner().io);
            gone.send(()).unwrap();
            sent
        };
        let ((heard, error), bridged, sent) = join3(application, bridge, peer).await;
        assert!(heard == sent, "depth {depth}: {} of {}", heard.len(), sent.len());
        assert_eq!(error, ErrorKind::ConnectionReset);
        assert!(bridged.unwrap_err().error().is_truncated());
    });
}

#[test]
fn a_lost_application_is_no_end_to_the_peer() {
    with_each(|mut stream, bridge, mut peer, depth| async move {
        let (sent, wait) = oneshot::channel();
        let application = in_a_thread(move || {
            stream.write_all(b"half").unwrap();
            futures::executor::block_on(wait).unwrap();
            // With something unread, it is reset when it is dropped.
            stream.peek(&mut [0]).unwrap();
            drop(stream);
        });
        let peer = async move {
            let mut heard = [0; 4];
            peer.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"half");
            peer.send_all(b"unread").await.unwrap();
            sent.send(()).unwrap();
            peer.read(&mut [0]).await
        };
        let ((), bridged, after) = join3(application, bridge, peer).await;
        let (error, after) = (bridged.unwrap_err(), after.unwrap_err());
        assert!(error.is_local(), "depth {depth}: {error}");
        assert!(error.to_string().starts_with("the local side of the bridge: "), "{error}");
        assert_eq!(Error::of(&after).unwrap().is_truncated(), depth > 0, "{after}");
        assert!(depth > 0 || after.kind() == ErrorKind::ConnectionReset, "{after}");
    });
}

#[test]
fn a_bridge_that_is_dropped_is_no_end_to_either_side() {
    for polled in [false, true] {
        with_each(|mut stream, mut bridge, mut peer, depth| async move {
            if polled {
                assert!(futures::poll!(&mut bridge).is_pending());
            }
            drop(bridge);
            let after = in_a_thread(move || stream.read(&mut [0]).map_err(|error| error.kind())).await;
            assert_eq!(after, Err(ErrorKind::ConnectionReset), "depth {depth}, polled: {polled}");
            peer.read(&mut [0]).await.unwrap_err();
        });
    }
}

#[test]
fn two_ends_are_of_one_connection() {
    for &runtime in runtime::all() {
        let (stream, socket) = tcp_pair(runtime).unwrap();
        assert_eq!(socket.local_address().as_tcp(), stream.peer_addr().ok());
        assert_eq!(socket.peer_address().as_tcp(), stream.local_addr().ok());
        assert!(stream.peer_addr().unwrap().ip().is_loopback());
    }
}

/// A lost peer whose last words are more than the application's socket takes: that, the bridge, and what was said.
fn last_words() -> (WireEnd, Task<'static, Result<Bridged, BridgeError>>, Vec<u8>, Clock) {
    let (mut conn, mut peer, clock) = pair(Cut::Whole, 1_000_000);
    start(&mut conn, &mut peer, Version::Tls13);
    let (application, local) = wire(Cut::Whole, 1000);
    let local = Socket::new(local, Address::Unix(None), Address::Unix(None));
    let mut bridge = Task::new(conn.bridge(local));
    let said = pattern(20_000);
    alone(peer.send_all(&said)).unwrap();
    drop(peer);
    assert!(bridge.run().is_none(), "the last bytes wait");
    (application, bridge, said, clock)
}

#[test]
fn last_bytes_that_nobody_takes_are_given_up() {
    let (_application, mut bridge, _, clock) = last_words();
    clock.advance(Duration::from_secs(29));
    assert!(bridge.run().is_none());
    clock.advance(Duration::from_secs(1));
    assert!(bridge.run().is_none(), "there is no reset, so there is a second to read what was sent");
    clock.advance(Duration::from_secs(1));
    let error = bridge.run().expect("it has ended").unwrap_err();
    assert!(!error.is_local() && error.error().is_truncated(), "{error}");
}

#[test]
fn who_takes_some_of_the_last_bytes_may_take_his_time() {
    let (mut application, mut bridge, said, clock) = last_words();
    let mut heard = Vec::new();
    for _ in 0..10 {
        clock.advance(Duration::from_secs(29));
        assert!(bridge.run().is_none(), "{} bytes were taken in time", heard.len());
        let mut piece = [0; 700];
        alone(application.read_exact(&mut piece)).unwrap();
        heard.extend(piece);
        assert!(bridge.run().is_none());
    }
    let mut rest = Task::new(async {
        let mut rest = Vec::new();
        application.read_to_end(&mut rest).await.unwrap();
        rest
    });
    run(&mut [&mut rest, &mut bridge]);
    assert!(bridge.output().is_none(), "a second to read what was sent");
    clock.advance(Duration::from_secs(1));
    run(&mut [&mut bridge, &mut rest]);
    let error = bridge.output().expect("it has ended").unwrap_err();
    assert!(!error.is_local() && error.error().is_truncated(), "{error}");
    drop(bridge);
    heard.extend(rest.run().expect("its socket has ended"));
    assert!(heard == said);
}

#[test]
fn what_a_peer_said_before_it_was_lost_is_heard_although_it_takes_no_more() {
    let (mut conn, mut peer, clock) = pair(Cut::Whole, 2000);
    start(&mut conn, &mut peer, Version::Tls13);
    let (mut application, local) = wire(Cut::Whole, 1_000_000);
    alone(application.write_all(&pattern(500_000))).unwrap();
    let local = Socket::new(local, Address::Unix(None), Address::Unix(None));
    let mut bridge = Task::new(conn.bridge(local));
    assert!(bridge.run().is_none(), "the peer takes no more");
    alone(peer.send_all(b"too much")).unwrap();
    drop(peer);
    assert!(bridge.run().is_none());
    clock.advance(Duration::from_secs(1));
    let error = bridge.run().expect("it has ended").unwrap_err();
    assert!(!error.is_local(), "{error}");
    drop(bridge);
    let mut heard = Vec::new();
    alone(application.read_to_end(&mut heard)).unwrap();
    assert_eq!(heard.escape_ascii().to_string(), "too much");
}
