//! Whose time it is: a deadline bounds the peer, and never the time that our own output takes to leave.

use std::time::{Duration, Instant};

use onionskin::layer::proxy_header::AcceptProxyHeader;
use onionskin::layer::{Deflate, Rate, Throttle};
use onionskin::stack::{
    Ends, Event, Failure, Layer, LayerErrorKind, OnTimeout, Output, Patience, PeerAnswer, Reason, Stop,
};
use onionskin::starttls::{Negotiate, Smtp};
use onionskin::testing::{Cut, Peer};
use onionskin::tls::{TlsLayer, Version};

use crate::common::link::{Case, Link, assert_stopped, each_version, pattern, text};

const MOMENT: Duration = Duration::from_millis(1);
/// At a thousand bytes a second: longer than any deadline there is.
const MUCH: usize = 40_000;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The left sends no more than a thousand bytes a second, below all layers.
fn throttled(case: Case, depth: usize) -> Link {
    let mut link = Link::new(case);
    let id = link.left.splice(Throttle::new());
    link.start_to(depth);
    let now = link.now();
    let rate = Rate::per_second(1000).burst(100);
    let throttle = |throttle: &mut Throttle| throttle.set_outbound(Some(rate));
    link.left.stack.with_layer(now, id, throttle).unwrap();
    link
}

fn id_of_throttle(link: &Link) -> onionskin::stack::LayerId {
    link.left.stack.layers().find(|(_, layer)| layer.name() == "throttle").map(|(id, _)| id).unwrap()
}

/// Lets time pass until all that the left has below its innermost layer has left; when that is.
fn until_sent(link: &mut Link) -> Instant {
    link.run();
    while link.left.stack.outbound_len() > 0 {
        let due = link.left.stack.poll_deadline().expect("the throttle goes on");
        let by = due - link.now();
        link.advance(by);
        assert!(link.left.stack.lost().is_none(), "{:?}", link.left.stack.lost());
    }
    link.now()
}

/// The right reads what comes for `time`, as a prompt peer does.
fn right_reads_for(link: &mut Link, time: Duration, arrived: &mut Vec<u8>) {
    let end = link.now() + time;
    while link.now() < end {
        link.advance(Duration::from_millis(100));
        arrived.extend(link.right.read());
    }
}

#[track_caller]
fn assert_lost(peer: &Peer, kind: LayerErrorKind) -> &Reason {
    let reason = peer.stack.lost().expect("the time is over");
    assert_eq!(reason.layers()[0].error.kind(), kind, "{reason}");
    reason
}

#[test]
fn a_stop_waits_until_what_was_written_before_has_left() {
    for depth in 1..=3 {
        each_version(depth, |case| {
            let mut link = throttled(case, depth);
            let bytes = pattern(20_000);
            link.left.write(&bytes);
            let left = link.left.stop(Stop::new()).unwrap();
            let mut arrived = Vec::new();
            right_reads_for(&mut link, seconds(25), &mut arrived);
            assert!(arrived == bytes, "{} bytes arrived, {:?}", arrived.len(), link.left.stack.lost());
            link.right_answers();
            link.run();
            assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        });
    }
}

#[test]
fn a_stop_that_is_not_answered_is_over_five_seconds_after_our_close_notify_has_left() {
    for depth in 1..=3 {
        each_version(depth, |case| {
            let mut link = throttled(case, depth);
            link.left.write(&pattern(20_000));
            link.left.stop(Stop::new()).unwrap();
            let sent = until_sent(&mut link);
            link.advance(seconds(5) - MOMENT);
            assert!(link.left.stack.lost().is_none());
            link.advance(MOMENT);
            assert_eq!(link.now(), sent + seconds(5));
            assert_lost(&link.left, LayerErrorKind::StopTimeout);
        });
    }
}

#[test]
fn the_grace_begins_when_the_answer_before_it_has_left() {
    each_version(1, |case| {
        let mut link = throttled(case, 1);
        link.left.write(&pattern(3000));
        link.left.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        let sent = until_sent(&mut link);
        let bytes = link.left.sent().len();
        link.advance(Stop::GRACE - MOMENT);
        assert_eq!(link.left.sent().len(), bytes, "the peer may still go first");
        link.advance(MOMENT);
        assert!(link.left.sent().len() > bytes);
        // What the grace took is not given again, and our close_notify was 24 ms and a moment on its way.
        let sent_end = until_sent(&mut link);
        let left = seconds(5) - Stop::GRACE;
        link.advance(left - MOMENT);
        assert!(link.left.stack.lost().is_none());
        link.advance(MOMENT);
        assert_lost(&link.left, LayerErrorKind::StopTimeout);
        assert_eq!(link.now(), sent_end + left);
        assert!(sent_end - sent < seconds(1));
    });
}

