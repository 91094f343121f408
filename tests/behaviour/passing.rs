//! Layers that are no TLS: one that does nothing, and one that leaves by itself from the middle.

use onionskin::stack::{CommandErrorKind, Event, Output, PeerAnswer, Readable, Stop};

use crate::common::layers::{FailsWhenTold, FirstLine, PassThrough, Restless};
use crate::common::link::{DEPTHS, Link, ONE, assert_stopped, each, each_version, pattern, records, text};

#[test]
fn a_layer_that_does_nothing_changes_nothing() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left.splice(PassThrough);
        link.right.splice(PassThrough);
        link.talk();
        let now = link.now();
        link.left.stack.close(now);
        link.run();
        assert!(matches!(link.right.stack.readable(), Readable::EndOfInput));
    });
}

#[test]
fn a_layer_without_an_end_cannot_be_stopped() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let layer = link.left.splice(PassThrough);
        let now = link.now();
        let refused = link.left.stack.stop(now, layer, Stop::new()).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::CannotStop(id) if *id == layer), "{refused}");
        assert!(link.left.stop(Stop::new()).unwrap_err().is_no_such_layer());
    });
}

#[test]
fn tls_below_a_layer_that_does_nothing_is_stopped_and_peeled_under_it() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.splice(PassThrough);
        link.right.splice(PassThrough);
        link.talk();
        link.stop();
        link.talk();
        link.start();
        link.talk();
    });
}

#[test]
fn a_header_is_eaten_and_its_layer_is_gone() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let header = link.right.splice(FirstLine);
        link.left.write(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello");
        link.run();
        let events = link.right.events();
        assert!(matches!(events[..], [Event::Stopped(id, _)] if id == header), "{events:?}");
        assert_eq!(text(&link.right.read()), "hello");
        link.talk();
    });
}

#[test]
fn a_header_layer_leaves_from_below_a_handshake() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.left.write(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        let left = link.left_starts();
        let header = link.right.splice(FirstLine);
        let right = link.right_starts();
        link.run();
        let events = link.right.events();
        let found = matches!(events[..], [Event::Stopped(gone, _), Event::Ready(up)] if gone == header && up == right);
        assert!(found, "{events:?}");
        assert!(matches!(link.left.events()[..], [Event::Ready(id)] if id == left));
        link.talk();
    });
}

#[test]
fn a_header_layer_leaves_from_the_middle_while_data_flows() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let header = link.right.splice(FirstLine);
        for _ in 0..3 {
            link.right.splice(PassThrough);
        }
        link.right.write(b"down through it");
        link.left.write(b"a line that comes in ");
        link.run();
        assert_eq!(text(&link.left.read()), "down through it");
        assert_eq!(text(&link.right.read()), "");
        link.left.write(b"two parts\nand what is behind it");
        link.right.write(b"down at the same time");
        link.run();
        assert!(matches!(link.right.events()[..], [Event::Stopped(id, _)] if id == header));
        assert_eq!(text(&link.right.read()), "and what is behind it");
        assert_eq!(text(&link.left.read()), "down at the same time");
        link.talk();
        link.stop();
        link.talk();
    });
}

#[test]
fn what_was_written_through_tls_does_not_leave_without_it_when_a_layer_above_fails() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        let above = link.left.splice(FailsWhenTold::default());
        while link.left.write_some(&[b'x'; 16_384]) > 0 {}
        link.right.stop(Stop::new()).unwrap();
        let now = link.now();
        let Output::Bytes(close_notify) = link.right.stack.poll_output() else { panic!("a close_notify") };
        let close_notify = close_notify.to_vec();
        link.left.stack.handle_input(now, &close_notify);
        link.left.stack.with_layer(now, above, FailsWhenTold::fail).unwrap();
        assert!(link.left.ended().is_some());
        link.left.pass_end().unwrap();
        assert_eq!(link.left.lost().unwrap().layers()[0].layer, above);
        link.right.hold(true);
        link.run();
        assert_eq!(records(link.left.sent()).1, b"");
        assert!(link.left.stack.is_flushed());
    });
}

#[test]
fn a_new_layer_is_refused_while_an_end_waits_below_a_layer_that_has_no_room() {
    each_version(1, |case| {
        let mut link = Link::connected(case);
        link.left.splice(PassThrough);
        let left = link.left.stop(Stop::new()).unwrap();
        link.run();
        let late = pattern(200_000);
        for part in late.chunks(10_000) {
            link.right.write(part);
            link.run();
        }
        link.right_answers();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
        let (now, layer) = (link.now(), link.client_layer());
        let refused = link.left.stack.splice(now, Box::new(layer)).unwrap_err();
        assert!(matches!(refused.kind(), CommandErrorKind::Ended(id) if *id == left), "{refused}");
        assert!(link.left.read() == late);
        link.left.pass_end().unwrap();
        link.right.pass_end().unwrap();
        link.right.events();
        link.start();
    });
}

#[test]
fn a_layer_that_never_comes_to_rest_is_a_loss_and_no_livelock() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let layer = link.left.splice(Restless);
        link.left.write(b"never taken");
        assert!(link.left.stack.is_unfinished(), "others have their turn in between");
        let now = link.now();
        while link.left.stack.is_unfinished() {
            link.left.stack.handle_timeout(now);
        }
        assert_eq!(link.left.stack.lost().expect("it would run for ever").layers()[0].layer, layer);
    });
}
