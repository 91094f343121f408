//! The connection ends, is reset, or falls silent at every byte of every conversation, on both sides.

use std::io;
use std::time::Duration;

use onionskin::stack::{LayerId, Readable};
use onionskin::testing::{Cut, Pair};
use onionskin::tls::Version;
use onionskin::tunnel::{ErrorKind, Question};

use crate::common::link::{Case, Link};
use crate::conversations::{CONVERSATIONS, Conversation, each_conversation, run_granting};
use crate::{SECRET, error, error_of, question};

/// What happens at that byte.
#[derive(Clone, Copy, Debug)]
enum Fate {
    End,
    Reset,
    Silence,
}

const FATES: [Fate; 3] = [Fate::End, Fate::Reset, Fate::Silence];

/// A client to which so many bytes of the answers have come; how much it has said by then, if it says no more than it may.
fn client_at(conversation: &Conversation, count: usize, pair: &mut Pair) -> usize {
    conversation.splice_client(&mut pair.left);
    let (mut rest, mut said) = (count, 0);
    for (words, answer) in conversation.turns {
        pair.run();
        said += words.len();
        let (now, _) = answer.split_at(rest.min(answer.len()));
        pair.left.inject(now);
        rest -= now.len();
        if now.len() < answer.len() {
            break;
        }
    }
    pair.run();
    said
}

#[test]
fn k6_k8_a_client_that_is_left_alone_at_any_byte_says_what_it_was_waiting_for_and_nothing_for_the_target() {
    each_conversation(|conversation| {
        let answered = conversation.answered();
        for count in 0..answered.len() {
            for fate in FATES {
                let mut pair = Pair::new(Cut::Whole);
                let said = client_at(conversation, count, &mut pair);
                assert!(pair.left.stack.lost().is_none(), "{count}: {:?}", pair.left.lost());
                let now = pair.left.now();
                match fate {
                    Fate::End => pair.left.end_input(),
                    Fate::Reset => pair.left.stack.handle_error(now, io::ErrorKind::ConnectionReset.into()),
                    Fate::Silence => pair.advance(Duration::from_secs(31)),
                }
                pair.run();
                let error = error_of(pair.left.lost().expect("it is lost"));
                let is_right = match fate {
                    Fate::Silence => matches!(error.kind(), ErrorKind::TimedOut(_)) && error.is_timeout(),
                    _ => matches!(error.kind(), ErrorKind::Ended(_)),
                };
                assert!(is_right, "{count} {fate:?}: {error}");
                assert_eq!(pair.left.sent(), &conversation.said()[..said], "{count} {fate:?}");
                assert_eq!(pair.left.read(), b"");
            }
        }
        // The control: with the last byte there is a tunnel, and the end is the target's.
        let mut pair = Pair::new(Cut::Whole);
        client_at(conversation, answered.len(), &mut pair);
        pair.left.end_input();
        pair.advance(Duration::from_secs(31));
        assert_eq!(pair.left.sent(), [&conversation.said(), SECRET].concat());
        assert!(matches!(pair.left.stack.readable(), Readable::EndOfInput));
    });
}

