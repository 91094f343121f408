//! Our side stops first: what leaves before, what waits, what still comes, and what is left when it is over.

use onionskin::stack::{CommandErrorKind, Event, LayerErrorKind, Limits, PeerAnswer, Readable, Stop};
use onionskin::testing::Peer;
use onionskin::tls::{OnFailure, TlsLayer, Version};

use crate::common::layers::Tap;
use crate::common::link::{
    DEPTHS, Link, ONE, assert_stopped, each, each_in_pieces, each_version, is_alert, pattern, records, text,
};

#[test]
fn earlier_writes_leave_then_close_notify_and_the_peers_answer_peels() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.write(b"last words");
        let left = link.left.stop(Stop::new()).unwrap();
        link.run();
        assert_eq!(text(&link.right.read()), "last words");
        assert_eq!(link.tls_depth(), (case.depth, case.depth), "nobody has answered yet");
        let right = link.right_answers();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
        assert_eq!(link.tls_depth(), (case.depth - 1, case.depth - 1));
    });
}

#[test]
fn the_outer_layers_and_the_socket_are_untouched_by_a_stop() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        for depth in (0..case.depth).rev() {
            link.stop();
            assert_eq!(link.tls_depth(), (depth, depth));
            link.talk();
        }
        link.left.write(b"in clear");
        link.run();
        assert!(link.left.sent().ends_with(b"in clear"));
    });
}

#[test]
fn no_record_leaves_after_the_close_notify_and_later_writes_follow_in_clear() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.write(b"before");
        link.left.stop(Stop::new()).unwrap();
        for word in ["after ", "the ", "stop"] {
            link.left.write(word.as_bytes());
            link.run();
        }
        let (before_answer, rest) = records(link.left.sent());
        assert!(rest.is_empty(), "nothing leaves in clear before the peel");
        assert!(is_alert(case.version, *before_answer.last().unwrap()), "{before_answer:?}");
        link.right.read();
        link.right_answers();
        link.run();
        let (all, clear) = records(link.left.sent());
        assert_eq!(all, before_answer, "nothing encrypted follows");
        assert_eq!(text(clear), "after the stop");
        assert!(link.right.ended().is_some());
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "after the stop");
    });
}

#[test]
fn no_record_leaves_an_inner_layer_after_its_close_notify() {
    each_version(2, |case| {
        let mut link = Link::outer(case);
        let tap = Tap::default();
        link.left.splice(tap.clone());
        link.start();
        link.left.stop(Stop::new()).unwrap();
        link.left.write(b"below");
        link.run();
        link.right_answers();
        link.run();
        let seen = tap.seen();
        let (inner, clear) = records(&seen);
        assert!(is_alert(case.version, *inner.last().unwrap()), "{inner:?}");
        assert_eq!(text(clear), "below", "clear for the inner layer; the outer one encrypts it");
        let sent = link.left.sent();
        assert!(records(sent).1.is_empty());
    });
}

#[test]
fn writes_made_during_a_stop_arrive_below_in_order() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.write(b"above ");
        link.left.stop(Stop::new()).unwrap();
        link.left.write(b"below ");
        link.run();
        link.left.write(b"and further");
        link.run();
        assert_eq!(text(&link.right.read()), "above ");
        link.right_answers();
        link.run();
        assert_eq!(text(&link.right.read()), "", "a read never crosses the end");
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "below and further");
    });
}

#[test]
fn writes_at_once_leave_right_behind_the_close_notify() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.write(b"above ");
        let left = link.left.stop(Stop::new().writes_at_once()).unwrap();
        link.left.write(b"below ");
        link.left.write(b"and further");
        link.run();
        if case.depth == 1 {
            assert!(link.left.sent().ends_with(b"below and further"), "before any answer");
        }
        assert_eq!(text(&link.right.read()), "above ");
        link.right_answers();
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "below and further");
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
    });
}

