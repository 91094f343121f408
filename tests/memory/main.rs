//! What is still held when work is done, by an allocator that counts.
#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests, and not what they call")]

use std::alloc::System;
use std::sync::Arc;
use std::time::Instant;

use onionskin::rustls::client::Resumption;
use onionskin::stack::{Limits, Output, Readable, Stack, Stop};
use onionskin::tls::{TlsClient, TlsServer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

#[path = "../common/mod.rs"]
mod common;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn live_bytes() -> usize {
    let Stats { bytes_allocated, bytes_deallocated, .. } = ALLOCATOR.stats();
    bytes_allocated - bytes_deallocated
}

struct Peers {
    client: TlsClient,
    server: TlsServer,
    now: Instant,
}

/// Two stacks on one wire.
struct Wire {
    left: Stack,
    right: Stack,
    now: Instant,
}

impl Peers {
    fn new() -> Self {
        let authority = common::Authority::new();
        let client = TlsClient::new(authority.roots()).unwrap();
        let server = TlsServer::new(authority.identity("a.test")).unwrap();
        // What rustls keeps for a client to resume with belongs to a configuration and not to a connection: a table of 256
        // sessions, which grows by chance, as hashes have it, until it is twice as large as that needs.
        let mut client = (*client.to_rustls()).clone();
        client.resumption = Resumption::disabled();
        Self { client: TlsClient::from_rustls(Arc::new(client)).unwrap(), server, now: Instant::now() }
    }

    /// With the table of sessions that rustls keeps for a server by itself, where ours gives out tickets.
    fn with_a_table(mut self) -> Self {
        self.server = TlsServer::from_rustls(self.server.to_rustls()).unwrap();
        self
    }

    fn wire(&self) -> Wire {
        Wire { left: Stack::new(Limits::default()), right: Stack::new(Limits::default()), now: self.now }
    }

    fn start(&self, wire: &mut Wire) {
        wire.left.splice(self.now, Box::new(self.client.to("a.test").unwrap())).unwrap();
        wire.right.splice(self.now, Box::new(self.server.accept().unwrap())).unwrap();
        wire.run();
    }
}

impl Wire {
    fn run(&mut self) {
        while hand_over(&mut self.left, &mut self.right, self.now)
            | hand_over(&mut self.right, &mut self.left, self.now)
        {}
    }

    fn stop(&mut self) {
        for side in [&mut self.left, &mut self.right] {
            let id = side.innermost_stoppable().unwrap();
            side.stop(self.now, id, Stop::new()).unwrap();
        }
        self.run();
        for side in [&mut self.left, &mut self.right] {
            side.pass_end(self.now).unwrap();
        }
        self.run();
    }

    fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.left.write(self.now, bytes).unwrap(), bytes.len());
        self.run();
        while let Readable::Bytes(read) = self.right.readable() {
            let count = read.len();
            self.right.consume(self.now, count);
            self.run();
        }
    }
}

fn hand_over(from: &mut Stack, to: &mut Stack, now: Instant) -> bool {
    while from.poll_event().is_some() {}
    let Output::Bytes(bytes) = from.poll_output() else { return false };
    let taken = to.handle_input(now, bytes);
    from.handle_sent(now, taken);
    taken > 0
}

/// One test, so that nobody else allocates meanwhile.
#[test]
fn what_is_held_does_not_grow_with_what_has_been() {
    let peers = Peers::new();

    // Layers that start and stop on one wire leave nothing behind, and their servers keep nothing of the sessions.
    let grown = |peers: &Peers, counts: [usize; 2]| {
        let mut wire = peers.wire();
        let [before, after] = counts.map(|count| {
            for _ in 0..count {
                peers.start(&mut wire);
                wire.stop();
            }
            live_bytes()
        });
        after.saturating_sub(before)
    };
    let by_ours = grown(&peers, [10, 2500]);
    assert!(by_ours < 4096, "{by_ours} bytes more after 2,500 cycles");
    let by_a_table = grown(&Peers::new().with_a_table(), [10, 250]);
    assert!(by_a_table > 4 * 4096, "no more than {by_a_table} bytes for a table of 250 sessions");

    // Connections that are gone have given back what they held, but for the spare buffers of the thread.
    let hold = |count: usize| {
        let before = live_bytes();
        let held: Vec<Wire> = (0..count)
            .map(|_| {
                let mut wire = peers.wire();
                peers.start(&mut wire);
                wire.send(&[7; 60_000]);
                // And some that is never read.
                assert_eq!(wire.left.write(wire.now, &[7; 20_000]).unwrap(), 20_000);
                wire.run();
                wire
            })
            .collect();
        let most = live_bytes() - before;
        assert!(most > count * 10_000, "{most} bytes were held by {count}");
        drop(held);
        live_bytes().saturating_sub(before)
    };
    hold(10);
    let kept = hold(200);
    assert!(kept < 4096, "{kept} bytes are kept after 200 connections");
}
