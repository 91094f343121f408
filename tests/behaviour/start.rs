//! How a layer starts: what leaves before it, what waits for it, what it takes over, and in which order it begins.

use onionskin::stack::{Event, Limits, Readable};
use onionskin::tls::Version;

use crate::common::link::{DEPTHS, Link, ONE, each, each_in_pieces, pattern, records, text};

#[test]
fn plaintext_that_is_still_queued_leaves_first_and_unencrypted() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.left.write(b"plain");
        let left = link.left_starts();
        assert_eq!(text(&link.right_reads(5)), "plain");
        let right = link.right_starts();
        link.run();
        link.assert_ready(left, right);
        link.talk();
    });
}

#[test]
fn half_a_megabyte_of_queued_plaintext_leaves_before_the_handshake() {
    each_in_pieces(1..=3, |case| {
        let mut link = Link::with_limits(case, Limits::default().with_buffer(600_000));
        link.start_to(case.depth - 1);
        let plain = pattern(500_000);
        link.left.write(&plain);
        let left = link.left_starts();
        assert!(link.right_reads(plain.len()) == plain);
        let right = link.right_starts();
        link.run();
        link.assert_ready(left, right);
        assert!(case.depth > 1 || link.left.sent().starts_with(&plain));
        link.talk();
    });
}

#[test]
fn half_a_megabyte_of_plaintext_is_written_against_backpressure_before_the_handshake() {
    each_in_pieces(1..=3, |case| {
        let mut link = Link::outer(case);
        let plain = pattern(500_000);
        assert!(link.left_to_right(&plain) == plain);
        link.start();
        link.talk();
    });
}

#[test]
fn input_that_was_not_read_becomes_the_new_layers_input() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let left = link.left_starts();
        link.run();
        assert!(matches!(link.right.stack.readable(), Readable::Bytes(hello) if hello[0] == 22));
        let right = link.right_starts();
        link.run();
        link.assert_ready(left, right);
        link.talk();
    });
}

#[test]
fn writes_during_the_handshake_are_sent_after_it_in_order() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let (left, right) = (link.left_starts(), link.right_starts());
        for word in ["one ", "two ", "three"] {
            link.left.write(word.as_bytes());
            link.right.write(word.as_bytes());
        }
        link.run();
        link.assert_ready(left, right);
        assert_eq!(text(&link.left.read()), "one two three");
        assert_eq!(text(&link.right.read()), "one two three");
    });
}

#[test]
fn writes_during_the_handshake_are_taken_up_to_the_limit() {
    each_in_pieces(ONE, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.run();
        let bytes = pattern(3 * Limits::default().buffer);
        let mut taken = 0;
        loop {
            let written = link.left.write_some(&bytes[taken..]);
            taken += written;
            link.run();
            if written == 0 {
                break;
            }
        }
        let boundaries = if case.padded { 2 } else { 1 };
        assert!((Limits::default().buffer..=boundaries * Limits::default().buffer).contains(&taken), "{taken}");
        link.right_starts();
        assert!(link.right_reads(taken) == bytes[..taken]);
        assert!(link.right.read().is_empty());
    });
}

#[test]
fn either_end_of_the_socket_can_be_the_server() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let (server, client) = (link.server_layer(), link.client_layer());
        let (left, right) = (link.left_splices(server), link.right_splices(client));
        link.run();
        link.assert_ready(left, right);
        link.talk();
    });
}

#[test]
fn ready_is_known_before_the_data_that_came_with_finished() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let (_, right) = (link.left_starts(), link.right_starts());
        link.left.write(b"with Finished");
        while !matches!(link.right.stack.readable(), Readable::Bytes(_)) {
            assert!(link.step(), "{:?}", link.right.stack.lost());
        }
        let events = link.right.events();
        assert!(matches!(events[..], [Event::Ready(id)] if id == right), "{events:?}");
        link.run();
        assert_eq!(text(&link.right.read()), "with Finished");
    });
}

#[test]
fn handshake_bytes_leave_before_queued_writes() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        link.right_starts();
        link.left.write(b"four");
        link.right.write(b"four");
        link.run();
        for peer in [&link.left, &link.right] {
            let (records, rest) = records(peer.sent());
            assert!(rest.is_empty());
            let data = (23, if case.version == Version::Tls13 { 4 + 17 } else { 4 + 24 });
            assert_eq!(records.iter().position(|record| record.0 == 22), Some(0), "{records:?}");
            if case.version == Version::Tls12 {
                assert_eq!(records.iter().position(|record| record.0 == 23), Some(records.len() - 1), "{records:?}");
            }
            assert_eq!(records.last(), Some(&data), "{records:?}");
        }
    });
}
