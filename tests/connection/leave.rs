//! Leaving: what was written last arrives, and nobody is waited for without end.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::connection::ErrorKind;
use onionskin::runtime::{self, block_on};
use onionskin::testing::Cut;
use onionskin::tls::Version;

use crate::executor::{Task, alone, both};
use crate::peers::{CUTS, VERSIONS, client, layered, pair, pattern, server};
use crate::sockets::{connect, listen_tcp};

const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn what_was_written_and_every_close_notify_arrive() {
    for cut in CUTS {
        for versions in [&[][..], &[Version::Tls12], &[Version::Tls13, Version::Tls12]] {
            let (mut left, mut right, _clock) = layered(cut, 1_000, versions);
            let bytes = pattern(20_000);
            let leave = async {
                left.write_all(&bytes).await.unwrap();
                left.leave(PATIENCE).await.unwrap();
            };
            let read = async {
                let mut received = Vec::new();
                right.read_to_end(&mut received).await.unwrap();
                // It has more to say than anybody wants to hear, and does not hear that by a failure.
                right.write_all(&pattern(20_000)).await.unwrap();
                right.close().await.unwrap();
                received
            };
            let ((), received) = both(leave, read);
            assert!(received == bytes, "{cut:?}, {versions:?}");
        }
    }
}

#[test]
fn a_peer_that_does_not_close_is_waited_for_so_long_and_that_is_no_error() {
    for version in VERSIONS {
        let (mut left, mut right, clock) = layered(Cut::Whole, 10_000, &[version]);
        alone(left.write_line("bye")).unwrap();
        let mut leave = Task::new(left.leave(PATIENCE));
        assert!(leave.run().is_none());
        assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"bye");
        assert_eq!(alone(right.read_line()).unwrap(), None);
        clock.advance(PATIENCE - Duration::from_millis(1));
        assert!(leave.run().is_none());
        clock.advance(Duration::from_millis(1));
        leave.run().expect("patience is over").unwrap();
    }
}

#[test]
fn a_peer_that_does_not_read_is_given_up_and_that_is_one() {
    let (mut left, right, clock) = layered(Cut::Whole, 1_000, &[Version::Tls13]);
    left.queue(&pattern(50_000)).unwrap();
    let mut leave = Task::new(left.leave(PATIENCE));
    assert!(leave.run().is_none());
    clock.advance(PATIENCE);
    let error = leave.run().expect("patience is over").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Lost(reason) if reason.is_aborted()), "{error}");
    drop(right);
}

#[test]
fn what_the_peer_left_out_is_no_error_and_what_cannot_leave_is() {
    let (left, right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13]);
    right.get_ref().end();
    alone(left.leave(PATIENCE)).unwrap();
    drop(right);

    let (left, right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13]);
    drop(right);
    assert_eq!(io::Error::from(alone(left.leave(PATIENCE)).unwrap_err()).kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn the_alert_of_a_connection_that_is_lost_arrives() {
    for version in VERSIONS {
        let (mut left, mut right, _clock) = pair(Cut::Whole, 10_000);
        let stranger = crate::common::Authority::new();
        let layer = stranger.client(&[version]).to(crate::peers::NAME).unwrap();
        let mut accepted = Task::new(right.start_tls(server()));
        let mut started = Task::new(left.start_tls(layer));
        crate::executor::run(&mut [&mut started, &mut accepted]);
        assert!(started.output().unwrap().unwrap_err().is_certificate());
        assert!(accepted.output().unwrap().unwrap_err().is_refused());
        drop((started, accepted));
        let (left, right) = (left.leave(PATIENCE), right.leave(PATIENCE));
        let (left, right) = both(left, right);
        assert!(left.unwrap_err().is_certificate() && right.unwrap_err().is_refused());
    }
}

/// The tickets of a TLS 1.3 server lie unread in the socket of a client that only writes. Dropped behind its close, it resets
/// the connection; left, it does not.
#[test]
fn who_has_not_read_the_tickets_leaves_without_a_reset() {
    for &runtime in runtime::all() {
        block_on(runtime, async {
            let (listener, address) = listen_tcp(runtime).await;
            for leaves in [true, false] {
                let stage = AtomicU8::new(0);
                let says = async {
                    let socket = TcpStream::connect(address).unwrap();
                    let looks = socket.try_clone().unwrap();
                    let mut conn = connect(runtime, runtime.adopt_tcp(socket).unwrap());
                    conn.start_tls(client(Version::Tls13)).await.unwrap();
                    // Until there is something in the socket: this connection has not read it.
                    while looks.peek(&mut [0]).is_err() {
                        runtime.sleep_until(runtime.now() + Duration::from_millis(1)).await;
                    }
                    drop(looks);
                    conn.queue(b"last words").unwrap();
                    match leaves {
                        true => conn.leave(PATIENCE).await.unwrap(),
                        // As a program does that forgets the end.
                        false => {
                            conn.flush().await.unwrap();
                            drop(conn);
                        }
                    }
                    stage.store(1, Ordering::Relaxed);
                };
                let hears = async {
                    let mut conn = connect(runtime, listener.accept().await.unwrap());
                    conn.start_tls(server()).await.unwrap();
                    if !leaves {
                        // What a reset does shows when it has come.
                        while stage.load(Ordering::Relaxed) == 0 {
                            runtime.sleep_until(runtime.now() + Duration::from_millis(1)).await;
                        }
                    }
                    let mut heard = Vec::new();
                    let result = conn.read_to_end(&mut heard).await;
                    (heard, result.map(drop).map_err(|error| error.kind()))
                };
                let ((), (heard, result)) = join(says, hears).await;
                match leaves {
                    true => assert_eq!((heard, result), (b"last words".to_vec(), Ok(()))),
                    false => assert!(
                        matches!(result, Err(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)),
                        "control: {result:?}"
                    ),
                }
            }
        });
    }
}
