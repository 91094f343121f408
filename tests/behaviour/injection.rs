//! Plaintext that somebody put behind STARTTLS, or behind its answer, never reaches the application after the
//! upgrade. Beside each attack stands what an honest peer does.

use onionskin::testing::Peer;

use crate::common::link::{DEPTHS, Link, each, text};

const COMMAND: &[u8] = b"STARTTLS\r\n";
const ANSWER: &[u8] = b"220 go ahead\r\n";

/// The handshake failed because of plaintext, and the application has nothing to read.
#[track_caller]
fn assert_speaks_plaintext(peer: &mut Peer, first: char) {
    assert_eq!(text(&peer.read()), "");
    let reason = peer.lost().expect("the handshake has failed");
    let error = reason.layer_error().unwrap();
    assert!(error.is_not_spoken(), "{reason}");
    // The first byte is enough to know, so no more of it may have come.
    assert!(error.to_string().starts_with("the peer is speaking plaintext, not TLS (it said \""), "{error}");
    assert!(error.to_string().contains(&format!("\"{first}")), "{error}");
}

#[test]
fn a_command_behind_starttls_is_never_executed() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.left.write(COMMAND);
        link.left.write(b"RSET\r\n");
        link.left_starts();
        assert_eq!(link.right_reads(COMMAND.len()), COMMAND);
        link.right_starts();
        link.run();
        assert_speaks_plaintext(&mut link.right, 'R');
    });
}

#[test]
fn a_command_that_arrives_after_the_server_has_started_is_not_either() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.left.write(COMMAND);
        assert_eq!(link.right_reads(COMMAND.len()), COMMAND);
        link.right_starts();
        link.left.write(b"MAIL FROM:<mallory@example>\r\n");
        link.run();
        assert_speaks_plaintext(&mut link.right, 'M');
    });
}

#[test]
fn a_client_hello_in_the_segment_of_starttls_works() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.left.write(COMMAND);
        let left = link.left_starts();
        assert_eq!(link.right_reads(COMMAND.len()), COMMAND);
        let right = link.right_starts();
        link.run();
        link.assert_ready(left, right);
        link.talk();
    });
}

#[test]
fn a_response_behind_the_answer_is_never_believed() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.right.write(ANSWER);
        link.right.write(b"250 all is well\r\n");
        link.run();
        assert_eq!(link.left.read_some(ANSWER.len()), ANSWER);
        link.left_starts();
        link.right_starts();
        link.run();
        assert_speaks_plaintext(&mut link.left, '2');
    });
}

#[test]
fn a_response_that_arrives_after_the_client_has_started_is_not_either() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.right.write(ANSWER);
        link.run();
        assert_eq!(link.left.read_some(ANSWER.len()), ANSWER);
        link.left_starts();
        link.right.write(b"250 all is well\r\n");
        link.run();
        assert_speaks_plaintext(&mut link.left, '2');
    });
}

#[test]
fn an_answer_and_the_servers_start_in_one_go_work() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.left.write(COMMAND);
        assert_eq!(link.right_reads(COMMAND.len()), COMMAND);
        link.right.write(ANSWER);
        let right = link.right_starts();
        link.run();
        assert_eq!(link.left.read(), ANSWER);
        let left = link.left_starts();
        link.run();
        link.assert_ready(left, right);
        link.talk();
    });
}

#[test]
fn a_client_hello_in_the_segment_of_the_answer_works_when_roles_are_turned() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        link.right.write(ANSWER);
        let layer = link.client_layer();
        let right = link.right_splices(layer);
        link.run();
        assert_eq!(link.left.read_some(ANSWER.len()), ANSWER);
        let layer = link.server_layer();
        let left = link.left_splices(layer);
        link.run();
        link.assert_ready(left, right);
        link.talk();
    });
}
