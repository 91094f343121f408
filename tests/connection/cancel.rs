//! Every future may be dropped at any await: the connection stays what it was.
//!
//! One side of a conversation drops one of its futures after k polls, for every k until the future is done, and then
//! either begins anew or goes on with what comes next. The other side knows nothing of that, and the conversation must
//! end as always, with every byte in its place.

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::testing::Cut;
use onionskin::tls::{TlsLayer, Version};

use crate::executor::{both, cancelled_after};
use crate::peers::{Conn, VERSIONS, client, pair, pattern, server};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Future {
    Start,
    ReadLine,
    Write,
    Flush,
    UpdateKeys,
    Finish,
    Stop,
    Close,
}

/// Which future is dropped, and when.
#[derive(Debug)]
struct Victim {
    future: Future,
    polls: usize,
    /// Whether it is then begun anew, where the conversation does not need that anyhow.
    again: bool,
    was_dropped: bool,
}

impl Victim {
    /// Runs `future`; nothing if it is the victim and was dropped.
    async fn run<T>(&mut self, name: Future, future: impl std::future::Future<Output = T>) -> Option<T> {
        if name != self.future {
            return Some(future.await);
        }
        let output = cancelled_after(self.polls, future).await;
        self.was_dropped |= output.is_none();
        output
    }
}

#[test]
fn start() {
    drop_at_every_poll(Future::Start);
}

#[test]
fn read_line() {
    drop_at_every_poll(Future::ReadLine);
}

#[test]
fn write() {
    drop_at_every_poll(Future::Write);
}

#[test]
fn flush() {
    drop_at_every_poll(Future::Flush);
}

#[test]
fn update_keys() {
    drop_at_every_poll(Future::UpdateKeys);
}

#[test]
fn finish() {
    drop_at_every_poll(Future::Finish);
}

#[test]
fn stop() {
    drop_at_every_poll(Future::Stop);
}

#[test]
fn close() {
    drop_at_every_poll(Future::Close);
}

fn drop_at_every_poll(future: Future) {
    let mut dropped = 0;
    for version in VERSIONS {
        for cut in [Cut::Whole, Cut::Random(31), Cut::Random(32), Cut::Random(33)] {
            for (again, is_client) in [(true, true), (true, false), (false, true), (false, false)] {
                for polls in 0..MAX_POLLS {
                    let victim = Victim { future, polls, again, was_dropped: false };
                    if !converse(victim, version, cut, is_client) {
                        break;
                    }
                    dropped += 1;
                }
            }
        }
    }
    assert!(dropped > 12, "{future:?} never had to wait");
}

/// Whether the victim was dropped.
fn converse(mut victim: Victim, version: Version, cut: Cut, is_client: bool) -> bool {
    let (mut left, mut right, _clock) = pair(cut, 900);
    let layer = |client_side| if client_side { client(version) } else { server() };
    let ((), ()) = both(
        drop_and_go_on(&mut left, &mut victim, version, || layer(is_client)),
        answer(&mut right, layer(!is_client)),
    );
    victim.was_dropped
}

async fn drop_and_go_on(conn: &mut Conn, victim: &mut Victim, version: Version, layer: impl Fn() -> TlsLayer) {
    conn.write_line("STARTTLS").await.unwrap();
    read(conn, victim, b"GO AHEAD").await;

    let started = victim.run(Future::Start, conn.start_tls(layer())).await;
    match (started, conn.layers().iter().last().map(|layer| layer.id)) {
        (Some(started), _) => drop(started.unwrap()),
        (None, None) => drop(conn.start_tls(layer()).await.unwrap()),
        (None, Some(id)) if victim.again => drop(conn.ready(id).await.unwrap()),
        (None, Some(_)) => {}
    }

    let bytes = pattern(BULK);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        // Dropped, it has taken nothing.
        if let Some(written) = victim.run(Future::Write, conn.write(rest)).await {
            rest = &rest[written.unwrap()..];
        } else {
            let written = conn.write(rest).await.unwrap();
            rest = &rest[written..];
        }
    }
    if victim.run(Future::Flush, conn.flush()).await.is_none() && victim.again {
        conn.flush().await.unwrap();
    }
    read(conn, victim, b"GOT IT").await;

    if version == Version::Tls13 {
        let id = conn.layers().iter().last().unwrap().id;
        if victim.run(Future::UpdateKeys, conn.update_keys(id)).await.is_none() && victim.again {
            conn.update_keys(id).await.unwrap();
        }
    }
    conn.write_line("ping").await.unwrap();
    read(conn, victim, b"pong").await;

    match victim.run(Future::Finish, conn.finish()).await {
        Some(finished) => finished.unwrap(),
        // The order was not even given.
        None if victim.again || victim.polls == 0 => conn.finish().await.unwrap(),
        None => {}
    }
    read(conn, victim, b"after").await;

    let stopped = match victim.run(Future::Stop, conn.stop_tls()).await {
        Some(stopped) => stopped.unwrap(),
        None => {
            if victim.polls > 0 && !victim.again {
                assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
            }
            conn.stop_tls().await.unwrap()
        }
    };
    assert_eq!((stopped.late, conn.depth()), (Vec::new(), 0));
    conn.write_line("in clear").await.unwrap();
    read(conn, victim, b"heard").await;

    if victim.run(Future::Close, conn.close()).await.is_none() {
        conn.close().await.unwrap();
    }
    assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
}

async fn read(conn: &mut Conn, victim: &mut Victim, expected: &[u8]) {
    let line = match victim.run(Future::ReadLine, conn.read_line()).await {
        Some(line) => line,
        None => conn.read_line().await,
    };
    assert_eq!(line.unwrap().unwrap(), expected, "{victim:?}");
}

async fn answer(conn: &mut Conn, layer: TlsLayer) {
    assert_eq!(conn.read_line().await.unwrap().unwrap(), b"STARTTLS");
    conn.write_line("GO AHEAD").await.unwrap();
    conn.start_tls(layer).await.unwrap();
    let mut received = vec![0; BULK];
    conn.read_exact(&mut received).await.unwrap();
    assert!(received == pattern(BULK));
    conn.write_line("GOT IT").await.unwrap();
    assert_eq!(conn.read_line().await.unwrap().unwrap(), b"ping");
    conn.write_line("pong").await.unwrap();
    assert_eq!(conn.read_line().await.unwrap(), None);
    conn.write_line("after").await.unwrap();
    assert_eq!(conn.stop_tls().await.unwrap().late, b"");
    assert_eq!(conn.read_line().await.unwrap().unwrap(), b"in clear");
    conn.write_line("heard").await.unwrap();
    assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
    conn.close().await.unwrap();
}

/// More than a connection takes without sending some of it.
const BULK: usize = 150_000;

/// No need to try the thousands of polls of a bulk transfer one by one.
const MAX_POLLS: usize = 24;
