//! Compression: what goes in comes out, it ends where it says, and hostile data costs nothing.

use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use onionskin::layer::{Counter, Deflate, Rate, Throttle};
use onionskin::stack::{CommandErrorKind, LayerErrorKind, LayerId, Limits, OnTimeout, PeerAnswer, Readable, Stop};
use onionskin::testing::{Cut, Dice, Pair};
use proptest::prelude::*;

use crate::common::link::{Case, Link, assert_stopped, each, each_in_pieces, each_version, pattern, text};

/// As many TLS layers as the case says, and compression inside them.
fn compressed(case: Case) -> (Link, LayerId, LayerId) {
    let mut link = Link::connected(case);
    let (left, right) = (link.left.splice(Deflate::new()), link.right.splice(Deflate::new()));
    link.left.events();
    link.right.events();
    (link, left, right)
}

/// What another encoder makes of these words, each flushed.
fn encode(words: &[&[u8]], flush: FlushCompress) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut all = Vec::new();
    for word in words {
        let mut out = Vec::with_capacity(word.len() * 2 + 100);
        compress.compress_vec(word, &mut out, flush).unwrap();
        all.extend(out);
    }
    all
}

fn finished(word: &[u8]) -> Vec<u8> {
    encode(&[word], FlushCompress::Finish)
}

#[test]
fn each_word_arrives_at_once_and_the_wire_is_shorter() {
    each(0..=2, |case| {
        let (mut link, ..) = compressed(case);
        let before = link.left.sent().len();
        let word = b"a word that comes again and again; ";
        for _ in 0..100 {
            link.left.write(word);
            link.run();
            assert_eq!(link.right.read(), word);
        }
        let sent = link.left.sent().len() - before;
        let tls = case.depth * 100 * 29;
        assert!(sent < 100 * 15 + tls, "{sent} bytes for {}", 100 * word.len());
        link.talk();
    });
}

#[test]
fn megabytes_of_any_kind_pass_in_both_directions() {
    each_in_pieces(0..=2, |case| {
        let (mut link, ..) = compressed(case);
        for bytes in [pattern(300_000), vec![b'x'; 300_000], b"all of the same ".repeat(20_000)] {
            assert!(link.left_to_right(&bytes) == bytes);
            assert!(link.right_to_left(&bytes) == bytes);
        }
    });
}

#[test]
fn what_cannot_be_compressed_still_makes_one_record_of_each_fragment() {
    each_version(1, |case| {
        for level in [0, 1, 6, 9] {
            let mut link = Link::connected(case);
            link.left.splice(Deflate::new().level(level));
            link.right.splice(Deflate::new());
            let before = link.left.sent().len();
            // Two full fragments.
            let mut dice = Dice::new(7);
            let noise: Vec<u8> = (0..2 * (16_384 - 32)).map(|_| dice.below(256) as u8).collect();
            link.left.write(&noise);
            link.run();
            assert!(link.right.read() == noise);
            let (records, _) = crate::common::link::records(&link.left.sent()[before..]);
            assert_eq!(records.len(), 2, "level {level}: {records:?}");
        }
    });
}

#[test]
fn tls_above_compression_starts_and_stops() {
    each(0..=1, |case| {
        let (mut link, ..) = compressed(case);
        link.start();
        link.talk();
        link.stop();
        link.talk();
        link.stop();
        link.talk();
        assert_eq!(link.tls_depth(), (case.depth, case.depth));
    });
}

#[test]
fn it_starts_right_behind_the_line_that_announces_it() {
    each(0..=1, |case| {
        let mut link = Link::connected(case);
        link.left.write(b"COMPRESS DEFLATE\r\n");
        link.left.splice(Deflate::new());
        link.left.write(b"packed");
        link.run();
        assert_eq!(link.right_reads(18), b"COMPRESS DEFLATE\r\n");
        link.right.splice(Deflate::new());
        link.run();
        assert_eq!(text(&link.right.read()), "packed");
    });
}

