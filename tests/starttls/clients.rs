//! What clients out there say before TLS is taken.

use onionskin::starttls::{Imap, Irc, Lmtp, Negotiate, Nntp, Pop3, Sieve, Smtp, StartTls};

use crate::common::link::{Link, text, tls_depth};
use crate::subject::{assert_discreet, each_subject};

/// A client by its name, what it says, one turn after the other, and what it looks for in the last answer.
struct Dialect {
    who: &'static str,
    peer: fn() -> Box<dyn StartTls>,
    says: &'static [&'static [u8]],
    hears: &'static [u8],
}

const DIALECTS: &[Dialect] = &[
    Dialect {
        who: "openssl s_client -starttls pop3, which does not look for the capability",
        peer: || Box::new(Pop3::new()),
        says: &[b"STLS\r\n"],
        hears: b"+OK",
    },
    Dialect {
        who: "curl, and poplib of Python",
        peer: || Box::new(Pop3::new()),
        says: &[b"CAPA\r\n", b"STLS\r\n"],
        hears: b"+OK",
    },
    Dialect {
        who: "openssl s_client -starttls sieve",
        peer: || Box::new(Sieve::new()),
        says: &[b"STARTTLS\r\n"],
        hears: b"OK",
    },
    Dialect {
        who: "openssl s_client -starttls nntp, and nntplib of Python",
        peer: || Box::new(Nntp::new()),
        says: &[b"CAPABILITIES\r\n", b"STARTTLS\r\n"],
        hears: b"382",
    },
    Dialect {
        who: "nntplib of Python, for a reader",
        peer: || Box::new(Nntp::new()),
        says: &[b"CAPABILITIES\r\n", b"MODE READER\r\n", b"CAPABILITIES\r\n", b"STARTTLS\r\n"],
        hears: b"382",
    },
    Dialect {
        who: "openssl s_client -starttls irc, which looks for a number behind a source",
        peer: || Box::new(Irc::new()),
        says: &[b"STARTTLS\r\n"],
        hears: b":localhost 670 ",
    },
    Dialect {
        who: "one that requests the capability, as it may and need not",
        peer: || Box::new(Irc::new()),
        says: &[b"CAP LS\r\n", b"CAP REQ :tls\r\n", b"STARTTLS\r\n"],
        hears: b":localhost 670 ",
    },
    Dialect {
        who: "one that registers in the same breath",
        peer: || Box::new(Irc::new()),
        says: &[b"CAP LS 302\r\nNICK a\r\nUSER a 0 * :a\r\n", b"STARTTLS\r\n"],
        hears: b":localhost 670 ",
    },
];

#[test]
fn what_clients_say_before_tls_is_taken() {
    each_subject(|subject, case| {
        let name = (subject.peer)().name();
        for said in DIALECTS.iter().filter(|said| (said.peer)().name() == name) {
            eprintln!("{}", said.who);
            let mut link = Link::new(case);
            let negotiate = Negotiate::new(&*(said.peer)(), link.server_layer());
            link.right.splice(negotiate);
            let mut before = 0;
            for turn in said.says {
                link.run();
                assert_eq!(tls_depth(&link.right), 0);
                before = link.right.sent().len();
                link.right.inject(turn);
            }
            link.run();
            assert_eq!(tls_depth(&link.right), 1);
            let heard = link.right.sent()[before..].to_vec();
            assert!(heard.starts_with(said.hears), "heard {:?}", text(&heard));
            assert_discreet(&mut link.right);
        }
    });
}

#[test]
fn there_is_no_second_greeting_where_tls_is_started_again() {
    const GREETED: [fn() -> Box<dyn StartTls>; 6] = [
        || Box::new(Smtp::new().greeted()),
        || Box::new(Lmtp::new().greeted()),
        || Box::new(Imap::new().greeted()),
        || Box::new(Pop3::new().greeted()),
        || Box::new(Sieve::new().greeted()),
        || Box::new(Nntp::new().greeted()),
    ];
    each_subject(|subject, case| {
        for peer in GREETED.map(|peer| peer()).iter().filter(|peer| peer.name() == (subject.peer)().name()) {
            let mut link = Link::new(case);
            let negotiate = Negotiate::new(&**peer, link.server_layer());
            link.right.splice(negotiate);
            link.run();
            assert_eq!(text(link.right.sent()), "", "the client speaks first");
            let negotiate = Negotiate::new(&**peer, link.client_layer());
            link.left.splice(negotiate);
            link.run();
            link.talk();
        }
    });
}
