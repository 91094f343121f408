//! The layers of the test kit that misbehave: that they do what they say, and what TLS makes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use onionskin::stack::{Ends, Event, Failure, Layer, LayerErrorKind, LayerId, PeerAnswer, Readable, Stop};
use onionskin::testing::{Cut, Dice, Fault, Pair, Peer};
use onionskin::tls::{OnFailure, Version};

use crate::common::link::{DEPTHS, Link, ONE, assert_stopped, each, each_in_pieces, each_version, pattern, text};

const CUTS: [Cut; 4] = [Cut::Whole, Cut::Bytes, Cut::Pieces(5), Cut::Random(11)];

/// What a side has read, and how that ended.
fn read_to_end(peer: &mut Peer) -> (String, &'static str) {
    let read = text(&peer.read());
    let end = match peer.stack.readable() {
        Readable::Ended(_) => "layer",
        Readable::EndOfInput => "end of file",
        Readable::Lost(_) => "loss",
        _ => "nothing",
    };
    (read, end)
}

/// Why the first layer failed that did.
fn first_loss(peer: &Peer) -> (LayerId, LayerErrorKind) {
    let reason = peer.stack.lost().or(peer.stack.truncated());
    let loss = &reason.expect("the connection is lost, or what the peer sends was cut off").layers()[0];
    (loss.layer, loss.error.kind())
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn layers_start_talk_and_stop_whatever_pieces_come_through_each_boundary() {
    for pieces in [Cut::Bytes, Cut::Pieces(3), Cut::Random(7), Cut::Whole] {
        each_in_pieces(1..=3, |case| {
            let mut link = Link::new(case);
            for _ in 0..case.depth {
                link.left.splice(Fault::cut(pieces));
                link.right.splice(Fault::cut(pieces).inbound());
                link.start();
                link.talk();
            }
            let sent = pattern(3_000);
            assert!(link.left_to_right(&sent) == sent && link.right_to_left(&sent) == sent, "{pieces:?}");
            for _ in 0..case.depth {
                link.stop();
                link.talk();
            }
        });
    }
}

#[test]
fn a_cut_shows_its_neighbour_every_piece_and_the_end_by_itself() {
    let seen = |cut| {
        let mut pair = Pair::new(Cut::Whole);
        // Behind a delay, so that everything is there at once.
        pair.right.splice(Fault::delay(seconds(1)).inbound());
        pair.right.splice(Fault::cut(cut));
        let sees = Sees::default();
        pair.right.splice(sees.clone());
        pair.left.write(b"123456789");
        let now = pair.now();
        pair.left.stack.close(now);
        pair.run();
        pair.advance(seconds(1));
        assert_eq!(read_to_end(&mut pair.right), ("123456789".to_owned(), "end of file"));
        sees.0.lock().unwrap().clone()
    };
    assert_eq!(seen(Cut::Whole), [(9, true)]);
    assert_eq!(seen(Cut::Pieces(4)), [(4, false), (4, false), (1, false), (0, true)]);
    assert_eq!(seen(Cut::Bytes).len(), 10);
    assert_eq!(seen(Cut::Pieces(0)), seen(Cut::Bytes));
    assert_eq!(seen(Cut::Random(4)).last(), Some(&(0, true)));

    // And on the way down, to the neighbour below.
    let mut pair = Pair::new(Cut::Whole);
    let sees = Sees::default();
    pair.left.splice(sees.clone());
    pair.left.splice(Fault::cut(Cut::Pieces(4)));
    pair.left.splice(Fault::delay(seconds(1)).outbound());
    pair.left.write(b"123456789");
    let now = pair.now();
    pair.left.stack.close(now);
    pair.advance(seconds(1));
    assert_eq!(read_to_end(&mut pair.right), ("123456789".to_owned(), "end of file"));
    assert_eq!(*sees.0.lock().unwrap(), [(4, false), (4, false), (1, false), (0, true)]);
}

/// How many bytes it finds each time, and whether there is an end behind them.
#[derive(Clone, Debug, Default)]
struct Sees(Arc<Mutex<Vec<(usize, bool)>>>);

impl Layer for Sees {
    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let input = ends.inbound_below();
        if !input.is_empty() {
            self.0.lock().unwrap().push((input.front().len(), input.next_mark().is_some()));
        }
        ends.pass_inbound();
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let output = ends.outbound_above();
        if !output.is_empty() {
            self.0.lock().unwrap().push((output.front().len(), output.next_mark().is_some()));
        }
        ends.pass_outbound();
        Ok(())
    }
}