#[test]
fn a_stop_ends_both_streams_and_goes_on_below() {
    each(0..=2, |case| {
        let (mut link, left, right) = compressed(case);
        link.left.write(b"last words");
        assert_eq!(link.left.stop(Stop::new()).unwrap(), left);
        link.left.write(b"below");
        link.run();
        assert_eq!(text(&link.right.read()), "last words");
        assert_eq!(link.right.ended(), Some(right));
        link.right.write(b"late");
        link.right_answers();
        link.right.write(b"also below");
        link.run();
        assert_eq!(text(&link.left.read()), "late");
        assert_eq!(link.left.ended(), Some(left));
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        link.run();
        assert_eq!((text(&link.left.read()), text(&link.right.read())), ("also below".to_owned(), "below".to_owned()));
        link.talk();
        // And again.
        link.left.splice(Deflate::new());
        link.right.splice(Deflate::new());
        link.talk();
        link.stop();
        link.talk();
    });
}

#[test]
fn what_stands_behind_the_final_block_is_the_layers_below_to_the_byte() {
    let below = b"\x03\x00 below \x00\x00\xff\xff";
    for level in [0, 1, 6, 9] {
        let mut compress = Compress::new(Compression::new(level), false);
        let word = b"a word and a word and a word, and another that is longer";
        let mut stream = Vec::with_capacity(500);
        compress.compress_vec(word, &mut stream, FlushCompress::Finish).unwrap();
        stream.extend(below);
        for cut in 0..=stream.len() {
            for second in [cut, (cut + 1).min(stream.len()), (cut + 3).min(stream.len())] {
                let mut pair = Pair::new(Cut::Whole);
                let layer = pair.left.splice(Deflate::new());
                for part in [&stream[..cut], &stream[cut..second], &stream[second..]] {
                    pair.left.inject(part);
                    pair.run();
                }
                assert_eq!(text(&pair.left.read()), text(word), "cut at {cut}, level {level}");
                assert_eq!(pair.left.ended(), Some(layer));
                pair.left.stop(Stop::new()).unwrap();
                pair.left.pass_end().unwrap();
                assert_eq!(text(&pair.left.read()), text(below), "cut at {cut} and {second}, level {level}");
            }
        }
    }
}

#[test]
fn stops_that_cross_are_each_others_answer() {
    each(0..=2, |case| {
        let (mut link, left, right) = compressed(case);
        link.left.write(b"from the left");
        link.right.write(b"from the right");
        link.left.stop(Stop::new()).unwrap();
        link.right.stop(Stop::new()).unwrap();
        link.run();
        assert_eq!(text(&link.left.read()), "from the right");
        assert_eq!(text(&link.right.read()), "from the left");
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        link.talk();
    });
}

#[test]
fn a_second_stop_joins_the_first_and_one_of_a_layer_that_is_gone_is_an_error() {
    each(0..=1, |case| {
        let (mut link, left, _) = compressed(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        let sent = link.left.sent().len();
        assert_eq!(link.left.stop(Stop::new()).unwrap(), left);
        link.run();
        assert_eq!(link.left.sent().len(), sent, "one final block a side");
        link.right_answers();
        link.run();
        let now = link.now();
        assert!(link.left.stack.stop(now, left, Stop::new()).unwrap_err().is_no_such_layer());
        assert!(link.left.stack.remove(now, left).unwrap_err().is_no_such_layer());
    });
}

#[test]
fn it_is_stopped_and_neither_taken_out_nor_abandoned() {
    each(0..=1, |case| {
        let (mut link, left, _) = compressed(case);
        let now = link.now();
        let refused = link.left.stack.remove(now, left).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::CannotRemove(id) if *id == left), "{refused}");
        let refused = link.left.stop(Stop::new().abandon()).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::Refused(id, _) if *id == left), "{refused}");
        link.talk();
        link.stop();
    });
}

#[test]
fn a_peer_that_stops_first_is_held_until_it_is_answered() {
    each(0..=1, |case| {
        let (mut link, left, right) = compressed(case);
        link.right.stop(Stop::new()).unwrap();
        link.run();
        assert_eq!(link.left.ended(), Some(left));
        assert!(link.left.pass_end().is_err());
        link.left.write(b"still inside");
        link.left.stop(Stop::new()).unwrap();
        link.run();
        assert_eq!(text(&link.right.read()), "still inside");
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
    });
}

