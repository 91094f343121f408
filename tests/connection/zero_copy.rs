//! Bytes that the system moves: everything is as if they had been read and written. Each test runs over sockets between which bytes
//! are moved, and as its control over the same sockets where they are not.
//!
//! The peers are threads with streams of the standard library.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, ready};
use std::thread;

use futures::future::{BoxFuture, join};
use futures::io::{AsyncBufRead, AsyncReadExt, AsyncWrite};
use onionskin::Connection;
use onionskin::connection::{BridgeError, Bridged, ZeroCopy};
use onionskin::runtime::{self, Address, Runtime, Socket, block_on, tcp_pair};

use crate::peers::pattern;

/// Whether the sockets are such that bytes can be moved between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Moved,
    /// A connection in the place of the socket.
    Copied,
}

fn each(test: impl Fn(&'static dyn Runtime, Kind)) {
    for &runtime in runtime::all() {
        for kind in [Kind::Moved, Kind::Copied] {
            test(runtime, kind);
        }
    }
}

/// A peer, and our end of the connection to it.
fn peer(runtime: &'static dyn Runtime, kind: Kind) -> (TcpStream, Connection<Socket>) {
    let (peer, socket) = tcp_pair(runtime).unwrap();
    let connection = |socket| Connection::with_timer(socket, Arc::new(runtime));
    match kind {
        Kind::Moved => (peer, connection(socket)),
        Kind::Copied => (peer, connection(connection(socket).into_socket(Address::Stdio))),
    }
}

type Crossing = BoxFuture<'static, Result<Bridged, BridgeError>>;

/// Two peers, and the bridge between them.
fn bridged(runtime: &'static dyn Runtime, kind: Kind) -> (TcpStream, TcpStream, Crossing) {
    let ((near, left), (far, right)) = (peer(runtime, kind), peer(runtime, kind));
    (near, far, Box::pin(left.bridge(right.into_inner().io)))
}

/// How many bytes went one way and the other when `from` has ended.
#[derive(Debug, Default)]
struct Passed {
    moved: usize,
    copied: usize,
}

fn poll_way(
    (zero_copy, passed): &mut (ZeroCopy, Passed),
    from: &mut Connection<Socket>,
    to: &mut Connection<Socket>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        let moved = ready!(zero_copy.poll_pass(from, to, cx))?;
        passed.moved += moved;
        if moved > 0 {
            continue;
        }
        assert_eq!(zero_copy.held(), 0, "what was taken goes first");
        let bytes = ready!(Pin::new(&mut *from).poll_fill_buf(cx))?;
        if bytes.is_empty() {
            return Pin::new(to).poll_close(cx);
        }
        let read = bytes.len();
        let count = ready!(Pin::new(&mut *to).poll_write(cx, bytes))?;
        Pin::new(&mut *from).consume(count);
        zero_copy.has_read(read);
        passed.copied += count;
    }
}

#[test]
fn z1_much_is_moved_and_little_is_not() {
    each(|runtime, kind| {
        for len in [100, 8_000_000] {
            let ((mut sender, mut from), (mut receiver, mut to)) = (peer(runtime, kind), peer(runtime, kind));
            let writing = thread::spawn(move || {
                sender.write_all(&pattern(len)).unwrap();
                sender.shutdown(Shutdown::Write).unwrap();
                sender
            });
            let reading = thread::spawn(move || {
                let mut received = Vec::new();
                receiver.read_to_end(&mut received).unwrap();
                received
            });
            let mut way = Default::default();
            block_on(runtime, poll_fn(|cx| poll_way(&mut way, &mut from, &mut to, cx))).unwrap();
            writing.join().unwrap();
            assert!(reading.join().unwrap() == pattern(len), "{kind:?}");
            let passed = way.1;
            assert_eq!(passed.moved + passed.copied, len);
            let is_moved = kind == Kind::Moved && len > 100 && cfg!(target_os = "linux");
            assert_eq!(passed.moved > len / 2, is_moved, "{}: {kind:?}: {passed:?}", runtime.name());
            assert_eq!(passed.moved > 0, is_moved, "{}: {kind:?}: {passed:?}", runtime.name());
        }
    });
}

