//! Protocols without any close_notify: a layer cut at a record boundary, or not at all.

use onionskin::stack::{CommandErrorKind, LayerErrorKind, PeerAnswer, Readable, Stop};

use crate::common::link::{DEPTHS, Link, ONE, assert_stopped, each, each_version, records, text};

fn abandon() -> Stop {
    Stop::new().abandon()
}

#[test]
fn both_sides_cut_and_go_on_in_clear() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.talk();
        let (left, right) = (link.left.stop(abandon()).unwrap(), link.right.stop(abandon()).unwrap());
        assert_stopped(&mut link.left, left, PeerAnswer::Abandoned);
        assert_stopped(&mut link.right, right, PeerAnswer::Abandoned);
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        link.talk();
    });
}

#[test]
fn no_close_notify_is_sent_and_earlier_writes_leave_through_the_layer() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        let before = link.left.sent().len();
        link.left.write(b"login");
        link.left.stop(abandon()).unwrap();
        link.left.write(b"in clear");
        link.run();
        let (records, rest) = records(&link.left.sent()[before..]);
        assert_eq!(records.len(), 1, "{records:?}");
        assert_eq!(text(rest), "in clear");
        assert_eq!(text(&link.right.read()), "login");
    });
}

#[test]
fn a_cut_during_the_handshake_is_refused_and_changes_nothing() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let left = link.left_starts();
        refuses(&mut link);
        let right = link.right_starts();
        link.run();
        link.assert_ready(left, right);
        link.talk();
    });
}

#[test]
fn a_cut_within_a_record_is_refused_and_changes_nothing() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.hold(true);
        link.right.write(b"whole");
        link.run();
        let record = link.left.intercept();
        link.left.hold(false);
        let (half, rest) = record.split_at(9);
        link.left.inject(half);
        link.run();
        refuses(&mut link);
        link.left.inject(rest);
        link.run();
        assert_eq!(text(&link.left.read()), "whole");
        link.left.stop(abandon()).unwrap();
    });
}

fn refuses(link: &mut Link) {
    let refused = link.left.stop(abandon()).unwrap_err();
    match refused.kind() {
        CommandErrorKind::Refused(_, error) => assert_eq!(error.kind(), LayerErrorKind::Unsupported, "{error}"),
        _ => panic!("{refused}"),
    }
}

#[test]
fn a_half_record_that_comes_before_queued_writes_have_left_is_not_cut_either() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        link.left.hold(true);
        link.right.write(b"whole");
        link.run();
        let record = link.left.intercept();
        link.left.hold(false);
        // More than leaves at once: the order to stop waits behind it.
        while link.left.write_some(&[b'x'; 16_384]) > 0 {}
        let left = link.left.stop(abandon()).unwrap();
        let now = link.now();
        let (half, rest) = record.split_at(9);
        assert_eq!(link.left.stack.handle_input(now, half), half.len());
        link.run();
        while !link.right.read().is_empty() {
            link.run();
        }
        link.left.inject(rest);
        link.run();
        assert_eq!(text(&link.left.read()), "whole");
        assert_stopped(&mut link.left, left, PeerAnswer::Abandoned);
        assert_eq!(link.left.ended(), Some(left));
        link.left.pass_end().unwrap();
        assert!(matches!(link.left.stack.readable(), Readable::Nothing));
    });
}

#[test]
fn a_layer_that_the_peer_has_stopped_is_cut_whatever_stands_behind_it() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.right.stop(Stop::new().writes_at_once()).unwrap();
        // The first bytes of a ClientHello: no more of this layer's business than any others.
        link.right.write(&[22, 3, 1]);
        link.run();
        let left = link.left.stop(abandon()).unwrap();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::Abandoned);
        link.left.pass_end().unwrap();
        assert_eq!(link.left.read(), [22, 3, 1]);
    });
}