#[test]
fn marks_keep_their_place_in_pieces_and_in_a_delay() {
    for fault in [Fault::cut(Cut::Bytes), Fault::cut(Cut::Random(3)), Fault::delay(Duration::from_millis(500))] {
        each(ONE, |case| {
            let mut link = Link::connected(case);
            // Above the layer: its end passes through, and the order to stop it.
            link.left.splice(fault.clone());
            link.right.splice(fault.clone());
            link.left.write(b"inside");
            let left = link.left.stop(Stop::new()).unwrap();
            link.left.write(b"outside");
            link.advance(seconds(2));
            assert_eq!(read_to_end(&mut link.right), ("inside".to_owned(), "layer"));
            let right = link.right_answers();
            link.right.write(b"outside too");
            link.advance(seconds(2));
            assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
            assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
            link.right.pass_end().unwrap();
            assert_eq!(read_to_end(&mut link.left), (String::new(), "layer"));
            link.left.pass_end().unwrap();
            link.advance(seconds(5));
            assert_eq!(text(&link.right.read()), "outside");
            assert_eq!(text(&link.left.read()), "outside too");
            let now = link.now();
            link.left.stack.close(now);
            link.advance(seconds(5));
            assert_eq!(read_to_end(&mut link.right), (String::new(), "end of file"));
        });
    }
}

#[test]
fn a_handshake_through_a_delay_takes_its_round_trips() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left.splice(Fault::delay(seconds(1)));
        let (left, right) = (link.left_starts(), link.right_starts());
        // The hello waits a second on its way out, the answer one on its way in; TLS 1.2 goes there and back again.
        let trips = if case.version == Version::Tls13 { 2 } else { 4 };
        link.advance(seconds(trips) - Duration::from_millis(1));
        assert!(link.left.events().is_empty());
        link.advance(Duration::from_millis(1));
        assert!(matches!(link.left.events()[..], [Event::Ready(id)] if id == left));
        link.advance(seconds(2));
        assert!(matches!(link.right.events()[..], [Event::Ready(id)] if id == right));
        link.left.write(b"late");
        link.advance(seconds(1));
        assert_eq!(text(&link.right.read()), "late");
        link.advance(seconds(2));
        assert_eq!(link.left.stack.poll_deadline(), None, "nothing is on its way any more");
    });
}

#[test]
fn what_came_at_different_times_passes_at_different_times_in_order() {
    for cut in CUTS {
        let mut pair = Pair::new(cut);
        pair.right.splice(Fault::delay(seconds(10)).inbound());
        for word in ["one ", "two ", "three"] {
            pair.left.write(word.as_bytes());
            pair.run();
            pair.advance(seconds(3));
        }
        let now = pair.now();
        pair.left.stack.close(now);
        pair.run();
        let mut heard = Vec::new();
        for _ in 0..10 {
            pair.advance(seconds(1));
            heard.push(read_to_end(&mut pair.right));
        }
        let expected = ["one ", "", "", "two ", "", "", "three", "", "", ""];
        assert_eq!(heard.iter().map(|(read, _)| &read[..]).collect::<Vec<_>>(), expected, "{cut:?}");
        assert_eq!(heard.iter().filter(|(_, end)| *end == "end of file").count(), 1, "{cut:?}");
        assert_eq!(heard[9].1, "end of file", "{cut:?}");
    }
}

#[test]
fn a_delay_slows_its_writer_down_and_keeps_no_more_than_the_boundaries_hold() {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(Fault::delay(seconds(1)));
    let sent = pattern(1_000_000);
    let (mut rest, mut arrived, mut turns) = (&sent[..], Vec::new(), 0);
    while arrived.len() < sent.len() {
        loop {
            let written = pair.left.write_some(rest);
            rest = &rest[written..];
            if written == 0 {
                break;
            }
        }
        assert!(pair.left.stack.outbound_len() <= 2 * 128 * 1024);
        pair.advance(seconds(1));
        arrived.extend(pair.right.read());
        turns += 1;
        assert!(turns < 100, "nothing moves");
    }
    assert!(arrived == sent);
    assert!(turns > 5, "a full boundary holds the writer up");
}

#[test]
fn a_delay_beyond_all_time_never_passes_anything() {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(Fault::delay(Duration::MAX).outbound());
    pair.left.write(b"hello");
    pair.advance(seconds(1_000_000));
    assert_eq!((text(&pair.right.read()), pair.left.stack.poll_deadline()), (String::new(), None));
    pair.right.write(b"the other way is open");
    pair.run();
    assert_eq!(text(&pair.left.read()), "the other way is open");
}