/// Writes it all, with no thought of who reads it.
fn pour(link: &mut Link, peer: fn(&mut Link) -> &mut Peer, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = peer(link).write_some(rest);
        rest = &rest[written..];
        link.step();
    }
}

#[test]
fn seven_hundred_kilobytes_in_flight_are_delivered_before_the_peers_close_notify() {
    each_in_pieces(1..=3, |case| {
        let mut link = Link::connected(case);
        let bytes = pattern(700_000);
        pour(&mut link, |link| &mut link.pair.left, &bytes);
        let right = link.right.stop(Stop::new()).unwrap();
        let mut late = Vec::new();
        while link.left.ended().is_none() {
            link.run();
            late.extend(link.right.read());
        }
        link.left.stop(Stop::new()).unwrap();
        while link.right.ended().is_none() {
            link.run();
            let read = link.right.read();
            assert!(!read.is_empty() || link.right.ended().is_some(), "{:?}", link.right.stack.lost());
            late.extend(read);
        }
        assert!(late == bytes);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
    });
}

#[test]
fn seven_hundred_kilobytes_written_before_the_stop_leave_before_the_close_notify() {
    each_in_pieces(1..=3, |case| {
        let mut link = Link::connected(case);
        let bytes = pattern(700_000);
        pour(&mut link, |link| &mut link.pair.left, &bytes);
        link.left.stop(Stop::new()).unwrap();
        assert!(link.right_reads(bytes.len()) == bytes);
        link.run();
        link.right_answers();
        link.run();
        assert_eq!(link.tls_depth(), (case.depth - 1, case.depth - 1));
    });
}

#[test]
fn room_for_what_comes_late_can_be_lent_to_the_application() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        let bytes = pattern(700_000);
        pour(&mut link, |link| &mut link.pair.left, &bytes);
        let now = link.now();
        link.right.stop(Stop::new()).unwrap();
        link.right.stack.set_read_limit(now, 1 << 20);
        link.run();
        link.left.stop(Stop::new()).unwrap();
        link.run();
        assert_eq!(link.tls_depth(), (0, 0), "peeled before the application read anything");
        assert!(link.right.read() == bytes);
        link.right.pass_end().unwrap();
        assert_eq!(link.right.stack.input_room(), Limits::default().buffer, "and is given back");
        link.left.pass_end().unwrap();
        link.talk();
    });
}

#[test]
fn a_stop_right_after_the_handshake_takes_tickets_that_are_still_in_flight() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let left = link.left_starts();
        link.right_starts();
        while link.left.events().is_empty() {
            assert!(link.step());
        }
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right_answers();
        link.run();
        assert!(link.left.lost().is_none());
        assert_eq!(link.left.ended(), Some(left));
        assert_eq!(link.tls_depth(), (case.depth - 1, case.depth - 1));
    });
}

#[test]
fn a_stop_during_the_handshake_waits_for_its_end() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let left = link.left_starts();
        link.left.write(b"still through TLS");
        link.left.stop(Stop::new()).unwrap();
        link.left.write(b"in clear");
        link.run();
        assert_eq!(link.tls_depth().0, case.depth);
        link.right_starts();
        link.run();
        assert_eq!(text(&link.right.read()), "still through TLS");
        link.right_answers();
        link.run();
        assert_eq!(link.left.ended(), Some(left));
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "in clear");
    });
}

#[test]
fn stopping_twice_joins_the_first_stop() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new()).unwrap();
        link.run();
        let sent = link.left.sent().len();
        assert_eq!(link.left.stop(Stop::new()).unwrap(), left);
        link.run();
        assert_eq!(link.left.sent().len(), sent, "one close_notify a side");
        link.right_answers();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
    });
}

#[test]
fn stopping_a_layer_that_is_peeled_is_an_error() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stack.innermost_stoppable().unwrap();
        link.stop();
        let now = link.now();
        let refused = link.left.stack.stop(now, left, Stop::new()).unwrap_err();
        assert!(refused.is_no_such_layer(), "{refused}");
        assert_eq!(refused.to_string(), format!("no such layer: {left}"));
    });
}

