//! A peer that talks on and on, and reads nothing or does not understand it.

use onionskin::starttls::{ErrorKind, Irc, Negotiate};
use onionskin::testing::Peer;

use crate::common::link::{Link, text};
use crate::subject::{assert_failed, each_subject};

/// Says `bytes` to `peer` as long as it listens, and takes nothing of what it answers. Returns the most that waited to be
/// sent.
fn flood(peer: &mut Peer, bytes: &[u8]) -> usize {
    let (mut rest, mut most) = (bytes, 0);
    while !rest.is_empty() {
        // In pieces, because a peer that answers without a limit would do it within one call.
        let piece = &rest[..rest.len().min(1000)];
        let taken = peer.stack.handle_input(peer.now(), piece);
        most = most.max(peer.stack.outbound_len());
        if taken == 0 {
            break;
        }
        rest = &rest[taken..];
    }
    most
}

/// So many bytes of the same over and over, with none left half said.
fn repeated(what: &[u8], len: usize) -> Vec<u8> {
    what.repeat(len / what.len())
}

#[test]
fn a_client_that_talks_and_does_not_read_is_not_answered_on_and_on() {
    each_subject(|subject, case| {
        let name = (subject.peer)().name();
        let (transcript, _) = subject.transcript(case);
        let said = subject.clients.iter().filter(|client| client.error.is_none()).map(|client| client.says);
        let others = [[&b"\n"[..]], [&transcript[..]]];
        let said = said.chain(others.iter().map(|turns| &turns[..]));
        let mut waiting = Vec::new();
        for turns in said {
            let mut link = Link::new(case);
            let negotiate = Negotiate::new(&*(subject.peer)(), link.server_layer()).refusals(usize::MAX);
            link.right.splice(negotiate);
            link.run();
            let (last, first) = turns.split_last().unwrap();
            for turn in first {
                link.right.inject(turn);
                link.run();
            }
            let before = link.right.sent().len();
            let words = repeated(last, 60_000);
            let most = flood(&mut link.right, &words);
            assert!(most <= MAX_WAITING, "{name} has {most} bytes waiting behind {:?}", text(last));
            assert!(link.right.stack.inbound_len() < 128 * 1024);
            // A client that does read is answered to the end.
            link.run();
            if link.right.stack.lost().is_none() {
                assert_eq!(link.right.stack.inbound_len() / last.len(), 0, "all of it is answered");
            }
            waiting.push((most, link.right.sent().len() - before));
        }
        let (most, answered) = waiting.into_iter().max().unwrap();
        eprintln!("{name}: at most {most} bytes wait, of {answered} that were answered in the end");
        let ends_at_once = ["xmpp", "xmpp-server", "mysql", "tds"].contains(&name);
        assert!(ends_at_once || answered > most, "{name} answered {answered} bytes in all: that would not show it");
    });
}

#[test]
fn what_is_echoed_at_length_is_not_echoed_on_and_on() {
    let long = [b'a'; 8000];
    let echoed = [
        ("imap", [&long[..], b" NOOP\r\n"].concat()),
        ("irc", [b"PING :", &long[..], b"\r\n"].concat()),
        ("sieve", [b"NOOP \"", &long[..], b"\"\r\n"].concat()),
    ];
    each_subject(|subject, case| {
        for (_, command) in echoed.iter().filter(|(name, _)| *name == (subject.peer)().name()) {
            let mut link = Link::new(case);
            subject.right_is_asked(&mut link);
            link.run();
            let most = flood(&mut link.right, &repeated(command, 60_000));
            assert!((8000..=MAX_WAITING).contains(&most), "{most} bytes wait");
            link.run();
            assert_eq!(link.right.stack.inbound_len(), 0);
        }
    });
}

#[test]
fn a_server_that_asks_and_does_not_read_is_not_answered_on_and_on() {
    each_subject(|subject, case| {
        if (subject.peer)().name() != "irc" {
            // No other client answers anything before TLS.
            return;
        }
        let mut link = Link::new(case);
        let negotiate = Negotiate::new(Irc::new(), link.client_layer());
        link.left.splice(negotiate);
        link.run();
        let before = link.left.sent().len();
        let most = flood(&mut link.left, &repeated(b"PING\n", 60_000));
        assert!(most <= MAX_WAITING, "{most} bytes wait");
        link.run();
        assert_eq!(link.left.sent().len() - before, 12_000 * b"PONG :\r\n".len(), "all of it is answered");
        assert!(link.left.lost().is_none());
    });
}

/// A protocol by its name, something that its client is refused, and what it hears at last.
const REFUSED: &[(&str, &[u8], &[u8])] = &[
    ("smtp", b"MAIL FROM:<a@a>\r\n", b"421 4.7.0 too many errors\r\n"),
    ("smtp", b"\n", b"421 4.7.0 too many errors\r\n"),
    ("lmtp", b"STARTTLS now\r\n", b"421 4.7.0 too many errors\r\n"),
    ("imap", b"a LOGIN a b\r\n", b"* BYE too many errors\r\n"),
    ("pop3", b"USER a\r\n", b"-ERR too many errors, bye\r\n"),
    ("sieve", b"\r\n", b"BYE \"too many errors\"\r\n"),
    ("nntp", b"GROUP a\r\n", b"400 too many errors\r\n"),
    ("irc", b"NICK a\r\n", b"ERROR :too many errors\r\n"),
    ("ftp", b"USER a\r\n", b"421 too many errors\r\n"),
    ("ftp", b"AUTH GSSAPI\r\n", b"421 too many errors\r\n"),
    ("ldap", b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", b"1.3.6.1.4.1.1466.20036"),
    ("postgres", b"\0\0\0\x08\x04\xd2\x16\x30", b"Mtoo many requests that are none for TLS\0\0"),
];

#[test]
fn a_client_that_does_not_hear_a_refusal_is_turned_away() {
    each_subject(|subject, case| {
        let name = (subject.peer)().name();
        let of_this = REFUSED.iter().filter(|(protocol, ..)| *protocol == name);
        for (_, command, farewell) in of_this {
            let mut link = Link::new(case);
            subject.right_is_asked(&mut link);
            link.right.inject(&command.repeat(19));
            link.run();
            assert!(link.right.lost().is_none(), "{name}: {:?}", link.right.lost());
            let before = link.right.sent().len();
            link.right.inject(&command.repeat(2));
            link.run();
            let said = &link.right.sent()[before..];
            assert!(said.ends_with(farewell) && said.len() > farewell.len(), "{name} said {:?}", text(said));
            assert_failed(&mut link.right, ErrorKind::TurnedAway);
        }
        // The others are done with a client at the first refusal.
        let first = ["xmpp", "xmpp-server", "mysql", "tds"].contains(&name);
        assert_eq!(REFUSED.iter().all(|(protocol, ..)| *protocol != name), first, "{name} is missing");
    });
}

#[test]
fn a_client_that_asks_for_harmless_things_is_not_turned_away() {
    each_subject(|subject, case| {
        for (name, command) in [("smtp", &b"NOOP\r\n"[..]), ("imap", b"a NOOP\r\n"), ("irc", b"PING a\r\n")] {
            if (subject.peer)().name() != name {
                continue;
            }
            let mut link = Link::new(case);
            subject.right_is_asked(&mut link);
            link.right.inject(&command.repeat(1000));
            link.run();
            assert!(link.right.lost().is_none(), "{name}: {:?}", link.right.lost());
        }
    });
}

/// What the documentation says, and an answer: the longest has the whole of a line in it that the client has said.
const MAX_WAITING: usize = 4096 + 8192 + 64;
