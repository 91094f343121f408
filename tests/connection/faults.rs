//! Sockets that fail, end too early, or are merely odd: under a connection, and under one that it runs over.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::{End, Error, ErrorKind};
use onionskin::stack::{LayerErrorKind, Reason};
use onionskin::testing::{Clock, Cut, Fault, WireEnd, wire};
use onionskin::tls::Version;

use crate::executor::{Task, alone, both, run};
use crate::peers::{VERSIONS, answer, ask_to_depth, client, pattern, server, start};

fn a_reset_in_the_middle_of_a_record_names_socket_and_layers<G: Ground>() {
    let (mut left, mut right, _clock) = layered::<G>(Cut::Whole, 1000, &[Version::Tls13, Version::Tls12]);
    alone(right.send_all(b"whole")).unwrap();
    let rest = vec![b'x'; 1200 + G::KEPT_BELOW];
    let mut send = Task::new(right.send_all(&rest));
    assert!(send.run().is_none(), "a part of the record is on the wire");
    G::wire(left.get_ref()).fail(io::ErrorKind::ConnectionReset);

    let mut said = [0; 5];
    alone(left.read_exact(&mut said)).unwrap();
    assert_eq!(&said, b"whole", "what came before is read first");
    let failed = alone(left.read(&mut [0])).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);
    let error = Error::of(&failed).expect("a read fails with our error inside");
    let reason = error.reason().unwrap();
    assert_eq!(reason.io_error().unwrap().kind(), io::ErrorKind::ConnectionReset);
    let layers: Vec<_> = left.layers().iter().map(|layer| layer.id).collect();
    let lost: Vec<_> = reason.layers().iter().map(|loss| loss.layer).collect();
    assert_eq!(lost, layers, "each layer, from the wire inwards");
    let shown = failed.to_string();
    assert!(shown.contains("the socket failed: "), "{shown}");
    assert!(shown.contains("layer #1 (tls1.3") && shown.contains("layer #2 (tls1.2"), "{shown}");
    G::check_names(&shown);

    alone(left.flush()).expect("nothing had been written that did not leave");
    // Everything else fails for the same reason.
    let by_write = alone(left.write(b"x")).unwrap_err();
    let by_line = io::Error::from(alone(left.read_line()).unwrap_err());
    let by_stop = io::Error::from(alone(left.stop_tls()).unwrap_err());
    let by_start = io::Error::from(alone(left.start_tls(client(Version::Tls13))).unwrap_err());
    let by_close = alone(left.close()).unwrap_err();
    for error in [by_write, by_line, by_stop, by_start, by_close] {
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::ConnectionReset, shown.clone()));
        assert!(Error::of(&error).is_some());
    }
}

fn the_error_of_the_socket_can_be_asked_for<G: Ground>() {
    let (mut left, _right, _clock) = G::pair(Cut::Whole, 1000);
    G::wire(left.get_ref()).fail(io::ErrorKind::ConnectionReset);
    let error = alone(left.read_line()).unwrap_err();
    let cause = error.reason().and_then(Reason::io_error).expect("the socket failed");
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset);
    assert!(error.to_string().contains(&cause.to_string()) && error.source().is_none(), "said once: {error:?}");
    assert!(Error::of(&io::Error::other("somebody else's")).is_none());
    assert!(Error::of(&io::ErrorKind::TimedOut.into()).is_none());
}

fn a_peer_that_is_gone_wakes_whoever_waits<G: Ground>() {
    for phase in 0..4 {
        let (mut left, mut right, _clock) = G::pair(Cut::Whole, 10_000);
        if phase > 1 {
            start(&mut left, &mut right, Version::Tls13);
        }
        let mut wait = Task::new(async {
            match phase {
                0 => left.read_line().await.map(|line| assert_eq!(line, None)),
                1 => left.start_tls(client(Version::Tls12)).await.map(drop),
                2 => left.stop_tls().await.map(drop),
                _ => left.send_all(&pattern(500_000)).await,
            }
        });
        assert!(wait.run().is_none());
        drop(right);
        let ended = wait.run().expect("it is woken");
        assert_eq!(ended.is_err(), phase > 0 || G::IS_CUT_OFF, "{ended:?}");
    }
}