#[test]
fn the_peer_may_be_let_go_first() {
    each(0..=1, |case| {
        let (mut link, left, right) = compressed(case);
        let sent = link.left.sent().len();
        link.left.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        link.run();
        assert_eq!(link.left.sent().len(), sent);
        link.right.stop(Stop::new()).unwrap();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);

        let (mut link, ..) = compressed(case);
        link.left.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        link.advance(Stop::GRACE);
        assert!(link.right.ended().is_some(), "the grace is over");
    });
}

#[test]
fn writes_at_once_leave_right_behind_the_final_block() {
    each(0..=1, |case| {
        let (mut link, ..) = compressed(case);
        link.left.write(b"above");
        link.left.stop(Stop::new().writes_at_once()).unwrap();
        link.left.write(b"below");
        link.run();
        if case.depth == 0 {
            assert!(link.left.sent().ends_with(b"below"), "before any answer");
        }
        assert_eq!(text(&link.right.read()), "above");
        link.right_answers();
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "below");
    });
}

#[test]
fn a_half_that_is_finished_keeps_reading() {
    each(0..=1, |case| {
        let (mut link, left, right) = compressed(case);
        let now = link.now();
        link.left.write(b"all I have");
        link.left.stack.finish(now, left).unwrap();
        link.run();
        assert_eq!(text(&link.right.read()), "all I have");
        assert_eq!(link.right.ended(), Some(right));
        link.right.write(b"and here is more");
        link.run();
        assert_eq!(text(&link.left.read()), "and here is more");
        assert!(matches!(link.left.stack.readable(), Readable::Nothing));
        link.left.stop(Stop::new()).unwrap();
        link.right_answers();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
    });
}

#[test]
fn a_peer_that_does_not_answer_is_a_loss_or_is_left() {
    each(0..=1, |case| {
        let (mut link, left, _) = compressed(case);
        link.left.stop(Stop::new()).unwrap();
        link.advance(Duration::from_millis(4_999));
        assert!(link.left.stack.lost().is_none());
        link.advance(Duration::from_millis(1));
        let reason = link.left.lost().unwrap();
        assert_eq!(reason.layers()[0].layer, left);
        assert_eq!(reason.layer_error().unwrap().kind(), LayerErrorKind::StopTimeout);

        let (mut link, left, _) = compressed(case);
        link.left.stop(Stop::new().on_timeout(OnTimeout::Peel)).unwrap();
        link.left.write(b"below");
        link.advance(Duration::from_secs(5));
        assert_stopped(&mut link.left, left, PeerAnswer::TimedOut);
        link.left.pass_end().unwrap();
        link.right_answers();
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "below");
    });
}

#[test]
fn a_peer_that_hangs_up_behind_a_flush_ends_the_layer_cleanly() {
    each(0..=0, |case| {
        for words in [&[][..], &[b"BYE\r\n" as &[u8]], &[b"BYE", b"\r\n"]] {
            let mut link = Link::new(case);
            let layer = link.left.splice(Deflate::new());
            link.left.inject(&encode(words, FlushCompress::Sync));
            link.left.end_input();
            link.run();
            assert_eq!(link.left.read(), words.concat());
            assert_eq!(link.left.ended(), Some(layer));
            link.left.stop(Stop::new()).unwrap();
            link.run();
            assert_stopped(&mut link.left, layer, PeerAnswer::Missing);
            link.left.pass_end().unwrap();
            assert!(matches!(link.left.stack.readable(), Readable::EndOfInput));
        }
    });
}

#[test]
fn a_peer_that_closes_the_tls_below_ends_the_layer_cleanly_and_then_tls() {
    each(1..=1, |case| {
        let mut link = Link::connected(case);
        let tls = link.left.stack.innermost_stoppable().unwrap();
        let layer = link.left.splice(Deflate::new());
        link.right.write(&encode(&[b"BYE\r\n"], FlushCompress::Sync));
        let now = link.now();
        link.right.stack.close(now);
        link.run();
        assert_eq!(text(&link.left.read()), r"BYE\r\n");
        for id in [layer, tls] {
            assert_eq!(link.left.ended(), Some(id));
            link.left.stop(Stop::new()).unwrap();
            link.run();
            link.left.pass_end().unwrap();
        }
        assert!(matches!(link.left.stack.readable(), Readable::EndOfInput), "{:?}", link.left.stack.lost());
    });
}