#[test]
fn deflate_waits_as_tls_does() {
    each_version(1, |case| {
        for answers in [true, false] {
            let mut link = throttled(case, 0);
            link.left.splice(Deflate::new().level(0));
            link.right.splice(Deflate::new());
            let bytes = pattern(20_000);
            link.left.write(&bytes);
            let left = link.left.stop(Stop::new()).unwrap();
            let mut arrived = Vec::new();
            right_reads_for(&mut link, seconds(20), &mut arrived);
            until_sent(&mut link);
            arrived.extend(link.right.read());
            assert!(arrived == bytes, "{} bytes arrived, {:?}", arrived.len(), link.left.stack.lost());
            if answers {
                link.right_answers();
                link.run();
                assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
            } else {
                link.advance(seconds(6));
                assert_lost(&link.left, LayerErrorKind::StopTimeout);
            }
        }
    });
}

#[test]
fn a_handshake_waits_until_what_was_written_before_has_left() {
    for depth in 0..=2 {
        each_version(depth, |case| {
            let mut link = throttled(case, depth);
            let bytes = pattern(MUCH);
            link.left.write(&bytes);
            let left = link.left_starts();
            let mut arrived = Vec::new();
            while arrived.len() < MUCH {
                link.advance(Duration::from_millis(100));
                assert!(link.left.stack.lost().is_none(), "{:?}", link.left.stack.lost());
                arrived.extend(link.right.read_some(MUCH - arrived.len()));
            }
            assert!(arrived == bytes);
            link.left.events();
            link.right.events();
            let right = link.right_starts();
            link.advance(seconds(9));
            link.assert_ready(left, right);
        });
    }
}

#[test]
fn a_handshake_that_is_not_answered_fails_ten_seconds_after_the_hello_has_left() {
    for depth in 0..=2 {
        each_version(depth, |case| {
            let mut link = throttled(case, depth);
            link.left.write(&pattern(MUCH));
            link.left_starts();
            // The peer reads all of it and says nothing.
            let mut sent = link.now();
            while link.left.stack.outbound_len() > 0 {
                sent = until_sent(&mut link);
                link.right.read();
            }
            link.advance(seconds(10) - MOMENT);
            assert!(link.left.stack.lost().is_none());
            link.advance(MOMENT);
            assert_eq!(link.now(), sent + seconds(10));
            assert_lost(&link.left, LayerErrorKind::HandshakeTimeout);
        });
    }
}

#[test]
fn time_that_had_passed_before_our_turn_still_counts() {
    each_version(0, |case| {
        let mut link = throttled(case, 0);
        link.left.splice(AcceptProxyHeader::new());
        for _ in 0..3 {
            link.advance(seconds(3));
            link.left.write(&pattern(20_000));
            until_sent(&mut link);
        }
        link.advance(seconds(1) - MOMENT);
        assert!(link.left.stack.lost().is_none());
        link.advance(MOMENT);
        assert_lost(&link.left, LayerErrorKind::HandshakeTimeout);
    });
}

#[test]
fn a_handshake_inside_another_waits_for_that_one_first() {
    each_version(1, |case| {
        let mut link = Link::new(case);
        let outer = link.client_layer().handshake_timeout(Some(seconds(60)));
        link.left_splices(outer);
        let inner = link.left_starts();
        // The hello of the inner one waits in the outer one, whose time runs.
        link.advance(seconds(59));
        assert!(link.left.stack.lost().is_none(), "{:?}", link.left.stack.lost());
        link.right_starts();
        link.run();
        link.left.events();
        link.advance(seconds(10) - MOMENT);
        assert!(link.left.stack.lost().is_none());
        link.advance(MOMENT);
        let reason = assert_lost(&link.left, LayerErrorKind::HandshakeTimeout);
        assert_eq!(reason.layers()[0].layer, inner);
    });
}

