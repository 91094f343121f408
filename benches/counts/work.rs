//! The pieces of work.

use onionskin::stack::{Ends, Layer, LayerError};

use crate::pair::{Bare, Configs, Pair};
use crate::probe::{Probe, live_bytes};

/// A piece of work that is counted by itself, in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// One MiB in writes of 64 KiB from the client's application to the server's, through so many layers.
    Bulk { depth: usize },
    /// A small message from the client's application to its wire.
    Encode { depth: usize },
    /// The same from the server's wire to its application.
    Decode { depth: usize },
    /// The same message made into a record by a bare connection of rustls.
    BareEncode,
    /// That record read by another.
    BareDecode,
    /// A layer that does nothing is put in above one of TLS.
    Splice,
    /// And taken out again.
    Peel,
}

impl Work {
    /// All of it, by name.
    pub(crate) const ALL: [(&str, Self); 12] = [
        ("bulk-depth-1", Self::Bulk { depth: 1 }),
        ("bulk-depth-2", Self::Bulk { depth: 2 }),
        ("bulk-depth-4", Self::Bulk { depth: 4 }),
        ("bulk-depth-8", Self::Bulk { depth: 8 }),
        ("encode-depth-1", Self::Encode { depth: 1 }),
        ("encode-depth-4", Self::Encode { depth: 4 }),
        ("encode-bare-rustls", Self::BareEncode),
        ("decode-depth-1", Self::Decode { depth: 1 }),
        ("decode-depth-4", Self::Decode { depth: 4 }),
        ("decode-bare-rustls", Self::BareDecode),
        ("splice", Self::Splice),
        ("peel", Self::Peel),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, work)| work)
    }

    /// Does it as often as it takes for the count not to depend on where it begins, and returns how often that was.
    pub(crate) fn run(self, configs: &Configs, probe: &mut Probe) -> usize {
        match self {
            Self::Bulk { depth } => bulk(&mut Pair::new(configs, depth), probe),
            Self::Encode { depth } => encode(&mut Pair::new(configs, depth), probe),
            Self::Decode { depth } => decode(&mut Pair::new(configs, depth), probe),
            Self::BareEncode => bare_encode(&mut Bare::new(configs), probe),
            Self::BareDecode => bare_decode(&mut Bare::new(configs), probe),
            Self::Splice => splice(&mut Pair::new(configs, 1), probe),
            Self::Peel => peel(&mut Pair::new(configs, 1), probe),
        }
    }
}

fn bulk(pair: &mut Pair, probe: &mut Probe) -> usize {
    let bytes = vec![b'x'; WRITE];
    let mut mebibyte = || (0..MEBIBYTE / WRITE).for_each(|_| pair.up(&bytes));
    mebibyte();
    (0..MEBIBYTES).for_each(|_| probe.collect(&mut mebibyte));
    MEBIBYTES
}

fn encode(pair: &mut Pair, probe: &mut Probe) -> usize {
    messages(pair, |pair, wire| {
        probe.collect(|| {
            pair.client.write(&MESSAGE);
            pair.client.send(wire);
        });
        pair.server.receive(wire);
        assert_eq!(pair.server.read(), MESSAGE.len());
    })
}

fn decode(pair: &mut Pair, probe: &mut Probe) -> usize {
    messages(pair, |pair, wire| {
        pair.client.write(&MESSAGE);
        pair.client.send(wire);
        probe.collect(|| {
            pair.server.receive(wire);
            assert_eq!(pair.server.read(), MESSAGE.len());
        });
    })
}

fn messages(pair: &mut Pair, mut message: impl FnMut(&mut Pair, &mut Vec<u8>)) -> usize {
    let mut wire = Vec::with_capacity(MEBIBYTE);
    for _ in 0..REPEATS {
        wire.clear();
        message(pair, &mut wire);
    }
    REPEATS
}

fn bare_encode(bare: &mut Bare, probe: &mut Probe) -> usize {
    let mut record = vec![0; 2 * MESSAGE.len()];
    for _ in 0..REPEATS {
        let mut len = 0;
        probe.collect(|| len = bare.encode(&MESSAGE, &mut record));
        assert_eq!(bare.decode(&mut record[..len]), MESSAGE.len());
    }
    REPEATS
}

fn bare_decode(bare: &mut Bare, probe: &mut Probe) -> usize {
    let mut record = vec![0; 2 * MESSAGE.len()];
    for _ in 0..REPEATS {
        let len = bare.encode(&MESSAGE, &mut record);
        probe.collect(|| assert_eq!(bare.decode(&mut record[..len]), MESSAGE.len()));
    }
    REPEATS
}

fn splice(pair: &mut Pair, probe: &mut Probe) -> usize {
    let (stack, now) = (&mut pair.client.stack, pair.client.now);
    for _ in 0..REPEATS {
        let mut id = None;
        probe.collect(|| id = Some(stack.splice(now, Box::new(PassThrough)).expect("the stack takes a layer")));
        let id = id.expect("it was put in");
        stack.remove(now, id).expect("it can be taken out");
        while stack.poll_event().is_some() {}
    }
    REPEATS
}

fn peel(pair: &mut Pair, probe: &mut Probe) -> usize {
    let (stack, now) = (&mut pair.client.stack, pair.client.now);
    for _ in 0..REPEATS {
        let id = stack.splice(now, Box::new(PassThrough)).expect("the stack takes a layer");
        while stack.poll_event().is_some() {}
        probe.collect(|| {
            stack.remove(now, id).expect("it can be taken out");
            while stack.poll_event().is_some() {}
        });
    }
    REPEATS
}

/// Passes everything on, by the defaults of the trait.
#[derive(Debug)]
struct PassThrough;

impl Layer for PassThrough {
    fn detach(&mut self, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Ok(())
    }
}

/// The bytes that one idle server of this depth holds, when a MiB has passed each way: its stack and its TLS.
pub(crate) fn held_by_idle_server(configs: &Configs, depth: usize) -> usize {
    let bytes = vec![b'x'; WRITE];
    let (mut clients, mut servers) = (Vec::new(), Vec::with_capacity(CONNECTIONS));
    for _ in 0..CONNECTIONS {
        let mut pair = Pair::new(configs, depth);
        for _ in 0..MEBIBYTE / WRITE {
            pair.up(&bytes);
            pair.down(&bytes);
        }
        clients.push(pair.client);
        servers.push(pair.server);
    }
    let before = live_bytes();
    drop(servers);
    (before - live_bytes()) / CONNECTIONS
}

/// What a protocol of lines sends.
const MESSAGE: [u8; 64] = [b'x'; 64];

const MEBIBYTE: usize = 1024 * 1024;
const WRITE: usize = 64 * 1024;

const MEBIBYTES: usize = 2;
const REPEATS: usize = 1000;
const CONNECTIONS: usize = 50;
