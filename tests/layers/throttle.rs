//! How much passes in how long, in virtual time.

use std::time::Duration;

use onionskin::layer::{Rate, Throttle};
use onionskin::stack::{Readable, Stop};
use onionskin::testing::{Cut, Pair};

use crate::common::link::{Link, each, each_in_pieces, pattern};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_burst_passes_at_once_and_then_so_many_bytes_a_second() {
    each(0..=0, |case| {
        let mut link = Link::new(case);
        link.left.splice(Throttle::new().outbound(Rate::per_second(1000).burst(200)));
        let bytes = pattern(5_000);
        link.left.write(&bytes);
        link.run();
        let mut arrived = link.right.read();
        assert_eq!(arrived.len(), 200);
        for second in 1..=4 {
            link.advance(SECOND);
            arrived.extend(link.right.read());
            assert_eq!(arrived.len(), 200 + 1000 * second);
        }
        link.advance(SECOND);
        arrived.extend(link.right.read());
        assert!(arrived == bytes);
    });
}

#[test]
fn each_direction_has_its_own_rate() {
    each(0..=0, |case| {
        let mut link = Link::new(case);
        link.left
            .splice(Throttle::new().outbound(Rate::per_second(1000).burst(1)).inbound(Rate::per_second(50).burst(1)));
        link.left.write(&[b'l'; 5_000]);
        link.right.write(&[b'r'; 5_000]);
        link.run();
        link.advance(2 * SECOND);
        assert_eq!((link.right.read().len(), link.left.read().len()), (2001, 101));
    });
}

#[test]
fn a_stream_through_tls_is_whole_however_slow() {
    each_in_pieces(1..=2, |case| {
        let mut link = Link::new(case);
        let rate = Rate::per_second(20_000);
        link.left.splice(Throttle::new().outbound(rate).inbound(rate));
        let (left, right) = (link.left_starts(), link.right_starts());
        link.run();
        link.advance(SECOND);
        link.assert_ready(left, right);
        let bytes = pattern(30_000);
        link.left.write(&bytes);
        link.right.write(&bytes);
        link.run();
        assert!(link.right.read().len() < bytes.len(), "a second and more is needed");
        link.advance(3 * SECOND);
        assert!(link.left.read() == bytes);
    });
}

#[test]
fn marks_keep_their_place_behind_bytes_that_wait() {
    each(1..=1, |case| {
        let mut link = Link::connected(case);
        let rate = Rate::per_second(1000).burst(10);
        for peer in [&mut link.pair.left, &mut link.pair.right] {
            peer.splice(Throttle::new().outbound(rate).inbound(rate));
        }
        link.left.write(&pattern(500));
        let left = link.left.stop(Stop::new()).unwrap();
        link.left.write(b"below");
        link.run();
        assert!(link.right.ended().is_none());
        link.advance(SECOND);
        assert!(link.right.read() == pattern(500));
        let right = link.right_answers();
        link.run();
        assert_eq!((link.left.ended(), link.right.ended()), (Some(left), Some(right)));
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        link.advance(SECOND);
        assert_eq!(link.right.read(), b"below");
        let now = link.now();
        link.left.write(&[b'x'; 100]);
        link.left.stack.close(now);
        link.run();
        assert!(!matches!(link.right.stack.readable(), Readable::EndOfInput));
        link.advance(SECOND);
        assert_eq!(link.right.read().len(), 100);
        assert!(matches!(link.right.stack.readable(), Readable::EndOfInput));
    });
}

#[test]
fn backpressure_reaches_the_peer() {
    each_in_pieces(0..=0, |case| {
        let mut link = Link::new(case);
        link.right.splice(Throttle::new().inbound(Rate::per_second(1000)));
        for _ in 0..40 {
            link.left.write(&[b'x'; 10_000]);
            link.run();
        }
        assert_eq!(link.right.stack.input_room(), 0, "the wire is not read any more");
        let limit = onionskin::stack::Limits::default().buffer;
        assert!(link.right.stack.inbound_len() <= limit + 100);
        link.right.read();
        link.advance(SECOND);
        assert_eq!(link.right.read().len(), 1000);
        assert_eq!(link.right.stack.input_room(), 0, "what had room is there already");
    });
}

