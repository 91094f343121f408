//! What is measured: the kinds of work, who does it, how deep, and how much of it.
//!
//! The amounts are fixed, so that two runs do the same. They are chosen for a measured part of 0.2 to 1 s on a small
//! machine, and shrink with the depth as the speed does.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Bytes from the client to the server, in writes of 64 KiB.
    Bulk,
    /// Bytes in both directions at the same time.
    Both,
    /// 64 bytes there and 64 bytes back, on one connection.
    Ask,
    /// The same on 100 connections at once.
    Ask100,
    /// From the TCP connect until four layers are up on both sides.
    Stack4,
    /// Start and stop of one layer, again and again on one connection.
    Cycle,
    /// Connect, one handshake, close.
    Handshake,
    /// The same with a session that is resumed in every layer.
    Resume,
    /// What an idle connection keeps in the memory of the server.
    Memory,
    /// Bytes through both ends in one thread, without sockets.
    InMemory,
    /// Messages of 64 bytes through both ends in one thread, without sockets.
    InMemoryAsk,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::Bulk,
        Self::Both,
        Self::Ask,
        Self::Ask100,
        Self::Stack4,
        Self::Cycle,
        Self::Handshake,
        Self::Resume,
        Self::Memory,
        Self::InMemory,
        Self::InMemoryAsk,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Bulk => "bulk, one way",
            Self::Both => "bulk, both ways at once",
            Self::Ask => "64-byte request and answer, one connection",
            Self::Ask100 => "64-byte request and answer, 100 connections at once",
            Self::Stack4 => "from connect until four layers are up",
            Self::Cycle => "start and stop of a layer",
            Self::Handshake => "connect, a handshake in each layer, close",
            Self::Resume => "connect, a resumed handshake in each layer, close",
            Self::Memory => "memory of an idle connection, server",
            Self::InMemory => "bulk in memory, one thread",
            Self::InMemoryAsk => "64-byte messages in memory, one thread",
        }
    }

    /// Whether both sides share one CPU. What waits for an answer would else measure how an idle CPU wakes up.
    pub(crate) fn is_pinned(self) -> bool {
        !matches!(self, Self::Bulk | Self::Both | Self::Memory)
    }

    /// Whether one process does it all.
    pub(crate) fn is_in_memory(self) -> bool {
        matches!(self, Self::InMemory | Self::InMemoryAsk)
    }

    /// The depths at which it makes sense, of those that were asked for.
    pub(crate) fn depths(self, asked: &[usize]) -> Vec<usize> {
        match self {
            Self::Stack4 => vec![4],
            Self::Cycle => vec![1],
            Self::Handshake | Self::Resume => vec![1, 2],
            Self::Memory => vec![1, 3],
            _ => asked.to_vec(),
        }
    }

    fn connections(self) -> usize {
        match self {
            Self::Ask100 => 100,
            Self::Memory => 10_000,
            _ => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(self, f)
    }
}

/// Somebody who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// The bare AEAD of the provider, in memory: what no TLS can pass.
    Aead,
    /// Plain TCP, blocking.
    Tcp,
    /// `Connection` on async-std.
    OursAsyncStd,
    /// `Connection` on smol.
    OursSmol,
    /// `Connection` on tokio.
    OursTokio,
    /// `Stack` over a blocking socket, and in memory over nothing.
    OursBlocking,
    /// One unbuffered connection of rustls, in memory.
    Rustls,
    /// Nested streams on async-std.
    FuturesRustls,
    /// Nested streams on tokio.
    TokioRustls,
    /// A chain of memory pipes over a blocking socket.
    Openssl,
    /// Python's asyncio.
    Asyncio,
    /// Node.
    Node,
    /// Go.
    Go,
}

impl Peer {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Aead => "AEAD alone",
            Self::Tcp => "plain TCP",
            Self::OursAsyncStd => "ours, async-std",
            Self::OursSmol => "ours, smol",
            Self::OursTokio => "ours, tokio",
            Self::OursBlocking => "ours, no runtime",
            Self::Rustls => "rustls alone",
            Self::FuturesRustls => "futures-rustls",
            Self::TokioRustls => "tokio-rustls",
            Self::Openssl => "OpenSSL",
            Self::Asyncio => "Python asyncio",
            Self::Node => "Node",
            Self::Go => "Go",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::OursAsyncStd | Self::OursSmol | Self::OursTokio | Self::OursBlocking)
    }

    /// Whether it is another way to nest TLS, and no limit of what is possible.
    pub(crate) fn is_rival(self) -> bool {
        !self.is_ours() && !matches!(self, Self::Aead | Self::Tcp | Self::Rustls)
    }

    /// How much of the amount it is given: what is slower gets less, so that it takes the same time.
    fn share(self, kind: Kind) -> f64 {
        match (self, kind) {
            (Self::Asyncio, Kind::Ask100) => 0.2,
            (Self::Asyncio, _) => 0.3,
            (Self::Node, _) => 0.4,
            (Self::Tcp, Kind::Bulk | Kind::Both) => 2.0,
            _ => 1.0,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(self, f)
    }
}

