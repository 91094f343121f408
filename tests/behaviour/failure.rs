//! Handshakes that fail: who is told what, and what becomes of the connection.

use onionskin::stack::{CommandErrorKind, Event, LayerErrorKind, Readable};
use onionskin::tls::{OnFailure, TlsClient, TlsServer, Version};

use crate::common::Authority;
use crate::common::link::{Case, DEPTHS, Link, ONE, each, each_version, records, text};

#[test]
fn a_failed_handshake_loses_the_connection_and_names_the_layer_on_both_sides() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let stranger = Authority::new().client(&[case.version]);
        let left = link.left_splices(stranger.to("server.example").unwrap());
        let right = link.right_starts();
        link.run();
        let reason = link.left.lost().expect("the left has lost");
        assert_eq!(reason.layers()[0].layer, left);
        assert!(reason.layer_error().unwrap().is_certificate(), "{reason}");
        let reason = link.right.lost().expect("the right has lost");
        assert_eq!(reason.layers()[0].layer, right);
        assert!(reason.layer_error().unwrap().is_refused(), "{reason}");
        assert!(reason.to_string().contains("alert unknown_ca"), "{reason}");
    });
}

#[test]
fn the_alert_is_flushed_and_then_the_socket_is_closed() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left.write(b"EHLO example\r\n");
        link.right_starts();
        link.run();
        assert!(link.right.lost().unwrap().layer_error().unwrap().is_not_spoken());
        let (records, rest) = records(link.right.sent());
        assert_eq!((&records[..], rest), (&[(21, 2)][..], &b""[..]));
        assert!(link.right.stack.is_flushed());
        assert_eq!(link.left.read(), link.right.sent());
        assert!(matches!(link.left.stack.readable(), Readable::EndOfInput));
    });
}

#[test]
fn nothing_in_common_is_told_to_both_sides() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let ca = Authority::new();
        let other = if case.version == Version::Tls12 { Version::Tls13 } else { Version::Tls12 };
        let server = ca.server("server.example", &[other]);
        link.left_starts();
        link.right_splices(server.accept().unwrap());
        link.run();
        for peer in [&link.left, &link.right] {
            let reason = peer.lost().unwrap();
            assert_eq!(reason.layer_error().unwrap().kind(), LayerErrorKind::Refused, "{reason}");
        }
    });
}

#[test]
fn commands_after_a_loss_are_refused_with_its_reason() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        link.left.write(b"EHLO example\r\n");
        let right = link.right_starts();
        link.run();
        let now = link.now();
        let refused = link.right.stack.write(now, b"more").unwrap_err();
        assert!(refused.reason().is_some_and(|reason| reason.layer_error().unwrap().is_not_spoken()), "{refused}");
        let refused = link.right.stack.stop(now, right, Default::default()).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::Lost(_)), "{refused}");
    });
}

#[test]
fn nothing_is_taken_from_the_wire_after_a_loss() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let now = link.now();
        // Who has failed says so and closes; but the other side may go on sending all the same.
        link.right.hold(true);
        link.left.inject(b"EHLO example\r\n");
        link.run();
        assert!(link.left.lost().is_some());
        assert_eq!(link.left.stack.input_room(), 0);
        assert_eq!(link.left.stack.handle_input(now, b"more"), 0);
    });
}

#[test]
fn a_stream_that_ends_during_the_handshake_is_truncated() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.run();
        link.left.end_input();
        link.run();
        let reason = link.left.lost().unwrap();
        assert!(reason.layer_error().unwrap().is_truncated(), "{reason}");
        assert!(reason.to_string().contains("during the handshake"), "{reason}");
    });
}

#[test]
fn a_malformed_record_during_the_handshake_is_the_peers_fault() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.run();
        link.left.inject(&[22, 3, 3, 0, 4, 99, 0, 0, 0]);
        link.run();
        let reason = link.left.lost().unwrap();
        assert_eq!(reason.layer_error().unwrap().kind(), LayerErrorKind::Protocol, "{reason}");
    });
}

/// A client that was started with `on_failure(Peel)`, has written two words, and gets plaintext.
fn peeled(case: Case, then: impl FnOnce(&mut Link)) {
    let mut link = Link::outer(case);
    let layer = link.client_layer().on_failure(OnFailure::Peel);
    let left = link.left_splices(layer);
    link.left.write(b"secret words");
    link.right.write(b"220 no TLS here\r\n");
    link.run();
    let events = link.left.events();
    match &events[..] {
        [Event::Failed { layer, error, dropped: 12 }] if *layer == left => assert!(error.is_not_spoken(), "{error}"),
        _ => panic!("{events:?}"),
    }
    assert_eq!(link.left.ended(), Some(left));
    then(&mut link);
}