#[test]
fn a_rate_is_changed_and_lifted_while_data_flows() {
    each(0..=0, |case| {
        let mut link = Link::new(case);
        let throttle = link.left.splice(Throttle::new().outbound(Rate::per_second(0)));
        link.left.write(&pattern(10_000));
        link.run();
        link.advance(100 * SECOND);
        assert_eq!(link.right.read(), b"", "a rate of nothing lets nothing pass");
        assert_eq!(link.left.stack.poll_deadline(), None);
        let now = link.now();
        let faster = |throttle: &mut Throttle| throttle.set_outbound(Some(Rate::per_second(100).burst(100)));
        link.left.stack.with_layer(now, throttle, faster).unwrap();
        link.run();
        let mut arrived = link.right.read();
        assert_eq!(arrived.len(), 100);
        link.advance(SECOND);
        arrived.extend(link.right.read());
        assert_eq!(arrived.len(), 200);
        let now = link.now();
        link.left.stack.with_layer(now, throttle, |throttle: &mut Throttle| throttle.set_outbound(None)).unwrap();
        link.run();
        arrived.extend(link.right.read());
        assert!(arrived == pattern(10_000));
        assert_eq!(link.left.stack.poll_deadline(), None);
        assert!(link.left.stack.to_string().contains("throttle no limit in no limit out"), "{}", link.left.stack);
    });
}

#[test]
fn taking_the_throttle_out_lets_all_pass_at_once() {
    each(0..=1, |case| {
        let mut link = Link::connected(case);
        let throttle = link.left.splice(Throttle::new().outbound(Rate::per_second(10)).inbound(Rate::per_second(10)));
        link.left.write(&pattern(20_000));
        link.right.write(&pattern(20_000));
        link.run();
        let (mut at_right, mut at_left) = (link.right.read(), link.left.read());
        assert!(at_right.len() < 20_000 && at_left.len() < 20_000);
        let now = link.now();
        link.left.stack.remove(now, throttle).unwrap();
        link.run();
        at_right.extend(link.right.read());
        at_left.extend(link.left.read());
        assert!(at_right == pattern(20_000) && at_left == pattern(20_000));
    });
}

#[test]
fn a_slow_stream_wakes_a_bounded_number_of_times_a_second() {
    for per_second in [1, 7, 1000, 1_000_000, u64::MAX] {
        let mut pair = Pair::new(Cut::Whole);
        pair.left.splice(Throttle::new().outbound(Rate::per_second(per_second).burst(1)));
        let end = pair.now() + SECOND;
        let mut wakes = 0;
        let mut arrived = 0;
        while arrived < 100_000 {
            pair.left.write_some(&[b'x'; 10_000]);
            pair.run();
            arrived += pair.right.read().len();
            let Some(due) = pair.left.stack.poll_deadline() else { continue };
            if due > end {
                break;
            }
            assert!(due > pair.now(), "the deadline is ahead");
            pair.advance(due - pair.now());
            wakes += 1;
        }
        assert!(wakes <= 1000, "{wakes} at {per_second} bytes a second");
        assert!(arrived as u64 >= per_second.min(95_000), "{arrived} at {per_second} bytes a second");
    }
}

#[test]
fn a_deadline_is_at_least_a_millisecond_ahead() {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(Throttle::new().outbound(Rate::per_second(1_000_000).burst(1)));
    pair.left.write(&[b'x'; 1001]);
    pair.run();
    assert_eq!(pair.right.read().len(), 1000, "what flows in a millisecond is the least burst");
    assert_eq!(pair.left.stack.poll_deadline(), Some(pair.now() + Duration::from_millis(1)));
    pair.advance(Duration::from_millis(1));
    assert_eq!(pair.right.read().len(), 1);
    assert_eq!(pair.left.stack.poll_deadline(), None);
}
