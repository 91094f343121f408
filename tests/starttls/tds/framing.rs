//! The layer below TLS by itself. The application is TLS, as far as it can tell.

use onionskin::stack::{Event, LayerError, LayerErrorKind, LayerId, Limits, PeerAnswer};
use onionskin::starttls::{StartTls, Tds};
use onionskin::testing::{Cut, Dice, Pair, Peer};

use crate::common::link::{pattern, text};

const CUTS: [Cut; 6] = [Cut::Whole, Cut::Bytes, Cut::Pieces(9), Cut::Coalesced, Cut::Random(1), Cut::Random(2)];

#[test]
fn a_flight_goes_in_packets_of_at_most_4096_bytes_the_last_of_them_marked() {
    let mut pair = Pair::new(Cut::Whole);
    splice(&mut pair.left);
    let flight = record(22, 10_000);
    pair.left.write(&flight);
    pair.run();
    let packets = packets(pair.left.sent());
    let seen: Vec<_> = packets.iter().map(|(header, payload)| (header[0], header[1], payload.len())).collect();
    assert_eq!(seen, [(0x12, 0, 4088), (0x12, 0, 4088), (0x12, 1, 1829)]);
    assert_eq!(packets.iter().flat_map(|(_, payload)| payload.to_vec()).collect::<Vec<_>>(), flight);
    assert_eq!(packets.iter().map(|(header, _)| header[6]).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn what_one_side_wraps_the_other_unwraps_and_both_are_gone_behind_finished() {
    for cut in CUTS {
        let mut pair = Pair::new(cut);
        let (left, right) = (splice(&mut pair.left), splice(&mut pair.right));
        let all = [handshake(60_000), record(23, 30_000)].concat();
        assert!(pair.left_to_right(&all) == all, "{cut:?}");
        assert_eq!((pair.left.stack.depth(), pair.right.stack.depth()), (1, 1), "the other direction is not over");
        assert!(pair.left.sent().ends_with(&record(23, 30_000)), "bare");
        assert!(pair.right_to_left(&all) == all, "{cut:?}");
        assert_gone(&mut pair.left, left);
        assert_gone(&mut pair.right, right);
        pair.left.write(b"from the left");
        pair.run();
        assert_eq!(text(&pair.right.read()), "from the left");
    }
}

#[test]
fn packets_may_be_cut_anywhere_and_what_stands_behind_them_is_untouched() {
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        for cut in [Cut::Whole, Cut::Bytes, Cut::Random(seed)] {
            let mut pair = Pair::new(cut);
            splice(&mut pair.left);
            let handshake = handshake(2000);
            let mut rest = &handshake[..];
            let mut wrapped = Vec::new();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((1 + dice.below(300)).min(rest.len()));
                wrapped.extend(packet(now));
                rest = later;
            }
            pair.left.inject(&[&wrapped, &b"\x12\x01 and this is bare"[..]].concat());
            pair.run();
            let read = [&handshake, &b"\x12\x01 and this is bare"[..]].concat();
            assert!(pair.left.read() == read, "seed {seed}, {cut:?}");
        }
    }
}

#[test]
fn what_finds_no_room_waits_on_either_side() {
    let limits = Limits::default().with_buffer(40 * 1024);
    let mut pair = Pair::with_limits(Cut::Whole, limits);
    splice(&mut pair.left);
    splice(&mut pair.right);
    let all = handshake(400_000);
    // Nothing leaves.
    let mut written = 0;
    loop {
        match pair.left.write_some(&all[written..]) {
            0 => break,
            count => written += count,
        }
    }
    assert!((limits.buffer..=2 * limits.buffer).contains(&written), "{written} bytes were taken");
    // Nobody reads.
    loop {
        pair.run();
        match pair.left.write_some(&all[written..]) {
            0 => break,
            count => written += count,
        }
    }
    assert!((limits.buffer..=2 * limits.buffer).contains(&pair.right.stack.inbound_len()));
    let mut read = Vec::new();
    while read.len() < all.len() {
        let now = pair.right.read();
        assert!(!now.is_empty());
        read.extend(now);
        pair.run();
    }
    assert!(read == all, "nothing is lost");
}

#[test]
fn what_is_not_a_handshake_in_packets_has_a_name() {
    let finished = handshake(100);
    let cases: [(&str, Vec<u8>, LayerErrorKind); 10] = [
        ("a bare record", record(22, 100), LayerErrorKind::NotSpoken),
        ("a packet of another type", [&[0x04, 1], &packet(&record(22, 9))[2..]].concat(), LayerErrorKind::NotSpoken),
        ("a packet of another type, as far as its first byte", vec![0x10], LayerErrorKind::NotSpoken),
        ("an empty packet", packet(&[]), LayerErrorKind::Protocol),
        ("a packet shorter than its header", vec![0x12, 1, 0, 7, 0, 0, 1, 0], LayerErrorKind::Protocol),
        ("a packet of 65,535 bytes", vec![0x12, 1, 255, 255, 0, 0, 1, 0], LayerErrorKind::Limit),
        ("a packet without TLS", packet(b"SELECT 1"), LayerErrorKind::NotSpoken),
        ("a record of data before Finished", packet(&record(23, 100)), LayerErrorKind::Protocol),
        ("a record too large", packet(&[22, 3, 3, 255, 255]), LayerErrorKind::Limit),
        ("a packet that goes on", packet(&[&finished, &b"x"[..]].concat()), LayerErrorKind::Protocol),
    ];
    for (what, bytes, kind) in cases {
        for cut in [Cut::Whole, Cut::Bytes] {
            let mut pair = Pair::new(cut);
            splice(&mut pair.left);
            pair.left.inject(&bytes);
            pair.run();
            pair.left.read();
            assert_eq!(lost(&pair.left), Some(kind), "{what}, {cut:?}");
        }
    }
}

