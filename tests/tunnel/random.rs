//! Whatever is done to streams and their carrier, in whatever order.

use onionskin::stack::Readable;
use onionskin::testing::{Cut, Dice};

use crate::streams::pattern;
use crate::{LEFT, RIGHT, Tunnel};

/// What one side of a stream has said and done, and what it has heard.
#[derive(Default)]
struct Side {
    said: Vec<u8>,
    closed: bool,
    broken: bool,
    heard: Vec<u8>,
}

const STREAMS: usize = 4;

#[test]
fn no_byte_is_lost_in_silence_and_nobody_waits_for_what_never_comes() {
    let (mut whole, mut lost) = (0, 0);
    for seed in 0..SEEDS {
        let dice = &mut Dice::new(seed);
        let cut = [Cut::Whole, Cut::Bytes, Cut::Random(seed)][dice.below(3)];
        let (mut tunnel, ids) = Tunnel::with_streams(cut, STREAMS);
        let mut streams: Vec<[Side; 2]> = (0..STREAMS).map(|_| Default::default()).collect();
        let most = if cut == Cut::Bytes { 2_000 } else { 40_000 };
        let (mut carrier_is_sound, mut is_cut) = (true, [false; 2]);
        for _ in 0..dice.below(120) {
            let (stream, side) = (dice.below(STREAMS), dice.below(2));
            let now = tunnel.carrier.now();
            let state = &mut streams[stream][side];
            match dice.below(40) {
                0..=11 => {
                    let bytes = pattern(dice.below(most), state.said.len() + stream);
                    if let Ok(count) = tunnel.stack(side, ids[stream]).write(now, &bytes) {
                        state.said.extend_from_slice(&bytes[..count]);
                    }
                }
                12..=21 => {
                    let stack = tunnel.stack(side, ids[stream]);
                    if let Readable::Bytes(bytes) = stack.readable() {
                        let count = 1 + dice.below(bytes.len());
                        state.heard.extend_from_slice(&bytes[..count]);
                        stack.consume(now, count);
                    }
                }
                22..=31 => drop((0..dice.below(20)).all(|_| tunnel.step())),
                32 | 33 => {
                    tunnel.stack(side, ids[stream]).close(now);
                    state.closed = true;
                }
                34 if dice.one_in(2) => {
                    tunnel.stack(side, ids[stream]).abort(now);
                    state.broken = true;
                }
                35 => tunnel.carrier(side).hold(true),
                36 => tunnel.carrier(side).hold(false),
                37 if dice.one_in(4) => {
                    carrier_is_sound = false;
                    tunnel.carrier(side).stack.close(now);
                }
                38 if dice.one_in(4) => {
                    carrier_is_sound = false;
                    tunnel.carrier(side).stack.abort(now);
                    tunnel.carrier(1 - side).end_input();
                }
                39 if dice.one_in(4) => {
                    (carrier_is_sound, is_cut[side]) = (false, true);
                    tunnel.carrier(side).end_input();
                }
                _ => {}
            }
        }
        for side in [LEFT, RIGHT] {
            tunnel.carrier(side).hold(false);
        }
        loop {
            tunnel.run();
            let mut more = false;
            for (&id, sides) in ids.iter().zip(&mut streams) {
                for side in [LEFT, RIGHT] {
                    let read = tunnel.read(side, id);
                    more |= !read.is_empty();
                    sides[side].heard.extend(read);
                }
            }
            if !more {
                break;
            }
        }
        for (&id, sides) in ids.iter().zip(&streams) {
            for side in [LEFT, RIGHT] {
                let case = format!("seed {seed}, stream {id}, side {side}");
                let (us, them) = (&sides[side], &sides[1 - side]);
                assert!(them.said.starts_with(&us.heard), "{case}: {} of {}", us.heard.len(), them.said.len());
                let is_broken = !carrier_is_sound || us.broken || them.broken;
                match tunnel.stack(side, id).readable() {
                    Readable::EndOfInput => {
                        assert!(them.closed && us.heard == them.said, "{case}");
                        whole += 1;
                    }
                    Readable::Lost(reason) => {
                        assert!(is_broken, "{case}: {reason}");
                        lost += 1;
                    }
                    Readable::Nothing => {
                        assert!(
                            !them.closed && us.heard == them.said,
                            "{case}: {} of {}",
                            us.heard.len(),
                            them.said.len()
                        );
                        assert!(!is_broken || !them.broken && !us.broken, "{case}");
                    }
                    readable => panic!("{case}: {readable:?}"),
                }
                // Who is cut off hears nothing more, and says of no byte that there is room again.
                let stack = tunnel.stack(side, id);
                let is_awaited = is_cut[1 - side] || stack.outbound_len() == 0 || stack.lost().is_some();
                assert!(is_awaited, "{case}: {} never leave", stack.outbound_len());
            }
        }
    }
    assert!(whole > SEEDS / 2 && lost > SEEDS / 2, "both happen: {whole}, {lost}");
}

const SEEDS: u64 = 100;
