//! What becomes of a stream when something is lost: in its carrier, in its peer, in a layer of its own.

use std::io;
use std::time::Duration;

use onionskin::stack::{LayerErrorKind, Readable};
use onionskin::testing::{Cut, Fault};

use crate::common::{Authority, BOTH};
use crate::{LEFT, NAME, RIGHT, Tunnel};

/// Looks whether a text says of each layer whose it is.
#[track_caller]
fn assert_names(text: &str, stream: &str) {
    let (below, above) = text.split_once(&format!("; with it tunnel {stream} of h2 proxy.test:443")).expect(text);
    assert!(below.starts_with("tcp proxy.test:443: "), "{text}");
    assert!(below.matches("layer #1 (").count() == 1 && above.matches("layer #1 (").count() <= 1, "{text}");
}

#[test]
fn a_socket_that_fails_below_the_carrier_is_named_in_every_stream() {
    for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::WriteZero, io::ErrorKind::StorageFull] {
        let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 2);
        let [layer, _] = tunnel.start_tls(ids[0]);
        tunnel.write(RIGHT, ids[0], b"whole");
        tunnel.run();
        let now = tunnel.carrier.now();
        tunnel.carrier.left.stack.handle_error(now, kind.into());
        tunnel.run();

        assert_eq!(tunnel.read(LEFT, ids[0]), b"whole", "what came before is read first");
        for (&id, stream) in ids.iter().zip(["1", "3"]) {
            let reason = tunnel.loss(LEFT, id);
            assert_eq!(reason.io_error().unwrap().kind(), kind, "{reason}");
            assert!(!reason.is_inbound_only() && !reason.is_truncated(), "{reason}");
            assert_names(&reason.to_string(), stream);
            assert_eq!(reason.wire_name(), Some(format!("tunnel {stream} of h2 proxy.test:443").as_str()));
            assert_eq!(reason.first().wire_name(), Some("tcp proxy.test:443"));
        }
        let lost: Vec<_> = tunnel.loss(LEFT, ids[0]).layers().iter().map(|loss| loss.layer).collect();
        assert_eq!(lost, [layer], "and the layers of the stream itself");
    }
}

#[test]
fn an_abort_of_the_carrier_is_one_of_every_stream() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 2);
    let now = tunnel.carrier.now();
    tunnel.carrier.left.stack.abort(now);
    tunnel.run();
    for id in ids {
        let reason = tunnel.loss(LEFT, id);
        assert!(reason.is_aborted() && reason.below().is_some(), "{reason}");
    }
}

/// TCP ends below the carrier's TLS: what the peer of each stream says is cut off, and never ended; what we say leaves.
#[test]
fn a_carrier_that_is_cut_off_cuts_off_its_streams_and_they_are_answered() {
    for cut in [Cut::Whole, Cut::Bytes, Cut::Random(5)] {
        let (mut tunnel, ids) = Tunnel::with_streams(cut, 2);
        tunnel.start_tls(ids[0]);
        for &id in &ids {
            tunnel.write(LEFT, id, b"request");
        }
        tunnel.run();
        tunnel.carrier.right.end_input();
        tunnel.run();
        for (&id, stream) in ids.iter().zip(["1", "3"]) {
            assert_eq!(tunnel.read(RIGHT, id), b"request");
            let reason = tunnel.loss(RIGHT, id);
            assert!(reason.is_truncated() && reason.is_inbound_only(), "{reason}");
            assert_eq!(reason.layer_error().unwrap().kind(), LayerErrorKind::Truncated);
            assert!(reason.to_string().contains(&format!("; with it tunnel {stream} of")), "{reason}");
            assert!(tunnel.stack(RIGHT, id).lost().is_none());
            tunnel.say(RIGHT, id, b"answer");
        }
    }
}

/// A carrier that ends in order has said nothing of the streams that had not.
#[test]
fn a_carrier_that_ends_is_no_end_of_its_streams() {
    for partial in [&b""[..], &[2, 0, 0, 0, 1, 0, 100, 7, 7]] {
        let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 2);
        let now = tunnel.carrier.now();
        tunnel.stack(LEFT, ids[1]).close(now);
        tunnel.stack(RIGHT, ids[1]).close(now);
        tunnel.run();
        tunnel.carrier.left.write(partial);
        tunnel.carrier.left.stack.close(now);
        tunnel.run();
        assert!(matches!(tunnel.stack(RIGHT, ids[1]).readable(), Readable::EndOfInput), "this one had ended");
        let reason = tunnel.loss(RIGHT, ids[0]);
        assert!(reason.to_string().contains("the carrier has ended before the stream"), "{reason}");
    }
}

