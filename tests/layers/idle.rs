//! A connection on which nothing happens ends, and one on which something does, does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{AsyncWriteExt, FutureExt};
use onionskin::Connection;
use onionskin::layer::{IdleTimeout, Rate, Throttle, Watch};
use onionskin::protocol::{self, Addresses, Protocol, Session, Transport};
use onionskin::stack::{LayerErrorKind, Limits, Output, Stack};
use onionskin::testing::{Clock, Cut, wire};

use crate::common::link::{Link, ONE, each, each_version};

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

/// A stack with this layer alone, and the time.
struct Bare {
    stack: Stack,
    now: Instant,
}

impl Bare {
    fn new(layer: IdleTimeout) -> Self {
        let mut bare = Self { stack: Stack::new(Limits::default()), now: Instant::now() };
        bare.stack.splice(bare.now, Box::new(layer)).unwrap();
        bare
    }

    fn write(&mut self, count: usize) {
        assert_eq!(self.stack.write(self.now, &vec![7; count]).unwrap(), count);
    }

    /// The socket takes so many.
    fn sent(&mut self, count: usize) {
        let Output::Bytes(bytes) = self.stack.poll_output() else { panic!("there is nothing to send") };
        assert!(count <= bytes.len());
        self.stack.handle_sent(self.now, count);
    }

    fn received(&mut self, count: usize) {
        assert_eq!(self.stack.handle_input(self.now, &vec![7; count]), count);
    }

    /// Lets a minute pass, and tells the layer.
    fn minute(&mut self) -> Option<String> {
        self.now += MINUTE;
        self.stack.handle_timeout(self.now);
        self.stack.lost().map(ToString::to_string)
    }
}

