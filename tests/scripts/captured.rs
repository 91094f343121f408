//! What the random scripts have found, each as short as it gets.

use onionskin::stack::{Event, PeerAnswer, Stop};
use onionskin::testing::{Cut, Pair};
use onionskin::tls::{OnPeerClose, Version};

use crate::world::{NAME, World};

/// The close_notify of the outer layer comes while the inner one, which has ended too, is not yet peeled.
#[test]
fn an_outer_layer_answers_by_itself_when_the_inner_one_is_gone() {
    let world = World::shared();
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(world.client(Version::Tls13).to(NAME).unwrap());
    let outer = pair.right.splice(world.server().accept().unwrap().on_peer_close(OnPeerClose::Peel));
    pair.left.splice(world.client(Version::Tls13).to(NAME).unwrap());
    let inner = pair.right.splice(world.server().accept().unwrap());
    pair.run();
    // The right side finishes the inner layer, so that the left can end both without waiting.
    let now = pair.right.now();
    pair.right.stack.finish(now, inner).unwrap();
    pair.run();
    pair.left.stop(Stop::new()).unwrap();
    pair.left.stop(Stop::new()).unwrap();
    pair.run();
    pair.right.stop(Stop::new()).unwrap();
    pair.run();
    assert_eq!(pair.right.pass_end().unwrap(), inner);
    assert_eq!(pair.right.pass_end().unwrap(), outer);
    let stopped = |event: &Event| matches!(event, Event::Stopped(id, PeerAnswer::CloseNotify) if *id == outer);
    assert!(pair.right.events().iter().any(stopped));
    assert_eq!((pair.left.stack.depth(), pair.right.stack.depth()), (0, 0));
}
