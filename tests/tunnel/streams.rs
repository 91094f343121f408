//! What a stream gets from its carrier: all of its bytes, room, an end of each direction.

use onionskin::stack::{Limits, PeerAnswer, Readable};
use onionskin::testing::{Cut, Mux, Pair};

use crate::{LEFT, RIGHT, Tunnel};

const CUTS: [Cut; 4] = [Cut::Whole, Cut::Bytes, Cut::Random(3), Cut::Random(4)];

pub(crate) fn pattern(count: usize, seed: usize) -> Vec<u8> {
    (0..count).map(|n| ((n * 7 + seed) % 251) as u8).collect()
}

#[test]
fn streams_with_tls_of_their_own_run_side_by_side() {
    for cut in CUTS {
        let (mut tunnel, ids) = Tunnel::with_streams(cut, 3);
        tunnel.start_tls(ids[0]);
        tunnel.start_tls(ids[2]);
        tunnel.start_tls(ids[2]);
        for &id in &ids {
            tunnel.assert_works(id);
        }
        let depths = ids.iter().map(|&id| tunnel.stack(RIGHT, id).depth()).collect::<Vec<_>>();
        assert_eq!(depths, [1, 0, 2]);
    }
}

#[test]
fn megabytes_cross_in_both_directions_of_each_stream() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 3);
    tunnel.start_tls(ids[1]);
    let said: Vec<Vec<u8>> = (0..6).map(|seed| pattern(1_000_000, seed)).collect();
    let (mut sent, mut heard) = ([0; 6], vec![Vec::new(); 6]);
    while heard.iter().zip(&said).any(|(heard, said)| heard.len() < said.len()) {
        let before = heard.iter().map(Vec::len).sum::<usize>() + sent.iter().sum::<usize>();
        for way in 0..6 {
            let (side, id) = (way % 2, ids[way / 2]);
            sent[way] += tunnel.write(side, id, &said[way][sent[way]..]);
        }
        tunnel.run();
        for way in 0..6 {
            let more = tunnel.read(1 - way % 2, ids[way / 2]);
            heard[way].extend(more);
        }
        let after = heard.iter().map(Vec::len).sum::<usize>() + sent.iter().sum::<usize>();
        assert!(after > before, "stuck at {sent:?}");
    }
    assert!(heard == said);
}

#[test]
fn who_does_not_read_holds_up_its_own_stream_and_no_other() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 2);
    let limit = Limits::default().buffer;
    let mut sent = 0;
    loop {
        let more = tunnel.write(LEFT, ids[0], &[7; 50_000]);
        tunnel.run();
        sent += more;
        if more == 0 {
            break;
        }
    }
    assert!((limit..=3 * limit).contains(&sent), "one boundary on each side is full: {sent}");
    assert_eq!(tunnel.carrier.right.stack.inbound_len(), 0, "the carrier is not");
    tunnel.assert_works(ids[1]);
    // What is read is given back, and no more than that.
    assert_eq!(tunnel.read(RIGHT, ids[0]).len(), limit);
    tunnel.run();
    assert_eq!(tunnel.stack(RIGHT, ids[0]).inbound_len(), sent - limit);
}

#[test]
fn a_layer_that_is_put_in_may_take_room_away_that_was_announced() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 1);
    let now = tunnel.carrier.now();
    tunnel.stack(RIGHT, ids[0]).set_read_limit(now, 1_000_000);
    tunnel.run();
    tunnel.stack(LEFT, ids[0]).set_write_limit(1_000_000);
    let said = pattern(700_000, 1);
    assert_eq!(tunnel.write(LEFT, ids[0], &said), said.len());
    let counter = Box::new(onionskin::layer::Counter::new());
    tunnel.stack(RIGHT, ids[0]).splice(now, counter).unwrap();
    let mut heard = Vec::new();
    while heard.len() < said.len() {
        tunnel.run();
        let more = tunnel.read(RIGHT, ids[0]);
        assert!(!more.is_empty(), "stuck at {}", heard.len());
        heard.extend(more);
    }
    assert!(heard == said);
}

#[test]
fn each_direction_of_a_stream_ends_by_itself() {
    for cut in CUTS {
        let (mut tunnel, ids) = Tunnel::with_streams(cut, 2);
        let now = tunnel.carrier.now();
        tunnel.write(LEFT, ids[0], b"request");
        tunnel.stack(LEFT, ids[0]).close(now);
        tunnel.run();
        assert_eq!(tunnel.read(RIGHT, ids[0]), b"request");
        assert!(matches!(tunnel.stack(RIGHT, ids[0]).readable(), Readable::EndOfInput));
        tunnel.say(RIGHT, ids[0], b"answer");
        tunnel.stack(RIGHT, ids[0]).close(now);
        tunnel.run();
        assert!(matches!(tunnel.stack(LEFT, ids[0]).readable(), Readable::EndOfInput));
        assert!(tunnel.stack(LEFT, ids[0]).lost().is_none() && tunnel.stack(RIGHT, ids[0]).lost().is_none());
        tunnel.assert_works(ids[1]);
    }
}