#[test]
fn what_is_written_behind_dropped_bytes_has_its_own_delay() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let layer = link.client_layer().on_failure(OnFailure::Peel);
        link.left_splices(layer);
        link.left.splice(Fault::delay(seconds(9)).outbound());
        link.left.write(b"never sent");
        link.advance(seconds(5));
        link.left.inject(b"no TLS here");
        link.run();
        assert!(matches!(link.left.events()[..], [Event::Failed { dropped: 10, .. }]));
        link.left.pass_end().unwrap();
        link.left.read();
        link.right.read();
        link.left.write(b"hello");
        link.advance(seconds(8));
        assert_eq!(text(&link.right.read()), "", "what was dropped would have passed by now");
        link.advance(seconds(1));
        assert_eq!(text(&link.right.read()), "hello");
    });
}

#[test]
fn one_bit_is_turned_over_in_the_same_byte_however_the_stream_is_cut() {
    for cut in CUTS {
        for offset in [0, 1, 9] {
            let mut pair = Pair::new(cut);
            pair.left.splice(Fault::flip(offset, 0x81).outbound());
            pair.right.splice(Fault::flip(offset, 0x02).outbound());
            let mut expected = *b"0123456789";
            expected[offset as usize] ^= 0x81;
            assert_eq!(text(&pair.left_to_right(b"0123456789")), text(&expected), "{cut:?}");
            expected[offset as usize] ^= 0x81 ^ 0x02;
            assert_eq!(text(&pair.right_to_left(b"0123456789")), text(&expected), "{cut:?}");
        }
    }
}

#[test]
fn random_damage_is_the_same_for_the_same_seed_however_the_stream_is_cut() {
    let damaged = |seed, cut| {
        let mut pair = Pair::new(cut);
        pair.right.splice(Fault::flip_at_random(seed, 50).inbound());
        pair.left_to_right(&[0; 5_000])
    };
    let whole = damaged(1, Cut::Whole);
    assert!((50..200).contains(&whole.iter().filter(|&&byte| byte != 0).count()));
    assert!(whole.iter().all(|byte| byte.count_ones() <= 1));
    assert!(damaged(1, Cut::Bytes) == whole && damaged(1, Cut::Random(4)) == whole);
    assert!(damaged(2, Cut::Whole) != whole);
}

/// The records of the inner layer are damaged on their way into the outer one: that one is sound, and says nothing.
#[test]
fn damage_between_two_layers_is_found_by_the_one_above_it() {
    each(2..=3, |case| {
        // Without damage first.
        let mut link = Link::outer(case);
        link.right.splice(Fault::cut(Cut::Whole).inbound());
        link.start();
        link.talk();

        let mut dice = Dice::new(5);
        for _ in 0..5 {
            // In the ClientHello, behind the header of its record.
            let fault = Fault::flip(11 + dice.below(32) as u64, 1 << dice.below(8)).inbound();
            let mut link = Link::outer(case);
            link.right.splice(fault.clone());
            let (left, right) = (link.left_starts(), link.right_starts());
            link.run();
            let layers = [(&link.left, left), (&link.right, right)].map(|(peer, id)| (first_loss(peer).0, id));
            assert!(layers.iter().all(|(lost, inner)| lost == inner), "{fault:?}: {layers:?}");
            assert_eq!(text(&link.right.read()), "", "{fault:?}");
        }
    });
}

#[test]
fn tls_over_random_damage_fails_by_name_and_never_shows_a_wrong_byte() {
    each_version(1, |case| {
        for seed in 0..50 {
            let mut link = Link::outer(case);
            // The faults count from the beginning, so the handshake is mostly spared.
            link.right.splice(Fault::flip_at_random(seed, 5_000).inbound());
            link.left_starts();
            link.right_starts();
            link.run();
            let sent = pattern(200_000);
            let (mut rest, mut arrived) = (&sent[..], Vec::new());
            while link.left.stack.lost().is_none() && !rest.is_empty() {
                let written = link.left.write_some(rest);
                rest = &rest[written..];
                link.advance(seconds(1));
                let read = link.right.read();
                if written == 0 && read.is_empty() && link.right.stack.lost().is_some() {
                    break;
                }
                arrived.extend(read);
            }
            assert!(sent.starts_with(&arrived), "a wrong byte was shown, seed {seed}");
            assert!(arrived.len() < sent.len(), "all of it came, seed {seed}");
            let lost = [&link.left, &link.right].into_iter().find(|peer| peer.stack.lost().is_some());
            let kinds = [
                LayerErrorKind::Protocol,
                LayerErrorKind::NotSpoken,
                LayerErrorKind::Refused,
                LayerErrorKind::HandshakeTimeout,
            ];
            match lost {
                Some(peer) => assert!(kinds.contains(&first_loss(peer).1), "seed {seed}: {:?}", peer.stack.lost()),
                // A length made longer in the last record is waited for.
                None => assert!(link.right.stack.inbound_len() > 0, "seed {seed}"),
            }
        }
    });
}

