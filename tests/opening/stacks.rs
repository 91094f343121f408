//! Two stacks: what is asked, granted, refused and kept.

use std::io;

use onionskin::stack::{CommandErrorKind, Event, LayerId, PeerAnswer, Readable};
use onionskin::testing::{Cut, Pair, Peer};

use crate::operator::{Operator, Target, dial, operator};
use onionskin::layer::opening::Opening;

const CUTS: [Cut; 6] = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Pieces(3), Cut::Random(1), Cut::Random(2)];

/// An operator on the right whose client, played by hand, has dialed, with this behind it.
fn asked(cut: Cut, behind: &[u8]) -> (Pair, LayerId) {
    let mut pair = Pair::new(cut);
    let layer = pair.right.splice(operator());
    pair.left.write(&[b"DIAL a.example\n", behind].concat());
    pair.run();
    assert!(matches!(pair.right.events()[..], [Event::Asked(id)] if id == layer));
    (pair, layer)
}

fn question(peer: &Peer, layer: LayerId) -> Option<&Target> {
    peer.stack.layer_as::<Opening<Operator>>(layer)?.question()
}

fn grant(peer: &mut Peer, layer: LayerId) -> bool {
    let now = peer.now();
    let granted =
        peer.stack.with_layer(now, layer, |opening: &mut Opening<Operator>| opening.grant("10.0.0.1".to_owned()));
    granted.unwrap()
}

fn refuse(peer: &mut Peer, layer: LayerId, code: u16) -> bool {
    let now = peer.now();
    peer.stack.with_layer(now, layer, |opening: &mut Opening<Operator>| opening.refuse(code)).unwrap()
}

#[test]
fn what_is_behind_a_negotiation_is_kept_byte_for_byte_on_both_sides() {
    for cut in CUTS {
        let (there, back) = (vec![b'\n'; 5000], b"DIAL b\nOK c\n".repeat(400));
        let mut pair = Pair::new(cut);
        let left = pair.left.splice(dial("a.example"));
        let right = pair.right.splice(operator());
        // Both write before anything is negotiated: it waits.
        pair.left.write(&there);
        pair.right.write(&back);
        pair.run();
        assert!(matches!(pair.right.events()[..], [Event::Asked(id)] if id == right), "{cut:?}");
        assert_eq!(question(&pair.right, right), Some(&Target("a.example".to_owned())));
        assert_eq!((pair.left.sent(), pair.right.sent()), (&b"DIAL a.example\n"[..], &b"HELLO\n"[..]));
        assert_eq!((pair.left.read(), pair.right.read()), (vec![], vec![]));

        assert!(grant(&mut pair.right, right));
        pair.run();
        assert_eq!((pair.left.read(), pair.right.read()), (back, there), "{cut:?}");
        for (peer, layer) in [(&mut pair.left, left), (&mut pair.right, right)] {
            let events = peer.events();
            assert!(
                matches!(events[..], [Event::Ready(ready), Event::Stopped(gone, PeerAnswer::NotNeeded)] if ready == layer && gone == layer),
                "{events:?}"
            );
            assert_eq!(peer.stack.depth(), 0);
        }
    }
}

#[test]
fn what_comes_while_an_answer_is_owed_waits_in_its_place() {
    for cut in CUTS {
        let (mut pair, layer) = asked(cut, b"early\n");
        pair.left.write(b"DIAL b.example\n");
        pair.run();
        assert_eq!(pair.right.read(), b"", "{cut:?}");
        assert!(grant(&mut pair.right, layer));
        pair.run();
        assert_eq!(pair.right.read(), b"early\nDIAL b.example\n", "{cut:?}");
        assert_eq!(pair.left.read(), b"HELLO\nOK 10.0.0.1\n");
    }
}

#[test]
fn a_client_that_is_refused_may_ask_again_until_it_may_not() {
    for cut in CUTS {
        let (mut pair, layer) = asked(cut, b"DIAL b.example\nDIAL c.example\n");
        assert!(refuse(&mut pair.right, layer, 404));
        assert!(matches!(pair.right.events()[..], [Event::Asked(id)] if id == layer));
        assert_eq!(question(&pair.right, layer), Some(&Target("b.example".to_owned())));
        assert!(refuse(&mut pair.right, layer, 502));
        pair.run();
        assert_eq!(pair.left.read(), b"HELLO\nNO 404\nNO 502\n", "{cut:?}");
        let reason = pair.right.lost().unwrap();
        assert!(reason.layer_error().unwrap().is_refused(), "{reason}");
        assert_eq!(reason.to_string(), format!("layer {layer} (operator): refused with 502"));
        // The client's end of the connection is closed, and nothing is granted any more.
        assert!(matches!(pair.left.stack.readable(), Readable::EndOfInput));
        assert!(!grant(&mut pair.right, layer));
    }
}

#[test]
fn only_the_question_that_is_open_is_told() {
    let mut pair = Pair::new(Cut::Whole);
    let layer = pair.right.splice(operator());
    let now = pair.right.now();
    // Played by hand, so that the first one is not told before the second is asked.
    pair.right.stack.handle_input(now, b"DIAL a.example\nDIAL b.example\n");
    assert!(refuse(&mut pair.right, layer, 404));
    assert_eq!(question(&pair.right, layer), Some(&Target("b.example".to_owned())));
    assert!(matches!(pair.right.events()[..], [Event::Asked(id)] if id == layer));
}

