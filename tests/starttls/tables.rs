//! One side is as its subject's tables say.

use onionskin::starttls::{ErrorKind, Negotiate};
use onionskin::testing::Peer;

use crate::common::link::{Link, text};
use crate::subject::{TOO_LONG, assert_discreet, assert_failed, each_subject};

#[test]
fn a_server_that_is_not_to_be_believed_is_told_nothing() {
    each_subject(|subject, case| {
        for server in subject.servers {
            let mut link = Link::new(case);
            subject.left_asks(&mut link);
            for turn in server.says {
                link.run();
                assert!(link.left.lost().is_none(), "{} is lost too early: {:?}", server.what, link.left.lost());
                link.left.inject(turn);
            }
            link.run();
            eprintln!("{}", server.what);
            assert_failed(&mut link.left, server.error);
        }
    });
}

#[test]
fn such_a_server_is_the_same_in_single_bytes() {
    each_subject(|subject, case| {
        // One that answers too early is only told from one that answers by what has arrived when it is asked.
        for server in subject.servers.iter().filter(|server| server.error != ErrorKind::OutOfTurn) {
            let mut link = Link::new(case);
            subject.left_asks(&mut link);
            for byte in server.says.iter().copied().flatten() {
                link.run();
                link.left.inject(&[*byte]);
            }
            link.run();
            eprintln!("{}", server.what);
            assert_failed(&mut link.left, server.error);
        }
    });
}

#[test]
fn a_client_hears_what_it_must_do_first() {
    each_subject(|subject, case| {
        for client in subject.clients {
            eprintln!("{}", client.what);
            let mut link = Link::new(case);
            subject.right_is_asked(&mut link);
            let before = client.speak(&mut link);
            let heard = link.right.sent()[before..].to_vec();
            assert!(heard.starts_with(client.hears), "heard {:?}", text(&heard));
            assert_discreet(&mut link.right);
            match client.error {
                Some(kind) => assert_failed(&mut link.right, kind),
                None => assert!(link.right.lost().is_none(), "{:?}", link.right.lost()),
            }
        }
    });
}

#[test]
fn a_client_that_begins_tls_unasked_is_told_from_one_that_asks() {
    each_subject(|subject, case| {
        let mut link = Link::new(case);
        subject.right_is_asked(&mut link);
        link.left_starts();
        link.run();
        if (subject.peer)().name() == "postgres" {
            // It may, but not like this: it must say which protocol it means.
            let reason = link.right.lost().expect("it is refused").to_string();
            assert!(reason.contains("ALPN"), "{reason}");
            return;
        }
        assert_failed(&mut link.right, ErrorKind::Malformed);
    });
}

#[test]
fn a_server_that_never_ends_its_message_is_given_up() {
    each_subject(|subject, case| {
        let mut link = Link::new(case);
        subject.left_asks(&mut link);
        // No protocol has a message like this; each may find that out as it likes, but not take more and more of it.
        for _ in 0..32 {
            link.left.inject(&[b'2'; 4096]);
            link.run();
        }
        assert_discreet(&mut link.left);
        assert!(link.left.stack.inbound_len() < 128 * 1024);
        link.pair.advance(TOO_LONG);
        assert!(link.left.lost().is_some());
    });
}

/// The limit that was set is named, not what was left of it.
#[track_caller]
fn assert_names_limit(peer: &Peer, limit: usize) {
    let reason = peer.lost().expect("the connection is lost").to_string();
    assert!(reason.contains(&format!("more than the {limit} bytes that are accepted")), "{limit}: {reason}");
}

#[test]
fn a_peer_that_talks_on_and_on_meets_a_limit() {
    each_subject(|subject, case| {
        let (client, server) = subject.transcript(case);
        let mut link = Link::new(case);
        let limit = server.len() - 1;
        let negotiate = Negotiate::new(&*(subject.peer)(), link.client_layer()).limit(limit);
        link.left.splice(negotiate);
        subject.right_is_asked(&mut link);
        link.run();
        assert_failed(&mut link.left, ErrorKind::TooLong);
        assert_names_limit(&link.left, limit);

        let mut link = Link::new(case);
        subject.left_asks(&mut link);
        let limit = client.len() - 1;
        let negotiate = Negotiate::new(&*(subject.peer)(), link.server_layer()).limit(limit);
        link.right.splice(negotiate);
        link.run();
        assert_failed(&mut link.right, ErrorKind::TooLong);
        assert_names_limit(&link.right, limit);

        let mut link = Link::new(case);
        let (left, right) = (link.client_layer(), link.server_layer());
        link.left.splice(Negotiate::new(&*(subject.peer)(), left).limit(server.len()));
        link.right.splice(Negotiate::new(&*(subject.peer)(), right).limit(client.len()));
        link.run();
        link.talk();
    });
}
