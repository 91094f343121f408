//! Two pairs with TLS between them, and TLS of others inside it.
//!
//! ```text
//!   client ──────── here [ outer ] ════════ [ outer ] there ──────── server
//! ```
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

use std::sync::Mutex;

use futures::channel::oneshot;
use futures::future::join3;
use futures::io::AsyncRead;
use onionskin::testing::{Dice, wire};
use onionskin::tls::Version;

use super::*;

/// A socket of which all that is written to it is kept.
struct Tapped {
    io: WireEnd,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Tapped {
    fn new(io: WireEnd) -> (Self, Arc<Mutex<Vec<u8>>>) {
        let written = Arc::default();
        (Self { io, written: Arc::clone(&written) }, written)
    }
}

impl AsyncRead for Tapped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.written.lock().unwrap().extend(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

/// Which of the two says that it takes its outer TLS off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Say {
    here: bool,
    there: bool,
}

const BOTH: Say = Say { here: true, there: true };

#[derive(Clone, Copy, Debug)]
struct Case {
    say: Say,
    cut: Cut,
    capacity: usize,
    inner: Version,
    outer: Version,
}

/// What the two at the ends are, once it is their turn.
type Ends = (Connection<Tapped>, Connection<Tapped>);

/// How it went.
struct Went {
    peeled: [Option<bool>; 2],
    ends: [End; 2],
    /// What was written by the client, by `here` to `there`, by `there` to `here`, and by the server.
    written: [Vec<u8>; 4],
}

/// Polls until it is done, and finds out if nothing happens any more. Whoever can go on wakes: this just does not wait for it.
fn drive<T>(case: Case, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    for _ in 0..2_000_000 {
        if let Some(done) = work.as_mut().now_or_never() {
            return done;
        }
    }
    panic!("it hangs: {case:?}");
}

fn play<F: Future<Output = ()>>(case: Case, talk: impl FnOnce(Ends, TlsClient, TlsServer) -> F) -> Went {
    let clock: &'static Clock = Box::leak(Box::new(Clock::new()));
    let timer = Arc::new(clock.clone());
    let mut taps = Vec::new();
    let mut line = || {
        let (left, right) = wire(case.cut, case.capacity);
        [left, right].map(|end| {
            let (tapped, written) = Tapped::new(end);
            taps.push(written);
            tapped
        })
    };
    let ([client, near_here], [far_here, near_there], [far_there, server]) = (line(), line(), line());
    let socket = |io| Connection::with_timer(Socket::new(io, Address::Stdio, Address::Stdio), timer.clone());
    let (near_here, mut far_here, mut near_there, far_there) =
        (socket(near_here), socket(far_here), socket(near_there), socket(far_there));
    let [client, server] = [client, server].map(|io| Connection::with_timer(io, timer.clone()));

    let authority = Authority::new().unwrap();
    let make = |version, says: bool, answers: bool| {
        let alpn = |says: bool| says.then_some(OuterPeel::ALPN);
        let asks = TlsClient::builder(authority.roots().unwrap()).versions(&[version]).alpn(alpn(says));
        let answering = TlsServer::builder(authority.identity(&["localhost"]).unwrap()).versions(&[version]);
        (asks.build().unwrap(), answering.alpn(alpn(answers)).build().unwrap())
    };
    let (asks, answers) = make(case.outer, case.say.here, case.say.there);
    let (asked, answered) = drive(
        case,
        join(far_here.start_tls(asks.to("localhost").unwrap()), near_there.start_tls(answers.accept().unwrap())),
    );
    asked.and(answered).unwrap();
    let pair = |near, far, says| {
        let pair = ConnectionPair::new(clock, Unfinished::new(near), Unfinished::new(far), PassOn::Fin, Arc::default());
        if says { pair.peeling() } else { pair }
    };
    let (mut here, mut there) = (pair(near_here, far_here, case.say.here), pair(near_there, far_there, case.say.there));
    let (asks, answers) = make(case.inner, false, false);
    let ((), one, two) = drive(case, join3(talk((client, server), asks, answers), here.run(), there.run()));
    let [client, _, far_here, near_there, _, server] = &taps[..] else { panic!("six taps") };
    let written = [client, far_here, near_there, server].map(|tap| tap.lock().unwrap().clone());
    Went { peeled: [here.peeled(), there.peeled()], ends: [one, two], written }
}

/// What the two say to each other: long enough to be in flight both ways whenever something happens.
fn said(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..SIZE).map(|_| dice.below(256) as u8).collect()
}

const SIZE: usize = 5_000;

async fn read_all(from: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut read = Vec::new();
    from.read_to_end(&mut read).await.unwrap();
    read
}