#[test]
fn a_failed_layer_can_be_peeled_and_what_the_peer_said_instead_is_readable() {
    each(DEPTHS, |case| {
        peeled(case, |link| {
            assert!(link.left.read().is_empty());
            link.left.pass_end().unwrap();
            assert_eq!(text(&link.left.read()), "220 no TLS here\\r\\n");
            assert_eq!(link.tls_depth().0, case.depth - 1);
            assert!(link.left.stack.lost().is_none());
        });
    });
}

#[test]
fn writes_for_a_failed_layer_are_dropped_and_never_leave_in_clear() {
    each(DEPTHS, |case| {
        peeled(case, |link| {
            let now = link.now();
            let refused = link.left.stack.write(now, b"more secrets").unwrap_err();
            assert!(refused.is_ended(), "{refused}");
            link.left.pass_end().unwrap();
            link.left.write(b"in the open");
            link.run();
            let seen = text(&link.right.read());
            assert!(seen.ends_with("in the open"), "{seen}");
            assert!(!seen.contains("secret"), "{seen}");
        });
    });
}

#[test]
fn a_failed_layer_that_was_peeled_can_be_started_again() {
    each(DEPTHS, |case| {
        peeled(case, |link| {
            link.left.pass_end().unwrap();
            link.left.read();
            link.right.read();
            link.start();
            link.talk();
        });
    });
}

#[test]
fn a_failed_layer_below_another_loses_the_connection_even_if_it_was_to_be_peeled() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let layer = link.client_layer().on_failure(OnFailure::Peel);
        let (outer, inner) = (link.left_splices(layer), link.left_starts());
        link.right.write(b"220 no TLS here\r\n");
        link.run();
        let reason = link.left.lost().expect("nothing is left for the inner layer");
        let failed: Vec<_> = reason.layers().iter().map(|loss| loss.layer).collect();
        assert_eq!(failed, [outer, inner], "{reason}");
    });
}

#[test]
fn on_failure_is_for_the_handshake_only() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let layer = link.client_layer().on_failure(OnFailure::Peel);
        let (left, right) = (link.left_splices(layer), link.right_starts());
        link.run();
        link.assert_ready(left, right);
        link.left.inject(b"plaintext all of a sudden");
        link.run();
        assert!(link.left.lost().unwrap().layer_error().unwrap().is_not_spoken());
    });
}

#[test]
fn no_application_protocol_in_common_is_refused() {
    each_version(1, |case| {
        let ca = Authority::new();
        let client = TlsClient::builder(ca.roots()).versions(&[case.version]).alpn(["imap"]).build().unwrap();
        let identity = ca.identity("server.example");
        let server = TlsServer::builder(identity).versions(&[case.version]).alpn(["smtp"]).build().unwrap();
        let mut link = Link::outer(case);
        link.left_splices(client.to("server.example").unwrap());
        link.right_splices(server.accept().unwrap());
        link.run();
        let reason = link.left.lost().unwrap();
        assert!(reason.layer_error().unwrap().is_refused(), "{reason}");
        assert!(reason.to_string().contains("alert no_application_protocol"), "{reason}");
    });
}

#[test]
fn a_server_layer_that_was_peeled_leaves_the_command_that_came_instead() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let layer = link.server_layer().on_failure(OnFailure::Peel);
        let right = link.right_splices(layer);
        link.left.write(b"EHLO example\r\n");
        link.run();
        assert_eq!(link.right.ended(), Some(right));
        link.right.pass_end().unwrap();
        link.run();
        assert_eq!(text(&link.right.read()), "EHLO example\\r\\n");
        assert_eq!(link.left.read(), [21, 3, 3, 0, 2, 2, 50], "the alert is sent even so");
    });
}

#[test]
fn a_close_notify_during_the_handshake_is_told_at_once() {
    each(ONE, |case| {
        for to_client in [true, false] {
            for level in [1, 2] {
                let mut link = Link::outer(case);
                link.left_starts();
                let victim = if to_client { &mut link.left } else { &mut link.right };
                victim.inject(&[21, 3, 3, 0, 2, level, 0]);
                link.right_starts();
                link.run();
                let victim = if to_client { &link.left } else { &link.right };
                let reason = victim.lost().expect("nothing is waited for");
                assert!(reason.layer_error().unwrap().is_refused(), "{reason}");
                assert!(
                    reason.to_string().contains("the peer ended TLS (close_notify) before the handshake"),
                    "{reason}"
                );
            }
        }
    });
}
