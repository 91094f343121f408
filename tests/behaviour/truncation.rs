//! A peer that ends TCP and not its TLS, as most clients do behind their request. What came before is delivered, what
//! we write still leaves, and only then is it told that nothing proves the stream whole (RFC 8446 section 6.1).

use std::io;

use onionskin::stack::{Event, LayerErrorKind, LayerId, PeerAnswer, Readable, Stop};
use onionskin::testing::{Cut, Fault, Pair, Peer};
use onionskin::tls::{OnFailure, Version};

use crate::common::link::{Case, DEPTHS, Link, ONE, assert_stopped, each, each_in_pieces, pattern, text};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const ANSWER: &[u8] = b"200 here you are";

fn tls_layers(peer: &Peer) -> Vec<LayerId> {
    peer.stack.layers().filter(|(_, layer)| layer.name() == "tls").map(|(id, _)| id).collect()
}

/// What was cut off, when all before it has been read; our own direction is open.
#[track_caller]
fn truncated_layers(peer: &Peer) -> Vec<LayerId> {
    assert!(peer.stack.lost().is_none(), "{:?}", peer.stack.lost());
    let reason = peer.lost().expect("the truncation is next to read");
    assert!(reason.layers().iter().all(|loss| loss.error.is_truncated()), "{reason}");
    assert_eq!(peer.stack.truncated().map(ToString::to_string), Some(reason.to_string()));
    reason.layers().iter().map(|loss| loss.layer).collect()
}

/// The right answers and closes, and the left gets all of it.
fn right_answers_and_closes(link: &mut Link) {
    link.right.write(ANSWER);
    let now = link.now();
    link.right.stack.close(now);
    link.run();
    assert!(link.right.stack.is_flushed() && link.right.stack.lost().is_none());
    assert_eq!(text(&link.left.read()), text(ANSWER));
    while let Some(ended) = link.left.ended() {
        assert_eq!(link.left.stop(Stop::new()).unwrap(), ended);
        link.left.pass_end().unwrap();
    }
    assert!(matches!(link.left.stack.readable(), Readable::EndOfInput), "{:?}", link.left.stack.readable());
}

/// Both sides begin the last handshake, up to the moment at which the left is ready and its last words are not yet sent.
fn until_left_is_ready(link: &mut Link) -> LayerId {
    link.left_starts();
    let right = link.right_starts();
    loop {
        let progress = link.step();
        if link.left.events().iter().any(|event| matches!(event, Event::Ready(_))) {
            return right;
        }
        assert!(progress, "{:?}", link.left.stack);
    }
}

#[test]
fn a_request_with_the_end_behind_it_in_the_flight_of_the_finished_is_answered() {
    each(1..=3, |case| {
        let mut link = Link::outer(case);
        let innermost = until_left_is_ready(&mut link);
        link.left.write(REQUEST);
        link.right.end_input();
        link.run();
        assert!(matches!(link.right.events()[..], [Event::Ready(id)] if id == innermost));
        assert_eq!(text(&link.right.read()), text(REQUEST));
        assert_eq!(truncated_layers(&link.right), tls_layers(&link.right));
        right_answers_and_closes(&mut link);
    });
}

#[test]
fn the_end_of_a_server_is_treated_the_same() {
    each(1..=3, |case| {
        let mut link = Link::connected(case);
        link.right.write(ANSWER);
        link.left.end_input();
        link.run();
        assert_eq!(text(&link.left.read()), text(ANSWER));
        assert_eq!(truncated_layers(&link.left), tls_layers(&link.left));
        link.left.write(REQUEST);
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert!(link.left.stack.is_flushed());
        assert_eq!(text(&link.right.read()), text(REQUEST));
        assert!(link.right.ended().is_some(), "the close_notify has left too");
    });
}

