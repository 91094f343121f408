//! The deadline is the peer's: it stands still while the application thinks.

use std::time::Duration;

use onionskin::layer::opening::Opening;
use onionskin::testing::{Cut, Pair};

use crate::operator::{Operator, operator};

const HOURS: Duration = Duration::from_secs(10 * 3600);

#[test]
fn the_application_may_think_as_long_as_it_likes() {
    let mut pair = Pair::new(Cut::Whole);
    let layer = pair.right.splice(operator().timeout(Some(Duration::from_secs(30))));
    pair.run();
    pair.advance(Duration::from_secs(20));
    pair.left.write(b"DIAL a.example\n");
    pair.advance(HOURS);
    assert!(pair.right.stack.lost().is_none());
    assert_eq!(pair.poll_deadline(), None, "nobody waits for anything");
    let now = pair.right.now();
    assert!(pair.right.stack.with_layer(now, layer, |opening: &mut Opening<Operator>| opening.refuse(404)).unwrap());
    pair.run();
    // Of the thirty seconds twenty were gone before.
    pair.advance(Duration::from_secs(9));
    assert!(pair.right.stack.lost().is_none());
    pair.advance(Duration::from_secs(2));
    let reason = pair.right.lost().expect("the peer has had its time").clone();
    assert!(reason.layer_error().unwrap().is_timeout(), "{reason}");
    assert!(reason.to_string().ends_with("no answer in time: the peer owes a target"), "{reason}");
}

#[test]
fn a_peer_that_has_not_asked_has_thirty_seconds() {
    let mut pair = Pair::new(Cut::Whole);
    pair.right.splice(operator());
    pair.left.write(b"DIAL a.examp");
    pair.advance(Duration::from_secs(29));
    assert!(pair.right.stack.lost().is_none());
    pair.advance(Duration::from_secs(2));
    assert!(pair.right.lost().is_some());
}

#[test]
fn a_peer_that_does_not_read_is_not_waited_for_while_the_application_thinks() {
    let mut pair = Pair::new(Cut::Whole);
    let layer = pair.right.splice(operator());
    let now = pair.right.now();
    // Played by hand, so that nothing of the greeting is taken.
    pair.right.stack.handle_input(now, b"DIAL a.example\n");
    assert!(pair.right.stack.layer_as::<Opening<Operator>>(layer).unwrap().question().is_some());
    pair.right.stack.handle_timeout(now + Duration::from_secs(29));
    assert!(pair.right.stack.lost().is_none());
    pair.right.stack.handle_timeout(now + Duration::from_secs(31));
    let reason = pair.right.stack.lost().unwrap().to_string();
    assert!(reason.ends_with("the peer takes nothing of what is said to it"), "{reason}");
}