#[test]
fn a_negotiation_waits_until_what_was_written_before_has_left() {
    each_version(1, |case| {
        for answers in [true, false] {
            let mut link = throttled(case, 0);
            let bytes = pattern(MUCH);
            link.left.write(&bytes);
            let tls = link.client_layer();
            link.left.splice(Negotiate::new(Smtp::new(), tls));
            let mut arrived = Vec::new();
            while arrived.len() < MUCH {
                link.advance(Duration::from_millis(100));
                assert!(link.left.stack.lost().is_none(), "{:?}", link.left.stack.lost());
                arrived.extend(link.right.read());
            }
            assert!(arrived == bytes);
            let sent = until_sent(&mut link);
            if answers {
                let tls = link.server_layer();
                link.right.splice(Negotiate::new(Smtp::new(), tls));
                link.advance(seconds(9));
                assert!(matches!(link.left.events()[..], [Event::Ready(_)]), "{:?}", link.left.stack);
            } else {
                let rest = sent + seconds(30) - MOMENT - link.now();
                link.advance(rest);
                assert!(link.left.stack.lost().is_none());
                link.advance(MOMENT);
                let reason = link.left.stack.lost().expect("the time is over");
                assert!(reason.layer_error().unwrap().is_timeout(), "{reason}");
            }
        }
    });
}

#[test]
fn a_proxy_header_is_not_late_while_we_speak() {
    each_version(1, |case| {
        let mut link = throttled(case, 0);
        link.left.splice(AcceptProxyHeader::new());
        link.left.write(&pattern(20_000));
        let sent = until_sent(&mut link);
        link.advance(seconds(10) - MOMENT);
        assert!(link.left.stack.lost().is_none());
        link.advance(MOMENT);
        assert_eq!(link.now(), sent + seconds(10));
        assert_lost(&link.left, LayerErrorKind::HandshakeTimeout);
    });
}

/// A wire by hand, that takes what it is told to.
struct Reader {
    now: Instant,
    taken: usize,
}

impl Reader {
    fn takes(&mut self, peer: &mut Peer, most: usize) {
        if let Output::Bytes(bytes) = peer.stack.poll_output() {
            let count = bytes.len().min(most);
            peer.stack.handle_sent(self.now, count);
            self.taken += count;
        }
    }

    /// Lets time pass as a driver does, from deadline to deadline.
    fn waits(&mut self, peer: &mut Peer, by: Duration) {
        let end = self.now + by;
        while let Some(due) = peer.stack.poll_deadline().filter(|&due| due <= end) {
            self.now = due.max(self.now);
            peer.stack.handle_timeout(self.now);
        }
        self.now = end;
    }
}

#[test]
fn a_slow_reader_gets_all_and_one_who_takes_nothing_is_given_up() {
    for stops in [true, false] {
        each_version(1, |case| {
            let mut link = Link::connected(case);
            let (mut reader, mut written) = (Reader { now: link.now(), taken: 0 }, 0);
            loop {
                let count = link.left.stack.write(reader.now, &[b'x'; 16_384]).unwrap();
                written += count;
                if count == 0 {
                    break;
                }
            }
            assert!(written > 200_000);
            let kind = if stops {
                link.left.stop(Stop::new().on_timeout(OnTimeout::Peel)).unwrap();
                LayerErrorKind::StopTimeout
            } else {
                let layer = link.client_layer();
                link.left.splice(layer);
                LayerErrorKind::HandshakeTimeout
            };
            // Something every 29 seconds is slow, and reading.
            for _ in 0..10 {
                reader.waits(&mut link.left, seconds(29));
                reader.takes(&mut link.left, 5000);
                assert!(link.left.stack.lost().is_none(), "{:?}", link.left.stack.lost());
            }
            reader.waits(&mut link.left, seconds(30) - MOMENT);
            assert!(link.left.stack.lost().is_none());
            reader.waits(&mut link.left, MOMENT);
            let reason = assert_lost(&link.left, kind);
            assert!(reason.to_string().contains("takes nothing"), "{reason}");
            // What is left of the queue and an alert may leave as long as some of it does.
            for _ in 0..20 {
                reader.waits(&mut link.left, seconds(5) - MOMENT);
                reader.takes(&mut link.left, 1000);
            }
            assert!(matches!(link.left.stack.poll_output(), Output::Bytes(_)));
            reader.waits(&mut link.left, seconds(5));
            assert!(matches!(link.left.stack.poll_output(), Output::Nothing));
            assert!(reader.taken == 10 * 5000 + 20 * 1000);
        });
    }
}

#[test]
fn who_is_given_longer_to_answer_is_given_longer_to_read() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        let mut reader = Reader { now: link.now(), taken: 0 };
        link.left.stack.write(reader.now, b"x").unwrap();
        link.left.stop(Stop::new().timeout(Some(seconds(60)))).unwrap();
        reader.waits(&mut link.left, seconds(60) - MOMENT);
        assert!(link.left.stack.lost().is_none());
        reader.waits(&mut link.left, MOMENT);
        assert_lost(&link.left, LayerErrorKind::StopTimeout);
    });
}

