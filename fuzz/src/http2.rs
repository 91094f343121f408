//! What a peer says in HTTP/2, frame by frame, to either side.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{join_all, pending};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::stream::{FuturesUnordered, StreamExt};
use libfuzzer_sys::arbitrary::Unstructured;
use onionskin::Connection;
use onionskin::runtime::{Address, Socket};
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tunnel::http2::{PendingTunnel, PendingTunnels, Tunnels};
use onionskin::tunnel::{Grant, Reason};

use crate::executor::{Step, Task};
use crate::length;
use crate::raw::{DATA, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frames_in};

/// What a peer says costs so much work and no more, is kept within a bound, and when the peer has ended, everybody has been told: each
/// tunnel has an end only where the peer has said so, and nobody waits for ever. `live_bytes` says how much is allocated.
pub fn http2(input: &[u8], live_bytes: fn() -> usize) {
    let mut input = Unstructured::new(input);
    let role = if flag(&mut input) { Role::Server } else { Role::Client };
    let (is_listening, is_proper) = (flag(&mut input), !flag(&mut input));
    let piece = length(&mut input, 64);
    let (before, clock) = (live_bytes(), Clock::new());
    let (mut peer, end) = wire(Cut::Whole, CAPACITY);
    let seen = RefCell::new(Seen::default());
    let mut ours = Task::new(role.ours(connection(end, &clock), &seen));
    let (mut said, mut arrivals) = (Vec::new(), 0);
    let mut last = if is_proper { role.beginning() } else { Vec::new() };
    loop {
        for bytes in last.chunks(if piece == 0 { usize::MAX } else { piece }) {
            let taken = peer.write(bytes).now_or_never().and_then(Result::ok).unwrap_or(0);
            said.extend(&bytes[..taken]);
            advance(&mut ours, &mut peer, is_listening);
            arrivals += 1;
            // But for what is kept here, and by the wire, which notes the length of each write.
            let kept = said.capacity() + last.capacity() + 2 * size_of::<usize>() * arrivals;
            let held = live_bytes().saturating_sub(before + kept);
            assert!(held <= BASE + 2 * said.len(), "{held} bytes are held for {}", said.len());
        }
        if input.is_empty() {
            break;
        }
        last = words(&mut input, role, &last);
    }
    peer.end();
    for _ in 0..120 {
        advance(&mut ours, &mut peer, is_listening);
        clock.advance(Duration::from_secs(5));
    }
    assert!(ours.output().is_some(), "somebody waits for ever");
    drop(ours);
    let seen = seen.into_inner();
    let frames = role.frames(&said);
    let has_ended =
        |of: Option<u32>| frames.iter().any(|frame| frame.is_end() && of.is_none_or(|id| id == frame.stream));
    for (stream, heard) in seen.ended {
        assert!(has_ended(stream), "an end that the peer has not said, behind {heard} bytes");
    }
    let data: usize = frames.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.payload.len()).sum();
    assert!(seen.heard <= data, "more is heard than was said");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// What came of the tunnels.
#[derive(Default)]
struct Seen {
    /// How many bytes were read.
    heard: usize,
    /// The tunnels that have come to an end, by their streams where these are known.
    ended: Vec<(Option<u32>, usize)>,
}

