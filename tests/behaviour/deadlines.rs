//! Time: handshakes and stops end when the peer does not answer.

use std::time::Duration;

use onionskin::stack::{Event, LayerErrorKind, OnTimeout, PeerAnswer, Stop};
use onionskin::tls::OnFailure;

use crate::common::layers::StuckDeadline;
use crate::common::link::{DEPTHS, Link, ONE, assert_stopped, each, each_version, text};

const MOMENT: Duration = Duration::from_millis(1);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[track_caller]
fn assert_timed_out(link: &Link, kind: LayerErrorKind) {
    let reason = link.left.lost().expect("the deadline has passed");
    let error = reason.layer_error().unwrap();
    assert!(error.is_timeout(), "{reason}");
    assert_eq!(error.kind(), kind, "{reason}");
}

#[test]
fn a_handshake_that_stalls_fails_after_ten_seconds() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.advance(seconds(10) - MOMENT);
        assert!(link.left.lost().is_none());
        link.advance(MOMENT);
        assert_timed_out(&link, LayerErrorKind::HandshakeTimeout);
    });
}

#[test]
fn a_handshake_that_makes_progress_must_still_end_in_time() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.advance(seconds(9));
        link.left.hold(true);
        link.right_starts();
        link.run();
        let flight = link.left.intercept();
        link.left.hold(false);
        link.left.inject(&flight[..flight.len() / 2]);
        link.advance(seconds(1));
        assert_timed_out(&link, LayerErrorKind::HandshakeTimeout);
    });
}

#[test]
fn the_handshake_deadline_can_be_set_and_switched_off() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let layer = link.client_layer().handshake_timeout(Some(seconds(3)));
        link.left_splices(layer);
        link.advance(seconds(3));
        assert_timed_out(&link, LayerErrorKind::HandshakeTimeout);

        let mut link = Link::outer(case);
        let layer = link.client_layer().handshake_timeout(None);
        let left = link.left_splices(layer);
        link.advance(seconds(100_000));
        let right = link.right_starts();
        link.run();
        link.assert_ready(left, right);
    });
}

#[test]
fn a_stalled_handshake_can_be_peeled() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let layer = link.client_layer().on_failure(OnFailure::Peel);
        link.left_splices(layer);
        link.left.write(b"secret");
        link.advance(seconds(10));
        let events = link.left.events();
        assert!(matches!(&events[..], [Event::Failed { error, dropped: 6, .. }] if error.is_timeout()), "{events:?}");
        link.left.pass_end().unwrap();
        link.right.read();
        link.talk();
    });
}

#[test]
fn a_layer_that_is_ready_has_no_deadline() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        assert_eq!(link.left.stack.poll_deadline(), None);
        link.advance(seconds(100_000));
        link.talk();
    });
}

#[test]
fn a_stop_that_is_not_answered_loses_the_connection_after_five_seconds() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.advance(seconds(5) - MOMENT);
        assert!(link.left.lost().is_none());
        link.advance(MOMENT);
        assert_timed_out(&link, LayerErrorKind::StopTimeout);
    });
}

#[test]
fn a_stop_that_is_not_answered_can_peel_instead() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new().on_timeout(OnTimeout::Peel)).unwrap();
        link.left.write(b"below");
        link.advance(seconds(5));
        assert_stopped(&mut link.left, left, PeerAnswer::TimedOut);
        link.left.pass_end().unwrap();
        link.right_answers();
        link.right.pass_end().unwrap();
        link.run();
        assert_eq!(text(&link.right.read()), "below");
    });
}

#[test]
fn a_stop_whose_earlier_writes_have_not_left_is_never_peeled() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        while link.left.write_some(&[b'x'; 16_384]) > 0 {}
        link.left.stop(Stop::new().on_timeout(OnTimeout::Peel)).unwrap();
        // The wire takes nothing of it.
        let late = link.now() + seconds(30);
        link.left.stack.handle_timeout(late);
        let reason = link.left.stack.lost().expect("what was written through the layer must not leave without it");
        assert_eq!(reason.layer_error().unwrap().kind(), LayerErrorKind::StopTimeout);
    });
}