#[test]
fn a_stream_that_is_cut_is_truncated_and_what_came_is_still_read() {
    each(0..=0, |case| {
        let stream = encode(&[b"first, "], FlushCompress::Sync);
        let more = encode(&[b"first, ", b"second and further"], FlushCompress::Sync);
        for len in stream.len() + 1..more.len() {
            let mut link = Link::new(case);
            link.left.splice(Deflate::new());
            link.left.inject(&more[..len]);
            link.left.end_input();
            link.run();
            assert!(link.left.read().starts_with(b"first, "));
            let error = link.left.lost().unwrap().layer_error().unwrap();
            assert!(error.is_truncated(), "{error}");

            let mut link = Link::new(case);
            let layer = link.left.splice(Deflate::new().ends_anywhere());
            link.left.inject(&more[..len]);
            link.left.end_input();
            link.run();
            link.left.read();
            assert_eq!(link.left.ended(), Some(layer));
        }
    });
}

#[test]
fn a_hang_up_instead_of_the_answer_to_a_stop_is_a_truncation_unless_that_is_allowed() {
    each(0..=0, |case| {
        for (stop, clean) in [(Stop::new(), false), (Stop::new().lenient(), true)] {
            let (mut link, left, _) = compressed(case);
            link.left.stop(stop).unwrap();
            link.run();
            link.left.end_input();
            link.run();
            if clean {
                assert_stopped(&mut link.left, left, PeerAnswer::Missing);
            } else {
                let error = link.left.lost().unwrap().layer_error().unwrap();
                assert!(error.is_truncated(), "{error}");
                assert_eq!(error.to_string(), "the stream below ended instead of the peer's final block");
            }
        }
    });
}

#[test]
fn a_loss_below_is_no_end() {
    each(1..=2, |case| {
        let (mut link, left, _) = compressed(case);
        link.left.end_input();
        link.run();
        let reason = link.left.lost().expect("TLS was cut");
        assert!(reason.layers().iter().any(|loss| loss.layer == left), "{reason}");
    });
}

#[test]
fn closing_the_connection_ends_the_stream_and_then_the_layers_below() {
    each(0..=1, |case| {
        let (mut link, _, right) = compressed(case);
        link.left.write(b"bye");
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert!(link.left.stack.is_flushed());
        assert_eq!(text(&link.right.read()), "bye");
        assert_eq!(link.right.ended(), Some(right));
        link.right.stop(Stop::new()).unwrap();
        link.right.pass_end().unwrap();
        if case.depth == 0 {
            assert!(matches!(link.right.stack.readable(), Readable::EndOfInput));
        } else {
            assert!(link.right.ended().is_some());
        }
    });
}

#[test]
fn what_is_no_deflate_is_named() {
    each(0..=1, |case| {
        let mut link = Link::connected(case);
        let layer = link.left.splice(Deflate::new());
        // A block of the kind that does not exist (RFC 1951 section 3.2.3).
        link.right.write(b"\x07 no such kind of block\r\n");
        link.run();
        let reason = link.left.lost().unwrap();
        assert_eq!(reason.layers()[0].layer, layer);
        let error = reason.layer_error().unwrap();
        assert_eq!(error.kind(), LayerErrorKind::Protocol);
        assert_eq!(error.to_string(), "the peer's data is no deflate stream (RFC 1951)");
    });
}

#[test]
fn a_bomb_waits_for_room_as_anything_else() {
    each_in_pieces(0..=1, |case| {
        let mut link = Link::connected(case);
        link.left.splice(Deflate::new());
        let size = 20_000_000;
        let bomb = encode(&[&vec![0; size]], FlushCompress::Sync);
        assert!(bomb.len() < size / 900, "{}", bomb.len());
        for part in bomb.chunks(10_000) {
            link.right.write(part);
            link.run();
        }
        let limit = Limits::default().buffer;
        assert!(link.left.stack.inbound_len() <= (2 + case.depth) * limit, "{}", link.left.stack.inbound_len());
        let mut read = 0;
        loop {
            let some = link.left.read().len();
            if some == 0 {
                break;
            }
            read += some;
            link.run();
        }
        assert_eq!(read, size);
    });
}

