//! Bytes through layers: all of them, once, in sequence, in as few records as can be.

use std::time::Duration;

use onionskin::stack::LayerId;
use onionskin::testing::Peer;
use onionskin::tls::TlsLayer;

use crate::common::link::{Case, DEPTHS, Link, ONE, each, each_in_pieces, each_version, facts, pattern, records, text};

#[test]
fn bytes_come_through_all_layers_both_ways() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        for _ in 0..3 {
            link.talk();
        }
    });
}

#[test]
fn many_writes_arrive_as_the_same_bytes() {
    each(1..=3, |case| {
        let mut link = Link::connected(case);
        let bytes = pattern(2_000);
        bytes.chunks(7).for_each(|chunk| link.left.write(chunk));
        link.run();
        assert!(link.right.read() == bytes);
    });
}

#[test]
fn writes_of_every_awkward_size_arrive() {
    each_in_pieces(1..=3, |case| {
        let mut link = Link::connected(case);
        for len in [0, 1, 1023, 1024, 16_383, 16_384, 16_385, 40_000] {
            let bytes = pattern(len);
            assert!(link.left_to_right(&bytes) == bytes, "{len} bytes to the right");
            assert!(link.right_to_left(&bytes) == bytes, "{len} bytes to the left");
        }
    });
}

#[test]
fn ten_megabytes_arrive_whole() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        let bytes = pattern(10_000_000);
        assert!(link.left_to_right(&bytes) == bytes);
    });
}

#[test]
fn an_empty_write_sends_nothing() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let before = link.left.sent().len();
        link.left.write(b"");
        link.run();
        assert_eq!(link.left.sent().len(), before);
    });
}

#[test]
fn one_fragment_is_one_record_in_every_layer() {
    each_version(5, |case| {
        // One after the other, and all at once: then no layer knows its version when the next one starts.
        one_record_each(Link::connected(case));
        let mut link = Link::new(case);
        for _ in 0..case.depth {
            link.left_starts();
            link.right_starts();
        }
        link.run();
        one_record_each(link);
    });
}

#[test]
fn records_are_small_until_bytes_flow_and_again_after_a_pause() {
    each(1..=5, |case| {
        let Some((mut link, _)) = connected_13(case) else { return };
        let sizes = |link: &mut Link| -> Vec<usize> {
            let before = link.left.sent().len();
            link.left.write(&pattern(60_000));
            link.run();
            assert!(link.right.read() == pattern(60_000));
            let sent = link.left.sent();
            records(&sent[before..]).0.into_iter().map(|(_, len)| len).collect()
        };
        let small = |sizes: &[usize]| sizes.iter().take_while(|&&len| len < 1448).count();
        let first = sizes(&mut link);
        assert!(small(&first) >= 9, "{first:?}");
        let then = sizes(&mut link);
        assert_eq!((small(&then), then.len()), (0, 4), "one for each layer is one on the wire: {then:?}");
        link.advance(Duration::from_millis(1001));
        assert_eq!(sizes(&mut link), first);
    });
}

fn one_record_each(mut link: Link) {
    let layers: Vec<LayerId> = link.left.stack.layers().map(|(id, _)| id).collect();
    let records =
        |peer: &Peer| -> Vec<u64> { layers.iter().map(|&layer| facts(peer, layer).traffic.records_out).collect() };
    // Around the largest fragment that fits, which the version decides, and several of them.
    for len in (16_250..16_400).step_by(10).chain([50_000, 100_000]) {
        let before = records(&link.left);
        link.left.write(&pattern(len));
        link.run();
        link.right.read();
        let sent: Vec<u64> = records(&link.left).iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(sent, vec![sent[0]; layers.len()], "{len} bytes");
    }
}

fn update_keys(peer: &mut Peer, layer: LayerId) {
    let now = peer.now();
    peer.stack.with_layer(now, layer, TlsLayer::request_key_update).unwrap().unwrap();
}

fn connected_13(case: Case) -> Option<(Link, LayerId)> {
    if case.version != onionskin::tls::Version::Tls13 {
        return None;
    }
    let link = Link::connected(case);
    let left = link.left.stack.innermost_stoppable().unwrap();
    Some((link, left))
}

#[test]
fn keys_are_updated_on_request_and_bytes_keep_flowing() {
    each(1..=3, |case| {
        let Some((mut link, left)) = connected_13(case) else { return };
        for _ in 0..3 {
            update_keys(&mut link.left, left);
            link.talk();
            update_keys(&mut link.left, left);
            link.run();
            link.talk();
        }
    });
}

#[test]
fn a_key_update_is_answered_on_an_idle_connection() {
    each(ONE, |case| {
        let Some((mut link, left)) = connected_13(case) else { return };
        let (asked, answered) = (link.left.sent().len(), link.right.sent().len());
        update_keys(&mut link.left, left);
        link.run();
        // A KeyUpdate is five bytes; header, content type and tag go around it.
        assert_eq!(link.left.sent().len(), asked + 5 + 5 + 17);
        assert_eq!(link.right.sent().len(), answered + 5 + 5 + 17);
        link.talk();
    });
}

#[test]
fn key_updates_of_both_sides_may_cross() {
    each(1..=3, |case| {
        let Some((mut link, left)) = connected_13(case) else { return };
        let right = link.right.stack.innermost_stoppable().unwrap();
        update_keys(&mut link.left, left);
        update_keys(&mut link.right, right);
        link.talk();
        link.talk();
    });
}

#[test]
fn a_key_update_is_refused_where_there_is_none() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let left = link.left_starts();
        let now = link.now();
        let ask = |link: &mut Link| link.left.stack.with_layer(now, left, TlsLayer::request_key_update).unwrap();
        assert!(ask(&mut link).is_err(), "during the handshake");
        link.right_starts();
        link.run();
        assert_eq!(ask(&mut link).is_ok(), case.version == onionskin::tls::Version::Tls13);
        link.talk();
        link.left.stop(Default::default()).unwrap();
        assert!(ask(&mut link).is_err(), "after our close_notify");
    });
}

#[test]
fn a_record_that_was_tampered_with_loses_the_connection() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.right.hold(true);
        link.left.write(b"sound");
        link.run();
        let mut record = link.right.intercept();
        *record.last_mut().unwrap() ^= 1;
        link.right.hold(false);
        link.right.inject(&record);
        link.run();
        assert_eq!(text(&link.right.read()), "");
        assert!(link.right.lost().is_some());
    });
}