#[test]
fn nothing_of_a_tunnel_is_sent_before_the_reply_not_even_a_client_hello() {
    each_conversation(|conversation| {
        let answered = conversation.answered();
        for count in 0..=answered.len() {
            let link = Link::new(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
            let inside = link.client_layer();
            let mut pair = Pair::new(Cut::Whole);
            // The first write of the client is for the target, in clear; the layer above it begins with a ClientHello.
            let said = client_at(conversation, 0, &mut pair);
            pair.left.splice(inside);
            pair.run();
            assert_eq!(pair.left.sent(), &conversation.said()[..said]);
            let mut rest = count;
            for (_, answer) in conversation.turns {
                let now = &answer[..rest.min(answer.len())];
                pair.left.inject(now);
                pair.run();
                rest -= now.len();
                if now.len() < answer.len() {
                    break;
                }
            }
            let hello = pair.left.sent().iter().filter(|byte| **byte == 0x16).count();
            let is_through = pair.left.sent().len() > conversation.said().len();
            assert_eq!((is_through, hello > 0), (count == answered.len(), count == answered.len()), "{count}");
        }
    });
}

/// A server to which so many bytes of what the client says have come. It has granted what it was asked.
fn server_at(conversation: &Conversation, count: usize) -> (Pair, LayerId) {
    let mut pair = Pair::new(Cut::Whole);
    let layer = conversation.splice_server(&mut pair.right);
    pair.right.write(SECRET);
    pair.right.inject(&conversation.said()[..count]);
    run_granting(&mut pair, layer);
    (pair, layer)
}

#[test]
fn k6_a_server_that_is_left_alone_at_any_byte_asks_nobody_and_says_what_it_was_waiting_for() {
    each_conversation(|conversation| {
        let said = conversation.said();
        for count in 0..said.len() {
            for fate in FATES {
                let (mut pair, layer) = server_at(conversation, count);
                let now = pair.right.now();
                match fate {
                    Fate::End => pair.right.end_input(),
                    Fate::Reset => pair.right.stack.handle_error(now, io::ErrorKind::ConnectionReset.into()),
                    Fate::Silence => pair.advance(Duration::from_secs(31)),
                }
                pair.run();
                assert_eq!(question(&pair.right, layer), None);
                let error = error_of(pair.right.lost().expect("it is lost"));
                let is_right = match fate {
                    Fate::Silence => matches!(error.kind(), ErrorKind::TimedOut(_)),
                    _ => matches!(error.kind(), ErrorKind::Ended(_)),
                };
                assert!(is_right, "{count} {fate:?}: {error}");
                assert!(conversation.answered().starts_with(pair.right.sent()), "{count} {fate:?}");
                assert_eq!(pair.right.read(), b"");
            }
        }
        let (mut pair, _) = server_at(conversation, said.len());
        pair.advance(Duration::from_secs(31));
        assert_eq!(pair.right.sent(), [&conversation.answered(), SECRET].concat());
    });
}

#[test]
fn a_client_that_has_said_all_is_answered_and_one_that_is_gone_is_not() {
    each_conversation(|conversation| {
        for is_reset in [false, true] {
            let mut pair = Pair::new(Cut::Whole);
            let layer = conversation.splice_server(&mut pair.right);
            let said = conversation.said();
            let (before, last) = said.split_at(said.len() - 1);
            pair.right.inject(before);
            run_granting(&mut pair, layer);
            pair.right.inject(last);
            pair.run();
            assert!(matches!(question(&pair.right, layer), Some(Question::Tunnel(_))));
            let now = pair.right.now();
            match is_reset {
                false => pair.right.end_input(),
                true => pair.right.stack.handle_error(now, io::ErrorKind::ConnectionReset.into()),
            }
            pair.advance(Duration::from_secs(3600));
            assert_eq!(question(&pair.right, layer).is_some(), !is_reset);
            if is_reset {
                assert!(matches!(
                    error_of(pair.right.lost().unwrap()).kind(),
                    ErrorKind::Ended("the application had answered")
                ));
                continue;
            }
            run_granting(&mut pair, layer);
            assert_eq!(pair.right.sent(), conversation.answered());
            assert!(matches!(pair.right.stack.readable(), Readable::EndOfInput));
        }
    });
}

#[test]
fn a_server_that_is_slow_to_be_asked_loses_its_client_and_one_that_thinks_does_not() {
    let mut pair = Pair::new(Cut::Whole);
    let conversation = &CONVERSATIONS[0];
    let layer = conversation.splice_server(&mut pair.right);
    pair.right.inject(&conversation.said());
    pair.run();
    pair.advance(Duration::from_secs(3600));
    assert!(question(&pair.right, layer).is_some());
    assert!(pair.right.stack.lost().is_none());
    let (mut pair, _) = server_at(conversation, 4);
    pair.advance(Duration::from_secs(31));
    assert!(error(&pair.right).is_timeout());
}
