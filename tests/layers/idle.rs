//! A connection on which nothing happens ends, and one on which something does, does not.

use std::time::Duration;

use onionskin::layer::{IdleTimeout, Watch};
use onionskin::stack::LayerErrorKind;

use crate::common::link::{Link, each, each_version};

const MINUTE: Duration = Duration::from_secs(60);
const NEARLY: Duration = Duration::from_secs(59);

#[test]
fn silence_ends_the_connection_with_the_layers_name() {
    each(0..=2, |case| {
        let mut link = Link::connected(case);
        let idle = link.left.splice(IdleTimeout::new(MINUTE));
        link.advance(NEARLY);
        assert!(link.left.lost().is_none());
        link.advance(Duration::from_secs(1));
        let reason = link.left.lost().expect("nothing happened for a minute");
        assert_eq!(reason.layers()[0].layer, idle);
        assert!(reason.layer_error().unwrap().is_timeout());
        assert_eq!(reason.layer_error().unwrap().kind(), LayerErrorKind::Idle);
        assert!(reason.to_string().ends_with("nothing was sent or received for 60s"), "{reason}");
    });
}

#[test]
fn a_timeout_below_tls_ends_it_too() {
    each(1..=2, |case| {
        let mut link = Link::new(case);
        let idle = link.left.splice(IdleTimeout::new(MINUTE));
        link.start_to(case.depth);
        link.advance(MINUTE);
        let reason = link.left.lost().expect("nothing happened for a minute");
        assert_eq!(reason.layers()[0].layer, idle);
        assert_eq!(reason.layers().len(), 1 + case.depth, "{reason}");
    });
}

#[test]
fn bytes_either_way_start_the_time_anew() {
    each(0..=1, |case| {
        let mut link = Link::connected(case);
        link.left.splice(IdleTimeout::new(MINUTE));
        for word in 0..10 {
            link.advance(NEARLY);
            if word % 2 == 0 {
                link.left.write(b"x");
            } else {
                link.right.write(b"x");
            }
            link.run();
        }
        assert!(link.left.lost().is_none());
        link.left.read();
        link.advance(MINUTE);
        assert!(link.left.lost().is_some());
    });
}

#[test]
fn only_the_direction_that_is_watched_counts() {
    each(0..=1, |case| {
        for (watch, from_left, lost) in [
            (Watch::Inbound, true, true),
            (Watch::Inbound, false, false),
            (Watch::Outbound, true, false),
            (Watch::Outbound, false, true),
            (Watch::Either, true, false),
            (Watch::Either, false, false),
        ] {
            let mut link = Link::connected(case);
            link.left.splice(IdleTimeout::new(MINUTE).watch(watch));
            link.advance(NEARLY);
            if from_left {
                link.left.write(b"x");
            } else {
                link.right.write(b"x");
            }
            link.run();
            link.left.read();
            link.advance(NEARLY);
            assert_eq!(link.left.lost().is_some(), lost, "{watch:?}, from the left: {from_left}");
        }
    });
}

#[test]
fn what_came_before_the_timeout_is_still_read() {
    each(0..=1, |case| {
        let mut link = Link::connected(case);
        link.left.splice(IdleTimeout::new(MINUTE));
        link.right.write(b"last words");
        link.run();
        link.advance(MINUTE);
        assert_eq!(link.left.read(), b"last words");
        assert!(link.left.lost().is_some());
    });
}

#[test]
fn a_connection_that_is_lost_already_is_not_lost_again() {
    each(1..=2, |case| {
        let mut link = Link::connected(case);
        link.left.splice(IdleTimeout::new(MINUTE));
        link.left.end_input();
        link.run();
        let reason = link.left.lost().expect("the stream was cut off").to_string();
        assert!(reason.contains("without a close_notify"), "{reason}");
        link.advance(2 * MINUTE);
        assert_eq!(link.left.lost().unwrap().to_string(), reason);
    });
}

#[test]
fn a_timeout_that_is_taken_out_does_not_fire() {
    each(0..=1, |case| {
        let mut link = Link::new(case);
        let idle = link.left.splice(IdleTimeout::new(MINUTE));
        link.start_to(case.depth);
        let now = link.now();
        link.left.stack.remove(now, idle).unwrap();
        link.advance(10 * MINUTE);
        link.left.events();
        link.talk();
    });
}

#[test]
fn silence_after_a_loss_is_no_second_reason() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        link.right.splice(IdleTimeout::new(MINUTE));
        link.right_starts();
        link.right.inject(b"this is no ClientHello");
        link.left.hold(true);
        link.run();
        let later = link.now() + 2 * MINUTE;
        assert_eq!(link.right.stack.lost().unwrap().layers().len(), 1);
        link.right.stack.handle_timeout(later);
        let reason = link.right.stack.lost().unwrap();
        assert_eq!(reason.layers().len(), 1, "{reason}");
    });
}
