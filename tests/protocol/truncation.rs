//! A peer that ends TCP and not its TLS: the protocol gets all that came, what it answers leaves, and then it hears that
//! nothing proves the stream whole.

use std::time::Duration;

use onionskin::protocol::{Producer, Result, Streaming, Transport};
use onionskin::testing::Dialogue;

use crate::common::link::{Case, Link, NAME, each, pattern, text};
use crate::record::{Callback, Log, Recorder, by_default, dialogue, over};

const REQUEST: &[u8] = b"request";

/// Answers what comes with the same, and the loss by default.
fn echo(transport: &mut Transport<'_>, callback: &Callback, log: &Log) -> Result {
    if let Callback::Data = callback {
        let bytes = transport.take_all();
        log.add_data(&bytes);
        return transport.write(&bytes);
    }
    by_default(transport, callback, log)
}

/// The left says its request with the end of its socket behind it, in one piece if the cut lets it.
fn left_asks_and_ends(dialogue: &mut Dialogue<Recorder, Recorder>) {
    dialogue.pair.right.hold(true);
    dialogue.with_left(|_, transport| transport.write(REQUEST).unwrap());
    dialogue.run();
    dialogue.pair.right.end_input();
    dialogue.pair.right.hold(false);
    dialogue.run();
}

#[track_caller]
fn assert_truncated(dialogue: &Dialogue<Recorder, Recorder>, depth: usize) {
    let reason = dialogue.right_reason().expect("it is over");
    assert!(!reason.is_closed());
    let loss = reason.loss().expect("it was not closed gracefully");
    assert_eq!(loss.layers().len(), depth, "{loss}");
    assert!(loss.layers().iter().all(|loss| loss.error.is_truncated()), "{loss}");
}

#[test]
fn what_was_answered_leaves_and_then_the_truncation_is_told() {
    each(1..=3, |case| {
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), Recorder::reacting(echo));
        left_asks_and_ends(&mut dialogue);
        assert!(left.joined().starts_with("made | data request | ended"), "{left:?}");
        assert!(right.joined().starts_with("made | data request | truncated | lost: layer #"), "{right:?}");
        assert_eq!(right.count("lost"), 1);
        assert_truncated(&dialogue, case.depth);
        assert!(dialogue.left_reason().unwrap().is_closed(), "it got a close_notify of every layer");
    });
}

#[test]
fn the_flight_of_the_finished_may_bring_the_request_and_the_end() {
    each(1..=3, |case| {
        let (dialogue, left) = handshake_request_and_end(case);
        assert!(left.all().iter().any(|entry| entry == "data request"), "{left:?}");
        assert_truncated(&dialogue, case.depth);
    });
}

fn handshake_request_and_end(case: Case) -> (Dialogue<Recorder, Recorder>, Log) {
    let link = Link::outer(case);
    let (client, server) = (link.client.clone(), link.server.clone());
    let asks = Recorder::reacting(move |transport, callback, log| match callback {
        Callback::Made => {
            transport.start_tls(client.to(NAME)?)?;
            transport.write(REQUEST)
        }
        _ => by_default(transport, callback, log),
    });
    let answers = Recorder::reacting(move |transport, callback, log| match callback {
        Callback::Made => transport.start_tls(server.accept()?).map(|_| ()).map_err(Into::into),
        _ => echo(transport, callback, log),
    });
    let (left, mut pair) = (asks.log(), link.pair);
    pair.left.events();
    pair.right.events();
    let mut dialogue = Dialogue::over(pair, asks, answers);
    while left.count("ready") == 0 {
        assert!(dialogue.step(), "{left:?}");
    }
    dialogue.pair.right.end_input();
    dialogue.run();
    (dialogue, left)
}

/// Writes a part at a time, for as long as there is some of it.
struct Parts(Vec<Vec<u8>>);

impl Producer for Parts {
    fn resume_producing(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.0.pop() {
            Some(part) => transport.write(&part),
            None => {
                transport.unregister_producer();
                Ok(())
            }
        }
    }
}

#[test]
fn a_producer_that_has_more_to_write_is_waited_for() {
    each(1..=2, |case| {
        let bytes = pattern(200_000);
        let parts: Vec<Vec<u8>> = bytes.chunks(10_000).rev().map(<[u8]>::to_vec).collect();
        let produces = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Data => {
                log.add_data(&transport.take_all());
                if transport.has_producer() {
                    return Ok(());
                }
                transport.register_producer(Parts(parts.clone()), Streaming::Pull)?;
                Ok(())
            }
            Callback::WritingPaused | Callback::WritingResumed => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, left, _) = dialogue(case, Recorder::new(), produces);
        left_asks_and_ends(&mut dialogue);
        let expected = format!("data {}", text(&bytes));
        assert!(left.all().contains(&expected), "{} entries", left.all().len());
        assert_truncated(&dialogue, case.depth);
    });
}