#[test]
fn the_stop_deadline_can_be_set_and_switched_off() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new().timeout(Some(seconds(2)))).unwrap();
        link.advance(seconds(2));
        assert_timed_out(&link, LayerErrorKind::StopTimeout);

        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new().timeout(None)).unwrap();
        link.advance(seconds(100_000));
        link.right_answers();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
    });
}

#[test]
fn an_answer_in_time_ends_the_deadline() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.advance(seconds(4));
        link.right_answers();
        link.run();
        assert_eq!(link.left.stack.poll_deadline(), None);
        link.advance(seconds(100));
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        link.talk();
    });
}

#[test]
fn a_stop_ordered_during_the_handshake_counts_from_its_end() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.left.stop(Stop::new()).unwrap();
        link.advance(seconds(9));
        assert!(link.left.lost().is_none(), "more than five seconds, but not of the stop");
        link.right_starts();
        link.run();
        link.advance(seconds(5) - MOMENT);
        assert!(link.left.lost().is_none());
        link.advance(MOMENT);
        assert_timed_out(&link, LayerErrorKind::StopTimeout);
    });
}

#[test]
fn a_stop_ordered_during_a_handshake_that_stalls_meets_the_handshakes_deadline() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.left.stop(Stop::new()).unwrap();
        link.advance(seconds(10));
        assert_timed_out(&link, LayerErrorKind::HandshakeTimeout);
    });
}

#[test]
fn when_the_grace_is_over_our_close_notify_leaves() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        let sent = link.left.sent().len();
        link.advance(Stop::GRACE - MOMENT);
        assert_eq!(link.left.sent().len(), sent);
        link.advance(MOMENT);
        assert!(link.left.sent().len() > sent);
        link.right_answers();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
    });
}

#[test]
fn a_stop_with_a_grace_has_the_same_deadline() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        link.advance(seconds(5));
        assert_timed_out(&link, LayerErrorKind::StopTimeout);
    });
}

#[test]
fn an_alert_that_finds_no_reader_does_not_linger_for_ever() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        link.right_starts();
        let now = link.now();
        link.right.stack.handle_input(now, b"EHLO example\r\n");
        let deadline = link.right.stack.poll_deadline().expect("the alert has not left");
        link.right.stack.handle_timeout(deadline);
        assert!(link.right.stack.is_flushed());
        assert_eq!(link.right.stack.poll_deadline(), None);
    });
}

#[test]
fn a_grace_longer_than_the_deadline_does_not_outlast_it() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let stop = Stop::new().after_peer(seconds(60)).on_timeout(OnTimeout::Peel);
        let left = link.left.stop(stop).unwrap();
        link.left.write(b"below");
        link.advance(seconds(5));
        assert_stopped(&mut link.left, left, PeerAnswer::TimedOut);
        link.left.pass_end().unwrap();
        link.right_answers();
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "below");
    });
}

#[test]
fn what_the_peer_says_too_late_shows_below_a_layer_that_was_peeled() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new().on_timeout(OnTimeout::Peel)).unwrap();
        link.advance(seconds(5));
        link.left.pass_end().unwrap();
        let sent = link.right.sent().len();
        link.right_answers();
        link.run();
        assert_eq!(link.left.read(), link.right.sent()[sent..]);
    });
}

#[test]
fn a_deadline_beyond_all_time_is_none() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let layer = link.client_layer().handshake_timeout(Some(Duration::MAX));
        link.left_splices(layer);
        assert_eq!(link.left.stack.poll_deadline(), None);
        link.right_starts();
        link.run();
        link.left.stop(Stop::new().timeout(Some(Duration::MAX)).after_peer(Duration::MAX)).unwrap();
        assert_eq!(link.left.stack.poll_deadline(), None);
        link.right.stop(Stop::new()).unwrap();
        link.run();
        assert!(link.left.ended().is_some() && link.right.ended().is_some());
    });
}

#[test]
fn a_layer_whose_deadline_stays_in_the_past_is_not_asked_for_ever() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let layer = link.left.splice(StuckDeadline::default());
        link.advance(seconds(1));
        let reason = link.left.lost().expect("it would fire for ever");
        assert_eq!(reason.layers()[0].layer, layer);
        assert!(link.left.stack.poll_deadline().is_none());
    });
}
