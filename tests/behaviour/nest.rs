//! TLS inside TLS: any mix of roles and versions, started one after the other or all at once.

use onionskin::stack::{Event, LayerId, Stop};
use onionskin::testing::Peer;
use onionskin::tls::{OnFailure, Version};

use crate::common::Authority;
use crate::common::link::{DEPTHS, Link, each, each_version, facts, text};

fn ready(peer: &mut Peer) -> Vec<LayerId> {
    peer.events()
        .into_iter()
        .map(|event| match event {
            Event::Ready(id) => id,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn layers_start_one_in_another_and_stop_in_turn() {
    each(DEPTHS, |case| {
        let mut link = Link::new(case);
        for depth in 1..=case.depth {
            link.start();
            assert_eq!(link.tls_depth(), (depth, depth));
            link.talk();
        }
        for depth in (0..case.depth).rev() {
            link.stop();
            assert_eq!(link.tls_depth(), (depth, depth));
            link.talk();
        }
    });
}

#[test]
fn a_second_start_during_a_handshake_nests() {
    each(2..=5, |case| {
        let mut link = Link::new(case);
        let left: Vec<_> = (0..case.depth).map(|_| link.left_starts()).collect();
        link.left.write(b"through all of them");
        let right: Vec<_> = (0..case.depth).map(|_| link.right_starts()).collect();
        link.run();
        assert_eq!(ready(&mut link.left), left, "from the wire inwards");
        assert_eq!(ready(&mut link.right), right);
        assert_eq!(text(&link.right.read()), "through all of them");
        link.talk();
    });
}

#[test]
fn a_second_start_while_the_first_is_half_way_nests() {
    each(2..=2, |case| {
        let mut link = Link::new(case);
        let outer = (link.left_starts(), link.right_starts());
        for _ in 0..3 {
            link.step();
        }
        let inner = (link.left_starts(), link.right_starts());
        link.run();
        assert_eq!(ready(&mut link.left), [outer.0, inner.0]);
        assert_eq!(ready(&mut link.right), [outer.1, inner.1]);
        link.talk();
    });
}

#[test]
fn roles_mix_freely() {
    each(DEPTHS, |case| {
        let mut link = Link::new(case);
        for depth in 0..case.depth {
            let (client, server) = (link.client_layer(), link.server_layer());
            let (left, right) = if depth % 2 == 0 { (client, server) } else { (server, client) };
            let (left, right) = (link.left_splices(left), link.right_splices(right));
            link.run();
            link.assert_ready(left, right);
            link.talk();
        }
        for _ in 0..case.depth {
            link.stop();
            link.talk();
        }
    });
}

#[test]
fn every_layer_may_speak_its_own_version() {
    each(DEPTHS, |case| {
        let ca = Authority::new();
        let mut link = Link::new(case);
        for depth in 0..case.depth {
            let even = depth % 2 == 0;
            let version = if even == (case.version == Version::Tls12) { Version::Tls12 } else { Version::Tls13 };
            let client = ca.client(&[version]).to("server.example").unwrap();
            let server = ca.server("server.example", &[version]).accept().unwrap();
            let (left, right) = (link.left_splices(client), link.right_splices(server));
            link.run();
            link.assert_ready(left, right);
            let name = if version == Version::Tls12 { "TLSv1.2" } else { "TLSv1.3" };
            assert_eq!(facts(&link.left, left).version_name(), name);
        }
        link.talk();
        for _ in 0..case.depth {
            link.stop();
            link.talk();
        }
    });
}

#[test]
fn a_handshake_that_fails_inside_leaves_the_outer_layers_as_they_are() {
    each(2..=5, |case| {
        let mut link = Link::outer(case);
        let stranger = Authority::new().client(&[case.version]);
        let layer = stranger.to("server.example").unwrap().on_failure(OnFailure::Peel);
        link.left_splices(layer);
        let layer = link.server_layer().on_failure(OnFailure::Peel);
        link.right_splices(layer);
        link.run();
        for peer in [&mut link.pair.left, &mut link.pair.right] {
            let events = peer.events();
            assert!(matches!(events[..], [Event::Failed { .. }]), "{events:?}");
            peer.pass_end().unwrap();
            // What was left of the handshake belongs to nobody; a real peer would agree on where to go on.
            peer.read();
        }
        assert_eq!(link.tls_depth(), (case.depth - 1, case.depth - 1));
        link.talk();
    });
}

#[test]
fn a_stack_shows_its_layers_from_the_wire_inwards() {
    each_version(2, |case| {
        let link = Link::connected(case);
        let shown = link.left.stack.to_string();
        let version = if case.version == Version::Tls12 { "tls1.2" } else { "tls1.3" };
        assert_eq!(shown.matches(version).count(), 2, "{shown}");
        assert!(shown.starts_with("left ─ ") && shown.ends_with("client \"server.example\""), "{shown}");
    });
}

#[test]
fn the_innermost_stop_does_not_take_the_outer_layer_with_it() {
    each(2..=5, |case| {
        let mut link = Link::connected(case);
        let outer: Vec<_> = link.left.stack.layers().map(|(id, _)| id).collect();
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right_answers();
        link.run();
        let left: Vec<_> = link.left.stack.layers().map(|(id, _)| id).collect();
        assert_eq!(left, outer[..outer.len() - 1]);
    });
}