fn a_loss_that_a_writer_brings_about_wakes_the_reader<G: Ground>() {
    for lost in [true, false] {
        let (mut left, _right, _clock) = G::pair(Cut::Whole, 10_000);
        if lost {
            left.splice(Fault::lose_at(4).outbound()).unwrap();
        }
        let (mut reader, mut writer) = left.split();
        let mut byte = [0];
        let mut read = Task::new(reader.read(&mut byte));
        assert!(read.run().is_none());
        let _ = alone(writer.write(b"0123456789"));
        assert_eq!(read.run().is_some_and(|read| read.is_err()), lost);
    }
}

fn end_of_file_is_clean_in_clear_and_nowhere_else<G: Ground>() {
    for depth in 0..=3 {
        let (mut left, mut right, _clock) = layered::<G>(Cut::Whole, 10_000, &[Version::Tls13; 3][..depth]);
        alone(right.send_all(b"last\n")).unwrap();
        drop(right);
        assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"last");
        for _ in 0..3 {
            match alone(left.read_line()) {
                Ok(line) => assert_eq!((line, depth, G::IS_CUT_OFF), (None, 0, false)),
                Err(error) => {
                    assert!(error.is_truncated(), "{error}");
                    assert_eq!(error.reason().unwrap().layers().len(), depth, "{error}");
                    let error = alone(left.read(&mut [0])).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                }
            }
        }
    }
}

