//! Both sides are honest.

use onionskin::stack::{Event, Readable, Stop};
use onionskin::starttls::{Error, Ftp, Imap, Irc, Negotiate, Nntp, Pop3, Sieve, Smtp, StartTls};
use onionskin::testing::Cut;
use onionskin::tls::Version;

use crate::SUBJECTS;
use crate::common::link::{Case, Link, each, text};
use crate::subject::{Named, SECRET, each_subject};

#[test]
fn tls_starts_behind_the_go_ahead_however_the_stream_is_cut() {
    for subject in SUBJECTS {
        let _named = Named(subject);
        each(1..=2, |case| {
            if !subject.versions.contains(&case.version) {
                return;
            }
            let mut link = Link::outer(case);
            subject.right_is_asked(&mut link);
            subject.left_asks(&mut link);
            link.run();
            assert_eq!(text(&link.right.read()), text(SECRET), "it is first inside TLS");
            assert!(link.left.events().iter().any(|event| matches!(event, Event::Ready(_))));
            assert_eq!(link.left.stack.depth(), link.right.stack.depth());
            link.talk();
        });
    }
}

#[test]
fn a_connection_goes_on_in_clear_only_if_that_was_asked_for_by_name() {
    each_subject(|subject, case| {
        for server in subject.servers {
            let mut link = Link::new(case);
            let negotiate = Negotiate::new(&*(subject.peer)(), link.client_layer()).opportunistic();
            let id = link.left.splice(negotiate);
            link.left.write(SECRET);
            for turn in server.says {
                link.run();
                link.left.inject(turn);
            }
            link.run();
            crate::subject::assert_discreet(&mut link.left);
            let events = link.left.events();
            let Some(Event::Failed { layer, error, dropped }) = events.first() else {
                let reason = link.left.lost().unwrap_or_else(|| panic!("{}: {events:?}", server.what));
                assert!(!Error::of(reason).unwrap().is_stripped(), "{}: {reason}", server.what);
                continue;
            };
            assert!(Error::of(error).unwrap().is_stripped(), "{}: {error}", server.what);
            assert_eq!((*layer, *dropped), (id, SECRET.len()), "what was written for TLS never leaves without");
            let before = link.left.sent().len();
            assert_eq!(link.left.pass_end().unwrap(), id);
            // What answers us must not be taken for an answer to the application. The server's own words are something else:
            // those in place of a greeting, an error of PostgreSQL in place of an answer, the end of a stream.
            let read = link.left.read();
            let is_error = (subject.peer)().name() == "postgres" && read.starts_with(b"E");
            let is_unasked = before == 0 || is_error || read == b"</stream:stream>";
            let is_whole = server.says.concat().ends_with(&read);
            assert!(read.is_empty() || (is_unasked && is_whole), "{}: {}", server.what, text(&read));
            link.left.write(b"in clear\r\n");
            link.run();
            assert_eq!(text(&link.left.sent()[before..]), text(b"in clear\r\n"));
        }
    });
}

#[test]
fn what_is_written_between_waits_and_a_close_does_not() {
    each_subject(|subject, case| {
        let mut link = Link::new(case);
        let negotiate = Negotiate::new(&*(subject.peer)(), link.client_layer());
        link.left.splice(negotiate);
        link.run();
        let now = link.left.now();
        link.left.stack.close(now);
        link.run();
        assert!(link.left.stack.is_flushed(), "nobody waits for the peer");
        link.left.inject(b"220 in clear\r\n");
        link.left.end_input();
        link.run();
        assert_eq!(text(&link.left.read()), "", "what is said in clear is shown to nobody");
        assert!(matches!(link.left.stack.readable(), Readable::EndOfInput), "{:?}", link.left.stack.readable());
    });
}

#[test]
fn a_command_is_answered_by_the_negotiation_or_by_the_application_and_not_by_both() {
    each_subject(|subject, case| {
        for client in subject.clients {
            let mut link = Link::new(case);
            let negotiate = Negotiate::new(&*(subject.peer)(), link.server_layer()).opportunistic();
            link.right.splice(negotiate);
            let before = client.speak(&mut link);
            if let Some(Event::Failed { .. }) = link.right.events().first() {
                assert_eq!(text(&link.right.sent()[before..]), "", "{}", client.what);
                link.right.pass_end().unwrap();
                let read = link.right.read();
                assert!(!read.is_empty() && client.says.concat().ends_with(&read), "{}: {}", client.what, text(&read));
            }
        }
    });
}

#[test]
fn a_password_that_was_said_in_clear_does_not_get_into_the_error() {
    let cases: [(&dyn StartTls, &[u8]); 7] = [
        (&Smtp::new(), b"AUTH PLAIN AG9uaW9uAHBlZWw=\r\n"),
        (&Imap::new(), b"1 LOGIN onion AG9uaW9uAHBlZWw=\r\n"),
        (&Pop3::new(), b"PASS AG9uaW9uAHBlZWw=\r\n"),
        (&Nntp::new(), b"AUTHINFO PASS AG9uaW9uAHBlZWw=\r\n"),
        (&Irc::new(), b"PASS AG9uaW9uAHBlZWw=\r\n"),
        (&Ftp::new(), b"PASS AG9uaW9uAHBlZWw=\r\n"),
        (&Sieve::new(), b"AUTHENTICATE \"PLAIN\" \"AG9uaW9uAHBlZWw=\"\r\n"),
    ];
    for (protocol, login) in cases {
        let mut link = Link::new(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
        let negotiate = Negotiate::new(protocol, link.server_layer()).opportunistic();
        link.right.splice(negotiate);
        link.right.inject(login);
        link.run();
        let events = link.right.events();
        let Some(Event::Failed { error, .. }) = events.first() else { panic!("{}: {events:?}", protocol.name()) };
        let verb = ["AUTH", "LOGIN", "PASS"].iter().any(|verb| error.to_string().contains(verb));
        assert!(verb && !error.to_string().contains("AG9u"), "{error}");
    }
}

#[test]
fn an_order_to_stop_the_tls_below_outlives_a_negotiation_that_fails() {
    let mut link = Link::connected(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
    link.left.events();
    let negotiate = Negotiate::new(Smtp::new(), link.client_layer()).opportunistic();
    let negotiating = link.left.splice(negotiate);
    let outer = link.left.stop(Stop::new()).unwrap();
    link.right.write(b"554 go away\r\n");
    link.run();
    assert_eq!(link.left.pass_end().unwrap(), negotiating);
    link.right_answers();
    link.run();
    assert_eq!(link.left.read(), b"554 go away\r\n");
    assert_eq!(link.left.pass_end().unwrap(), outer);
    assert_eq!(link.left.stack.depth(), 0);
}

#[test]
fn a_close_behind_the_order_to_stop_the_tls_below_waits_for_nobody_either() {
    let mut link = Link::connected(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
    let negotiate = Negotiate::new(Smtp::new(), link.client_layer());
    link.left.splice(negotiate);
    link.left.stop(Stop::new()).unwrap();
    let now = link.left.now();
    link.left.stack.close(now);
    link.run();
    assert!(link.right.ended().is_some(), "the close_notify has left");
    assert!(link.left.lost().is_none());
}
