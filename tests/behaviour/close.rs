//! The end of the connection: clean closes, streams cut short, aborts. One reason, with every layer in it.

use std::io;

use onionskin::stack::{CommandErrorKind, LayerId, Readable, Stop};
use onionskin::testing::Peer;
use onionskin::tls::{OnFailure, TlsLayer};

use crate::common::layers::ClosesBelow;
use crate::common::link::{DEPTHS, Link, ONE, each, each_version, text};

fn tls_layers(peer: &Peer) -> Vec<LayerId> {
    peer.stack.layers().filter(|(_, layer)| layer.name() == "tls").map(|(id, _)| id).collect()
}

fn lost_layers(peer: &Peer) -> Vec<LayerId> {
    let reason = peer.lost().expect("the connection is lost");
    assert!(reason.layers().iter().all(|loss| loss.error.is_truncated()), "{reason}");
    reason.layers().iter().map(|loss| loss.layer).collect()
}

#[test]
fn a_close_ends_every_layer_from_the_inside_out_then_the_socket() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let mut layers = tls_layers(&link.right);
        link.left.write(b"goodbye");
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert!(link.left.stack.is_flushed());
        assert_eq!(text(&link.right.read()), "goodbye");
        while let Some(right) = layers.pop() {
            assert_eq!(link.right.ended(), Some(right));
            link.right.stop(Stop::new()).unwrap();
            link.right.pass_end().unwrap();
        }
        assert!(matches!(link.right.stack.readable(), Readable::EndOfInput));
    });
}

#[test]
fn reading_goes_on_after_a_close_and_writing_does_not() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        link.left.stack.close(now);
        link.left.stack.close(now);
        let refused = link.left.stack.write(now, b"more").unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::Closed), "{refused}");
        link.run();
        link.right.write(b"one more thing");
        link.run();
        assert_eq!(text(&link.left.read()), "one more thing");
        link.right.stack.close(now);
        link.run();
        assert!(link.left.ended().is_some());
        assert!(link.left.stack.lost().is_none() && link.right.stack.lost().is_none());
    });
}

#[test]
fn closes_that_cross_are_clean_on_both_sides() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        link.left.stack.close(now);
        link.right.stack.close(now);
        link.run();
        for peer in [&link.left, &link.right] {
            assert!(peer.stack.lost().is_none());
            assert!(peer.ended().is_some());
            assert!(peer.stack.is_flushed());
        }
    });
}

#[test]
fn a_close_without_layers_is_a_plain_end_of_file() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left.write(b"bye");
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert_eq!(text(&link.right.read()), "bye");
        assert!(matches!(link.right.stack.readable(), Readable::EndOfInput));
    });
}

#[test]
fn a_close_behind_a_stop_waits_for_the_peel() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.left.write(b"below");
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        link.right_answers();
        link.right.pass_end().unwrap();
        link.run();
        assert_eq!(text(&link.right.read()), "below");
        assert!(link.left.stack.is_flushed());
        match link.right.stack.readable() {
            Readable::Ended(_) => assert!(case.depth > 1),
            Readable::EndOfInput => assert_eq!(case.depth, 1),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_close_during_the_handshake_does_not_wait_for_it() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.run();
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert!(link.left.lost().is_some());
        assert!(link.left.stack.is_flushed());
    });
}

#[test]
fn a_close_during_handshakes_one_in_another_reaches_the_socket() {
    each(2..=5, |case| {
        let mut link = Link::new(case);
        for _ in 0..case.depth {
            let layer = link.server_layer();
            link.left_splices(layer);
        }
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert!(link.left.lost().is_some());
        assert!(matches!(link.right.stack.readable(), Readable::EndOfInput));
    });
}

#[test]
fn a_close_after_writes_during_the_handshake_waits_for_them_to_leave() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.left.write(b"important");
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        link.right_starts();
        link.run();
        assert_eq!(text(&link.right.read()), "important");
        assert!(link.right.ended().is_some());
        assert!(link.left.stack.lost().is_none());
    });
}

#[test]
fn an_outer_close_notify_truncates_every_layer_inside_it() {
    each(2..=5, |case| {
        let mut link = Link::new(case);
        let (_, outer) = link.start();
        let saboteur = link.right.splice(ClosesBelow::new(outer));
        link.start_to(case.depth - 1);
        link.right.write(b"before it");
        link.run();
        let now = link.now();
        link.right.stack.with_layer(now, saboteur, ClosesBelow::close).unwrap();
        link.run();
        let layers = tls_layers(&link.left);
        assert_eq!(text(&link.left.read()), "before it", "nothing is lost that came before");
        assert_eq!(lost_layers(&link.left), layers[1..], "the outer one ended cleanly");
        assert!(link.left.events().is_empty(), "one loss, and no other word");
        link.left.write(b"our direction is open");
        link.run();
        assert_eq!(text(&link.right.read()), "our direction is open");
    });
}

