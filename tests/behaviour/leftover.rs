//! Bytes behind a close_notify belong to the layer below, every one of them.

use onionskin::stack::Stop;

use crate::common::link::{DEPTHS, Link, ONE, each, each_in_pieces, pattern, text};

#[test]
fn bytes_behind_the_answer_come_back_exactly() {
    each(DEPTHS, |case| {
        // The second looks like TLS: a record header, and an alert.
        for behind in [&b"220 in clear\r\n"[..], &[22, 3, 3, 0, 2, 21, 3, 3, 0, 2, 1, 0], &[0], &pattern(300)] {
            let mut link = Link::connected(case);
            link.left.stop(Stop::new()).unwrap();
            link.run();
            link.right_answers();
            link.right.write(behind);
            link.run();
            assert!(link.left.read().is_empty());
            link.left.pass_end().unwrap();
            assert_eq!(text(&link.left.read()), text(behind));
        }
    });
}

#[test]
fn many_bytes_behind_the_answer_come_back_exactly() {
    each_in_pieces(1..=3, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right_answers();
        let behind = pattern(100_000);
        link.right.write(&behind);
        link.run();
        link.left.pass_end().unwrap();
        let mut read = Vec::new();
        while read.len() < behind.len() {
            let more = link.left.read();
            assert!(!more.is_empty());
            read.extend(more);
            link.run();
        }
        assert!(read == behind);
    });
}

#[test]
fn bytes_behind_a_close_notify_that_nobody_asked_for_wait_for_the_stop() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.write(b"above");
        link.left.stop(Stop::new().writes_at_once()).unwrap();
        link.left.write(b"below");
        link.run();
        assert_eq!(text(&link.right.read()), "above");
        link.right_answers();
        assert!(link.right.read().is_empty());
        link.right.pass_end().unwrap();
        assert_eq!(text(&link.right.read()), "below");
    });
}

#[test]
fn two_peels_in_one_read_lose_nothing() {
    each(2..=5, |case| {
        let mut link = Link::connected(case);
        let inner = link.left.stop(Stop::new()).unwrap();
        link.run();
        // All in one read, unless it is cut: the answer, what is between, the next close_notify, and what is behind.
        link.right_answers();
        link.right.pass_end().unwrap();
        link.right.write(b"between");
        link.right.stop(Stop::new().writes_at_once()).unwrap();
        link.right.write(b"behind");
        link.run();
        assert_eq!(link.left.ended(), Some(inner));
        link.left.pass_end().unwrap();
        assert_eq!(text(&link.left.read()), "between");
        let outer = link.left.ended().expect("the next layer ended too");
        assert_eq!(link.left.stop(Stop::new()).unwrap(), outer);
        assert_eq!(link.left.pass_end().unwrap(), outer);
        link.run();
        assert_eq!(text(&link.left.read()), "behind");
    });
}

#[test]
fn a_client_hello_right_behind_the_answer_starts_again() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right_answers();
        link.right.pass_end().unwrap();
        let layer = link.client_layer();
        let right = link.right_splices(layer);
        link.run();
        link.left.pass_end().unwrap();
        let layer = link.server_layer();
        let left = link.left_splices(layer);
        link.left.events();
        link.right.events();
        link.run();
        link.assert_ready(left, right);
        link.talk();
    });
}

#[test]
fn a_client_hello_behind_a_line_behind_the_answer_starts_again() {
    each(ONE, |case| {
        let mut link = Link::connected(case);
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right_answers();
        link.right.pass_end().unwrap();
        link.right.write(b"STARTTLS\r\n");
        let layer = link.client_layer();
        let right = link.right_splices(layer);
        link.run();
        link.left.pass_end().unwrap();
        assert_eq!(text(&link.left.read_some(10)), "STARTTLS\\r\\n");
        let layer = link.server_layer();
        let left = link.left_splices(layer);
        link.left.events();
        link.right.events();
        link.run();
        link.assert_ready(left, right);
        link.talk();
    });
}

#[test]
fn what_the_application_had_not_read_and_what_is_behind_the_end_stay_apart() {
    each(DEPTHS, |case| {
        let mut link = Link::connected(case);
        link.right.write(b"unread");
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right_answers();
        link.right.write(b"clear");
        link.run();
        assert_eq!(link.tls_depth(), (case.depth - 1, case.depth - 1));
        assert_eq!(text(&link.left.read()), "unread");
        link.left.pass_end().unwrap();
        assert_eq!(text(&link.left.read()), "clear");
    });
}
