//! The peer stops first: the application sees the end, and decides.

use onionskin::stack::{CommandErrorKind, Event, PeerAnswer, Stop};
use onionskin::tls::OnPeerClose;

use crate::common::layers::PassThrough;
use crate::common::link::{Case, DEPTHS, Link, assert_stopped, each, each_version, text};

/// The layers of the case, the innermost of which peels by itself on the right.
fn peels_by_itself(case: Case) -> Link {
    let mut link = Link::outer(case);
    let layer = link.server_layer().on_peer_close(OnPeerClose::Peel);
    let (left, right) = (link.left_starts(), link.right_splices(layer));
    link.run();
    link.assert_ready(left, right);
    link
}

#[test]
fn the_end_is_shown_behind_the_last_byte_and_the_layer_held() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let right = link.right.stack.innermost_stoppable().unwrap();
        link.left.write(b"goodbye");
        link.left.stop(Stop::new()).unwrap();
        link.run();
        assert_eq!(link.right.ended(), None, "bytes come first");
        assert_eq!(text(&link.right.read()), "goodbye");
        assert_eq!(link.right.ended(), Some(right));
        assert_eq!(link.tls_depth().1, case.depth);
        assert!(link.right.events().is_empty());
    });
}

#[test]
fn writes_still_go_through_a_layer_that_is_held() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right.write(b"not so fast");
        link.run();
        assert_eq!(text(&link.left.read()), "not so fast");
    });
}

#[test]
fn the_applications_stop_answers_and_peels_at_once() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        let right = link.right_answers();
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
        link.right.pass_end().unwrap();
        link.run();
        link.left.pass_end().unwrap();
        link.talk();
    });
}

#[test]
fn going_on_below_a_layer_that_is_held_is_refused_until_it_is_stopped() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        assert!(link.right.pass_end().is_err());
        link.right_answers();
        link.right.pass_end().unwrap();
        assert!(matches!(link.right.pass_end().unwrap_err().kind(), CommandErrorKind::NothingToStop));
    });
}

#[test]
fn a_new_layer_is_refused_until_the_application_has_gone_on_below_the_end() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        let now = link.now();
        let layer = Box::new(link.server_layer());
        let refused = link.right.stack.splice(now, layer).unwrap_err();
        assert!(refused.is_ended(), "{refused}");
    });
}

#[test]
fn dropping_the_connection_is_the_other_choice() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new()).unwrap();
        link.run();
        let now = link.now();
        link.right.stack.close(now);
        link.run();
        assert_eq!(link.left.ended(), Some(left), "closing answers too");
    });
}

#[test]
fn a_layer_may_answer_and_peel_by_itself_and_still_shows_its_end() {
    each(DEPTHS, |case| {
        let mut link = peels_by_itself(case);
        let right = link.right.stack.innermost_stoppable().unwrap();
        link.left.write(b"goodbye");
        let left = link.left.stop(Stop::new()).unwrap();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
        assert_eq!(text(&link.right.read()), "goodbye");
        assert_eq!(link.right.ended(), Some(right));
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        link.talk();
    });
}

#[test]
fn writes_are_refused_after_a_layer_peeled_itself_until_the_application_goes_on() {
    each(DEPTHS, |case| {
        let mut link = peels_by_itself(case);
        let right = link.right.stack.innermost_stoppable().unwrap();
        link.left.stop(Stop::new()).unwrap();
        link.run();
        let now = link.now();
        let sent = link.right.sent().len();
        let refused = link.right.stack.write(now, b"meant for TLS").unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::Ended(id) if *id == right), "{refused}");
        link.run();
        assert_eq!(link.right.sent().len(), sent);
        link.right.pass_end().unwrap();
        link.right.write(b"meant for below");
        link.left.pass_end().unwrap();
        link.run();
        assert_eq!(text(&link.left.read()), "meant for below");
    });
}

#[test]
fn what_was_written_before_a_layer_peels_itself_leaves_through_it() {
    each(DEPTHS, |case| {
        let mut link = peels_by_itself(case);
        link.left.stop(Stop::new()).unwrap();
        link.right.write(b"through TLS");
        link.run();
        assert_eq!(text(&link.left.read()), "through TLS");
        assert!(link.left.ended().is_some());
    });
}

#[test]
fn two_layers_that_end_in_one_read_both_peel_by_themselves() {
    each(2..=2, |case| two_layers_end(case, false));
    // The outer one, which has waited for the inner one to go, is not next to it.
    each(2..=2, |case| two_layers_end(case, true));
}

fn two_layers_end(case: Case, with_one_between: bool) {
    let mut link = Link::new(case);
    for inner in [false, true] {
        if inner && with_one_between {
            link.right.splice(PassThrough);
        }
        let layer = link.server_layer().on_peer_close(OnPeerClose::Peel);
        let (left, right) = (link.left_starts(), link.right_splices(layer));
        link.run();
        link.assert_ready(left, right);
    }
    let layers: Vec<_> = link.right.stack.layers().filter(|(_, layer)| layer.name() == "tls").collect();
    let (outer, inner) = (layers[0].0, layers[1].0);
    link.right.hold(true);
    // Abandoned right behind its close_notify, so that the outer layer can be stopped in the same segment.
    let now = link.now();
    let left = link.left.stack.innermost_stoppable().unwrap();
    link.left.stack.finish(now, left).unwrap();
    link.left.stop(Stop::new().abandon()).unwrap();
    link.left.pass_end().unwrap();
    link.left.stop(Stop::new()).unwrap();
    link.left.write(b"in clear");
    link.run();
    link.right.hold(false);
    link.run();
    let events = link.right.events();
    let stopped: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Stopped(id, PeerAnswer::CloseNotify) => *id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(stopped, [inner, outer]);
    assert_eq!(link.right.pass_end().unwrap(), inner);
    let refused = link.right.stack.write(now, b"meant for the outer layer").unwrap_err();
    assert!(refused.is_ended(), "{refused}");
    assert_eq!(link.right.pass_end().unwrap(), outer);
    link.run();
    assert_eq!(text(&link.right.read()), "in clear");
}

#[test]
fn a_stop_joins_the_one_that_a_layer_began_by_itself() {
    each_version(1, |case| {
        let mut link = peels_by_itself(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        assert!(link.right.stop(Stop::new()).unwrap_err().is_no_such_layer(), "it is peeled already");
    });
}

#[test]
fn a_grace_lets_the_peer_go_first() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        link.run();
        assert_eq!(link.right.ended(), None, "nothing was sent");
        let right = link.right.stop(Stop::new()).unwrap();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut link.right, right, PeerAnswer::CloseNotify);
    });
}

#[test]
fn a_grace_is_of_no_use_when_the_peer_has_already_stopped() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
    });
}

#[test]
fn a_loss_behind_an_end_that_is_held_can_be_read() {
    each(2..=5, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        let ended = link.right.ended().expect("the innermost layer has ended");
        assert!(!link.right.pass_end().unwrap_err().is_no_such_layer(), "it is held, and the connection lives");

        let now = link.now();
        link.right.stack.handle_error(now, std::io::ErrorKind::ConnectionReset.into());
        link.run();
        assert_eq!(link.right.ended(), Some(ended), "the end is still the next to read");
        assert_eq!(link.right.pass_end().unwrap(), ended);
        let reason = link.right.lost().expect("and behind it the loss");
        assert!(reason.layers().iter().all(|loss| loss.error.is_truncated() && loss.layer != ended), "{reason}");
    });
}