#[test]
fn silence_from_the_beginning_is_a_handshake_that_times_out() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left.splice(Fault::silence_at(0).inbound());
        let left = link.left_starts();
        link.right_starts();
        link.advance(seconds(10));
        assert_eq!(first_loss(&link.left), (left, LayerErrorKind::HandshakeTimeout));
    });
}

#[test]
fn a_close_notify_that_never_comes_is_a_stop_that_times_out() {
    each_version(1, |case| {
        // How much the left receives up to the close_notify of the right, to pull the cable there.
        let mut probe = Link::connected(case);
        probe.talk();
        let before = probe.right.sent().len() as u64;

        let mut link = Link::new(case);
        link.left.splice(Fault::silence_at(before + 200).inbound());
        let (left, _) = link.start();
        link.talk();
        link.right.write(&[b'x'; 1_000]);
        let stopped = link.left.stop(Stop::new()).unwrap();
        assert_eq!(stopped, left);
        link.run();
        link.right_answers();
        link.advance(seconds(5));
        assert_eq!(first_loss(&link.left), (left, LayerErrorKind::StopTimeout));
        assert!(link.right.lost().is_none());
    });
}

#[test]
fn an_end_that_is_swallowed_is_no_end() {
    each_version(1, |case| {
        for swallowed in [false, true] {
            let mut link = Link::outer(case);
            if swallowed {
                link.left.splice(Fault::without_end().inbound());
            }
            let (left, _) = link.start();
            link.left.end_input();
            link.run();
            match swallowed {
                true => assert!(link.left.lost().is_none() && link.left.ended().is_none()),
                false => assert_eq!(first_loss(&link.left), (left, LayerErrorKind::Truncated)),
            }
        }

        // Above the layer, its own end.
        let mut link = Link::connected(case);
        link.left.splice(Fault::without_end().inbound());
        link.right.write(b"last words");
        link.right.stop(Stop::new()).unwrap();
        link.run();
        assert_eq!(read_to_end(&mut link.left), ("last words".to_owned(), "nothing"));

        // Outbound, the close.
        let mut link = Link::connected(case);
        link.left.splice(Fault::without_end().outbound());
        link.left.write(b"last words");
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert_eq!(read_to_end(&mut link.right), ("last words".to_owned(), "nothing"));
    });
}

#[test]
fn an_end_that_comes_early_is_truncated_for_the_layers_above_it() {
    each(DEPTHS, |case| {
        let mut probe = Link::connected(case);
        probe.talk();
        let before = probe.right.sent().len() as u64;

        let mut link = Link::new(case);
        let fault = link.left.splice(Fault::end_at(before + 300).inbound());
        link.start_to(case.depth);
        link.talk();
        link.right.write(&[b'x'; 1_000]);
        link.run();
        let reason = link.left.stack.truncated().expect("it was cut off in a record").clone();
        assert!(link.left.stack.lost().is_none(), "our own direction is open");
        assert_eq!(reason.layers().len(), case.depth, "{reason}");
        assert!(reason.layers().iter().all(|loss| loss.error.is_truncated() && loss.layer != fault), "{reason}");
    });
}

#[test]
fn ends_losses_and_silence_stand_at_their_byte_however_the_stream_is_cut() {
    for cut in CUTS {
        for offset in 0..=6 {
            let expected = &"123456"[..offset as usize];
            for (fault, end) in [
                (Fault::end_at(offset), "end of file"),
                (Fault::silence_at(offset), "nothing"),
                (Fault::lose_at(offset), if offset < 6 { "loss" } else { "end of file" }),
            ] {
                let context = format!("{cut:?}, {fault:?}");
                let mut pair = Pair::new(cut);
                pair.right.splice(fault.clone().inbound());
                pair.left.write(b"123456");
                let now = pair.now();
                pair.left.stack.close(now);
                pair.run();
                assert_eq!(read_to_end(&mut pair.right), (expected.to_owned(), end), "{context}");

                let mut pair = Pair::new(cut);
                let id = pair.left.splice(fault.outbound());
                // Where the first byte is lost, the write is too late.
                if pair.left.stack.lost().is_none() {
                    pair.left.write(b"123456");
                    let now = pair.now();
                    pair.left.stack.close(now);
                }
                pair.run();
                let (read, seen) = read_to_end(&mut pair.right);
                assert_eq!(read, expected, "{context}");
                // Whoever loses the connection closes it.
                assert_eq!(seen, if end == "loss" { "end of file" } else { end }, "{context}");
                if end == "loss" {
                    assert_eq!(first_loss(&pair.left), (id, LayerErrorKind::Truncated), "{context}");
                }
            }
        }
    }
}