#[test]
fn end_of_file_truncates_every_layer_that_is_open() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.right.write(b"before it");
        link.run();
        link.left.end_input();
        link.run();
        assert_eq!(text(&link.left.read()), "before it");
        assert_eq!(lost_layers(&link.left), tls_layers(&link.left));
    });
}

#[test]
fn end_of_file_within_a_record_is_the_same() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.inject(&[23, 3, 3, 0, 64, 1, 2, 3]);
        link.left.end_input();
        link.run();
        assert_eq!(lost_layers(&link.left), tls_layers(&link.left));
    });
}

#[test]
fn end_of_file_without_layers_is_clean() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left.end_input();
        link.run();
        assert!(matches!(link.left.stack.readable(), Readable::EndOfInput));
        assert!(link.left.stack.lost().is_none());
    });
}

#[test]
fn end_of_file_behind_a_close_notify_is_clean() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        link.right.stack.close(now);
        link.run();
        assert!(link.left.ended().is_some());
        link.left.stop(Stop::new()).unwrap();
        link.left.pass_end().unwrap();
        assert!(matches!(link.left.stack.readable(), Readable::EndOfInput));
    });
}

#[test]
fn an_abort_sends_nothing_more() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.write(b"never sent");
        let (now, sent) = (link.now(), link.left.sent().len());
        link.left.stack.abort(now);
        link.left.stack.abort(now);
        link.run();
        assert_eq!(link.left.sent().len(), sent);
        assert!(link.left.lost().unwrap().is_aborted());
        assert_eq!(link.left.stack.outbound_len(), 0);
        assert_eq!(link.left.stack.poll_deadline(), None);
    });
}

#[test]
fn a_socket_that_fails_is_the_one_reason_and_what_came_before_can_be_read() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.right.write(b"before it");
        link.run();
        let now = link.now();
        link.left.stack.handle_error(now, io::ErrorKind::ConnectionReset.into());
        link.left.stack.handle_error(now, io::ErrorKind::BrokenPipe.into());
        assert_eq!(text(&link.left.read()), "before it");
        let reason = link.left.lost().unwrap();
        assert_eq!(reason.io_error().unwrap().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(lost_layers(&link.left), tls_layers(&link.left));
    });
}

#[test]
fn a_key_update_that_crosses_our_close_leaves_nothing_unsent() {
    each_version(2, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        let right = link.right.stack.innermost_stoppable().unwrap();
        let update = TlsLayer::request_key_update;
        if link.right.stack.with_layer(now, right, update).unwrap().is_err() {
            return;
        }
        link.left.stack.close(now);
        link.run();
        assert!(link.left.stack.lost().is_none());
        assert!(link.left.stack.is_flushed(), "{:?}", link.left.stack);
    });
}

#[test]
fn a_finished_layer_can_be_closed() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        let left = link.left.stack.innermost_stoppable().unwrap();
        link.left.stack.finish(now, left).unwrap();
        link.left.stack.close(now);
        link.run();
        assert!(link.left.stack.is_flushed());
        for _ in 0..case.depth {
            link.right_answers();
            link.right.pass_end().unwrap();
        }
        assert!(matches!(link.right.stack.readable(), Readable::EndOfInput));
        link.run();
        assert_eq!(link.left.ended(), Some(left));
    });
}

#[test]
fn a_close_behind_writes_at_once_reaches_the_socket_before_the_answer() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new().writes_at_once()).unwrap();
        link.left.write(b"and goodbye");
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert!(link.left.stack.is_flushed());
        link.right_answers();
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "and goodbye");
        assert!(matches!(link.right.stack.readable(), Readable::EndOfInput));
        link.run();
        assert!(link.left.ended().is_some());
    });
}

#[test]
fn a_close_during_a_handshake_that_may_be_peeled_closes_the_socket() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let layer = link.server_layer().on_failure(OnFailure::Peel);
        link.left_splices(layer);
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert!(link.left.stack.is_flushed());
        match link.right.stack.readable() {
            Readable::Ended(_) => assert!(case.depth > 1),
            Readable::EndOfInput => assert_eq!(case.depth, 1),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn an_answer_with_the_end_of_file_right_behind_it_is_clean() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right_answers();
        link.right.write(b"goodbye");
        let now = link.now();
        link.right.stack.close(now);
        link.run();
        link.left.pass_end().unwrap();
        assert_eq!(text(&link.left.read()), "goodbye");
        assert!(matches!(link.left.stack.readable(), Readable::EndOfInput));
    });
}