#[test]
fn a_peer_that_takes_little_by_little_is_not_silent() {
    for taken_by_system in [false, true] {
        let mut bare = Bare::new(IdleTimeout::new(MINUTE));
        bare.write(1000);
        if taken_by_system {
            bare.sent(1000);
        }
        for left in (0..10).rev() {
            match taken_by_system {
                true => bare.stack.set_backlog(left * 100 + 50),
                false => bare.sent(99),
            }
            assert_eq!(bare.minute(), None, "{left}");
        }
        // Nothing more is taken. That it is all that was to be taken makes no difference.
        let reason = bare.minute().expect("for a whole minute nothing was taken");
        assert!(reason.contains("nothing was sent or received for 60s"), "{reason}");
    }
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_when_that_is_sure() {
    for taken_by_system in [false, true] {
        let mut bare = Bare::new(IdleTimeout::new(MINUTE));
        bare.write(1000);
        if taken_by_system {
            bare.sent(1000);
            bare.stack.set_backlog(1000);
        }
        assert_eq!(bare.minute(), None, "it may have taken some of it");
        bare.minute().expect("it has not");
    }
    let mut bare = Bare::new(IdleTimeout::new(MINUTE));
    bare.write(1000);
    bare.sent(1000);
    bare.minute().expect("control: all of it was taken, and then nothing came");
}

#[test]
fn what_the_application_has_not_read_is_not_the_fault_of_the_peer() {
    for spares in [true, false] {
        let layer = IdleTimeout::new(MINUTE);
        let mut bare = Bare::new(if spares { layer.spare_unread() } else { layer });
        bare.received(1000);
        for _ in 0..3 {
            assert_eq!(bare.minute().is_none(), spares);
        }
        if spares {
            bare.stack.consume(bare.now, 1000);
            bare.minute().expect("now it has read all of it");
        }
    }
    // Also where TLS stands between, and has taken it.
    each(1..=2, |case| {
        let mut link = Link::new(case);
        link.left.splice(IdleTimeout::new(MINUTE).spare_unread());
        link.start_to(case.depth);
        link.right.write(b"unread");
        link.run();
        link.advance(10 * MINUTE);
        assert!(link.left.lost().is_none());
        link.left.read();
        link.advance(MINUTE);
        assert!(link.left.lost().is_some());
    });
}

/// Whoever dies in the middle of a record or of a line has left something there for ever.
#[test]
fn what_the_peer_has_begun_and_not_ended_is_no_reason_to_wait() {
    each(1..=2, |case| {
        let mut link = Link::new(case);
        link.left.splice(IdleTimeout::new(MINUTE).spare_unread());
        link.start_to(case.depth);
        link.left.inject(&[23, 3, 3, 0, 64, 1, 2, 3]);
        link.advance(MINUTE);
        assert!(link.left.lost().is_some());
    });

    let mut bare = Bare::new(IdleTimeout::new(MINUTE).spare_unread());
    bare.received(100);
    bare.stack.await_more(bare.now, 8192);
    bare.received(1);
    assert_eq!(bare.minute(), None, "nobody has looked at the last byte");
    bare.stack.await_more(bare.now, 8192);
    bare.minute().expect("the rest has not come");
}

#[test]
fn a_layer_that_keeps_bytes_back_is_not_the_peer() {
    let mut bare = Bare::new(IdleTimeout::new(MINUTE).spare_unread());
    let throttle = Throttle::new().inbound(Rate::per_second(1).burst(60));
    bare.stack.splice(bare.now, Box::new(throttle)).unwrap();
    bare.received(100);
    bare.stack.consume(bare.now, 60);
    assert_eq!(bare.minute(), None, "it keeps forty");
    bare.stack.consume(bare.now, 40);
    bare.minute().expect("it has let all of it through");
}

#[test]
fn a_part_of_a_line_is_no_sign_of_life() {
    let clock = Clock::new();
    let (mut peer, end) = wire(Cut::Whole, 1000);
    let mut conn = Connection::with_timer(end, Arc::new(clock.clone()));
    conn.splice(IdleTimeout::new(MINUTE).spare_unread()).unwrap();
    peer.write_all(b"half a li").now_or_never().unwrap().unwrap();
    assert!(conn.read_line().now_or_never().is_none());
    clock.advance(MINUTE);
    let error = conn.read_line().now_or_never().expect("it is not waited for").unwrap_err();
    assert_eq!(error.layer_error().unwrap().kind(), LayerErrorKind::Idle);
}

/// Takes nothing before there is all of it.
struct TakesAll;

impl Protocol for TakesAll {
    fn data_received(&mut self, _: &mut Transport<'_>) -> protocol::Result {
        Ok(())
    }
}

#[test]
fn a_part_of_a_message_is_no_sign_of_life_either() {
    for paused in [false, true] {
        let mut bare = Bare::new(IdleTimeout::new(MINUTE).spare_unread());
        let mut session = Session::new(TakesAll, Addresses::default());
        session.dispatch(&mut bare.stack, bare.now);
        if paused {
            session.with_transport(&mut bare.stack, bare.now, |_, transport| transport.pause_producing());
        }
        bare.received(100);
        session.dispatch(&mut bare.stack, bare.now);
        assert_eq!(bare.minute().is_none(), paused);
    }
}

#[test]
fn one_direction_that_has_ended_brings_another_time() {
    const SECOND: Duration = Duration::from_secs(1);
    for has_other in [true, false] {
        let with = || match has_other {
            true => IdleTimeout::new(MINUTE).half_open(5 * SECOND),
            false => IdleTimeout::once_half_open(5 * SECOND),
        };
        for peer_ends in [true, false] {
            let mut bare = Bare::new(with());
            bare.now += MINUTE - SECOND;
            bare.stack.handle_timeout(bare.now);
            assert!(bare.stack.lost().is_none());
            assert_eq!(bare.stack.poll_deadline().is_some(), has_other, "both directions are open");
            match peer_ends {
                true => bare.stack.handle_eof(bare.now),
                false => bare.stack.close(bare.now),
            }
            assert_eq!(bare.stack.poll_deadline(), Some(bare.now + 5 * SECOND));
            // Bytes in the other one start it anew.
            bare.now += 4 * SECOND;
            match peer_ends {
                true => {
                    bare.write(1);
                    bare.sent(1);
                }
                false => bare.received(1),
            }
            assert_eq!(bare.stack.poll_deadline(), Some(bare.now + 5 * SECOND));
            bare.now += 5 * SECOND;
            bare.stack.handle_timeout(bare.now);
            let reason = bare.stack.lost().unwrap().to_string();
            assert!(reason.contains("for 5s after one direction had ended"), "{reason}");
        }
    }
}

#[test]
fn the_shorter_of_two_times_is_in_force() {
    let mut bare = Bare::new(IdleTimeout::new(MINUTE).half_open(60 * MINUTE));
    bare.stack.handle_eof(bare.now);
    let reason = bare.minute().expect("it is as silent as it may be");
    assert!(reason.ends_with("nothing was sent or received for 60s"), "{reason}");
}

#[test]
fn whoever_is_given_up_is_not_told_of_an_end() {
    let mut bare = Bare::new(IdleTimeout::new(MINUTE));
    bare.minute().expect("it was silent");
    assert!(matches!(bare.stack.poll_output(), Output::Nothing));
    let mut bare = Bare::new(IdleTimeout::new(MINUTE));
    bare.stack.close(bare.now);
    assert!(matches!(bare.stack.poll_output(), Output::Shutdown), "control");

    // Nor inside TLS, above which it stands.
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.splice(IdleTimeout::new(MINUTE));
        link.run();
        let sent = link.left.sent().len();
        link.advance(MINUTE);
        link.left.lost().expect("it was silent");
        assert_eq!(link.left.sent().len(), sent);
        assert!(matches!(link.left.stack.poll_output(), Output::Nothing));
    });
}

#[test]
fn nothing_is_waited_for_when_both_directions_are_over() {
    let mut bare = Bare::new(IdleTimeout::new(MINUTE));
    bare.write(10);
    bare.stack.handle_eof(bare.now);
    bare.stack.close(bare.now);
    bare.sent(10);
    assert_eq!(bare.minute(), None);
    assert_eq!(bare.stack.poll_deadline(), None);
    // But last bytes that nobody takes are waited for no longer than others.
    let mut bare = Bare::new(IdleTimeout::new(MINUTE));
    bare.write(10);
    bare.stack.handle_eof(bare.now);
    bare.stack.close(bare.now);
    assert_eq!(bare.minute(), None);
    bare.minute().expect("nobody has taken them");
}

#[test]
fn above_tls_a_close_notify_ends_a_direction_and_bytes_below_it_open_it_again() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.splice(IdleTimeout::once_half_open(MINUTE));
        link.advance(10 * MINUTE);
        assert!(link.left.lost().is_none());
        link.stop();
        link.talk();
        link.advance(10 * MINUTE);
        assert!(link.left.lost().is_none(), "{}", link.left.lost().unwrap());

        let mut link = Link::connected(case);
        link.left.splice(IdleTimeout::once_half_open(MINUTE));
        let (now, id) = (link.now(), link.right.stack.innermost_stoppable().unwrap());
        link.right.stack.finish(now, id).unwrap();
        link.run();
        link.advance(MINUTE);
        let reason = link.left.stack.lost().expect("the peer has half closed").to_string();
        assert!(reason.ends_with("after one direction had ended"), "{reason}");
    });
}