/// One place in the tables: who does what, how deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) depth: usize,
    pub(crate) peer: Peer,
}

impl Cell {
    /// All cells of a run, those of one kind and depth together.
    pub(crate) fn all(kinds: &[Kind], peers: &[Peer], depths: &[usize]) -> Vec<Self> {
        let mut cells = Vec::new();
        for &kind in kinds {
            let mut kind_depths = kind.depths(depths);
            if !kind.is_in_memory() {
                kind_depths.insert(0, 0);
            }
            for depth in kind_depths {
                let takes_part = |&&peer: &&Peer| Self { kind, depth, peer }.is_meant();
                cells.extend(peers.iter().filter(takes_part).map(|&peer| Self { kind, depth, peer }));
            }
        }
        cells
    }

    /// Whether the cell is one that somebody would look for. Those that are, and cannot be, have a reason.
    fn is_meant(self) -> bool {
        match self.peer {
            Peer::Aead => self.kind == Kind::InMemory,
            Peer::Rustls => self.kind == Kind::InMemoryAsk && self.depth == 1,
            Peer::Tcp => self.depth == 0 && matches!(self.kind, Kind::Bulk | Kind::Both | Kind::Ask | Kind::Ask100),
            Peer::OursBlocking => {
                self.depth > 0 && matches!(self.kind, Kind::Bulk | Kind::Ask | Kind::InMemory | Kind::InMemoryAsk)
            }
            Peer::FuturesRustls | Peer::Openssl => self.depth > 0,
            _ => self.depth > 0 && !self.kind.is_in_memory(),
        }
    }

    /// Why nobody could measure this cell.
    pub(crate) fn impossible(self) -> Option<&'static str> {
        let stops = self.peer.is_ours() || self.peer == Peer::Openssl;
        match (self.kind, self.peer) {
            (Kind::Cycle, _) if !stops => Some("cannot stop TLS"),
            (Kind::Resume, Peer::Openssl) => Some("its binding takes a session in unsafe code only"),
            (Kind::Resume, Peer::Asyncio) => Some("asyncio takes no session"),
            (Kind::Resume, Peer::Node) => Some("does not resume inside of itself"),
            _ => None,
        }
    }

    /// How much there is to do; what it counts depends on the kind.
    pub(crate) fn work(self, quick: bool) -> Work {
        let layers = self.depth.max(1) as u64;
        let amount = match self.kind {
            Kind::Bulk | Kind::InMemory => (768 << 20) / layers,
            Kind::Both => (384 << 20) / layers,
            Kind::Ask => 10_000,
            Kind::Ask100 => 100,
            Kind::Stack4 => 150,
            Kind::Cycle | Kind::Handshake | Kind::Resume => 600,
            Kind::Memory => 1,
            Kind::InMemoryAsk => 300_000 / layers,
        };
        let share = if self.kind == Kind::Memory { 1.0 } else { self.peer.share(self.kind) };
        let quick_part = if quick { 50.0 } else { 1.0 };
        let amount = ((amount as f64 * share / quick_part) as u64).max(1);
        let connections = self.kind.connections();
        let connections = if quick && self.kind == Kind::Memory { connections / 50 } else { connections };
        Work { amount, warm_up: amount.div_ceil(8), connections }
    }
}

/// How much one cell has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// Bytes a direction for bulk, else operations on each connection.
    pub(crate) amount: u64,
    /// The same, before the clocks start.
    pub(crate) warm_up: u64,
    pub(crate) connections: usize,
}

fn named<T: ValueEnum>(value: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    value.to_possible_value().map_or(Ok(()), |value| f.pad(value.get_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Vec<Cell> {
        Cell::all(&Kind::ALL, Peer::value_variants(), &[1, 2, 3, 4, 8])
    }

    #[test]
    fn every_kind_has_cells_of_ours() {
        for kind in Kind::ALL {
            assert!(cells().iter().any(|cell| cell.kind == kind && cell.peer.is_ours()), "{kind}");
        }
    }

    #[test]
    fn what_cannot_be_is_named_and_not_left_out() {
        let node = Cell { kind: Kind::Cycle, depth: 1, peer: Peer::Node };
        assert!(cells().contains(&node));
        assert_eq!(node.impossible(), Some("cannot stop TLS"));
        assert_eq!(Cell { peer: Peer::OursSmol, ..node }.impossible(), None);
    }

    #[test]
    fn plain_tcp_has_no_layers() {
        assert!(cells().iter().filter(|cell| cell.peer == Peer::Tcp).all(|cell| cell.depth == 0));
    }

    #[test]
    fn there_is_always_something_to_do() {
        assert!(cells().iter().all(|cell| cell.work(true).amount > 0 && cell.work(true).connections > 0));
    }
}
