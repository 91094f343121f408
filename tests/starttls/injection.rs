//! Somebody puts words of his own into the stream: behind the request, behind the go-ahead, and before it.

use onionskin::stack::{LayerError, Readable};
use onionskin::starttls::{ErrorKind, Negotiate};
use onionskin::testing::{Cut, Pair, Peer};

use crate::common::link::{Case, Link, text};
use crate::subject::{SECRET, Subject, assert_discreet, assert_failed, each_subject};

const WORDS: [&[u8]; 3] = [b"250 forged\r\n250 lines\r\n", b"250-half a li", b"NOOP\r\n"];

/// The handshake failed because somebody speaks plaintext.
#[track_caller]
fn assert_hears_plaintext(peer: &mut Peer) {
    assert_discreet(peer);
    let reason = peer.lost().expect("the handshake has failed").clone();
    assert!(reason.layer_error().is_some_and(LayerError::is_not_spoken), "{reason}");
}

#[test]
fn a_response_behind_the_go_ahead_goes_into_tls_and_fails_there() {
    each_subject(|subject, case| {
        let (_, server) = subject.transcript(case);
        for words in WORDS {
            let mut link = Link::new(case);
            subject.left_asks(&mut link);
            subject.right_is_asked(&mut link);
            while link.pair.step() {
                if link.right.sent().len() == server.len() && link.left.lost().is_none() {
                    link.left.inject(words);
                    break;
                }
            }
            link.run();
            assert_hears_plaintext(&mut link.left);
        }
    });
}

#[test]
fn a_command_behind_the_request_goes_into_tls_and_fails_there() {
    each_subject(|subject, case| {
        let (client, _) = subject.transcript(case);
        for words in WORDS {
            let mut link = asked_by_hand(subject, case, &client, words);
            link.run();
            assert_hears_plaintext(&mut link.right);
        }
    });
}

/// A server that got the request, and these bytes in one read with it.
fn asked_by_hand(subject: &Subject, case: Case, client: &[u8], behind: &[u8]) -> Link {
    let mut link = Link::new(case);
    subject.right_is_asked(&mut link);
    link.run();
    let mut before = link.right.sent().len();
    // Whatever is said before the last turn is said in turns.
    let mut rest = client;
    while !rest.is_empty() {
        let turn = turn_len(subject, case, client.len() - rest.len());
        let (now, later) = rest.split_at(turn);
        link.right.inject(now);
        if later.is_empty() {
            link.right.inject(behind);
        }
        rest = later;
        link.run();
        assert!(link.right.sent().len() > before, "each turn has an answer");
        before = link.right.sent().len();
    }
    link
}

/// How long the client's turn is that begins at `start`.
fn turn_len(subject: &Subject, case: Case, start: usize) -> usize {
    let mut link = Link::new(case);
    let (left, right) = (link.client_layer(), link.server_layer());
    let peer = (subject.peer)();
    link.left.splice(Negotiate::new(&*peer, left));
    link.right.splice(Negotiate::new(&*peer, right));
    let mut turns = vec![0];
    loop {
        let sent = link.left.sent().len();
        if sent > *turns.last().unwrap() {
            turns.push(sent);
        }
        if sent > start || !link.pair.step() {
            break;
        }
    }
    turns.last().unwrap() - start
}

#[test]
fn a_client_hello_in_one_segment_with_the_request_is_taken() {
    each_subject(|subject, case| {
        let (client, server) = subject.transcript(case);
        let mut hello = Pair::new(Cut::Whole);
        let id = hello.left.splice(Link::new(case).client_layer());
        hello.left.write(SECRET);
        hello.step();
        let first = hello.right.intercept();
        let mut link = asked_by_hand(subject, case, &client, &first);
        // From here on the two speak TLS with each other, one of them over a wire that is carried by hand.
        let mut seen = server.len();
        loop {
            link.run();
            let now = link.right.sent().to_vec();
            hello.left.inject(&now[seen..]);
            let moved = seen < now.len();
            seen = now.len();
            hello.run();
            let answer = hello.right.read();
            link.right.inject(&answer);
            if !moved && answer.is_empty() {
                break;
            }
        }
        assert!(matches!(hello.left.stack.readable(), Readable::Nothing), "{:?}", hello.left.stack.readable());
        assert!(hello.left.stack.layer(id).is_some());
        assert_eq!(text(&link.right.read()), text(SECRET));
    });
}

#[test]
fn an_answer_to_what_was_not_asked_yet_is_not_believed() {
    each_subject(|subject, case| {
        let (_, server) = subject.transcript(case);
        let mut link = Link::new(case);
        link.left.inject(&server);
        // It is there before the layer is, so the first question comes behind it.
        link.run();
        let negotiate = Negotiate::new(&*(subject.peer)(), link.client_layer());
        link.left.splice(negotiate);
        link.run();
        assert_failed(&mut link.left, ErrorKind::OutOfTurn);
        assert!(!link.left.sent().starts_with(&[22, 3]), "no ClientHello has left");
    });
}