/// As servers do that answer a QUIT and are gone, with no close_notify: the answer may arrive while the writer still waits.
fn who_has_written_all_does_not_fail_over_a_peer_that_hangs_up_behind_its_answer<G: Ground>() {
    for written in [10, 5000] {
        let (mut left, mut right, _clock) = layered::<G>(Cut::Whole, 3000, &[Version::Tls13]);
        alone(right.send_all(b"221 bye\r\n")).unwrap();
        let mut socket = right.into_inner().io;
        alone(socket.close()).unwrap();

        let fits = written < 3000;
        let bytes = pattern(written);
        let mut send = Task::new(left.send_all(&bytes));
        let sent = send.run();
        assert_eq!(sent.is_some(), fits, "a socket that is full is waited for");
        drop(socket);
        let sent = sent.or_else(|| send.run()).expect("it is woken");
        assert_eq!(sent.is_ok(), fits, "what the socket did not take is lost: {sent:?}");
        drop(send);

        assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"221 bye");
        assert!(alone(left.read_line()).unwrap_err().is_truncated());
        assert_eq!(alone(left.flush()).is_ok(), fits);
        // Its close_notify has nobody to go to.
        assert_eq!(alone(left.close()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

fn end_of_file_during_a_handshake_or_a_stop_is_named<G: Ground>() {
    for version in VERSIONS {
        let (mut left, right, _clock) = G::pair(Cut::Whole, 10_000);
        drop(right);
        let error = alone(left.start_tls(client(version))).unwrap_err();
        let broken = error.reason().and_then(|reason| reason.io_error()).map(io::Error::kind);
        assert!(error.is_truncated() || broken == Some(io::ErrorKind::BrokenPipe), "{error}");

        let (mut left, mut right, _clock) = G::pair(Cut::Whole, 10_000);
        alone(right.close()).unwrap();
        let error = alone(left.start_tls(client(version))).unwrap_err();
        assert!(error.is_truncated(), "{error}");
        assert!(error.to_string().contains("during the handshake"), "{error}");

        let (mut left, right, _clock) = layered::<G>(Cut::Whole, 10_000, &[version]);
        let mut stop = Task::new(left.stop_tls());
        assert!(stop.run().is_none());
        drop(right);
        let error = stop.run().unwrap().unwrap_err();
        assert_eq!(error.layer_error().unwrap().kind(), LayerErrorKind::Truncated, "{error}");
        assert!(error.to_string().contains("instead of the peer's close_notify"), "{error}");
    }
}

fn end_of_file_behind_the_close_notify_is_clean<G: Ground>() {
    for version in VERSIONS {
        let (mut left, mut right, _clock) = layered::<G>(Cut::Whole, 10_000, &[version]);
        alone(async {
            right.write_line("bye").await.unwrap();
            right.close().await.unwrap();
        });
        drop(right);
        let mut said = Vec::new();
        for _ in 0..3 {
            alone(left.read_to_end(&mut said)).unwrap();
        }
        assert_eq!(said, b"bye\r\n");
    }
}

fn a_socket_whose_flush_pends_makes_flush_wait_and_nothing_else<G: Ground>() {
    let (mut left, mut right, _clock) = layered::<G>(Cut::Whole, 10_000, &[Version::Tls13]);
    G::wire(left.get_ref()).stall(true);
    alone(left.write_all(b"hello\n")).unwrap();
    let mut flush = Task::new(left.flush());
    assert!(flush.run().is_none());
    drop(flush);
    assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"hello");
    alone(right.write_line("you too")).unwrap();
    assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"you too");
    let mut close = Task::new(left.close());
    assert!(close.run().is_none());
    drop(close);
    G::wire(left.get_ref()).stall(false);
    alone(left.flush()).unwrap();
    alone(left.close()).unwrap();
    assert_eq!(alone(right.read(&mut [0])).unwrap(), 0);
}

fn a_socket_that_takes_nothing_and_says_so_is_an_error<G: Ground>() {
    let (mut conn, _peer) = odd_under::<G>(Oddity::WritesZero);
    let error = alone(conn.write_line("hello")).unwrap_err();
    assert_eq!(error.reason().unwrap().io_error().unwrap().kind(), io::ErrorKind::WriteZero, "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::WriteZero);
}

fn a_socket_that_is_interrupted_is_asked_again<G: Ground>() {
    let (mut conn, peer) = odd_under::<G>(Oddity::Interrupts);
    let mut peer = connection(peer, &Clock::new());
    let ask = async {
        ask_to_depth(&mut conn, Version::Tls13, 1).await.unwrap();
        conn.close().await.unwrap();
    };
    let ((), answered) = both(ask, answer(&mut peer));
    answered.unwrap();
}

fn a_flush_that_fails_is_a_loss<G: Ground>() {
    let (mut conn, _peer) = odd_under::<G>(Oddity::FailsToFlush);
    let error = alone(conn.write_line("hello")).unwrap_err();
    assert_eq!(error.reason().unwrap().io_error().unwrap().kind(), io::ErrorKind::StorageFull, "{error}");
}

fn a_peer_that_sends_much_and_says_nothing_lets_others_run<G: Ground>() {
    let (mut conn, _peer) = odd_under::<G>(Oddity::NeverPends);
    conn.splice(Fault::silence_at(0).inbound()).unwrap();
    assert!(conn.read(&mut [0]).now_or_never().is_none());
}

fn garbage_fails_and_says_what_it_was<G: Ground>() {
    let garbage: [(&[u8], bool); 3] =
        [(b"HTTP/1.1 400 Bad Request\r\n", true), (&[23, 3, 3, 0, 40, 1, 2, 3], false), (&[0; 100], true)];
    for version in VERSIONS {
        for (bytes, is_not_spoken) in garbage {
            let (mut left, mut right, _clock) = layered::<G>(Cut::Bytes, 10_000, &[version]);
            G::wire(left.get_ref()).inject(bytes);
            G::wire(left.get_ref()).inject(&[7; 40]);
            let failed = alone(left.read(&mut [0])).unwrap_err();
            let error = Error::of(&failed).unwrap();
            assert_eq!((failed.kind(), error.is_not_spoken()), (io::ErrorKind::InvalidData, is_not_spoken), "{error}");
            // The peer gets an alert.
            let mut read = Task::new(right.read_line());
            let error = read.run().unwrap().unwrap_err();
            assert!(error.is_refused(), "{error}");
        }
    }
}

fn a_handshake_that_fails_at_the_certificate_tells_both_sides<G: Ground>() {
    for version in VERSIONS {
        let (mut left, mut right, _clock) = G::pair(Cut::Whole, 10_000);
        let stranger = crate::common::Authority::new();
        let layer = stranger.client(&[version]).to(crate::peers::NAME).unwrap();
        let mut started = Task::new(left.start_tls(layer));
        let mut accepted = Task::new(right.start_tls(server()));
        run(&mut [&mut started, &mut accepted]);
        let (ours, theirs) = (started.output().unwrap().unwrap_err(), accepted.output().unwrap().unwrap_err());
        assert!(ours.is_certificate(), "{ours}");
        assert!(theirs.is_refused(), "{theirs}");
        assert!(matches!(theirs.kind(), ErrorKind::Lost(_)));
    }
}

/// A cut of what the peer sends, and only of that, is the same further up.
fn a_peer_whose_direction_is_cut_off_is_answered<G: Ground>() {
    let (mut left, mut right, _clock) = layered::<G>(Cut::Whole, 10_000, &[Version::Tls13]);
    alone(left.write_line("request")).unwrap();
    G::wire(left.get_ref()).end();
    assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"request");
    let error = alone(right.read_line()).unwrap_err();
    assert!(error.is_truncated() && error.reason().unwrap().is_inbound_only(), "{error}");
    assert_eq!(right.end(), Some(End::Truncated));
    alone(right.write_line("answer")).unwrap();
    alone(right.close()).unwrap();
    assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"answer");
    assert_eq!(alone(left.read_line()).unwrap(), None);
}

