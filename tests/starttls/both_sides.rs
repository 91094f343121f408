//! Both sides are honest.

use onionskin::stack::Event;
use onionskin::starttls::{Error, Negotiate};

use crate::SUBJECTS;
use crate::common::link::{Link, each, text};
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
        assert!(link.left.stack.is_flushed());
        assert_eq!(link.left.stack.depth(), 0, "nobody waits for the peer");
    });
}