#[test]
fn a_loss_is_not_swallowed() {
    for fault in [Fault::without_end(), Fault::silence_at(0), Fault::end_at(1)] {
        let mut pair = Pair::new(Cut::Whole);
        pair.left.splice(fault.clone());
        pair.run();
        assert_eq!(read_to_end(&mut pair.left).1, "nothing");
        let now = pair.now();
        pair.left.stack.abort(now);
        assert_eq!(read_to_end(&mut pair.left).1, "loss", "{fault:?}");
    }
}

#[test]
fn a_loss_in_the_middle_of_the_list_names_the_fault_and_what_stood_above_it() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        let fault = link.left.splice(Fault::lose_at(20).inbound());
        let above = link.left_starts();
        link.right_starts();
        link.run();
        let reason = link.left.lost().unwrap();
        let lost: Vec<_> = reason.layers().iter().map(|loss| loss.layer).collect();
        assert_eq!(lost, [fault, above], "{reason}");
    });
}

#[test]
fn what_is_held_arrives_when_it_is_released_and_end_of_file_behind_it() {
    for cut in CUTS.into_iter().chain([Cut::Coalesced]) {
        let mut pair = Pair::new(cut);
        for (held, other) in [(true, false), (false, true)] {
            let mut pair = Pair::new(cut);
            pair.left.hold(held);
            pair.right.hold(other);
            pair.left.write(b"from the left");
            pair.right.write(b"from the right");
            let now = pair.now();
            pair.left.stack.close(now);
            pair.right.stack.close(now);
            pair.run();
            let (from_right, from_left) = (read_to_end(&mut pair.left), read_to_end(&mut pair.right));
            let nothing = (String::new(), "nothing");
            let all = |said: &str| (said.to_owned(), "end of file");
            assert_eq!(from_right, if held { nothing.clone() } else { all("from the right") }, "{cut:?}");
            assert_eq!(from_left, if other { nothing } else { all("from the left") }, "{cut:?}");
            pair.left.hold(false);
            pair.right.hold(false);
            pair.run();
            let (late, waited) =
                if held { (&mut pair.left, "from the right") } else { (&mut pair.right, "from the left") };
            assert_eq!(read_to_end(late), all(waited), "{cut:?}");
        }
        // To hold and release with nothing on the way does nothing.
        pair.left.hold(true);
        pair.left.hold(false);
        assert_eq!(text(&pair.right_to_left(b"hello")), "hello");
    }
}

#[test]
fn a_fault_says_what_it_does_and_with_which_seed() {
    let mut pair = Pair::new(Cut::Whole);
    let faults = [
        (Fault::delay(Duration::from_millis(1500)), "delay", "delay of 1.5s"),
        (Fault::cut(Cut::Bytes).inbound(), "cut", "cut into bytes, inbound"),
        (Fault::cut(Cut::Pieces(7)).outbound(), "cut", "cut into pieces of 7, outbound"),
        (Fault::cut(Cut::Random(9)), "cut", "cut into random pieces, seed 9"),
        (Fault::cut(Cut::Whole), "cut", "cut nowhere"),
        (Fault::flip(40, 1), "corrupt", "corrupt byte 40 by 0x01"),
        (Fault::flip_at_random(9, 100), "corrupt", "corrupt one byte in 100, seed 9"),
        (Fault::without_end(), "end", "end swallowed"),
        (Fault::end_at(4), "end", "end at byte 4"),
        (Fault::silence_at(4), "silence", "silence from byte 4"),
        (Fault::lose_at(4), "loss", "loss at byte 4"),
    ];
    let mut expected = "left".to_owned();
    for (fault, name, description) in faults {
        let id = pair.left.splice(fault);
        assert_eq!(pair.left.stack.layer(id).unwrap().name(), name);
        expected = format!("{expected} ─ {description}");
    }
    assert_eq!(pair.left.stack.to_string(), expected);
}