/// What the connections of these tests run over.
trait Ground {
    type Over<IO: Io>: Io;

    /// Whether a socket that is dropped cuts off something below.
    const IS_CUT_OFF: bool;

    /// How much may rest below, on its way to a socket that takes nothing.
    const KEPT_BELOW: usize;

    fn over<IO: Io>(io: IO, clock: &Clock) -> Self::Over<IO>;

    /// Has what is below on both sides do what it does first.
    fn begin(left: &mut Self::Over<WireEnd>, right: &mut Self::Over<WireEnd>);

    fn wire(over: &Self::Over<WireEnd>) -> &WireEnd;

    /// Looks whether a text says of each layer whose it is.
    fn check_names(text: &str);

    fn pair(cut: Cut, capacity: usize) -> (Over<Self>, Over<Self>, Clock) {
        let clock = Clock::new();
        let (left, right) = wire(cut, capacity);
        let (mut left, mut right) = (Self::over(left, &clock), Self::over(right, &clock));
        Self::begin(&mut left, &mut right);
        (connection(left, &clock), connection(right, &clock), clock)
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Unpin> Io for IO {}

type Over<G> = Connection<<G as Ground>::Over<WireEnd>>;

fn connection<IO>(io: IO, clock: &Clock) -> Connection<IO> {
    Connection::with_timer(io, Arc::new(clock.clone()))
}

/// Two connections with a TLS layer of each version, from the wire inwards; left is the client.
fn layered<G: Ground>(cut: Cut, capacity: usize, versions: &[Version]) -> (Over<G>, Over<G>, Clock) {
    let (mut left, mut right, clock) = G::pair(cut, capacity);
    for &version in versions {
        start(&mut left, &mut right, version);
    }
    (left, right, clock)
}

/// A socket.
struct Wire;

impl Ground for Wire {
    type Over<IO: Io> = IO;

    const IS_CUT_OFF: bool = false;
    const KEPT_BELOW: usize = 0;

    fn over<IO: Io>(io: IO, _clock: &Clock) -> IO {
        io
    }

    fn begin(_left: &mut WireEnd, _right: &mut WireEnd) {}

    fn wire(over: &WireEnd) -> &WireEnd {
        over
    }

    fn check_names(text: &str) {
        assert!(text.starts_with("the socket failed: "), "{text}");
        assert!(!text.contains("; with it "), "there is one only: {text}");
    }
}

/// A connection with TLS.
struct Carrier;

impl Ground for Carrier {
    type Over<IO: Io> = Connection<IO>;

    const IS_CUT_OFF: bool = true;
    const KEPT_BELOW: usize = 400_000;

    fn over<IO: Io>(io: IO, clock: &Clock) -> Connection<IO> {
        connection(io, clock).named("tcp carrier.test:443")
    }

    fn begin(left: &mut Connection<WireEnd>, right: &mut Connection<WireEnd>) {
        start(left, right, Version::Tls13);
    }

    fn wire(over: &Connection<WireEnd>) -> &WireEnd {
        over.get_ref()
    }

    fn check_names(text: &str) {
        let (below, above) = text.split_once("; with it this connection: layer #1").expect(text);
        assert!(below.starts_with("tcp carrier.test:443: the socket failed: "), "{text}");
        assert!(below.contains("; layer #1 (tls1.3"), "{text}");
        assert_eq!((below.matches("layer #1").count(), above.matches("layer #1").count()), (1, 0), "{text}");
    }
}

/// A connection with TLS over one in clear, neither with a name.
struct TwoCarriers;

impl Ground for TwoCarriers {
    type Over<IO: Io> = Connection<Connection<IO>>;

    const IS_CUT_OFF: bool = true;
    const KEPT_BELOW: usize = 800_000;

    fn over<IO: Io>(io: IO, clock: &Clock) -> Connection<Connection<IO>> {
        connection(connection(io, clock), clock)
    }

    fn begin(left: &mut Connection<Connection<WireEnd>>, right: &mut Connection<Connection<WireEnd>>) {
        start(left, right, Version::Tls12);
    }

    fn wire(over: &Connection<Connection<WireEnd>>) -> &WireEnd {
        over.get_ref().get_ref()
    }

    fn check_names(text: &str) {
        let parts: Vec<_> = text.split("; with it ").collect();
        let [lowest, below, this] = parts[..] else { panic!("{text}") };
        assert!(lowest.starts_with("the connection 2 below: the socket failed: "), "{text}");
        assert!(below.starts_with("the connection below: layer #1 (tls1.2"), "{text}");
        assert!(this.starts_with("this connection: layer #1 (tls1.3"), "{text}");
    }
}

macro_rules! over_each {
    ($($test:ident)*) => {
        mod over_a_socket {
            $(#[test] fn $test() { super::$test::<super::Wire>(); })*
        }

        mod over_a_connection {
            $(#[test] fn $test() { super::$test::<super::Carrier>(); })*
        }

        mod over_a_connection_over_a_connection {
            $(#[test] fn $test() { super::$test::<super::TwoCarriers>(); })*
        }
    };
}

over_each! {
    a_reset_in_the_middle_of_a_record_names_socket_and_layers
    the_error_of_the_socket_can_be_asked_for
    a_peer_that_is_gone_wakes_whoever_waits
    a_loss_that_a_writer_brings_about_wakes_the_reader
    end_of_file_is_clean_in_clear_and_nowhere_else
    who_has_written_all_does_not_fail_over_a_peer_that_hangs_up_behind_its_answer
    end_of_file_during_a_handshake_or_a_stop_is_named
    end_of_file_behind_the_close_notify_is_clean
    a_socket_whose_flush_pends_makes_flush_wait_and_nothing_else
    a_socket_that_takes_nothing_and_says_so_is_an_error
    a_socket_that_is_interrupted_is_asked_again
    a_flush_that_fails_is_a_loss
    a_peer_that_sends_much_and_says_nothing_lets_others_run
    garbage_fails_and_says_what_it_was
    a_handshake_that_fails_at_the_certificate_tells_both_sides
    a_peer_whose_direction_is_cut_off_is_answered
}

/// What is wrong with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Oddity {
    WritesZero,
    /// Every other call.
    Interrupts,
    FailsToFlush,
    NeverPends,
}

struct Odd {
    end: WireEnd,
    oddity: Oddity,
    calls: usize,
}

/// An odd socket under a connection, with nothing done below it yet.
fn odd_under<G: Ground>(oddity: Oddity) -> (Connection<G::Over<Odd>>, WireEnd) {
    let (end, peer) = wire(Cut::Whole, 1000);
    let clock = Clock::new();
    (connection(G::over(Odd { end, oddity, calls: 0 }, &clock), &clock), peer)
}

impl Odd {
    fn is_interrupted(&mut self) -> bool {
        self.calls += 1;
        self.oddity == Oddity::Interrupts && self.calls % 2 == 1
    }
}

impl AsyncRead for Odd {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.is_interrupted() {
            return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
        }
        if self.oddity == Oddity::NeverPends {
            return Poll::Ready(Ok(buffer.len()));
        }
        Pin::new(&mut self.end).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Odd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.oddity == Oddity::WritesZero {
            return Poll::Ready(Ok(0));
        }
        if self.is_interrupted() {
            return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
        }
        Pin::new(&mut self.end).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.oddity == Oddity::FailsToFlush {
            return Poll::Ready(Err(io::ErrorKind::StorageFull.into()));
        }
        if self.is_interrupted() {
            return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
        }
        Pin::new(&mut self.end).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_interrupted() {
            return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
        }
        Pin::new(&mut self.end).poll_close(cx)
    }
}