#[test]
fn wherever_the_stream_is_cut_no_end_is_clean_and_whoever_is_ready_can_answer() {
    for &version in crate::common::BOTH {
        for depth in 1..=3 {
            let case = Case { cut: Cut::Whole, version, depth, padded: false };
            let cut_at = |offset: u64| {
                let mut link = Link::new(case);
                link.right.splice(Fault::end_at(offset).inbound());
                link.start_to(depth - 1);
                let before = link.left.sent().len() as u64;
                link.left_starts();
                let innermost = link.right_starts();
                link.left.write(REQUEST);
                link.run();
                (link, innermost, before)
            };
            let (whole, _, before) = cut_at(u64::MAX);
            let (mut answered, mut refused) = (0, 0);
            for offset in before + 1..=whole.left.sent().len() as u64 {
                let (mut link, innermost, _) = cut_at(offset);
                let ready =
                    link.right.events().iter().any(|event| matches!(event, Event::Ready(id) if *id == innermost));
                let read = link.right.read();
                assert!(REQUEST.starts_with(&read), "{case:?}, {offset}");
                assert!(link.right.lost().is_some(), "{case:?}, {offset}: {:?}", link.right.stack);
                assert_eq!(ready, link.right.stack.lost().is_none(), "{case:?}, {offset}");
                if !ready {
                    assert_eq!(read, []);
                    refused += 1;
                    continue;
                }
                truncated_layers(&link.right);
                link.right.write(ANSWER);
                link.run();
                assert_eq!(text(&link.left.read()), text(ANSWER), "{case:?}, {offset}");
                answered += 1;
            }
            assert!(refused > 20 && answered > 0, "{case:?}: {refused}, {answered}");
        }
    }
}

#[test]
fn megabytes_leave_after_the_end_of_the_peer() {
    each_in_pieces(1..=3, |case| {
        let mut link = Link::connected(case);
        link.right.end_input();
        link.run();
        truncated_layers(&link.right);
        let bytes = pattern(500_000);
        assert!(link.right_to_left(&bytes) == bytes);
    });
}

#[test]
fn what_had_no_room_when_the_end_came_leaves_too() {
    each_in_pieces(1..=3, |case| {
        let mut link = Link::connected(case);
        // The left reads nothing, until its boundaries and those of the right are full.
        let mut sent = Vec::new();
        loop {
            let bytes = &pattern(1_000_000)[sent.len()..];
            let written = link.right.write_some(bytes);
            sent.extend_from_slice(&bytes[..written]);
            link.run();
            if written == 0 {
                break;
            }
        }
        link.right.end_input();
        link.run();
        assert!(link.right.stack.truncated().is_some());
        let now = link.now();
        link.right.stack.close(now);
        let mut arrived = Vec::new();
        loop {
            let read = link.left.read();
            if read.is_empty() {
                break;
            }
            arrived.extend(read);
            link.run();
        }
        assert!(arrived == sent, "{} of {}", arrived.len(), sent.len());
        assert!(link.left.ended().is_some());
    });
}

#[test]
fn a_reset_and_damage_are_the_loss_of_both_directions() {
    each(1..=3, |case| {
        for damage in [false, true] {
            let mut link = Link::connected(case);
            link.left.write(REQUEST);
            link.run();
            let now = link.now();
            if damage {
                link.right.inject(&[23, 3, 3, 0, 32]);
                link.right.inject(&[7; 32]);
                link.run();
            } else {
                link.right.stack.handle_error(now, io::ErrorKind::ConnectionReset.into());
            }
            assert_eq!(text(&link.right.read()), text(REQUEST));
            assert!(link.right.lost().is_some() && link.right.stack.lost().is_some());
            assert!(link.right.stack.truncated().is_none());
            assert!(link.right.stack.write(now, ANSWER).unwrap_err().reason().is_some());
        }
    });
}

#[test]
fn a_socket_that_fails_later_is_a_loss_and_the_reader_still_finds_the_truncation() {
    each(1..=3, |case| {
        let mut link = Link::connected(case);
        link.left.write(REQUEST);
        link.right.end_input();
        link.run();
        let now = link.now();
        link.right.stack.handle_error(now, io::ErrorKind::BrokenPipe.into());
        assert_eq!(text(&link.right.read()), text(REQUEST));
        let reason = link.right.stack.lost().expect("nothing can be sent any more").clone();
        assert_eq!(reason.io_error().map(io::Error::kind), Some(io::ErrorKind::BrokenPipe));
        let layers: Vec<_> = reason.layers().iter().map(|loss| loss.layer).collect();
        assert_eq!(layers, tls_layers(&link.right), "{reason}");
        let read = link.right.lost().unwrap();
        assert!(read.io_error().is_none() && read.layer_error().unwrap().is_truncated(), "{read}");
    });
}