#[test]
fn what_we_say_ourselves_has_to_be_such_a_handshake_too() {
    for (bytes, kind) in
        [(record(23, 100), LayerErrorKind::Protocol), (b"SELECT 1".to_vec(), LayerErrorKind::NotSpoken)]
    {
        let mut pair = Pair::new(Cut::Whole);
        splice(&mut pair.left);
        pair.left.write(&bytes);
        pair.run();
        assert_eq!(lost(&pair.left), Some(kind));
        assert_eq!(text(pair.left.sent()), "");
    }
}

#[test]
fn an_alert_ends_nothing() {
    let mut pair = Pair::new(Cut::Whole);
    splice(&mut pair.left);
    splice(&mut pair.right);
    let all = [record(22, 100), record(21, 2), record(20, 1), record(21, 2), record(22, 40), record(21, 2)].concat();
    assert!(pair.left_to_right(&all) == all);
    let [(_, handshake)] = packets(&pair.left.sent()[..pair.left.sent().len() - 7])[..] else { panic!("one packet") };
    assert_eq!(handshake.len(), all.len() - 7, "the alert behind Finished is bare");
}

#[test]
fn the_end_of_the_connection_is_passed_on_between_packets_and_an_error_within() {
    let packet = packet(&record(22, 20));
    for count in 0..=packet.len() {
        let mut pair = Pair::new(Cut::Bytes);
        splice(&mut pair.left);
        pair.left.inject(&packet[..count]);
        pair.left.end_input();
        pair.run();
        let read = pair.left.read();
        assert_eq!(read.len(), count.saturating_sub(8));
        let between = count == 0 || count == packet.len();
        assert_eq!(lost(&pair.left), (!between).then_some(LayerErrorKind::Truncated), "{count} bytes");
        assert!(pair.left.stack.is_input_closed());
    }
}

#[test]
fn an_order_to_close_is_passed_on_behind_what_was_written() {
    let mut pair = Pair::new(Cut::Whole);
    splice(&mut pair.left);
    splice(&mut pair.right);
    pair.left.write(&record(22, 5000));
    let now = pair.now();
    pair.left.stack.close(now);
    pair.run();
    assert_eq!(pair.right.read(), record(22, 5000));
    assert!(pair.left.stack.is_flushed() && pair.right.stack.is_input_closed());
}

fn splice(peer: &mut Peer) -> LayerId {
    let layer = Tds::new().client().layer_below_tls().expect("TDS has one");
    peer.stack.splice(peer.now(), layer).unwrap()
}

#[track_caller]
fn assert_gone(peer: &mut Peer, layer: LayerId) {
    let events = peer.events();
    assert!(matches!(events[..], [Event::Stopped(id, PeerAnswer::NotNeeded)] if id == layer), "{events:?}");
    assert_eq!(peer.stack.depth(), 0);
}

fn lost(peer: &Peer) -> Option<LayerErrorKind> {
    peer.lost().and_then(|reason| reason.layer_error().map(LayerError::kind))
}

/// Messages of so many bytes, ChangeCipherSpec, and Finished.
fn handshake(mut len: usize) -> Vec<u8> {
    let mut handshake = Vec::new();
    while len > 0 {
        let now = len.min(16_384);
        handshake.extend(record(22, now));
        len -= now;
    }
    [handshake, record(20, 1), record(22, 40)].concat()
}

fn record(content_type: u8, len: usize) -> Vec<u8> {
    let [high, low] = (len as u16).to_be_bytes();
    [&[content_type, 3, 3, high, low], &pattern(len)[..]].concat()
}

fn packet(payload: &[u8]) -> Vec<u8> {
    let [high, low] = (8 + payload.len() as u16).to_be_bytes();
    [&[0x12, 1, high, low, 0, 0, 1, 0], payload].concat()
}

/// All that was sent, as packets.
fn packets(mut sent: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut packets = Vec::new();
    while !sent.is_empty() {
        let len = usize::from(u16::from_be_bytes([sent[2], sent[3]]));
        let (packet, rest) = sent.split_at(len);
        assert!(len <= 4096);
        packets.push(packet.split_at(8));
        sent = rest;
    }
    packets
}
