//! The connection ends, or the peer falls silent, at every byte of what is said before TLS.

use onionskin::stack::LayerError;
use onionskin::starttls::{Error, ErrorKind};
use onionskin::testing::Peer;

use crate::common::link::{Case, Link, text};
use crate::subject::{Subject, TOO_LONG, assert_discreet, assert_failed, each_subject};

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

/// Both sides talk until `count` bytes have arrived at one of them, which is held then and gets no more.
fn talk_until(subject: &Subject, case: Case, side: Side, count: usize) -> Link {
    let mut link = Link::new(case);
    subject.left_asks(&mut link);
    subject.right_is_asked(&mut link);
    at(&mut link, side).hold(true);
    let mut arrived = 0;
    loop {
        let moved = link.pair.step();
        let peer = at(&mut link, side);
        let bytes = peer.intercept();
        if !moved && bytes.is_empty() {
            break;
        }
        let bytes = &bytes[..bytes.len().min(count - arrived)];
        arrived += peer.stack.handle_input(peer.now(), bytes);
    }
    assert_eq!(arrived, count, "the transcript is as long as that");
    link
}

fn at(link: &mut Link, side: Side) -> &mut Peer {
    match side {
        Side::Left => &mut link.pair.left,
        Side::Right => &mut link.pair.right,
    }
}

/// Every place before TLS at which a side can be left alone.
fn each_place(test: impl Fn(&Subject, Case, Side, usize)) {
    each_subject(|subject, case| {
        let (client, server) = subject.transcript(case);
        for (side, len) in [(Side::Left, server.len()), (Side::Right, client.len())] {
            for count in 0..len {
                test(subject, case, side, count);
            }
        }
    });
}

#[test]
fn the_end_of_the_connection_is_an_error_at_every_byte() {
    each_place(|subject, case, side, count| {
        let mut link = talk_until(subject, case, side, count);
        at(&mut link, side).hold(false);
        at(&mut link, side).end_input();
        link.run();
        assert_failed(at(&mut link, side), ErrorKind::Closed);
    });
}

#[test]
fn silence_is_an_error_at_every_byte() {
    each_place(|subject, case, side, count| {
        let mut link = talk_until(subject, case, side, count);
        assert!(at(&mut link, side).lost().is_none());
        link.pair.advance(TOO_LONG);
        assert_failed(at(&mut link, side), ErrorKind::TimedOut);
    });
}

#[test]
fn no_client_hello_leaves_before_the_go_ahead() {
    each_subject(|subject, case| {
        let (client, server) = subject.transcript(case);
        for count in 0..server.len() {
            let link = talk_until(subject, case, Side::Left, count);
            assert!(client.starts_with(link.left.sent()), "{:?}", text(link.left.sent()));
        }
        let link = talk_until(subject, case, Side::Left, server.len());
        assert!(link.left.sent().len() > client.len(), "and with it, one does");
    });
}

#[test]
fn silence_behind_the_go_ahead_is_an_error_of_tls() {
    each_subject(|subject, case| {
        let (_, server) = subject.transcript(case);
        let mut link = talk_until(subject, case, Side::Left, server.len());
        assert!(link.left.lost().is_none());
        link.pair.advance(TOO_LONG);
        assert_discreet(&mut link.left);
        let reason = link.left.lost().expect("the handshake has a deadline").clone();
        assert!(reason.layer_error().is_some_and(LayerError::is_timeout), "{reason}");
        assert!(Error::of(&reason).is_none(), "{reason}");
    });
}