#[test]
fn a_reader_who_pauses_before_the_end_and_the_failure_of_the_socket_finds_all_that_came_and_then_the_truncation() {
    each_in_pieces(1..=3, |case| {
        for fails in [true, false] {
            let mut link = Link::connected(case);
            let mut sent = Vec::new();
            // All of it arrives, and no layer of the right has room for the last of it.
            let room = link.right.stack.input_room();
            while link.right.stack.input_room() > room / 2 {
                let bytes = pattern(10_000);
                link.left.write(&bytes);
                sent.extend(bytes);
                link.run();
            }
            link.right.end_input();
            link.run();
            assert!(link.right.stack.truncated().is_none(), "it waits behind what has no room");
            let now = link.now();
            if fails {
                link.right.stack.handle_error(now, io::ErrorKind::ConnectionReset.into());
            }
            let mut arrived = Vec::new();
            while !matches!(link.right.stack.readable(), Readable::Nothing | Readable::Lost(_)) {
                arrived.extend(link.right.read());
            }
            assert!(arrived == sent, "{} of {}", arrived.len(), sent.len());
            let read = link.right.lost().expect("no reader waits for ever");
            assert!(read.io_error().is_none() && read.layer_error().unwrap().is_truncated(), "{read}");
            assert_eq!(link.right.stack.lost().is_some(), fails);
        }
    });
}

#[test]
fn a_stop_fails_when_its_close_notify_has_left_and_what_waits_for_the_peel_never_leaves() {
    each(DEPTHS, |case| {
        for first in ["stop", "end"] {
            let mut link = Link::connected(case);
            let left = *tls_layers(&link.left).last().unwrap();
            if first == "end" {
                link.left.end_input();
                link.run();
                truncated_layers(&link.left);
            }
            link.left.write(b"inside");
            link.left.stop(Stop::new()).unwrap();
            if first == "stop" {
                link.left.write(b"below");
                link.left.end_input();
            }
            link.run();
            assert_eq!(text(&link.right.read()), "inside");
            assert!(link.right.ended().is_some(), "our close_notify has left");
            let reason = link.left.stack.lost().expect("the stop has failed").clone();
            assert!(reason.layer_error().unwrap().is_truncated(), "{reason}");
            let layers: Vec<_> = reason.layers().iter().map(|loss| loss.layer).collect();
            assert_eq!(layers, tls_layers(&link.left), "each once: {reason}");
            assert!(layers.contains(&left));
            link.right_answers();
            link.right.pass_end().unwrap();
            link.run();
            assert_eq!(link.right.read(), [], "what was to be said below was not said");
        }
    });
}

#[test]
fn a_grace_ends_with_the_peer() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        link.run();
        assert!(link.right.ended().is_none(), "it waits");
        link.left.end_input();
        link.run();
        assert!(link.right.ended().is_some());
        assert!(link.left.stack.lost().is_some());
    });
}

#[test]
fn a_layer_that_ended_before_can_still_be_stopped_and_is_not_among_those_that_were_cut_off() {
    each(2..=4, |case| {
        let mut link = Link::connected(case);
        let right = *tls_layers(&link.right).last().unwrap();
        link.left.write(REQUEST);
        link.left.stop(Stop::new()).unwrap();
        link.right.end_input();
        link.run();
        assert_eq!(text(&link.right.read()), text(REQUEST));
        assert_eq!(link.right.ended(), Some(right));
        link.right.write(ANSWER);
        link.right.stop(Stop::new()).unwrap();
        link.run();
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
        assert_eq!(link.right.pass_end().unwrap(), right);
        let outer = truncated_layers(&link.right);
        assert_eq!(outer, tls_layers(&link.right), "the one that is gone had ended");
        assert_eq!(text(&link.left.read()), text(ANSWER));
        link.left.pass_end().unwrap();
        link.right.write(b"and below");
        link.run();
        assert_eq!(text(&link.left.read()), "and below");
    });
}

