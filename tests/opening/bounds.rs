//! What a peer can make a negotiation hold.

use onionskin::layer::opening::{Exchange, Opening};
use onionskin::stack::{LayerErrorKind, Reason};
use onionskin::testing::{Cut, Pair};

use crate::operator::{Operator, operator};

fn words(reason: &Reason) -> String {
    assert_eq!(reason.layer_error().unwrap().kind(), LayerErrorKind::Limit);
    reason.to_string().split_once(": ").unwrap().1.to_owned()
}

#[test]
fn a_peer_that_talks_on_while_an_answer_is_owed_is_not_listened_to() {
    let mut pair = Pair::new(Cut::Whole);
    let layer = pair.right.splice(operator());
    pair.run();
    let now = pair.right.now();
    let line = b"DIAL a.example\n";
    let mut taken = 0;
    for _ in 0..100_000 {
        taken += pair.right.stack.handle_input(now, line);
    }
    assert!(taken < 160 * 1024, "{taken} bytes were taken");
    assert_eq!((pair.right.stack.inbound_len(), pair.right.stack.outbound_len()), (taken - line.len(), 0));
    assert_eq!(pair.right.events().len(), 1);
    // The control: with an answer, one more is asked.
    assert!(pair.right.stack.with_layer(now, layer, |opening: &mut Opening<Operator>| opening.refuse(404)).unwrap());
    assert_eq!(pair.right.events().len(), 1);
    assert_eq!(pair.right.stack.inbound_len(), taken - 2 * line.len());
}

#[test]
fn a_peer_that_does_not_read_its_answers_is_not_answered_on_and_on() {
    let mut pair = Pair::new(Cut::Whole);
    pair.right.splice(operator().refusals(usize::MAX).limit(usize::MAX));
    let now = pair.right.now();
    let (mut taken, mut most) = (0, 0);
    for _ in 0..100_000 {
        taken += pair.right.stack.handle_input(now, b"x\n");
        most = most.max(pair.right.stack.outbound_len());
    }
    assert!((4096..4096 + 16).contains(&most), "{most} bytes wait to be sent");
    assert!(taken < 160 * 1024, "{taken} bytes were taken");
    // Once it reads, it is answered to the end.
    pair.run();
    assert_eq!(pair.right.stack.inbound_len(), 0);
    assert_eq!(pair.right.sent().len(), b"HELLO\n".len() + taken / 2 * b"WHAT\n".len());
}

#[test]
fn a_peer_is_refused_so_often_and_says_so_much() {
    let mut pair = Pair::new(Cut::Whole);
    pair.right.splice(operator().refusals(3));
    pair.left.write(b"x\nx\n");
    pair.run();
    assert!(pair.right.stack.lost().is_none());
    pair.left.write(b"x\nDIAL a\n");
    pair.run();
    assert_eq!(pair.left.read(), b"HELLO\nWHAT\nWHAT\nWHAT\nBYE\n");
    assert_eq!(words(pair.right.lost().unwrap()), "the peer was refused again and again, and goes on");

    let too_much = "the peer sends more than the 15 bytes that are accepted here, all in all";
    for (said, expected) in [(&b"DIAL a.example"[..], None), (b"DIAL a.example.", Some(too_much))] {
        let mut pair = Pair::new(Cut::Bytes);
        pair.right.splice(operator().limit(15));
        pair.left.write(said);
        pair.run();
        assert_eq!(pair.right.lost().map(words).as_deref(), expected);
    }

    let mut pair = Pair::new(Cut::Bytes);
    pair.right.splice(operator());
    pair.left.write(&[b'x'; 8192]);
    pair.run();
    let too_long = "the peer sends a line of more than the 8192 bytes that are accepted";
    assert_eq!(words(pair.right.lost().unwrap()), too_long);
}

#[test]
fn a_negotiation_is_tried_by_itself_with_a_part_of_what_is_to_come() {
    for (input, line) in [(&b""[..], None), (b"a li", None), (b"a line\r\nand", Some(&b"a line"[..]))] {
        assert_eq!(Exchange::of(input).line().unwrap(), line);
    }
    let mut exchange = Exchange::of(b"12345");
    assert_eq!((exchange.message(6).unwrap(), exchange.peek(6).unwrap()), (None, None));
    assert_eq!((exchange.message(5).unwrap(), exchange.taken()), (Some(&b"12345"[..]), 5));
}