#[test]
fn garbage_below_the_carrier_is_what_every_stream_hears() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Bytes, 2);
    tunnel.start_tls(ids[1]);
    tunnel.carrier(RIGHT).inject(b"HTTP/1.1 400 Bad Request\r\n");
    tunnel.run();
    for &id in &ids {
        let reason = tunnel.loss(RIGHT, id);
        assert!(reason.is_not_spoken(), "{reason}");
        assert!(reason.to_string().contains("plaintext"), "{reason}");
        let reason = tunnel.loss(LEFT, id);
        assert!(reason.is_refused(), "the peer gets the carrier's alert: {reason}");
    }
}

#[test]
fn a_deadline_of_the_carrier_is_one_of_its_streams() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 1);
    let now = tunnel.carrier.now();
    tunnel.carrier.right.hold(true);
    let id = tunnel.carrier.left.stack.innermost_stoppable().unwrap();
    tunnel.carrier.left.stack.stop(now, id, onionskin::stack::Stop::new()).unwrap();
    tunnel.advance(Duration::from_secs(60));
    let reason = tunnel.loss(LEFT, ids[0]);
    assert!(reason.is_timeout(), "{reason}");
    assert_names(&reason.to_string(), "1");
}

#[test]
fn garbage_in_one_stream_is_lost_in_that_one_alone() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Random(1), 3);
    let now = tunnel.carrier.now();
    tunnel.stack(RIGHT, ids[0]).splice(now, Box::new(crate::server())).unwrap();
    tunnel.write(LEFT, ids[0], b"EHLO plaintext.test\r\n");
    tunnel.run();
    let reason = tunnel.loss(RIGHT, ids[0]);
    assert!(reason.is_not_spoken() && reason.below().is_none(), "{reason}");
    assert!(reason.to_string().starts_with("layer #1 (tls"), "one stack needs no name: {reason}");
    assert!(!tunnel.read(LEFT, ids[0]).is_empty(), "the alert");
    let kind = tunnel.loss(LEFT, ids[0]).io_error().unwrap().kind();
    assert_eq!(kind, io::ErrorKind::ConnectionReset, "and the reset behind it");
    tunnel.assert_works(ids[1]);
    tunnel.start_tls(ids[2]);
}

#[test]
fn a_certificate_that_fails_in_one_stream_tells_both_of_its_sides() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 2);
    let stranger = Authority::new().client(BOTH).to(NAME).unwrap();
    tunnel.begin_tls(ids[0], stranger);
    tunnel.run();
    assert!(tunnel.loss(LEFT, ids[0]).is_certificate());
    assert!(tunnel.loss(RIGHT, ids[0]).is_refused());
    tunnel.start_tls(ids[1]);
    tunnel.assert_works(ids[1]);
}

#[test]
fn an_end_of_the_stream_during_a_handshake_or_a_stop_is_named() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 4);
    let now = tunnel.carrier.now();
    tunnel.stack(LEFT, ids[0]).splice(now, Box::new(crate::client())).unwrap();
    tunnel.stack(RIGHT, ids[0]).close(now);
    tunnel.run();
    let reason = tunnel.loss(LEFT, ids[0]);
    assert!(reason.is_truncated() && reason.to_string().contains("during the handshake"), "{reason}");

    let [layer, _] = tunnel.start_tls(ids[1]);
    tunnel.stop(LEFT, ids[1], layer);
    tunnel.stack(RIGHT, ids[1]).close_wire(now);
    tunnel.run();
    let reason = tunnel.loss(LEFT, ids[1]);
    assert!(reason.is_truncated() && reason.to_string().contains("close_notify"), "{reason}");

    // Behind the close_notify it is clean.
    tunnel.start_tls(ids[2]);
    tunnel.write(RIGHT, ids[2], b"bye");
    tunnel.stack(RIGHT, ids[2]).close(now);
    tunnel.run();
    assert_eq!(tunnel.read(LEFT, ids[2]), b"bye");
    assert!(matches!(tunnel.stack(LEFT, ids[2]).readable(), Readable::Ended(_)));
    tunnel.assert_works(ids[3]);
}

