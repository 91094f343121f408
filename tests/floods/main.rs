//! What a client of HTTP/2 that floods a server makes it do and hold: counted, by an allocator and a task that count.
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

use std::alloc::System;
use std::cell::Cell;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::poll_fn;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, select_biased};
use onionskin::Connection;
use onionskin::runtime::{Address, Socket};
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tls::{TlsClient, TlsServer, Version};
use onionskin::tunnel::Grant;
use onionskin::tunnel::http2::{PendingTunnel, PendingTunnels};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

#[path = "../common/mod.rs"]
mod common;
#[path = "../connection/executor.rs"]
#[allow(dead_code, reason = "shared with another test binary, which uses all of it")]
mod executor;
#[path = "../http2/server/raw.rs"]
#[allow(dead_code, reason = "shared with another test binary, which uses all of it")]
mod raw;

use crate::executor::{Step, Task};
use crate::raw::{
    ACK, CANCEL, CONTINUATION, Frame, GOAWAY, HEADERS, PING, PREFACE, PROTOCOL_ERROR, SETTINGS, WINDOW_UPDATE, block,
    frames_in,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn live_bytes() -> usize {
    let Stats { bytes_allocated, bytes_deallocated, .. } = ALLOCATOR.stats();
    bytes_allocated - bytes_deallocated
}

/// What is sent again and again.
struct Flood {
    what: &'static str,
    frames: fn(u32) -> Vec<Frame>,
    /// With which error the server ends the connection; `None` where it lets the client wait that does not read its answers.
    code: Option<u32>,
}

const FLOODS: [Flood; 8] = [
    Flood {
        what: "rapid reset",
        frames: |n| vec![Frame::connect(2 * n + 3, "a.example:443"), Frame::reset(2 * n + 3, CANCEL)],
        code: Some(ENHANCE_YOUR_CALM),
    },
    Flood {
        what: "rapid reset, each in two arrivals",
        frames: |n| match n % 2 {
            0 => vec![Frame::connect(n + 3, "a.example:443")],
            _ => vec![Frame::reset(n + 2, CANCEL)],
        },
        code: Some(ENHANCE_YOUR_CALM),
    },
    Flood {
        what: "malformed requests",
        frames: |n| vec![Frame::headers(2 * n + 3, &[(":method", "CONNECT"), (":path", "/"), (":authority", "a:1")])],
        code: Some(ENHANCE_YOUR_CALM),
    },
    Flood {
        what: "CONTINUATION without end",
        frames: |n| match n {
            0 => vec![Frame::new(HEADERS, 0, 3, &block(&[(":method", "CONNECT")]))],
            _ => vec![Frame::new(CONTINUATION, 0, 3, &block(&[("x", "y")]))],
        },
        code: Some(ENHANCE_YOUR_CALM),
    },
    Flood { what: "empty DATA", frames: |_| vec![Frame::data(1, b"")], code: Some(ENHANCE_YOUR_CALM) },
    Flood {
        what: "WINDOW_UPDATE of nothing",
        frames: |_| vec![Frame::new(WINDOW_UPDATE, 0, 1, &[0; 4])],
        code: Some(PROTOCOL_ERROR),
    },
    Flood { what: "PING", frames: |_| vec![Frame::new(PING, 0, 0, &[7; 8])], code: None },
    Flood { what: "SETTINGS", frames: |_| vec![Frame::new(SETTINGS, 0, 0, &[])], code: None },
];

/// What came of a flood.
#[derive(Debug, Default)]
struct Seen {
    /// With which error the server has ended the connection, if it has.
    code: Option<u32>,
    /// How many turns of it could be sent.
    turns: u32,
    /// How many requests its application was asked.
    asked: usize,
    /// How often the server was polled.
    polls: usize,
    /// How much both sides have held at most, beyond what they held before.
    held: usize,
}

type Configured = (TlsClient, TlsServer);

fn connection(end: WireEnd, clock: &Clock) -> Connection<Socket> {
    let nobody = || Address::Unix(None);
    Connection::over(Socket::new(end, nobody(), nobody()), Arc::new(clock.clone()))
}

async fn serve(mut tunnels: PendingTunnels, asked: &Cell<usize>) {
    let mut echoing = FuturesUnordered::new();
    loop {
        select_biased! {
            pending = tunnels.next().fuse() => match pending {
                Some(pending) => {
                    asked.set(asked.get() + 1);
                    echoing.push(echo(pending));
                }
                None => break,
            },
            () = echoing.select_next_some() => {}
        }
    }
}

/// Takes its time to find out where the target is: those who ask at speed have gone by then.
async fn echo(mut pending: PendingTunnel) {
    let dialling = async {
        for _ in 0..3 {
            pending_once().await;
        }
    };
    if pending.during(dialling).await.is_err() {
        return;
    }
    let Ok(tunnel) = pending.grant(Grant::default()).await else { return };
    let (reader, mut writer) = tunnel.split();
    let _ = futures::io::copy(reader, &mut writer).await;
}

/// Lets everybody else have a turn.
async fn pending_once() {
    let mut has_waited = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn flooded(flood: &Flood, batch: u32, tls: Option<&Configured>) -> Seen {
    let clock = Clock::new();
    let (left, right) = wire(Cut::Whole, 64 * 1024);
    let (mut left, mut right) = (connection(left, &clock), connection(right, &clock));
    let (asked, turns) = (Cell::new(0), Cell::new(0));
    let mut client = Task::new(async {
        if let Some((client, _)) = tls {
            left.start_tls(client.to(NAME).unwrap()).await.unwrap();
        }
        left.write_all(&[PREFACE, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat()).await.unwrap();
        left.flush().await.unwrap();
        pending_once().await;
        let mut said = Frame::new(SETTINGS, ACK, 0, &[]).bytes();
        said.extend(Frame::connect(1, "a.example:443").bytes());
        for n in 0..TURNS {
            said.extend((flood.frames)(n).iter().flat_map(Frame::bytes));
            if (n + 1) % batch == 0 {
                if left.write_all(&said).await.is_err() || left.flush().await.is_err() {
                    break;
                }
                said.clear();
                turns.set(n + 1);
                // The server has its turn, and time goes on: nobody listens for ever to what is over.
                pending_once().await;
                clock.advance(Duration::from_millis(10));
            }
        }
        let mut heard = Vec::new();
        let _ = left.read_to_end(&mut heard).await;
        frames_in(&heard).iter().find(|frame| frame.kind == GOAWAY).map(Frame::code)
    });
    let mut server = Task::new(async {
        if let Some((_, server)) = tls {
            right.start_tls(server.accept().unwrap()).await.unwrap();
        }
        serve(PendingTunnels::over(right), &asked).await;
    });
    let (before, mut seen) = (live_bytes(), Seen::default());
    loop {
        let has_moved = client.step();
        seen.held = seen.held.max(live_bytes().saturating_sub(before));
        let is_served = server.step();
        seen.polls += usize::from(is_served);
        seen.held = seen.held.max(live_bytes().saturating_sub(before));
        if !has_moved && !is_served {
            break;
        }
    }
    seen.code = client.output().flatten();
    drop((client, server));
    Seen { turns: turns.get(), asked: asked.get(), ..seen }
}

/// One test, so that nobody else allocates meanwhile.
#[test]
fn t24_a_flood_is_bounded_in_work_and_memory_in_clear_and_through_tls() {
    let authority = common::Authority::new();
    let configured = (authority.client(&[Version::Tls13]), authority.server(NAME, &[Version::Tls13]));
    // What is set up once, and stays.
    flooded(&FLOODS[0], 1, Some(&configured));
    for flood in &FLOODS {
        for tls in [None, Some(&configured)] {
            // Each turn by itself, or many in one arrival.
            for batch in if flood.code.is_some() { [1, 50] } else { [50, 1000] } {
                let seen = flooded(flood, batch, tls);
                let case =
                    format!("{}, {batch} at a time, {}", flood.what, if tls.is_some() { "TLS" } else { "clear" });
                println!("{case}: {seen:?}");
                assert_eq!(seen.code, flood.code, "{case}: {seen:?}");
                // No flood makes work for others beyond a hundred requests that are taken back, and the one that is there.
                assert!(seen.asked <= 105, "{case}: {seen:?}");
                let (turns, held) = if flood.code.is_some() { (12_000, 512 * 1024) } else { (200_000, 3 << 20) };
                assert!(seen.turns <= turns && seen.polls <= turns as usize, "{case}: {seen:?}");
                assert!(seen.held <= held, "{case}: {seen:?}");
            }
        }
    }
}

const NAME: &str = "proxy.example";

/// So often a flood is sent, unless it is ended or waits before.
const TURNS: u32 = 300_000;

const ENHANCE_YOUR_CALM: u32 = 11;
