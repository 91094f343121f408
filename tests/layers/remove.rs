//! Layers are taken out of the list while it lives, wherever they stand.

use onionskin::layer::{Counter, IdleTimeout, Rate, Throttle};
use onionskin::stack::{CommandErrorKind, Event, LayerId, PeerAnswer, Stop};
use onionskin::testing::{Cut, Dice, Peer};

use crate::common::layers::{FirstLine, PassThrough};
use crate::common::link::{Link, WRAPPERS, assert_stopped, each, each_in_pieces, each_version, pattern};

#[track_caller]
fn remove(peer: &mut Peer, layer: LayerId) {
    peer.events();
    peer.stack.remove(peer.now(), layer).unwrap();
    let events = peer.events();
    let gone = matches!(events[..], [Event::Stopped(id, PeerAnswer::NotNeeded)] if id == layer);
    assert!(gone, "{events:?}");
    assert!(peer.stack.layer(layer).is_none());
}

#[test]
fn a_counter_leaves_from_below_live_tls() {
    each(1..=3, |case| {
        let mut link = Link::new(case);
        let counter = Counter::new();
        let counts = counter.counts();
        let layer = link.left.splice(counter);
        link.start_to(case.depth);
        link.talk();
        let seen = counts.outbound();
        assert!(seen > 0);
        remove(&mut link.left, layer);
        link.talk();
        assert_eq!(counts.outbound(), seen, "it counts no more");
        for _ in 0..case.depth {
            link.stop();
            link.talk();
        }
    });
}

#[test]
fn a_layer_leaves_from_the_top_the_middle_and_the_bottom_with_bytes_in_every_boundary() {
    each(0..=2, |case| {
        let mut link = Link::connected(case);
        let layers: Vec<LayerId> = (0..3).map(|_| link.left.splice(Counter::new())).collect();
        for gone in [1, 0, 2] {
            link.left.write(b"out");
            link.right.write(b"in");
            // Half of it is on its way.
            for _ in 0..gone {
                link.step();
            }
            remove(&mut link.left, layers[gone]);
            link.run();
            assert_eq!((link.left.read(), link.right.read()), (b"in".to_vec(), b"out".to_vec()));
        }
        link.talk();
    });
}

#[test]
fn wrappers_come_and_go_at_random_while_data_flows_both_ways() {
    each_in_pieces(0..=2, |case| {
        let seed = match case.cut {
            Cut::Random(seed) => seed,
            _ => 77,
        };
        let mut dice = Dice::new(seed);
        let mut link = Link::connected(case);
        link.left.events();
        link.right.events();
        let bytes = pattern(400_000);
        let (mut sent, mut got) = ([0, 0], [Vec::new(), Vec::new()]);
        let mut wrappers: [Vec<LayerId>; 2] = [Vec::new(), Vec::new()];
        while got.iter().any(|got| got.len() < bytes.len()) {
            for side in [0, 1] {
                let peer = if side == 0 { &mut link.pair.left } else { &mut link.pair.right };
                // Wrapper 0 has only the defaults of the trait and stays.
                if wrappers[side].len() < 6 && dice.one_in(3) {
                    wrappers[side].push(WRAPPERS[1 + dice.below(WRAPPERS.len() - 1)](peer));
                } else if !wrappers[side].is_empty() && dice.one_in(2) {
                    let at = dice.below(wrappers[side].len());
                    remove(peer, wrappers[side].swap_remove(at));
                }
                let most = (sent[side] + 1 + dice.below(20_000)).min(bytes.len());
                sent[side] += peer.write_some(&bytes[sent[side]..most]);
                if dice.one_in(2) {
                    got[1 - side].extend(peer.read_some(1 + dice.below(30_000)));
                }
            }
            for _ in 0..dice.below(4) {
                link.step();
            }
        }
        assert!(got == [bytes.clone(), bytes], "seed {seed}");
    });
}

#[test]
fn an_end_that_is_on_its_way_stays_in_its_place() {
    each(1..=2, |case| {
        let mut link = Link::connected(case);
        let layer = link.left.splice(Counter::new());
        link.right.write(b"before");
        link.right.stop(Stop::new()).unwrap();
        link.run();
        remove(&mut link.left, layer);
        assert_eq!(link.left.read(), b"before");
        assert!(link.left.ended().is_some());
    });
}

#[test]
fn layers_above_and_below_leave_in_the_middle_of_a_stop() {
    each(1..=2, |case| {
        let mut link = Link::new(case);
        let below = [link.pair.left.splice(Counter::new()), link.pair.right.splice(Counter::new())];
        link.start_to(case.depth);
        let slow = Throttle::new().outbound(Rate::per_second(10).burst(10));
        let above = [link.left.splice(slow), link.right.splice(Counter::new())];
        link.left.write(b"what the throttle holds back");
        let left = link.left.stop(Stop::new()).unwrap();
        link.left.write(b"below");
        link.run();
        remove(&mut link.left, below[0]);
        remove(&mut link.left, above[0]);
        remove(&mut link.right, below[1]);
        link.run();
        remove(&mut link.right, above[1]);
        assert_eq!(link.right.read(), b"what the throttle holds back");
        let right = link.right_answers();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        assert_eq!(link.right.read(), b"below");
        link.talk();
    });
}

#[test]
fn a_layer_that_is_gone_cannot_be_taken_out_again() {
    each_version(0, |case| {
        let mut link = Link::new(case);
        let (first, other) = (link.left.splice(Counter::new()), link.left.splice(Counter::new()));
        remove(&mut link.left, first);
        // The next one gets the place of the first in the slab.
        link.left.splice(Counter::new());
        let now = link.now();
        let refused = link.left.stack.remove(now, first).unwrap_err();
        assert!(refused.is_no_such_layer(), "{refused}");
        assert_eq!(link.left.stack.depth(), 2);
        remove(&mut link.left, other);
        assert_eq!(link.left.stack.depth(), 1);
    });
}

#[test]
fn tls_is_stopped_and_not_taken_out() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        let (now, tls) = (link.now(), link.left.stack.innermost_stoppable().unwrap());
        let refused = link.left.stack.remove(now, tls).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::CannotRemove(id) if *id == tls), "{refused}");
        assert_eq!(refused.to_string(), format!("layer {tls} has an end of its own; stop it instead"));
        link.talk();
    });
}

#[test]
fn a_layer_that_may_hold_bytes_refuses() {
    each_version(0, |case| {
        let mut link = Link::new(case);
        for layer in [link.left.splice(PassThrough), link.left.splice(FirstLine)] {
            let now = link.now();
            let refused = link.left.stack.remove(now, layer).unwrap_err();
            assert!(matches!(refused.kind(), CommandErrorKind::Refused(id, _) if *id == layer), "{refused}");
        }
        assert_eq!(link.left.stack.depth(), 2);
    });
}

#[test]
fn nothing_is_taken_out_of_a_connection_that_is_lost() {
    each_version(0, |case| {
        let mut link = Link::new(case);
        let layer = link.left.splice(IdleTimeout::new(std::time::Duration::from_secs(1)));
        link.advance(std::time::Duration::from_secs(2));
        let now = link.now();
        let refused = link.left.stack.remove(now, layer).unwrap_err();
        assert!(refused.reason().is_some(), "{refused}");
    });
}