#[test]
fn an_abort_of_one_stream_resets_its_peer_and_no_other() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 2);
    tunnel.start_tls(ids[0]);
    tunnel.write(RIGHT, ids[0], b"on its way");
    tunnel.run();
    let now = tunnel.carrier.now();
    tunnel.stack(RIGHT, ids[0]).abort(now);
    tunnel.run();
    assert!(tunnel.loss(RIGHT, ids[0]).is_aborted());
    assert_eq!(tunnel.read(LEFT, ids[0]), b"on its way");
    let reason = tunnel.loss(LEFT, ids[0]);
    assert_eq!(reason.io_error().unwrap().kind(), io::ErrorKind::ConnectionReset, "{reason}");
    tunnel.assert_works(ids[1]);

    tunnel.muxes[LEFT].forget(ids[1]);
    tunnel.run();
    let reason = tunnel.loss(RIGHT, ids[1]);
    assert_eq!(reason.io_error().unwrap().kind(), io::ErrorKind::ConnectionReset, "{reason}");
}

#[test]
fn a_stream_that_stays_silent_fails_its_handshake_and_no_other() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 2);
    let now = tunnel.carrier.now();
    tunnel.stack(LEFT, ids[0]).splice(now, Box::new(crate::client())).unwrap();
    tunnel.stack(RIGHT, ids[0]).splice(now, Box::new(Fault::silence_at(0))).unwrap();
    tunnel.advance(Duration::from_secs(9));
    assert!(tunnel.stack(LEFT, ids[0]).lost().is_none(), "there is time yet");
    tunnel.advance(Duration::from_secs(2));
    assert!(tunnel.loss(LEFT, ids[0]).is_timeout());
    tunnel.assert_works(ids[1]);
}

/// The peer of the carrier has ended it in order, and of a stream only its own direction: then the carrier fails.
#[test]
fn a_carrier_that_fails_behind_its_end_is_a_loss_of_what_is_half_closed() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 2);
    let now = tunnel.carrier.now();
    tunnel.write(LEFT, ids[0], b"request");
    tunnel.stack(LEFT, ids[0]).close(now);
    tunnel.run();
    tunnel.carrier.left.stack.close(now);
    tunnel.run();
    assert_eq!(tunnel.read(RIGHT, ids[0]), b"request");
    assert!(matches!(tunnel.stack(RIGHT, ids[0]).readable(), Readable::EndOfInput));
    assert!(tunnel.stack(RIGHT, ids[0]).lost().is_none(), "our direction is open");
    tunnel.carrier.right.stack.handle_error(now, io::ErrorKind::ConnectionReset.into());
    tunnel.run();
    let reason = tunnel.stack(RIGHT, ids[0]).lost().expect("nothing goes to the carrier any more").clone();
    assert_eq!(reason.io_error().unwrap().kind(), io::ErrorKind::ConnectionReset, "{reason}");
    assert!(reason.below().is_some(), "{reason}");
}

/// Whatever waits for room in it then.
#[test]
fn a_carrier_that_is_lost_with_much_to_send_is_a_loss_of_its_streams() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 1);
    let now = tunnel.carrier.now();
    for _ in 0..10_000 {
        let id = tunnel.muxes[LEFT].open();
        tunnel.muxes[LEFT].forget(id);
    }
    tunnel.carrier.left.stack.abort(now);
    tunnel.run();
    assert!(tunnel.loss(LEFT, ids[0]).is_aborted());
}

/// Our own direction of the carrier is closed, and a stream has more to say, whose peer has ended its own.
#[test]
fn who_writes_to_a_carrier_that_is_closed_hears_of_it() {
    let (mut tunnel, ids) = Tunnel::with_streams(Cut::Whole, 2);
    let now = tunnel.carrier.now();
    tunnel.stack(RIGHT, ids[0]).close(now);
    tunnel.run();
    tunnel.carrier.left.stack.close(now);
    tunnel.carrier.left.hold(true);
    tunnel.run();
    assert!(tunnel.stack(LEFT, ids[0]).lost().is_none(), "nothing of it is missing yet");
    tunnel.write(LEFT, ids[0], b"more");
    tunnel.run();
    let reason = tunnel.stack(LEFT, ids[0]).lost().expect("it never leaves").clone();
    assert_eq!(reason.io_error().unwrap().kind(), io::ErrorKind::BrokenPipe, "{reason}");
    assert!(tunnel.stack(LEFT, ids[0]).is_lost_unsent());
}