#[test]
fn an_end_that_overtakes_a_lenient_stop_is_the_answer_to_it() {
    each_in_pieces(ONE, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stack.innermost_stoppable().unwrap();
        // Something stands before the order that has no room yet.
        link.right.hold(true);
        link.left.splice(onionskin::layer::Throttle::new().outbound(onionskin::layer::Rate::per_second(1_000)));
        link.left.write(&pattern(3_000));
        link.left.stop(Stop::new().lenient()).unwrap();
        link.left.end_input();
        link.run();
        assert!(link.left.lost().is_none() && link.left.stack.truncated().is_none());
        link.right.hold(false);
        link.advance(std::time::Duration::from_secs(4));
        assert!(link.right.read() == pattern(3_000));
        assert_stopped(&mut link.left, left, PeerAnswer::Missing);
    });
}

#[test]
fn no_handshake_comes_to_its_end_behind_a_truncation() {
    each(2..=3, |case| {
        for peels in [false, true] {
            let mut link = Link::outer(case);
            link.right.end_input();
            link.run();
            let outer = truncated_layers(&link.right);
            let options = if peels { OnFailure::Peel } else { OnFailure::Lose };
            let layer = link.server_layer().on_failure(options);
            let inner = link.right_splices(layer);
            link.run();
            match link.right.events()[..] {
                [Event::Failed { layer, .. }] if peels && layer == inner => {
                    link.right.pass_end().unwrap();
                    assert_eq!(truncated_layers(&link.right), outer, "the rest is as it was");
                    link.right.write(ANSWER);
                    link.run();
                    assert_eq!(text(&link.left.read()), text(ANSWER));
                }
                [] if !peels => {
                    let reason = link.right.stack.lost().unwrap();
                    let layers: Vec<_> = reason.layers().iter().map(|loss| loss.layer).collect();
                    assert_eq!(layers, [&outer[..], &[inner]].concat(), "{reason}");
                }
                ref events => panic!("{events:?}"),
            }
        }
    });
}

#[test]
fn the_message_tells_a_record_that_was_cut_from_a_close_notify_that_is_missing() {
    let message = |inject: &[u8]| {
        let case = Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false };
        let mut link = Link::connected(case);
        link.left.inject(inject);
        link.left.end_input();
        link.run();
        let remains = link.left.stack.inbound_len();
        (link.left.lost().unwrap().layer_error().unwrap().to_string(), remains)
    };
    assert_eq!(message(b""), ("the stream below ended without a close_notify".to_owned(), 0));
    let cut = "the stream below ended in the middle of a record";
    assert_eq!(message(&[23, 3, 3, 0, 64, 1, 2, 3]), (cut.to_owned(), 8), "and what is left of it stays");
    assert_eq!(message(&[23]), (cut.to_owned(), 1));
}

#[test]
fn deadlines_of_layers_go_on_and_a_later_failure_is_added() {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(onionskin::layer::Deflate::new());
    pair.left.splice(onionskin::layer::IdleTimeout::new(std::time::Duration::from_secs(60)));
    pair.left.inject(&[0x4b]);
    pair.left.end_input();
    pair.run();
    assert!(pair.left.stack.truncated().is_some() && pair.left.stack.lost().is_none());
    pair.advance(std::time::Duration::from_secs(61));
    let kinds: Vec<_> = pair.left.stack.lost().unwrap().layers().iter().map(|loss| loss.error.kind()).collect();
    assert_eq!(kinds, [LayerErrorKind::Truncated, LayerErrorKind::Idle]);
}

#[test]
fn a_close_of_the_wire_truncates_every_layer_behind_what_was_written() {
    each(1..=3, |case| {
        for finished in [false, true] {
            let mut link = Link::connected(case);
            let now = link.now();
            link.left.write(REQUEST);
            if finished {
                let innermost = link.left.stack.innermost_stoppable().unwrap();
                link.left.stack.finish(now, innermost).unwrap();
            }
            link.left.stack.close_wire(now);
            link.left.stack.close(now);
            assert!(link.left.stack.write(now, b"more").is_err());
            link.run();
            assert!(link.left.stack.is_flushed());
            assert_eq!(text(&link.right.read()), text(REQUEST));
            match link.right.ended() {
                Some(_) => assert!(finished),
                None => assert_eq!(truncated_layers(&link.right), tls_layers(&link.right)),
            }
            right_answers(&mut link);
        }
    });
}

/// The left has closed for writing, and still reads.
fn right_answers(link: &mut Link) {
    link.right.write(ANSWER);
    link.run();
    assert_eq!(text(&link.left.read()), text(ANSWER));
}
