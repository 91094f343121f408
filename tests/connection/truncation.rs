//! A peer that ends its side of TCP, and not its TLS: what it said is answered, and then the reads say that it was cut off.

use std::io;
use std::net::{Shutdown, TcpStream};

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::{End, Error};
use onionskin::runtime::{self, Socket, block_on};
use onionskin::testing::Cut;
use onionskin::tls::Version;

use crate::executor::{Task, alone, both, run};
use crate::peers::{CUTS, Conn, VERSIONS, client, layered, pair, pattern, server, start};
use crate::sockets::{connect, listen_tcp};

/// Takes a request and answers it, as a server does that hears of no close_notify.
async fn answer_one(conn: &mut Conn) {
    conn.start_tls(server()).await.expect("the handshake is complete");
    assert_eq!(conn.read_line().await.unwrap().unwrap(), b"request");
    for _ in 0..2 {
        let error = conn.read_line().await.unwrap_err();
        assert!(error.is_truncated(), "{error}");
        assert_eq!(error.reason().unwrap().layers().len(), conn.depth(), "{error}");
        assert_eq!(conn.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
    assert_eq!(conn.end(), Some(End::Truncated));
    conn.write_line("answer").await.unwrap();
    conn.close().await.unwrap();
}

#[test]
fn a_request_and_the_end_in_the_flight_of_the_finished_are_answered() {
    for cut in CUTS {
        for version in VERSIONS {
            for outer in [&[][..], &[Version::Tls13], &[Version::Tls12, Version::Tls13]] {
                let (mut left, mut right, _clock) = layered(cut, 100_000, outer);
                let mut answer = Task::new(answer_one(&mut right));
                let mut begin = Task::new(left.start_tls(client(version)));
                // The server goes on only when it must, so what comes last finds it in its handshake.
                let begun = loop {
                    if let Some(begun) = begin.run() {
                        break begun;
                    }
                    run(&mut [&mut answer]);
                };
                begun.unwrap();
                drop(begin);
                left.queue(b"request\r\n").unwrap();
                alone(left.flush()).unwrap();
                left.get_ref().end();
                answer.run().unwrap_or_else(|| panic!("stuck: {cut:?}, {version:?}, {outer:?}"));
                drop(answer);
                assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"answer");
                assert_eq!(alone(left.read_line()).unwrap(), None, "a close_notify, and no cut");
            }
        }
    }
}

#[test]
fn a_close_has_nothing_to_do_with_what_the_peer_left_out() {
    for version in VERSIONS {
        for (sent, reads_first) in [(0, true), (0, false), (100_000, true), (100_000, false)] {
            let (mut left, mut right, _clock) = layered(Cut::Whole, 1_000, &[version, version]);
            right.get_ref().end();
            if reads_first {
                assert_eq!(alone(left.read(&mut [0])).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            }
            let bytes = pattern(sent);
            let write = async {
                left.write_all(&bytes).await.unwrap();
                left.close().await.unwrap();
                left.close().await.unwrap();
            };
            let read = async {
                let mut received = Vec::new();
                right.read_to_end(&mut received).await.unwrap();
                received
            };
            assert!(both(write, read).1 == bytes);
        }
    }
}

#[test]
fn a_close_whose_words_cannot_leave_fails() {
    for version in VERSIONS {
        let (mut left, right, _clock) = layered(Cut::Whole, 10_000, &[version]);
        right.get_ref().end();
        assert!(alone(left.read(&mut [0])).is_err());
        drop(right);
        let error = alone(left.close()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
        assert!(error.to_string().contains("without a close_notify"), "and what was known before: {error}");

        let (mut left, right, _clock) = layered(Cut::Whole, 10_000, &[version]);
        left.get_ref().fail(io::ErrorKind::ConnectionReset);
        assert_eq!(alone(left.read(&mut [0])).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(alone(left.close()).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        drop(right);
    }
}

#[test]
fn a_reset_behind_our_close_comes_too_late_to_fail_it() {
    for version in VERSIONS {
        let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000, &[version]);
        alone(left.write_line("bye")).unwrap();
        alone(left.close()).unwrap();
        left.get_ref().fail(io::ErrorKind::ConnectionReset);
        alone(left.close()).unwrap();
        assert_eq!(alone(left.read(&mut [0])).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        alone(left.close()).unwrap();
        assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"bye");
    }
}

#[test]
fn a_stop_says_goodbye_and_fails() {
    for version in VERSIONS {
        for known in [false, true] {
            let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13, version]);
            right.get_ref().end();
            if known {
                assert!(alone(left.read(&mut [0])).is_err());
            }
            left.queue(b"last\r\n").unwrap();
            let error = alone(left.stop_tls()).unwrap_err();
            assert!(error.is_truncated(), "{error}");
            assert!(alone(left.write_line("below")).is_err());
            assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"last");
            assert_eq!(alone(right.read_line()).unwrap(), None);
            assert!(matches!(right.end(), Some(End::Layer(_))));
        }
    }
}

#[test]
fn a_line_that_was_cut_in_the_middle_is_a_truncation() {
    for cut in CUTS {
        let (mut left, mut right, _clock) = layered(cut, 10_000, &[Version::Tls13]);
        alone(left.write_all(b"whole\r\nhal")).unwrap();
        left.get_ref().end();
        assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"whole");
        let error = alone(right.read_line()).unwrap_err();
        assert!(error.is_truncated(), "{error}");
        let mut rest = [0; 3];
        alone(right.read_exact(&mut rest)).unwrap();
        assert_eq!(&rest, b"hal");
        assert!(alone(right.read(&mut rest)).is_err());
    }
}