/// Both talk at once, from the first moment on; once more when each has heard that of the other; and then say their end.
async fn at_once((client, server): Ends, asks: TlsClient, answers: TlsServer) {
    let talk = async |conn: Connection<Tapped>, own: u64, others: u64| {
        let (mut reader, mut writer) = conn.split();
        let (heard, hears) = oneshot::channel();
        let write = async {
            writer.write_all(&said(own)).await.unwrap();
            hears.await.unwrap();
            writer.write_all(&said(own)).await.unwrap();
            writer.close().await.unwrap();
        };
        let read = async {
            let mut read = vec![0; SIZE];
            reader.read_exact(&mut read).await.unwrap();
            assert!(read == said(others));
            heard.send(()).unwrap();
            assert!(read_all(&mut reader).await == said(others));
        };
        join(write, read).await;
    };
    let client = async {
        let mut client = client;
        client.start_tls(asks.to("localhost").unwrap()).await.unwrap();
        talk(client, 1, 2).await;
    };
    let server = async {
        let mut server = server;
        server.start_tls(answers.accept().unwrap()).await.unwrap();
        talk(server, 2, 1).await;
    };
    join(client, server).await;
}

/// One says all and closes its half, and then the other.
async fn in_turns((mut client, mut server): Ends, asks: TlsClient, answers: TlsServer) {
    let client = async {
        client.start_tls(asks.to("localhost").unwrap()).await.unwrap();
        client.write_all(&said(1)).await.unwrap();
        client.close().await.unwrap();
        assert!(read_all(&mut client).await == said(2));
    };
    let server = async {
        server.start_tls(answers.accept().unwrap()).await.unwrap();
        assert!(read_all(&mut server).await == said(1));
        server.write_all(&said(2)).await.unwrap();
        server.close().await.unwrap();
    };
    join(client, server).await;
}

/// The client ends its TCP behind its request, in clear, and reads on.
async fn without_a_close_notify((mut client, mut server): Ends, asks: TlsClient, answers: TlsServer) {
    let client = async {
        client.start_tls(asks.to("localhost").unwrap()).await.unwrap();
        client.write_all(&said(1)).await.unwrap();
        client.close_wire().await.unwrap();
        assert!(read_all(&mut client).await == said(2));
    };
    let server = async {
        server.start_tls(answers.accept().unwrap()).await.unwrap();
        let mut read = vec![0; SIZE];
        server.read_exact(&mut read).await.unwrap();
        assert!(read == said(1));
        assert!(server.read(&mut [0]).await.is_err(), "truncated");
        server.write_all(&said(2)).await.unwrap();
        server.close().await.unwrap();
    };
    join(client, server).await;
}

fn each_case(say: Say, test: impl Fn(Case)) {
    const CUTS: [Cut; 5] = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(1), Cut::Random(2)];
    for (inner, outer) in
        [(Version::Tls12, Version::Tls13), (Version::Tls13, Version::Tls13), (Version::Tls13, Version::Tls12)]
    {
        for cut in CUTS {
            for capacity in [700, 100_000] {
                test(Case { say, cut, capacity, inner, outer });
            }
        }
    }
}

#[track_caller]
fn assert_graceful(case: Case, went: &Went) {
    for end in &went.ends {
        assert_eq!(end.outcome, Outcome::Graceful, "{case:?}: {end}");
    }
}

/// What stands on the wire between the two from some byte on is what was sent at the ends, to the last byte; and what stands before
/// that is the rest of it inside the outer layer. It is as long as what one of the two says at once when it has heard the other.
#[track_caller]
fn assert_in_clear(case: Case, went: &Went, directions: &[usize]) {
    let [client, here, there, server] = &went.written;
    for &direction in directions {
        let (inner, outer) = [(client, here), (server, there)][direction];
        let common = inner.iter().rev().zip(outer.iter().rev()).take_while(|(one, other)| one == other).count();
        assert!(common >= SIZE, "{case:?}: only the last {common} bytes are those of the inner TLS");
        // Where each byte comes by itself, it has a record of its own.
        let overhead = if case.cut == Cut::Bytes { 32 } else { 2 };
        let most = overhead * (inner.len() - common) + 4_000;
        assert!(outer.len() - common < most, "{case:?}: {} bytes before them", outer.len() - common);
    }
}

#[test]
fn the_outer_tls_goes_when_there_is_tls_inside() {
    each_case(BOTH, |case| {
        let went = play(case, at_once);
        assert_eq!(went.peeled, [Some(true); 2], "{case:?}");
        assert_graceful(case, &went);
        assert_in_clear(case, &went, &[0, 1]);
    });
}

#[test]
fn ends_pass_when_the_outer_tls_has_gone() {
    each_case(BOTH, |case| {
        let went = play(case, in_turns);
        assert_eq!(went.peeled, [Some(true); 2], "{case:?}");
        assert_graceful(case, &went);
        assert_in_clear(case, &went, &[1]);
        let went = play(case, without_a_close_notify);
        assert_eq!(went.peeled, [Some(true); 2], "{case:?}");
        // Nothing says any more that the end of file is none: only the inner layer can.
        assert_graceful(case, &went);
        assert_in_clear(case, &went, &[1]);
    });
}