impl Role {
    /// What a peer begins with.
    fn beginning(self) -> Vec<u8> {
        let preface = if self == Self::Server { PREFACE } else { &[] };
        [preface, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat()
    }

    /// The frames in what a peer has said, if it was any.
    fn frames(self, said: &[u8]) -> Vec<Frame> {
        frames_in(if self == Self::Server { said.get(PREFACE.len()..).unwrap_or_default() } else { said })
    }

    /// A head that is right: a request for a tunnel, or the answer that it is there.
    fn head(self, choice: u8) -> Vec<u8> {
        match self {
            Self::Client => {
                [&[0x88][..], &[0x8d], b"\x08\x03407", &[0x88, 0x0f, 13, 1, b'5']][usize::from(choice % 4)].to_vec()
            }
            Self::Server => {
                let authority = [&b"grant:443"[..], b"refuse:1", b"drop:1", b"wait:1"][usize::from(choice % 4)];
                // By their names in the static table (RFC 7541, appendix A).
                [&b"\x02\x07CONNECT\x01"[..], &[authority.len() as u8], authority].concat()
            }
        }
    }

    /// What an application does with it, until all is over.
    async fn ours(self, connection: Connection<Socket>, seen: &RefCell<Seen>) {
        match self {
            Self::Client => {
                let Ok(tunnels) = Tunnels::over(connection).await else { return };
                let open = async || {
                    let target = Address::to_host("a.example", 443).expect("that is one");
                    let Ok(opened) = tunnels.open(target).await else { return };
                    let stream = opened.route()[0].stream;
                    use_up(opened, stream, seen).await;
                };
                join_all([open(), open(), open()]).await;
                let _ = tunnels.drive().await;
            }
            Self::Server => {
                let mut asked = PendingTunnels::over(connection);
                let mut answering = FuturesUnordered::new();
                loop {
                    futures::select_biased! {
                        next = asked.next().fuse() => match next {
                            Some(next) => answering.push(answer(next, seen)),
                            None => break,
                        },
                        () = answering.select_next_some() => {}
                    }
                }
                while answering.next().await.is_some() {}
            }
        }
    }
}

async fn answer(mut asked: PendingTunnel, seen: &RefCell<Seen>) {
    match asked.request().target.host().as_deref() {
        Some("refuse") => drop(asked.refuse(Reason::Denied).await),
        Some("drop") => {}
        Some("wait") => assert!(asked.during(pending::<()>()).await.is_err()),
        _ => {
            let Ok(opened) = asked.grant(Grant::default()).await else { return };
            use_up(opened, None, seen).await;
        }
    }
}

/// Says a little, reads to the end, and ends.
async fn use_up(mut opened: Connection<Socket>, stream: Option<u32>, seen: &RefCell<Seen>) {
    let _ = opened.write_all(b"hello").await;
    let _ = opened.flush().await;
    let (mut heard, mut bytes) = (0, [0; 4096]);
    let ended = loop {
        match opened.read(&mut bytes).await {
            Ok(0) => break true,
            Ok(count) => heard += count,
            Err(_) => break false,
        }
    };
    seen.borrow_mut().heard += heard;
    if ended {
        seen.borrow_mut().ended.push((stream, heard));
        let _ = opened.close().await;
    }
}

/// What the peer says next.
fn words(input: &mut Unstructured<'_>, role: Role, last: &[u8]) -> Vec<u8> {
    let kind = input.int_in_range(0..=9_u8).unwrap_or(0);
    let stream = *input.choose(&[0, 1, 1, 1, 3, 3, 5, 7, 2, 0x7fff_ffff]).unwrap_or(&0);
    let mut number = |most: u32| input.int_in_range(0..=most).unwrap_or(0);
    let frame = match kind {
        0 => {
            let count = length(input, 64).min(input.len());
            return input.bytes(count).unwrap_or_default().to_vec();
        }
        1 => Frame::new(HEADERS, if number(3) == 0 { 5 } else { 4 }, stream, &role.head(number(3) as u8)),
        2 => Frame::new(DATA, u8::from(number(3) == 0), stream, &vec![7; number(300) as usize]),
        3 => {
            let (kind, flags) = (number(10) as u8, number(255) as u8);
            let count = length(input, 64).min(input.len());
            Frame::new(kind, flags, stream, input.bytes(count).unwrap_or_default())
        }
        4 => Frame::new(RST_STREAM, 0, stream, &number(13).to_be_bytes()),
        5 => Frame::new(WINDOW_UPDATE, 0, stream, &number(u32::MAX).to_be_bytes()),
        6 if number(1) == 0 => Frame::new(SETTINGS, 1, 0, &[]),
        6 => {
            let (what, value) = (number(8) as u16, number(u32::MAX));
            Frame::new(SETTINGS, 0, 0, &[&what.to_be_bytes()[..], &value.to_be_bytes()].concat())
        }
        7 => Frame::new(PING, number(1) as u8, 0, &[7; 8]),
        8 => Frame::new(GOAWAY, 0, 0, &[stream.to_be_bytes(), number(13).to_be_bytes()].concat()),
        _ => return last[..last.len().min(4096)].repeat(number(100) as usize),
    };
    frame.bytes()
}

/// Lets our side go on until it waits, and takes what it says if the peer listens.
fn advance(ours: &mut Task<'_, ()>, peer: &mut WireEnd, is_listening: bool) {
    let mut polls = 0;
    loop {
        let has_moved = ours.step();
        let heard =
            if is_listening { peer.read(&mut [0; 4096]).now_or_never().and_then(Result::ok).unwrap_or(0) } else { 0 };
        if !has_moved && heard == 0 {
            return;
        }
        polls += 1;
        assert!(polls <= MAX_POLLS, "it keeps itself busy");
    }
}

fn connection(end: WireEnd, clock: &Clock) -> Connection<Socket> {
    let nobody = || Address::Unix(None);
    Connection::over(Socket::new(end, nobody(), nobody()), Arc::new(clock.clone()))
}

fn flag(input: &mut Unstructured<'_>) -> bool {
    input.arbitrary().unwrap_or(false)
}

/// What the wire holds in each direction.
const CAPACITY: usize = 64 * 1024;

/// What both ends hold whatever is said, the wire between them included, and a head for each of a hundred tunnels.
const BASE: usize = 4 << 20;

/// More than any arrival gives to do.
const MAX_POLLS: usize = 1000;