#[test]
fn a_wire_that_takes_nothing_stops_the_writer() {
    each_version(1, |case| {
        let (mut link, ..) = compressed(case);
        let mut dice = Dice::new(3);
        let noise: Vec<u8> = (0..50_000).map(|_| dice.below(256) as u8).collect();
        let written: usize = (0..100).map(|_| link.left.write_some(&noise)).sum();
        let limit = Limits::default().buffer;
        // The application's boundary, the one below compression, and the wire's.
        assert!(link.left.stack.outbound_len() <= 3 * limit, "{}", link.left.stack.outbound_len());
        assert!(written > limit);
        link.run();
        assert_eq!(link.right_reads(written).len(), written);
    });
}

#[test]
fn compression_between_wrappers_that_come_and_go_loses_nothing() {
    each_in_pieces(0..=1, |case| {
        let mut link = Link::connected(case);
        let below = link.left.splice(Counter::new());
        link.left.splice(Throttle::new().outbound(Rate::per_second(100_000)).inbound(Rate::per_second(100_000)));
        link.left.splice(Deflate::new());
        link.right.splice(Deflate::new());
        let above = link.left.splice(Counter::new());
        link.left.write(&pattern(50_000));
        link.right.write(&pattern(50_000));
        link.run();
        let now = link.now();
        link.left.stack.remove(now, below).unwrap();
        link.advance(Duration::from_secs(1));
        let now = link.now();
        link.left.stack.remove(now, above).unwrap();
        link.advance(Duration::from_secs(5));
        assert!(link.left.read() == pattern(50_000) && link.right.read() == pattern(50_000));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn noise_is_an_error_or_bytes_and_never_more_than_the_buffers_hold(
        noise in proptest::collection::vec(any::<u8>(), 0..4_000),
        good in any::<bool>(),
        seed: u64,
    ) {
        let mut pair = Pair::new(Cut::Random(seed));
        let layer = pair.left.splice(Deflate::new());
        if good {
            let words = [pattern(2_000), vec![b'x'; 2_000]];
            pair.left.inject(&encode(&[&words[0], &words[1]], FlushCompress::Sync));
            pair.run();
            prop_assert_eq!(pair.left.read(), words.concat());
        }
        pair.left.inject(&noise);
        pair.left.end_input();
        pair.run();
        let limit = Limits::default().buffer;
        prop_assert!(pair.left.stack.inbound_len() <= 2 * limit);
        while !pair.left.read().is_empty() {
            pair.run();
        }
        prop_assert!(pair.left.lost().is_some() || pair.left.ended() == Some(layer));
    }

    #[test]
    fn any_writes_arrive_as_they_were(
        writes in proptest::collection::vec(proptest::collection::vec(0..4_u8, 0..3_000), 0..12),
        level in 0..10_u8,
        seed: u64,
    ) {
        let mut pair = Pair::new(Cut::Random(seed));
        pair.left.splice(Deflate::new().level(level));
        pair.right.splice(Deflate::new());
        for write in &writes {
            pair.left.write(write);
            pair.step();
        }
        pair.left.stop(Stop::new()).unwrap();
        pair.left.write(b"below");
        pair.run();
        prop_assert_eq!(pair.right.read(), writes.concat());
        pair.right.stop(Stop::new()).unwrap();
        pair.run();
        pair.right.pass_end().unwrap();
        prop_assert_eq!(pair.right.read(), b"below");
    }

    #[test]
    fn the_end_is_found_to_the_byte(word in proptest::collection::vec(0..6_u8, 0..500), rest: Vec<u8>, seed: u64) {
        let mut pair = Pair::new(Cut::Random(seed));
        pair.left.splice(Deflate::new());
        pair.left.inject(&finished(&word));
        pair.left.inject(&rest);
        pair.run();
        prop_assert_eq!(pair.left.read(), word);
        pair.left.stop(Stop::new()).unwrap();
        pair.left.pass_end().unwrap();
        prop_assert_eq!(pair.left.read(), rest);
    }
}