#[test]
fn whoever_still_works_at_the_answer_may_take_its_time() {
    each(1..=3, |case| {
        let later = Recorder::reacting(|transport, callback, log| match callback {
            Callback::Truncated => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), later);
        left_asks_and_ends(&mut dialogue);
        dialogue.advance(Duration::from_secs(600));
        assert_eq!(right.joined(), "made | data request | truncated");
        dialogue.with_right(|_, transport| {
            transport.write(b"late answer").unwrap();
            transport.close();
        });
        dialogue.run();
        assert!(left.joined().starts_with("made | data late answer | ended"), "{left:?}");
        assert_truncated(&dialogue, case.depth);
    });
}

#[test]
fn a_socket_that_fails_while_it_works_is_a_loss_at_once() {
    each(1..=2, |case| {
        let later = Recorder::reacting(|transport, callback, log| match callback {
            Callback::Truncated => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, _, right) = dialogue(case, Recorder::new(), later);
        left_asks_and_ends(&mut dialogue);
        assert!(dialogue.right_reason().is_none());
        let now = dialogue.pair.now();
        dialogue.pair.right.stack.handle_error(now, std::io::ErrorKind::BrokenPipe.into());
        dialogue.run();
        let log = right.joined();
        assert!(log.starts_with("made | data request | truncated | lost: the socket failed: broken pipe"), "{log}");
    });
}

#[test]
fn a_reset_drops_the_answer_and_is_no_truncation() {
    each(1..=2, |case| {
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), Recorder::reacting(echo));
        dialogue.pair.right.hold(true);
        dialogue.with_left(|_, transport| transport.write(REQUEST).unwrap());
        dialogue.run();
        let now = dialogue.pair.now();
        dialogue.pair.right.stack.handle_error(now, std::io::ErrorKind::ConnectionReset.into());
        dialogue.run();
        assert_eq!(right.count("truncated"), 0, "{right:?}");
        assert_eq!(right.count("lost: the socket failed"), 1, "{right:?}");
        assert_eq!(left.count("data"), 0);
    });
}

#[test]
fn who_has_closed_before_hears_of_nothing_else() {
    each(1..=3, |case| {
        let says_goodbye = Recorder::reacting(|transport, callback, log| match callback {
            Callback::Data => {
                log.add_data(&transport.take_all());
                transport.write(b"bye")?;
                transport.close();
                Ok(())
            }
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), says_goodbye);
        left_asks_and_ends(&mut dialogue);
        assert_eq!(left.count("data bye"), 1, "{left:?}");
        assert!(right.all().last().unwrap().starts_with("lost: the connection was closed"), "{right:?}");
        assert!(dialogue.right_reason().unwrap().is_closed());
    });
}

#[test]
fn a_protocol_that_reads_nothing_now_is_told_when_it_goes_on() {
    each(1..=2, |case| {
        let pauses = Recorder::reacting(|transport, callback, log| {
            if let Callback::Made = callback {
                transport.pause_producing();
            }
            echo(transport, callback, log)
        });
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), pauses);
        left_asks_and_ends(&mut dialogue);
        assert_eq!(right.joined(), "made");
        dialogue.with_right(|_, transport| transport.resume_producing());
        dialogue.run();
        assert!(right.joined().starts_with("made | data request | truncated | lost: "), "{right:?}");
        assert_eq!(left.count("data request"), 1);
    });
}

#[test]
fn after_our_own_end_it_is_the_end_of_both_ways() {
    each(1..=2, |case| {
        let ends = Recorder::reacting(|transport, callback, log| {
            if let Callback::Made = callback {
                transport.half_close();
            }
            match callback {
                Callback::Truncated => Ok(()),
                _ => by_default(transport, callback, log),
            }
        });
        let stays = Recorder::reacting(|transport, callback, log| match callback {
            Callback::Ended => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, _, right) = over(Link::connected(case), stays, ends);
        left_asks_and_ends(&mut dialogue);
        assert!(right.joined().starts_with("made | data request | truncated | lost: "), "{right:?}");
        assert_truncated(&dialogue, case.depth);
    });
}
