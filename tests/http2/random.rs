//! Whatever is done to tunnels and their carrier, in whatever order.

use futures::FutureExt;
use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use h2::Reason;
use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::testing::{Cut, Dice};

use crate::peer::Far;
use crate::{run, settle, target};

/// One tunnel, from both sides.
struct Pair {
    near: Option<Connection<Socket>>,
    far: Far,
    near_said: Vec<u8>,
    near_heard: Vec<u8>,
    near_closed: bool,
    /// What the reading of the near side has come to, if it has: an end, or none.
    near_end: Option<bool>,
    why: String,
    far_said: Vec<u8>,
    far_heard: Vec<u8>,
    far_ended: bool,
    far_end: Option<bool>,
    is_reset: bool,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { near_said, near_heard, far_said, far_heard, .. } = self;
        let lengths = [near_said, far_heard, far_said, near_heard].map(Vec::len);
        let Self { near_closed, near_end, far_ended, far_end, is_reset, .. } = self;
        write!(f, "{lengths:?} {near_closed} {near_end:?}, {far_ended} {far_end:?}, {is_reset}")
    }
}

impl Pair {
    fn new(near: Connection<Socket>, far: Far) -> Self {
        Self {
            near: Some(near),
            far,
            near_said: Vec::new(),
            near_heard: Vec::new(),
            near_closed: false,
            near_end: None,
            why: String::new(),
            far_said: Vec::new(),
            far_heard: Vec::new(),
            far_ended: false,
            far_end: None,
            is_reset: false,
        }
    }

    /// Reads once on the near side, up to so many bytes; whether there was anything.
    fn near_reads(&mut self, most: usize) -> bool {
        let Some(near) = self.near.as_mut().filter(|_| self.near_end.is_none()) else { return false };
        let mut buffer = vec![0; most];
        match near.read(&mut buffer).now_or_never() {
            None => return false,
            Some(Ok(0)) => self.near_end = Some(true),
            Some(Ok(count)) => self.near_heard.extend_from_slice(&buffer[..count]),
            Some(Err(error)) => {
                self.near_end = Some(false);
                self.why = error.to_string();
            }
        }
        true
    }

    fn far_reads(&mut self) -> bool {
        if self.far_end.is_some() {
            return false;
        }
        match self.far.recv.data().now_or_never() {
            None => return false,
            Some(None) => self.far_end = Some(true),
            Some(Some(Ok(bytes))) => {
                self.far.recv.flow_control().release_capacity(bytes.len()).unwrap();
                self.far_heard.extend_from_slice(&bytes);
            }
            Some(Some(Err(_))) => self.far_end = Some(false),
        }
        true
    }
}

const TUNNELS: usize = 4;

#[test]
fn no_byte_is_lost_in_silence_and_nobody_waits_for_what_never_comes() {
    let (mut ends, mut failures) = (0, 0);
    for seed in 0..SEEDS {
        let (more_ends, more_failures) = run(|bench| one_course(bench, seed));
        ends += more_ends;
        failures += more_failures;
    }
    assert!(ends > SEEDS / 4 && failures > SEEDS / 4, "both happen: {ends}, {failures}");
}

async fn one_course(bench: crate::Bench, seed: u64) -> (u64, u64) {
    let dice = &mut Dice::new(seed);
    let cut = [Cut::Whole, Cut::Bytes, Cut::Random(seed)][dice.below(3)];
    let (tunnels, mut proxy) = bench.tunnels(cut).await;
    // The tunnels are polled once at a time, and not when they are woken.
    let driven = tunnels.clone();
    bench.spawn(async move { driven.drive().await.unwrap_or_default() });
    let mut pairs = Vec::new();
    for _ in 0..TUNNELS {
        let (near, far) = join(tunnels.open(target()), proxy.grant()).await;
        pairs.push(Pair::new(near.unwrap(), far));
    }
    let most = if cut == Cut::Bytes { 1_000 } else { 30_000 };
    let mut is_sound = true;
    for _ in 0..dice.below(80) {
        let pair = &mut pairs[dice.below(TUNNELS)];
        match dice.below(40) {
            0..=9 => {
                let bytes: Vec<u8> =
                    (0..1 + dice.below(most)).map(|n| ((n + pair.near_said.len()) % 251) as u8).collect();
                let written =
                    pair.near.as_mut().filter(|_| !pair.near_closed).map(|near| near.write(&bytes).now_or_never());
                if let Some(Some(Ok(count))) = written {
                    pair.near_said.extend_from_slice(&bytes[..count]);
                }
            }
            10..=15 => _ = pair.near_reads(1 + dice.below(most)),
            16..=24 => {
                let bytes: Vec<u8> =
                    (0..1 + dice.below(most)).map(|n| ((n + pair.far_said.len()) % 241) as u8).collect();
                let said = bytes::Bytes::copy_from_slice(&bytes);
                if !pair.far_ended && !pair.is_reset && pair.far.send.send_data(said, false).is_ok() {
                    pair.far_said.extend_from_slice(&bytes);
                }
            }
            25..=29 => _ = pair.far_reads(),
            30 | 31 => {
                if let Some(near) = &mut pair.near {
                    let _ = near.close().now_or_never();
                    pair.near_closed = true;
                }
            }
            32 | 33 => {
                if !pair.is_reset && !pair.far_ended && pair.far.send.send_data(bytes::Bytes::new(), true).is_ok() {
                    pair.far_ended = true;
                }
            }
            34 if dice.one_in(3) => pair.near = None,
            35 if dice.one_in(3) => {
                pair.far.send.send_reset(Reason::CONNECT_ERROR);
                pair.is_reset = true;
            }
            36 if dice.one_in(12) => {
                proxy.hang_up();
                is_sound = false;
            }
            _ => settle().await,
        }
    }
    loop {
        settle().await;
        let mut moved = false;
        for pair in &mut pairs {
            if let Some(near) = &mut pair.near {
                let _ = near.flush().now_or_never();
            }
            moved |= pair.near_reads(100_000) | pair.far_reads();
        }
        if !moved {
            break;
        }
    }
    let (mut ends, mut failures) = (0, 0);
    for (pair, at) in pairs.iter().zip(1..) {
        let case = format!("seed {seed}, tunnel {at}");
        assert!(pair.far_said.starts_with(&pair.near_heard), "{case}");
        assert!(pair.near_said.starts_with(&pair.far_heard), "{case}");
        let is_whole = is_sound && !pair.is_reset;
        match pair.near_end {
            Some(true) => {
                assert!(pair.far_ended && pair.near_heard == pair.far_said, "{case}");
                ends += 1;
            }
            Some(false) => {
                assert!(!is_whole, "{case}: {}", pair.why);
                failures += 1;
            }
            None if pair.near.is_some() => {
                assert!(is_whole && !pair.far_ended && pair.near_heard == pair.far_said, "{case}: {pair:?}");
            }
            None => {}
        }
        if is_whole && pair.near.is_some() {
            assert_eq!(
                (pair.far_heard.len(), pair.far_end),
                (pair.near_said.len(), pair.near_closed.then_some(true)),
                "{case}"
            );
        }
        if is_sound && pair.near.is_none() && pair.near_end != Some(true) {
            assert!(pair.far_end.is_some(), "{case}: it hears of the drop");
        }
    }
    (ends, failures)
}

const SEEDS: u64 = 150;