#[test]
fn nothing_changes_unless_both_say_so() {
    for (here, there) in [(true, false), (false, true), (false, false)] {
        each_case(Say { here, there }, |case| {
            if case.cut == Cut::Bytes || case.capacity > 1000 {
                return;
            }
            for went in [play(case, at_once), play(case, in_turns)] {
                assert_eq!(went.peeled, [None; 2], "{case:?}");
                assert_graceful(case, &went);
                let [client, here, ..] = &went.written;
                let last = &client[client.len() - 64..];
                assert!(!here.windows(64).any(|bytes| bytes == last), "{case:?}: in clear");
            }
        });
    }
}

/// Neither what looks like TLS for a while, nor a handshake that was never finished.
#[test]
fn what_is_no_tls_inside_stays_inside_the_outer_one() {
    let beginnings: [&[u8]; 5] =
        [b"", b"HELO", &[22, 3, 1, 0, 4, 1, 0, 0, 0], &[23, 3, 3, 0, 100], &[20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 1, 1]];
    for beginning in beginnings {
        for cut in [Cut::Whole, Cut::Bytes, Cut::Random(1)] {
            let case = Case { say: BOTH, cut, capacity: 700, inner: Version::Tls13, outer: Version::Tls13 };
            let went = play(case, async |(mut client, mut server), _, _| {
                let all = [beginning, &said(1)].concat();
                let client = async {
                    client.write_all(&all).await.unwrap();
                    client.close().await.unwrap();
                    assert!(read_all(&mut client).await == said(2));
                };
                let server = async {
                    assert!(read_all(&mut server).await == all);
                    server.write_all(&said(2)).await.unwrap();
                    server.close().await.unwrap();
                };
                join(client, server).await;
            });
            assert_eq!(went.peeled, [Some(false); 2], "{case:?}");
            assert_graceful(case, &went);
            let [client, here, ..] = &went.written;
            let last = &client[client.len() - 64..];
            assert!(!here.windows(64).any(|bytes| bytes == last), "{case:?}: in clear");
        }
    }
}

/// A record.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3, 0, body.len() as u8], body].concat()
}

/// A hello in a record of its own: the least that there can be of one.
fn hello(kind: u8, rest: &[u8]) -> Vec<u8> {
    let body = [&[3, 3], &[7; 32][..], &[0], rest].concat();
    record(22, &[&[kind, 0, 0, body.len() as u8], &body[..]].concat())
}

/// One side has said all before the handshake is done, and the other waits for that end before it goes on: so the end passes at
/// once, and what comes then, with the outer TLS or without it.
#[test]
fn an_end_that_comes_before_the_handshake_is_done_is_passed_on() {
    let client_hello = hello(1, &[0, 2, 0x13, 1, 1, 0]);
    let (tls12, tls13) = (hello(2, &[0xc0, 0x2f, 0]), hello(2, &[0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]));
    let finished = [record(20, &[1]), record(22, &[9; 40])].concat();
    let sealed = |bytes: &[u8]| bytes.chunks(200).flat_map(|part| record(23, part)).collect::<Vec<_>>();
    let scripts = [
        // What the client says, what the server, and what the client then; an end behind the first or the second.
        (Version::Tls12, [client_hello.clone(), tls12, finished.clone()], [finished, sealed(&said(2))].concat()),
        (Version::Tls13, [client_hello, tls13, Vec::new()], sealed(&said(1))),
    ];
    for (version, [first, answer, second], last) in scripts {
        each_case(BOTH, |case| {
            let is_13 = version == Version::Tls13;
            let went = play(case, async |(mut client, mut server), _, _| {
                let client = async {
                    client.write_all(&first).await.unwrap();
                    let mut read = vec![0; answer.len()];
                    client.read_exact(&mut read).await.unwrap();
                    assert!(read == answer);
                    if is_13 {
                        assert!(read_all(&mut client).await.is_empty());
                        client.write_all(&last).await.unwrap();
                        client.close().await.unwrap();
                    } else {
                        client.write_all(&second).await.unwrap();
                        client.close().await.unwrap();
                        assert!(read_all(&mut client).await == last);
                    }
                };
                let server = async {
                    let mut read = vec![0; first.len()];
                    server.read_exact(&mut read).await.unwrap();
                    server.write_all(&answer).await.unwrap();
                    if is_13 {
                        server.close().await.unwrap();
                        assert!(read_all(&mut server).await == last);
                    } else {
                        assert!(read_all(&mut server).await == second);
                        server.write_all(&last).await.unwrap();
                        server.close().await.unwrap();
                    }
                };
                join(client, server).await;
            });
            assert_graceful(case, &went);
        });
    }
}