#[test]
fn there_is_nothing_to_stop_without_layers() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let refused = link.left.stop(Stop::new()).unwrap_err();
        assert!(refused.is_no_such_layer());
        assert_eq!(refused.to_string(), "no layer to stop");
    });
}

#[test]
fn only_the_innermost_layer_can_be_stopped() {
    each_version(2, |case| {
        let mut link = Link::connected(case);
        let (outer, _) = link.left.stack.layers().next().unwrap();
        let now = link.now();
        let refused = link.left.stack.stop(now, outer, Stop::new()).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::NotInnermost(id) if *id == outer), "{refused}");
        link.talk();
    });
}

#[test]
fn a_layer_cannot_start_while_one_is_being_stopped() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new()).unwrap();
        let now = link.now();
        let layer = Box::new(link.client_layer());
        let refused = link.left.stack.splice(now, layer).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::Stopping(id) if *id == left), "{refused}");
    });
}

#[test]
fn garbage_instead_of_close_notify_loses_the_connection() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right.stop(Stop::new().abandon()).unwrap();
        link.right.write(b"plaintext instead\r\n");
        link.run();
        let reason = link.left.lost().expect("the stop has failed");
        assert_eq!(reason.layers()[0].layer, left);
        assert!(reason.layer_error().unwrap().is_not_spoken(), "{reason}");
    });
}

#[test]
fn end_of_file_instead_of_close_notify_loses_the_connection() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new()).unwrap();
        link.run();
        link.left.end_input();
        link.run();
        let reason = link.left.lost().expect("the stop has failed");
        assert!(reason.layer_error().unwrap().is_truncated(), "{reason}");
        assert!(reason.layers().iter().any(|loss| loss.layer == left));
    });
}

#[test]
fn a_forged_record_instead_of_close_notify_loses_the_connection() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.left.inject(&[23, 3, 3, 0, 32]);
        link.left.inject(&[7; 32]);
        link.run();
        assert_eq!(link.left.lost().unwrap().layer_error().unwrap().kind(), LayerErrorKind::Protocol);
    });
}

#[test]
fn a_layer_starts_again_after_a_stop_any_number_of_times() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        for _ in 0..3 {
            link.start();
            link.talk();
            link.stop();
            link.talk();
        }
    });
}

#[test]
fn a_thousand_cycles_leave_nothing_behind() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let size = |link: &Link| format!("{:?}", link.left.stack).len();
        let mut after_first = 0;
        for cycle in 0..1_000 {
            let (left, _) = link.start();
            // The place in the slab is the same each time; only the serial number grows.
            assert!(format!("{left:?}").starts_with("LayerId { index: 1,"), "{left:?}");
            link.talk();
            link.stop();
            for peer in [&link.left, &link.right] {
                assert_eq!((peer.stack.inbound_len(), peer.stack.outbound_len(), peer.stack.depth()), (0, 0, 0));
                assert!(peer.stack.is_flushed());
                assert_eq!(peer.stack.poll_deadline(), None);
            }
            if cycle == 0 {
                after_first = size(&link);
            }
        }
        // The state as it prints: a list that grew, or marks and events that stay, would show.
        assert!(size(&link) < after_first + 32, "{:?}", link.left.stack);
        link.talk();
    });
}

#[test]
fn finish_closes_our_half_and_keeps_reading() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        let left = link.left.stack.innermost_stoppable().unwrap();
        link.left.write(b"all I have");
        link.left.stack.finish(now, left).unwrap();
        link.run();
        assert_eq!(text(&link.right.read()), "all I have");
        assert!(link.right.ended().is_some());
        let refused = link.left.stack.write(now, b"more").unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::Finished(id) if *id == left), "{refused}");
        for word in ["one ", "two"] {
            link.right.write(word.as_bytes());
            link.run();
        }
        assert_eq!(text(&link.left.read()), "one two");
        assert!(matches!(link.left.stack.readable(), Readable::Nothing));
    });
}