#[test]
fn a_drawing_shows_what_a_negotiation_waits_for() {
    let (mut pair, layer) = asked(Cut::Whole, b"");
    assert_eq!(pair.right.stack.to_string(), "right ─ operator");
    let drawing = format!("{:#}", pair.right.stack);
    assert!(drawing.contains("awaits the application's answer"), "{drawing}");
    assert!(refuse(&mut pair.right, layer, 404));
    let drawing = format!("{:#}", pair.right.stack);
    assert!(drawing.contains("awaits a target"), "{drawing}");
}

#[test]
fn an_answer_is_given_once_and_to_a_question() {
    let mut pair = Pair::new(Cut::Whole);
    let layer = pair.right.splice(operator());
    pair.run();
    assert!(!grant(&mut pair.right, layer) && !refuse(&mut pair.right, layer, 404), "nothing was asked");
    let now = pair.right.now();
    let error = pair.right.stack.decline(now, layer).unwrap_err();
    assert!(matches!(error.kind(), CommandErrorKind::NotAsked(id) if *id == layer), "{error}");
    assert_eq!(pair.right.sent(), b"HELLO\n");
    // The control: when something is, it is answered; and then the layer is gone.
    pair.left.write(b"DIAL a\n");
    pair.run();
    assert!(grant(&mut pair.right, layer));
    let error = pair.right.stack.decline(now, layer).unwrap_err();
    assert!(error.is_no_such_layer(), "{error}");
}

#[test]
fn whoever_does_not_answer_says_no() {
    // Declined, closed, and closed behind something that was written for the client.
    for way in 0..3 {
        let (mut pair, layer) = asked(Cut::Whole, b"behind");
        let now = pair.right.now();
        match way {
            0 => pair.right.stack.decline(now, layer).unwrap(),
            1 => pair.right.stack.close(now),
            _ => {
                pair.right.write(b"secret");
                pair.right.stack.close(now);
            }
        }
        pair.run();
        assert_eq!(pair.left.read(), b"HELLO\nNO 503\n", "{way}");
        assert!(matches!(pair.left.stack.readable(), Readable::EndOfInput), "{way}");
        assert_eq!(pair.right.read(), b"", "{way}");
    }
}

#[test]
fn an_end_of_file_that_comes_meanwhile_is_read_behind_what_came_before_it() {
    for cut in CUTS {
        let (mut pair, layer) = asked(cut, b"all that I have to say");
        pair.right.end_input();
        pair.run();
        assert!(pair.right.stack.lost().is_none());
        assert!(grant(&mut pair.right, layer));
        assert_eq!(pair.right.read(), b"all that I have to say");
        assert!(matches!(pair.right.stack.readable(), Readable::EndOfInput));
        pair.right.write(b"answer");
        pair.run();
        assert_eq!(pair.left.read(), b"HELLO\nOK 10.0.0.1\nanswer");
    }
}

#[test]
fn a_loss_that_comes_meanwhile_ends_it() {
    for behind in [&b""[..], b"bytes that nobody reads"] {
        let (mut pair, layer) = asked(Cut::Whole, behind);
        let now = pair.right.now();
        pair.right.stack.handle_error(now, io::ErrorKind::ConnectionReset.into());
        let reason = pair.right.lost().expect("the application hears of it").clone();
        assert_eq!(reason.io_error().unwrap().kind(), io::ErrorKind::ConnectionReset, "{reason}");
        let error = pair.right.stack.decline(now, layer).unwrap_err();
        assert!(error.reason().is_some(), "{error}");
        assert!(!grant(&mut pair.right, layer), "nobody is told that it was granted");
    }
}

#[test]
fn the_end_of_the_connection_is_an_error_at_every_byte_before_the_question() {
    let line = b"DIAL a.example\n";
    for count in 0..line.len() {
        let mut pair = Pair::new(Cut::Bytes);
        pair.right.splice(operator());
        pair.left.write(&line[..count]);
        pair.run();
        pair.right.end_input();
        pair.run();
        let reason = pair.right.lost().unwrap();
        assert!(reason.layer_error().unwrap().is_truncated());
        assert!(reason.to_string().ends_with("the connection ended before a target"), "{reason}");
        assert!(pair.right.events().is_empty(), "nothing was asked");
    }
    let (hello, answer) = (b"HELLO\n", b"HELLO\nOK 10.0.0.1\n");
    for count in 0..answer.len() {
        let mut pair = Pair::new(Cut::Bytes);
        pair.left.splice(dial("a.example"));
        pair.left.inject(&answer[..count.min(hello.len())]);
        pair.run();
        pair.left.inject(&answer[count.min(hello.len())..count]);
        pair.left.end_input();
        pair.run();
        let awaited = if count < hello.len() { "the hello" } else { "the answer" };
        let reason = pair.left.lost().unwrap().to_string();
        assert!(reason.ends_with(&format!("the connection ended before {awaited}")), "{count}: {reason}");
    }
}

#[test]
fn an_answer_before_the_question_is_out_of_turn() {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(dial("a.example"));
    pair.left.inject(b"HELLO\nOK 10.0.0.1\n");
    pair.run();
    let reason = pair.left.lost().unwrap().to_string();
    assert!(reason.ends_with("the peer answered before it was asked"), "{reason}");
    assert_eq!(pair.left.sent(), b"");
}