#[test]
fn a_throttle_that_lets_nothing_through_is_no_fault_of_the_peer() {
    each_version(1, |case| {
        let mut link = throttled(case, 1);
        let (now, throttle) = (link.now(), id_of_throttle(&link));
        let set = |rate| move |throttle: &mut Throttle| throttle.set_outbound(rate);
        link.left.stack.with_layer(now, throttle, set(Some(Rate::per_second(0).burst(0)))).unwrap();
        link.left.write(b"all of it");
        let left = link.left.stop(Stop::new()).unwrap();
        link.advance(seconds(1000));
        assert!(link.left.stack.lost().is_none());
        let now = link.now();
        link.left.stack.with_layer(now, throttle, set(None)).unwrap();
        link.run();
        assert_eq!(text(&link.right.read()), "all of it");
        link.right_answers();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
    });
}

/// Waits on although its time is over.
#[derive(Debug)]
struct Stubborn;

impl Layer for Stubborn {
    fn awaits(&self) -> Option<Patience> {
        Some(Patience::new("nothing in particular", seconds(3)))
    }

    fn overdue(&mut self, _: onionskin::stack::Overdue, _: &mut Ends<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

#[test]
fn a_layer_that_waits_on_when_its_time_is_over_fails() {
    each_version(0, |case| {
        let mut link = Link::new(case);
        link.left.splice(Stubborn);
        link.advance(seconds(3) - MOMENT);
        assert!(link.left.stack.lost().is_none());
        link.advance(MOMENT);
        let reason = assert_lost(&link.left, LayerErrorKind::Limit);
        assert!(reason.to_string().contains("nothing in particular"), "{reason}");
    });
}

/// Linux takes megabytes at once, so what has left the stack may be minutes away from a peer that reads slowly.
#[test]
fn what_the_system_still_holds_is_not_the_peers_time() {
    each_version(1, |case| {
        for holds in [true, false] {
            let mut link = Link::connected(case);
            link.left.stop(Stop::new()).unwrap();
            link.run();
            if holds {
                for left in [4000, 3000, 2000, 1000] {
                    link.left.stack.set_backlog(left);
                    link.advance(seconds(5));
                    assert!(link.left.stack.lost().is_none(), "{left}: {:?}", link.left.stack.lost());
                }
                // When nothing more is taken of it, the peer is as good as gone, and so it is when it has taken all.
                let last = if case.version == Version::Tls13 { 1000 } else { 0 };
                link.left.stack.set_backlog(last);
            }
            link.advance(seconds(5) - MOMENT);
            assert!(link.left.stack.lost().is_none());
            link.advance(MOMENT);
            assert_lost(&link.left, LayerErrorKind::StopTimeout);
        }
    });
}

#[test]
fn a_peer_that_is_spared_has_all_of_its_time_again() {
    let mut link = Link::connected(Case { cut: Cut::Whole, version: Version::Tls13, depth: 2, padded: false });
    let outer = link.left.stack.layers().next().map(|(id, _)| id).unwrap();
    link.left.stop(Stop::new()).unwrap();
    link.advance(seconds(3));
    // For a moment it is our turn, and the clock has counted what was before.
    let now = link.now();
    link.left.stack.with_layer(now, outer, TlsLayer::request_key_update).unwrap().unwrap();
    link.run();
    link.left.stack.set_backlog(1000);
    link.advance(seconds(2));
    link.advance(seconds(5) - MOMENT);
    assert!(link.left.stack.lost().is_none(), "{:?}", link.left.stack.lost());
    link.advance(MOMENT);
    assert_lost(&link.left, LayerErrorKind::StopTimeout);
}

#[test]
fn a_peer_that_takes_from_the_system_is_not_deaf() {
    each_version(1, |case| {
        for holds in [true, false] {
            let mut link = Link::connected(case);
            link.right.hold(true);
            // The wire takes nothing, as the system is full.
            let now = link.now();
            assert!(link.left.stack.write(now, b"hello").unwrap() > 0);
            let id = link.left.stack.innermost_stoppable().unwrap();
            link.left.stack.stop(now, id, Stop::new()).unwrap();
            let mut passed = Duration::ZERO;
            let mut wait = |link: &mut Link| {
                passed += seconds(30);
                link.left.stack.handle_timeout(now + passed);
                link.left.stack.lost().is_some()
            };
            if holds {
                for left in [3000, 2000, 1000] {
                    link.left.stack.set_backlog(left);
                    assert!(!wait(&mut link), "{left}");
                }
            }
            assert!(wait(&mut link));
            let reason = assert_lost(&link.left, LayerErrorKind::StopTimeout).to_string();
            assert!(reason.contains("takes nothing"), "{reason}");
        }
    });
}