#[test]
fn a_finished_layer_is_peeled_by_a_stop() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        let left = link.left.stack.innermost_stoppable().unwrap();
        link.left.stack.finish(now, left).unwrap();
        link.left.stack.finish(now, left).unwrap();
        link.run();
        let sent = link.left.sent().len();
        link.right_answers();
        link.run();
        assert_eq!(link.left.ended(), Some(left));
        assert_eq!(link.tls_depth().0, case.depth, "half closed on both sides, not yet stopped here");
        link.left.stop(Stop::new()).unwrap();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_eq!(link.left.sent().len(), sent, "one close_notify a side");
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        link.talk();
    });
}

#[test]
fn a_finish_can_be_followed_by_a_stop_before_the_peer_has_answered() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        let left = link.left.stack.innermost_stoppable().unwrap();
        link.left.stack.finish(now, left).unwrap();
        link.left.stop(Stop::new()).unwrap();
        link.left.write(b"below");
        link.run();
        link.right.write(b"late");
        link.right_answers();
        link.run();
        assert_eq!(text(&link.left.read()), "late");
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "below");
    });
}

#[test]
fn a_key_update_during_a_stop_is_taken_and_not_answered() {
    each_version(1, |case| {
        if case.version == Version::Tls12 {
            return;
        }
        let mut link = Link::connected(case);
        let now = link.now();
        let right = link.right.stack.innermost_stoppable().unwrap();
        link.left.stop(Stop::new()).unwrap();
        link.right.hold(true);
        link.run();
        let sent = link.left.sent().len();
        let update = TlsLayer::request_key_update;
        link.right.stack.with_layer(now, right, update).unwrap().unwrap();
        link.right.write(b"with the new key");
        link.run();
        assert_eq!(text(&link.left.read()), "with the new key");
        assert_eq!(link.left.sent().len(), sent, "no record leaves after the close_notify");
        link.right.hold(false);
        link.run();
        link.right_answers();
        link.run();
        assert_eq!(link.tls_depth(), (0, 0));
    });
}

#[test]
fn a_finish_during_the_handshake_waits_for_its_end() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let left = link.left_starts();
        link.left.write(b"all I have");
        let now = link.now();
        link.left.stack.finish(now, left).unwrap();
        link.run();
        let right = link.right_starts();
        link.run();
        assert_eq!(text(&link.right.read()), "all I have");
        assert_eq!(link.right.ended(), Some(right));
        link.right.write(b"still here");
        link.run();
        assert_eq!(text(&link.left.read()), "still here");
    });
}

#[test]
fn both_halves_can_be_finished_and_then_stopped() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        for peer in [&mut link.pair.left, &mut link.pair.right] {
            let layer = peer.stack.innermost_stoppable().unwrap();
            peer.stack.finish(now, layer).unwrap();
        }
        link.run();
        for peer in [&mut link.pair.left, &mut link.pair.right] {
            let layer = peer.ended().unwrap();
            peer.stop(Stop::new()).unwrap();
            assert_stopped(peer, layer, PeerAnswer::CloseNotify);
            peer.pass_end().unwrap();
        }
        link.talk();
    });
}

#[test]
fn a_stop_during_a_handshake_that_fails_and_peels_is_over_with_it() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let layer = link.client_layer().on_failure(OnFailure::Peel);
        let left = link.left_splices(layer);
        link.left.stop(Stop::new()).unwrap();
        link.left.write(b"for after the stop");
        link.right.write(b"220 no TLS here\r\n");
        link.run();
        let events = link.left.events();
        assert!(matches!(events[..], [Event::Failed { layer, .. }] if layer == left), "{events:?}");
        link.left.pass_end().unwrap();
        link.left.read();
        link.right.read();
        link.start();
        link.talk();
        link.stop();
        link.talk();
    });
}