#[test]
fn z2_what_was_read_before_goes_first() {
    each(|runtime, kind| {
        let ((mut sender, mut from), (mut receiver, mut to)) = (peer(runtime, kind), peer(runtime, kind));
        sender.write_all(b"a line\nand ").unwrap();
        let line = block_on(runtime, from.read_line()).unwrap().unwrap();
        assert_eq!(line, b"a line");
        let mut way = (ZeroCopy::new(), Passed::default());
        // As if much had been read before.
        way.0.has_read(1_000_000);
        let writing = thread::spawn(move || {
            sender.write_all(&pattern(3_000_000)).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
            sender
        });
        let reading = thread::spawn(move || {
            let mut received = Vec::new();
            receiver.read_to_end(&mut received).unwrap();
            received
        });
        block_on(runtime, poll_fn(|cx| poll_way(&mut way, &mut from, &mut to, cx))).unwrap();
        writing.join().unwrap();
        let received = reading.join().unwrap();
        assert_eq!(&received[..4], b"and ", "{kind:?}");
        assert!(received[4..] == pattern(3_000_000), "{kind:?}");
    });
}

#[test]
fn z3_megabytes_both_ways_and_half_closes_in_both_orders() {
    each(|runtime, kind| {
        for near_is_first in [true, false] {
            let (near, far, bridge) = bridged(runtime, kind);
            let (mut first, mut second) = if near_is_first { (near, far) } else { (far, near) };
            let speaks_first = thread::spawn(move || {
                first.write_all(&pattern(5_000_000)).unwrap();
                first.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                first.read_to_end(&mut answer).unwrap();
                answer
            });
            let answers = thread::spawn(move || {
                let mut question = Vec::new();
                second.read_to_end(&mut question).unwrap();
                // Only behind the end of the other direction.
                second.write_all(&question[..4_000_000]).unwrap();
                question.len()
            });
            let bridged = block_on(runtime, bridge).unwrap();
            assert_eq!(answers.join().unwrap(), 5_000_000);
            assert!(speaks_first.join().unwrap() == pattern(5_000_000)[..4_000_000], "{kind:?}");
            let (there, back) = if near_is_first { (4_000_000, 5_000_000) } else { (5_000_000, 4_000_000) };
            assert_eq!((bridged.to_peer, bridged.from_peer), (there, back), "{kind:?}, {near_is_first}");
        }
    });
}

#[test]
fn z4_both_directions_are_full_at_once() {
    each(|runtime, kind| {
        let (near, far, bridge) = bridged(runtime, kind);
        let both_ways = |peer: TcpStream| {
            let (mut reading, mut writing) = (peer.try_clone().unwrap(), peer);
            let writer = thread::spawn(move || {
                writing.write_all(&pattern(6_000_000)).unwrap();
                writing.shutdown(Shutdown::Write).unwrap();
            });
            thread::spawn(move || {
                let mut received = Vec::new();
                reading.read_to_end(&mut received).unwrap();
                writer.join().unwrap();
                received
            })
        };
        let (near, far) = (both_ways(near), both_ways(far));
        let bridged = block_on(runtime, bridge).unwrap();
        assert_eq!((bridged.to_peer, bridged.from_peer), (6_000_000, 6_000_000));
        assert!(near.join().unwrap() == pattern(6_000_000), "{kind:?}");
        assert!(far.join().unwrap() == pattern(6_000_000), "{kind:?}");
    });
}

