//! A server whose application is asked before TLS is granted.

use onionskin::protocol::{LayerView, Protocol, Result, Transport};
use onionskin::stack::{Event, LayerErrorKind};
use onionskin::starttls::{Error, ErrorKind, Negotiate, Secured, Start};
use onionskin::testing::StringTransport;

use crate::common::link::{Case, Link, text};
use crate::subject::{SECRET, Subject, assert_discreet, assert_failed, each_subject};

/// A client has asked for TLS, the server has not answered, and its application is asked.
fn asked(subject: &Subject, case: Case) -> Link {
    let mut link = Link::new(case);
    subject.left_asks(&mut link);
    let layer = link.server_layer();
    let id = link.right.splice(Negotiate::new(&*(subject.peer)(), layer).asking());
    link.run();
    assert!(matches!(link.right.events()[..], [Event::Asked(asks)] if asks == id));
    assert!(link.right.stack.layer_as::<Negotiate>(id).unwrap().question().is_some());
    let (_, all) = subject.transcript(case);
    // A client of MySQL waits for none.
    let go_ahead = usize::from((subject.peer)().name() != "mysql");
    let said = link.right.sent();
    assert!(said.len() + go_ahead <= all.len(), "all but the go-ahead: {:?}", text(said));
    link
}

fn answer(link: &mut Link, answer: impl FnOnce(&mut Negotiate) -> bool) {
    let (now, id) = (link.right.now(), link.right.stack.layers().next().unwrap().0);
    assert!(link.right.stack.with_layer(now, id, answer).unwrap());
    link.run();
}

#[test]
fn what_is_granted_is_what_is_granted_unasked() {
    each_subject(|subject, case| {
        let mut link = asked(subject, case);
        answer(&mut link, |opening| opening.grant(()));
        let (_, all) = subject.transcript(case);
        assert!(link.right.sent().len() > all.len());
        assert_eq!(link.right.read(), SECRET);
    });
}

/// A protocol by its name, and what its client hears when TLS is refused; it may ask again.
const WORDS: &[(&str, &[u8])] = &[
    ("smtp", b"454 4.7.0 no TLS at the time\r\n"),
    ("lmtp", b"454 4.7.0 no TLS at the time\r\n"),
    ("imap", b"B NO no TLS at the time\r\n"),
    ("pop3", b"-ERR no TLS at the time\r\n"),
    ("sieve", b"NO \"no TLS at the time\"\r\n"),
    ("nntp", b"580 no TLS at the time\r\n"),
    ("irc", b":irc.example 691 * :no TLS at the time\r\n"),
    ("ftp", b"431 no TLS at the time\r\n"),
    ("ldap", b"\x02\x01\x01\x78"),
    ("postgres", b"N"),
];

#[test]
fn a_refusal_has_the_words_of_the_protocol_and_is_one_for_our_own_client() {
    each_subject(|subject, case| {
        let name = (subject.peer)().name();
        let words = WORDS.iter().find(|(protocol, _)| *protocol == name).map(|(_, words)| *words);
        let mut link = asked(subject, case);
        let before = link.right.sent().len();
        answer(&mut link, |opening| opening.refuse(()));
        let said = link.right.sent()[before..].to_vec();
        match words {
            Some(words) => {
                assert!(said.windows(words.len()).any(|part| part == words), "{name}: {:?}", text(&said));
                let reason = link.left.lost().expect("a client that requires TLS goes no further").clone();
                let error = Error::of(&reason).unwrap();
                assert!(error.is_stripped(), "{name}: {reason}");
                assert_discreet(&mut link.left);
            }
            None => assert_failed(&mut link.right, ErrorKind::Declined),
        }
        assert_discreet(&mut link.right);
    });
}

#[test]
fn a_client_that_was_refused_may_ask_again_but_not_for_ever() {
    each_subject(|subject, case| {
        if (subject.peer)().name() != "smtp" {
            return;
        }
        let mut link = Link::new(case);
        let layer = link.server_layer();
        link.right.splice(Negotiate::new(&*(subject.peer)(), layer).asking().refusals(3));
        link.right.inject(b"EHLO a\r\nSTARTTLS\r\nSTARTTLS\r\nSTARTTLS\r\nSTARTTLS\r\n");
        link.run();
        for _ in 0..3 {
            assert!(link.right.stack.lost().is_none());
            assert!(matches!(link.right.events()[..], [Event::Asked(_)]));
            answer(&mut link, |opening| opening.refuse(()));
        }
        assert!(link.right.sent().ends_with(b"421 4.7.0 too many errors\r\n"));
        assert_failed(&mut link.right, ErrorKind::TurnedAway);
    });
}

#[test]
fn a_client_that_begins_with_tls_is_asked_about_too() {
    each_subject(|subject, case| {
        if (subject.peer)().name() != "postgres" {
            return;
        }
        for is_granted in [true, false] {
            let mut link = Link::new(case);
            let layer = link.server_layer();
            let id = link.right.splice(Negotiate::new(&*(subject.peer)(), layer).asking());
            let tls = link.client_layer();
            link.left.splice(tls);
            link.run();
            assert!(matches!(link.right.events()[..], [Event::Asked(asks)] if asks == id));
            assert_eq!(link.right.sent(), b"");
            answer(
                &mut link,
                |opening: &mut Negotiate| if is_granted { opening.grant(()) } else { opening.refuse(()) },
            );
            // It has offered no application protocol, and hears so from TLS, if it gets that far.
            let kind = link.right.lost().unwrap().layer_error().unwrap().kind();
            assert_eq!(kind == LayerErrorKind::Unsupported, !is_granted, "{kind:?}");
            assert_eq!(link.right.sent().is_empty(), !is_granted);
        }
    });
}

/// Grants TLS to the second who asks.
struct Mail {
    asked: usize,
}

impl Protocol for Mail {
    fn layer_asked(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        self.asked += 1;
        match self.asked {
            1 => transport.refuse::<Start>(layer.id, ())?,
            _ => transport.grant::<Start>(layer.id, ())?,
        }
        Ok(())
    }
}

#[test]
fn a_protocol_behind_starttls_is_asked_too() {
    each_subject(|subject, case| {
        if (subject.peer)().name() != "smtp" {
            return;
        }
        let link = Link::new(case);
        let negotiate = Negotiate::new(&*(subject.peer)(), link.server_layer()).asking();
        let mut transport = StringTransport::new(Secured::new(Mail { asked: 0 }, negotiate));
        transport.receive(b"EHLO a\r\nSTARTTLS\r\nSTARTTLS\r\n");
        let said = transport.sent();
        assert!(said.ends_with(b"454 4.7.0 no TLS at the time\r\n220 2.0.0 go ahead\r\n"), "{:?}", text(&said));
        assert_eq!(transport.protocol().protocol().asked, 2);
    });
}
