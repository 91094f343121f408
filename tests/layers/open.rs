//! The verb without I/O: an event for every layer that is opened, and its facts, also when it has left.

use onionskin::layer::{Counter, Deflate, Throttle};
use onionskin::stack::{Event, Facts, LayerId, Opens, PeerAnswer, Stack};
use onionskin::testing::{Cut, Pair, Peer};

use crate::common::layers::{Banner, Names, PassThrough};

fn open(peer: &mut Peer, pair_now: std::time::Instant, layer: impl Opens) -> LayerId {
    peer.stack.open(pair_now, layer).unwrap()
}

#[test]
fn a_layer_that_is_ready_at_once_has_an_event_if_it_was_opened() {
    let mut pair = Pair::new(Cut::Whole);
    let now = pair.now();
    pair.left.splice(Counter::new());
    assert!(pair.left.stack.poll_event().is_none(), "one that was spliced reports for itself");
    for layer in [
        open(&mut pair.left, now, Counter::new()),
        open(&mut pair.left, now, Throttle::new()),
        open(&mut pair.left, now, Deflate::new()),
        open(&mut pair.left, now, PassThrough),
    ] {
        assert!(matches!(pair.left.stack.poll_event(), Some(Event::Ready(ready)) if ready == layer));
        assert!(pair.left.stack.opened(layer).is_some(), "as long as it is there");
    }
    assert!(pair.left.stack.poll_event().is_none(), "and one each");
}

#[test]
fn a_layer_of_a_kind_is_looked_at() {
    let mut pair = Pair::new(Cut::Whole);
    let id = pair.left.splice(Counter::new());
    pair.left.write(b"12345");
    pair.run();
    assert_eq!(pair.left.stack.layer_as::<Counter>(id).unwrap().counts().outbound(), 5);
    assert!(pair.left.stack.layer_as::<Throttle>(id).is_none(), "it is of another kind");
    let facts = pair.left.stack.opened(id).unwrap();
    assert_eq!(facts.to::<Counter>().unwrap().outbound(), 5);
    assert!(facts.to::<Banner>().is_none());
    pair.left.stack.remove(pair.now(), id).unwrap();
    assert!(pair.left.stack.layer_as::<Counter>(id).is_none() && pair.left.stack.opened(id).is_none());
}

#[test]
fn a_layer_that_leaves_is_asked_until_its_event_has_been_seen() {
    let facts = |stack: &Stack, id| stack.opened(id).and_then(|facts: Facts| facts.to::<Banner>().cloned());
    for cut in [Cut::Whole, Cut::Bytes, Cut::Random(81)] {
        let mut pair = Pair::new(cut);
        let now = pair.now();
        let id = open(&mut pair.right, now, Banner::default());
        let above = open(&mut pair.right, now, Names::new("right"));
        assert_eq!(facts(&pair.right.stack, id), None, "it is not ready");
        pair.left.write(b"hello\nleft\n");
        pair.run();
        assert_eq!(pair.right.stack.depth(), 1, "it has left");
        let stack = &mut pair.right.stack;
        assert_eq!(facts(stack, id).as_deref(), Some("hello"), "its event is still to come");
        assert!(matches!(stack.poll_event(), Some(Event::Ready(ready)) if ready == id), "{cut:?}");
        assert_eq!(facts(stack, id).as_deref(), Some("hello"), "its event was the last");
        assert!(matches!(stack.poll_event(), Some(Event::Stopped(left, PeerAnswer::NotNeeded)) if left == id));
        assert_eq!(facts(stack, id), None);
        assert!(matches!(stack.poll_event(), Some(Event::Ready(ready)) if ready == above), "it was opened above");
        assert_eq!(stack.opened(above).unwrap().to::<Names>().unwrap(), "left");
    }
}