#[test]
fn z5_a_slow_reader_gets_every_byte() {
    each(|runtime, kind| {
        let (mut sender, mut receiver, bridge) = bridged(runtime, kind);
        let (told, begin) = channel();
        let writing = thread::spawn(move || {
            // More than all the system keeps on the way, so the sender waits for the receiver.
            sender.write_all(&pattern(24_000_000)).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
            sender
        });
        let reading = thread::spawn(move || {
            begin.recv().unwrap();
            let mut received = Vec::new();
            let mut space = [0; 1000];
            while received.len() < 100_000 {
                let count = receiver.read(&mut space).unwrap();
                received.extend_from_slice(&space[..count]);
                thread::yield_now();
            }
            receiver.read_to_end(&mut received).unwrap();
            received
        });
        let mut bridge = bridge;
        block_on(runtime, async {
            // A few rounds without anybody who reads.
            for _ in 0..100 {
                assert!(futures::poll!(&mut bridge).is_pending());
                thread::yield_now();
            }
        });
        told.send(()).unwrap();
        let bridged = block_on(runtime, bridge).unwrap();
        writing.join().unwrap();
        assert!(reading.join().unwrap() == pattern(24_000_000), "{kind:?}");
        assert_eq!(bridged.from_peer, 24_000_000);
    });
}

/// Closes it such that its peer hears of a reset.
fn reset(peer: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&peer, Some(std::time::Duration::ZERO)).unwrap();
    drop(peer);
}

#[test]
fn z6_a_reset_is_no_end_whoever_it_comes_from() {
    each(|runtime, kind| {
        for near_resets in [true, false] {
            let (near, far, bridge) = bridged(runtime, kind);
            let (mut lost, mut other) = if near_resets { (near, far) } else { (far, near) };
            let (told, has_read) = channel();
            let resetting = thread::spawn(move || {
                lost.write_all(&pattern(3_000_000)).unwrap();
                has_read.recv().unwrap();
                reset(lost);
            });
            let reading = thread::spawn(move || {
                let mut received = vec![0; 3_000_000];
                other.read_exact(&mut received).unwrap();
                assert!(received == pattern(3_000_000));
                told.send(()).unwrap();
                other.read(&mut [0]).unwrap_err().kind()
            });
            let lost = block_on(runtime, bridge).unwrap_err();
            assert_eq!(lost.is_local(), !near_resets, "{kind:?}: {lost}");
            resetting.join().unwrap();
            assert_eq!(reading.join().unwrap(), ErrorKind::ConnectionReset, "{kind:?}");
        }
    });
}

#[test]
fn z7_a_receiver_that_resets_amid_the_bytes_is_told_of() {
    each(|runtime, kind| {
        let (mut sender, mut receiver, bridge) = bridged(runtime, kind);
        let writing = thread::spawn(move || {
            let bytes = pattern(64_000_000);
            sender.write_all(&bytes).unwrap_err().kind()
        });
        let reading = thread::spawn(move || {
            // It has an answer underway when it goes.
            receiver.read_exact(&mut vec![0; 1_000_000]).unwrap();
            reset(receiver);
        });
        let lost = block_on(runtime, bridge).unwrap_err();
        assert!(lost.is_local(), "{kind:?}: {lost}");
        reading.join().unwrap();
        let kind_of_loss = writing.join().unwrap();
        assert!(matches!(kind_of_loss, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}: {kind_of_loss}");
    });
}

#[test]
fn z8_a_layer_takes_the_bytes_to_itself() {
    each(|runtime, kind| {
        let ((mut sender, mut from), (_receiver, mut to)) = (peer(runtime, kind), peer(runtime, kind));
        from.splice(onionskin::layer::Counter::new()).unwrap();
        sender.write_all(&pattern(100_000)).unwrap();
        let mut zero_copy = ZeroCopy::new();
        zero_copy.has_read(1_000_000);
        let moved = block_on(runtime, poll_fn(|cx| zero_copy.poll_pass(&mut from, &mut to, cx))).unwrap();
        assert_eq!(moved, 0, "{kind:?}: a layer looks at them");
        let mut first = [0; 100];
        block_on(runtime, join(from.read_exact(&mut first), async {})).0.unwrap();
        assert_eq!(first, pattern(100)[..], "{kind:?}");
    });
}