#[test]
fn tls_in_a_stream_stops_and_the_stream_goes_on() {
    for cut in CUTS {
        let (mut tunnel, ids) = Tunnel::with_streams(cut, 1);
        let [left, right] = tunnel.start_tls(ids[0]);
        tunnel.assert_works(ids[0]);
        tunnel.stop(LEFT, ids[0], left);
        tunnel.run();
        assert!(matches!(tunnel.stack(RIGHT, ids[0]).readable(), Readable::Ended(layer) if layer == right));
        tunnel.stop(RIGHT, ids[0], right);
        tunnel.run();
        let now = tunnel.carrier.now();
        for (side, layer) in [(LEFT, left), (RIGHT, right)] {
            let stack = tunnel.stack(side, ids[0]);
            let departure = stack.departure(layer);
            assert!(
                matches!(departure, Some(onionskin::stack::Departure::Stopped(PeerAnswer::CloseNotify))),
                "{departure:?}"
            );
            assert_eq!(stack.pass_end(now).unwrap(), layer);
            assert!(stack.departure(layer).is_none(), "it has been read");
        }
        tunnel.assert_works(ids[0]);
    }
}

#[test]
fn a_peer_opens_no_more_streams_than_there_may_be() {
    let mut tunnel = Tunnel::new(Cut::Whole);
    let ids: Vec<_> = (0..120).map(|_| tunnel.muxes[LEFT].open()).collect();
    tunnel.run();
    assert_eq!(tunnel.muxes[RIGHT].streams().count(), 100);
    tunnel.assert_works(ids[99]);
    assert_eq!(tunnel.loss(LEFT, ids[100]).io_error().unwrap().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_stream_that_is_forgotten_is_not_accepted() {
    let mut tunnel = Tunnel::new(Cut::Whole);
    let ids = [tunnel.muxes[LEFT].open(), tunnel.muxes[LEFT].open()];
    tunnel.run();
    tunnel.muxes[RIGHT].forget(ids[0]);
    assert_eq!(tunnel.muxes[RIGHT].accept(), Some(ids[1]));
    tunnel.assert_works(ids[1]);
    assert_eq!(tunnel.loss(LEFT, ids[0]).io_error().unwrap().kind(), std::io::ErrorKind::ConnectionReset);
}

/// Neither side of the two needs TLS, or anything else, below.
#[test]
fn a_mux_runs_in_a_stream_of_a_mux() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Random(9), 1);
    let now = tunnel.carrier.now();
    let mut muxes = [Mux::client("inner"), Mux::server("inner")];
    let id = muxes[LEFT].open();
    muxes[LEFT].stack_mut(id).unwrap().write(now, b"far down").unwrap();
    loop {
        let mut moved = tunnel.step();
        for (side, mux) in muxes.iter_mut().enumerate() {
            moved |= mux.drive(tunnel.stack(side, ids[0]), now);
        }
        if !moved {
            break;
        }
    }
    let accepted = muxes[RIGHT].accept().unwrap();
    let stack = muxes[RIGHT].stack(accepted).unwrap();
    assert!(matches!(stack.readable(), Readable::Bytes(b"far down")));
    assert_eq!(stack.to_string(), "tunnel 1 of inner");
}

#[test]
fn frames_that_are_none_break_off_the_carrier() {
    let frames: [(&[u8], &str); 5] = [
        (&[9, 0, 0, 0, 1, 0, 0], "no known kind"),
        (&[2, 0, 0, 0, 1, 255, 255], "longer than a frame may be"),
        (&[5, 0, 0, 0, 1, 0, 1, 7], "no known kind"),
        (&[1, 0, 0, 0, 2, 0, 0], "may not be"),
        (&[1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0], "may not be"),
    ];
    for (frame, expected) in frames {
        let mut pair = Pair::new(Cut::Whole);
        let mut mux = Mux::server("a tunnel");
        pair.left.write(frame);
        pair.run();
        let now = pair.now();
        mux.drive(&mut pair.right.stack, now);
        let lost = pair.right.stack.lost().expect("it is lost").to_string();
        assert!(lost.contains(expected), "{lost}");
    }
}