#[test]
fn a_second_handshake_cannot_begin_behind_it() {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 10_000);
    start(&mut left, &mut right, Version::Tls13);
    left.get_ref().end();
    let error = alone(right.start_tls(server())).unwrap_err();
    assert!(error.is_truncated() && error.reason().unwrap().layers().len() == 2, "{error}");
}

/// One that reads a request, answers, and closes, as servers do; what became of its close.
async fn serve(conn: &mut Connection<Socket>) -> Result<(), Error> {
    conn.start_tls(server()).await?;
    let mut request = Vec::new();
    let read = conn.read_to_end(&mut request).await;
    assert_eq!(request, b"request");
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    conn.send_all(b"answer").await?;
    conn.close().await.map_err(|error| Error::of(&error).expect("it is ours").clone())
}

#[test]
fn clients_that_end_with_a_fin_are_answered_over_tcp_and_are_no_errors_of_the_server() {
    for &runtime in runtime::all() {
        for version in VERSIONS {
            block_on(runtime, async {
                let (listener, address) = listen_tcp(runtime).await;
                for _ in 0..20 {
                    let asked = async {
                        let socket = TcpStream::connect(address).unwrap();
                        let below = socket.try_clone().unwrap();
                        let mut conn = connect(runtime, runtime.adopt_tcp(socket).unwrap());
                        conn.start_tls(client(version)).await.unwrap();
                        conn.send_all(b"request").await.unwrap();
                        below.shutdown(Shutdown::Write).unwrap();
                        let mut answer = Vec::new();
                        conn.read_to_end(&mut answer).await.unwrap();
                        answer
                    };
                    let served = async {
                        let mut conn = connect(runtime, listener.accept().await.unwrap());
                        serve(&mut conn).await.unwrap();
                    };
                    assert_eq!(join(asked, served).await.0, b"answer", "{runtime:?}");
                }
            });
        }
    }
}

/// The peer has said something, ended, and reads no more: what it had said is not lost with the write that fails.
#[test]
fn what_had_arrived_before_a_write_failed_is_read() {
    for version in VERSIONS {
        for ends in [true, false] {
            let (mut left, mut right, _clock) = layered(Cut::Whole, 100_000, &[version]);
            let said = pattern(50_000);
            alone(right.send_all(&said)).unwrap();
            if ends {
                alone(right.close()).unwrap();
            }
            // What has come in on the way is no matter: nobody has read.
            drop(right);
            let error = alone(left.send_all(b"more")).unwrap_err();
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::BrokenPipe);
            let mut read = Vec::new();
            let result = alone(left.read_to_end(&mut read));
            assert!(read == said, "{} bytes", read.len());
            assert_eq!(result.is_ok(), ends, "{result:?}");
        }
    }
}

/// The system tells of a reset once: whoever hears of it when it writes, and reads then, gets an end of file.
#[test]
fn a_reset_that_a_write_has_met_is_no_end_to_the_reader() {
    for &runtime in runtime::all() {
        for resets in [true, false] {
            block_on(runtime, async {
                let (listener, address) = listen_tcp(runtime).await;
                let (peer, socket) = join(listener.accept(), runtime.connect_tcp(address)).await;
                let (mut peer, mut conn) = (peer.unwrap(), connect(runtime, socket.unwrap()));
                peer.write_all(b"not all").await.unwrap();
                match resets {
                    true => peer.reset().unwrap(),
                    false => drop(peer),
                }
                while conn.write_all(b"anything").await.is_ok() && conn.flush().await.is_ok() {}
                assert!(conn.stack().lost().is_some());
                let mut read = Vec::new();
                let ended = conn.read_to_end(&mut read).await;
                assert_eq!(read, b"not all", "{runtime:?}, {resets}");
                assert_eq!(ended.is_err(), resets, "{runtime:?}: {ended:?}");
            });
        }
    }
}

/// A write asks the system at once, and tokio reads only what its reactor has told of. Here it tells of nothing more from the moment
/// when the bytes and the reset come until they are looked for: nobody polls it.
#[cfg(all(unix, feature = "tokio"))]
#[test]
fn what_came_before_a_reset_is_read_though_no_reactor_has_told_of_it() {
    let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for vectored in [false, true] {
        reactor.block_on(async {
            let (near, mut far) = tcp_pair();
            let state = near.try_clone().unwrap();
            let mut conn = connect(&runtime::Tokio, runtime::Runtime::adopt_tcp(&runtime::Tokio, near).unwrap());
            // The reactor tells that there is room to write, which holds until the system says no.
            conn.write_all(b"anything").await.unwrap();
            conn.flush().await.unwrap();
            io::Write::write_all(&mut far, b"not all").unwrap();
            // What the peer has not read makes a reset of its end.
            drop(far);
            while state.peer_addr().is_ok() {
                std::thread::yield_now();
            }
            let unsent = match vectored {
                true => alone(conn.write_vectored(&[io::IoSlice::new(b"more"), io::IoSlice::new(b"more")])).map(drop),
                false => alone(conn.write_all(b"more")),
            };
            assert!(unsent.and(alone(conn.flush())).is_err());
            let mut read = [0; 100];
            assert_eq!(alone(conn.read(&mut read)).unwrap(), 7);
            assert_eq!(read[..7], *b"not all");
            assert!(alone(conn.read(&mut read)).is_err(), "a reset is no end");
        });
    }
}

#[cfg(all(unix, feature = "tokio"))]
fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}
