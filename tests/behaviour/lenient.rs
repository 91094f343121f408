//! Peers that leave their close_notify out: lenient stops take that, others do not.

use std::io;

use onionskin::stack::{PeerAnswer, Readable, Stop};

use crate::common::link::{DEPTHS, Link, ONE, assert_stopped, each, text};

/// The right drops the layer without a close_notify and continues below.
fn right_just_goes_on(link: &mut Link, saying: &[u8]) {
    link.right.stop(Stop::new().abandon()).unwrap();
    link.right.write(saying);
    link.run();
}

#[test]
fn bytes_that_are_no_record_end_the_layer_and_belong_below() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.right.write(b"the last through TLS");
        let left = link.left.stop(Stop::new().lenient()).unwrap();
        link.run();
        right_just_goes_on(&mut link, b"220 in clear\r\n");
        assert_stopped(&mut link.left, left, PeerAnswer::Missing);
        assert_eq!(text(&link.left.read()), "the last through TLS");
        assert_eq!(link.left.ended(), Some(left));
        link.left.pass_end().unwrap();
        assert_eq!(text(&link.left.read()), "220 in clear\\r\\n");
    });
}

#[test]
fn end_of_file_at_a_record_boundary_ends_the_layer_too() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new().lenient()).unwrap();
        link.run();
        link.left.end_input();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::Missing);
        link.left.pass_end().unwrap();
        assert!(matches!(link.left.stack.readable(), Readable::EndOfInput));
    });
}

#[test]
fn end_of_file_within_a_record_is_truncation_even_so() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new().lenient()).unwrap();
        link.run();
        link.left.inject(&[23, 3, 3, 0, 32, 1, 2]);
        link.left.end_input();
        link.run();
        assert!(link.left.lost().unwrap().layer_error().unwrap().is_truncated());
    });
}

#[test]
fn a_close_notify_is_taken_as_ever() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new().lenient()).unwrap();
        link.run();
        link.right_answers();
        link.run();
        assert_stopped(&mut link.left, left, PeerAnswer::CloseNotify);
    });
}

#[test]
fn plaintext_before_the_stop_is_no_end() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.inject(b"220 in clear\r\n");
        link.run();
        assert!(link.left.lost().unwrap().layer_error().unwrap().is_not_spoken());
        assert!(link.left.stop(Stop::new().lenient()).is_err());
    });
}

#[test]
fn with_a_grace_our_close_notify_stays_out_if_the_peers_does() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        let left = link.left.stop(Stop::new().lenient().after_peer(Stop::GRACE)).unwrap();
        link.run();
        let sent = link.left.sent().len();
        right_just_goes_on(&mut link, b"220 in clear\r\n");
        assert_stopped(&mut link.left, left, PeerAnswer::Missing);
        assert_eq!(link.left.sent().len(), sent);
        assert_eq!(link.left.pass_end().unwrap(), left);
        assert_eq!(text(&link.left.read()), "220 in clear\\r\\n");
    });
}

#[test]
fn a_socket_that_fails_is_a_loss_even_so() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new().lenient()).unwrap();
        link.run();
        let now = link.now();
        link.left.stack.handle_error(now, io::ErrorKind::ConnectionReset.into());
        let reason = link.left.lost().expect("nobody said that the layer had ended");
        assert_eq!(reason.layers().len(), 1, "{reason}");
    });
}
