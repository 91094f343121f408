//! Both sides stop at once: each takes the other's close_notify as the answer.

use onionskin::stack::{PeerAnswer, Stop};

use crate::common::link::{DEPTHS, Link, ONE, assert_stopped, each, is_alert, records, text};

#[test]
fn stops_that_cross_are_each_others_answer() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let (left, right) = (link.left.stop(Stop::new()).unwrap(), link.right.stop(Stop::new()).unwrap());
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        link.talk();
    });
}

#[test]
fn each_side_sends_one_close_notify() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.run();
        let before = (link.left.sent().len(), link.right.sent().len());
        link.left.stop(Stop::new()).unwrap();
        link.right.stop(Stop::new()).unwrap();
        link.run();
        for (peer, before) in [(&link.left, before.0), (&link.right, before.1)] {
            let (records, rest) = records(&peer.sent()[before..]);
            assert!(matches!(records[..], [record] if is_alert(case.version, record)), "{records:?}");
            assert!(rest.is_empty());
        }
    });
}

#[test]
fn what_was_in_flight_both_ways_when_stops_cross_is_delivered() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.write(b"left above");
        link.right.write(b"right above");
        link.left.stop(Stop::new()).unwrap();
        link.right.stop(Stop::new()).unwrap();
        link.left.write(b"left below");
        link.right.write(b"right below");
        link.run();
        assert_eq!(text(&link.left.read()), "right above");
        assert_eq!(text(&link.right.read()), "left above");
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.left.read()), "right below");
        assert_eq!(text(&link.right.read()), "left below");
    });
}

#[test]
fn stops_that_cross_with_writes_at_once_keep_both_sides_of_the_change_apart() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        for peer in [&mut link.pair.left, &mut link.pair.right] {
            peer.write(b"above");
            peer.stop(Stop::new().writes_at_once()).unwrap();
            peer.write(b"below");
        }
        link.run();
        for peer in [&mut link.pair.left, &mut link.pair.right] {
            assert_eq!(text(&peer.read()), "above");
            peer.pass_end().unwrap();
            assert_eq!(text(&peer.read()), "below");
        }
    });
}
