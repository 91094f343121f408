//! Bounds: of memory, of depth, and of ids.

use onionskin::stack::{CommandErrorKind, Limits, Stop};
use onionskin::tls::TlsLayer;

use crate::common::link::{DEPTHS, Link, each, each_in_pieces, each_version, pattern};

/// What a stack may hold in one direction: each boundary up to its limit, and one record more.
fn bound(layers: usize) -> usize {
    const RECORD: usize = 16_384 + 2048 + 5;
    (layers + 1) * (Limits::default().buffer + RECORD)
}

#[test]
fn an_application_that_does_not_read_bounds_memory_and_loses_nothing() {
    each_in_pieces(3..=3, |case| {
        let mut link = Link::connected(case);
        let bytes = pattern(2_000_000);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = link.left.write_some(rest);
            rest = &rest[written..];
            link.run();
            let held = link.right.stack.inbound_len();
            assert!(held <= bound(link.right.stack.depth()), "{held} bytes are held");
        }
        assert!(link.right.stack.inbound_len() >= Limits::default().buffer, "the limit was met");
        assert_eq!(link.right.stack.input_room(), 0, "the socket is not read from any more");
        assert!(link.right_reads(bytes.len()) == bytes);
        assert_eq!(link.right.stack.inbound_len(), 0);
    });
}

#[test]
fn a_wire_that_does_not_take_bounds_memory_and_loses_nothing() {
    each_in_pieces(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let bytes = pattern(4_000_000);
        let mut taken = 0;
        loop {
            let written = link.left.write_some(&bytes[taken..]);
            taken += written;
            if written == 0 {
                break;
            }
        }
        let held = link.left.stack.outbound_len();
        assert!(held >= Limits::default().buffer && held <= bound(link.left.stack.depth()), "{held} bytes are held");
        assert!(link.right_reads(taken) == bytes[..taken]);
        assert_eq!(link.left.stack.outbound_len(), 0);
    });
}

#[test]
fn the_smallest_buffers_still_carry_everything() {
    each_in_pieces(DEPTHS, |case| {
        let mut link = Link::with_limits(case, Limits::default().with_buffer(1));
        link.start_to(case.depth);
        let bytes = pattern(200_000);
        assert!(link.left_to_right(&bytes) == bytes);
        assert!(link.right_to_left(&bytes) == bytes);
    });
}

#[test]
fn a_message_larger_than_the_buffer_is_refused_and_not_waited_for() {
    each_version(1, |case| {
        let mut link = Link::with_limits(case, Limits::default().with_buffer(1));
        link.right_starts();
        // A ClientHello of sixteen megabytes, as far as it goes.
        link.right.inject(&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]);
        for _ in 0..8 {
            link.right.inject(&[0; 16_380]);
            link.right.inject(&[22, 3, 1, 0x40, 0, 0, 0, 0, 0]);
        }
        link.run();
        let reason = link.right.lost().expect("it is refused");
        assert!(reason.layer_error().is_some(), "{reason}");
    });
}

#[test]
fn a_record_that_claims_to_be_too_long_is_refused_at_its_header() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        link.left.inject(&[23, 3, 3, 0xff, 0xff]);
        link.run();
        assert!(link.left.lost().is_some());
    });
}

#[test]
fn depth_has_a_limit() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let layer = |link: &Link| Box::new(link.client_layer());
        for _ in 0..16 {
            link.left_starts();
        }
        let (now, one_more) = (link.now(), layer(&link));
        let refused = link.left.stack.splice(now, one_more).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::TooDeep(16)), "{refused}");
        assert_eq!(link.left.stack.depth(), 16);

        let mut link = Link::with_limits(case, Limits::default().with_depth(2));
        link.start_to(2);
        let one_more = layer(&link);
        let refused = link.left.stack.splice(now, one_more).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::TooDeep(2)), "{refused}");
        link.talk();
        link.stop();
        link.start();
        link.talk();
    });
}

#[test]
fn sixteen_layers_talk() {
    each_version(16, |case| {
        let mut link = Link::connected(case);
        link.talk();
        let bytes = pattern(100_000);
        assert!(link.left_to_right(&bytes) == bytes);
    });
}

#[test]
fn a_stale_id_is_an_error_and_never_another_layer() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let (stale, _) = link.start();
        link.stop();
        let (live, _) = link.start();
        assert_ne!(stale, live);
        let now = link.now();
        let stack = &mut link.left.stack;
        assert!(stack.layer(stale).is_none() && stack.layer(live).is_some());
        assert!(stack.stop(now, stale, Stop::new()).unwrap_err().is_no_such_layer());
        assert!(stack.finish(now, stale).unwrap_err().is_no_such_layer());
        assert!(stack.with_layer(now, stale, |layer: &mut TlsLayer| layer.is_ready()).unwrap_err().is_no_such_layer());
        link.talk();
    });
}
