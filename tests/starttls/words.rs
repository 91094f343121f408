//! A refusal keeps the words of the server, all lines of them, and is told from a server that knows no TLS.

use onionskin::starttls::{Error, ErrorKind};

use crate::common::link::{Case, Link, NAME};
use crate::subject::{Subject, each_subject};

/// What the server of a protocol says, one turn after the other, what that is, and how it reads.
type Row = (&'static str, &'static [&'static [u8]], ErrorKind, &'static str);

const ROWS: &[Row] = &[
    (
        "smtp",
        &[b"220 a\r\n", b"504 5.5.2 <b>: need fully-qualified hostname\r\n"],
        ErrorKind::Refused,
        r#"the server refused EHLO mail.example: "504 5.5.2 <b>: need fully-qualified hostname""#,
    ),
    (
        "smtp",
        &[b"220 a\r\n", b"421-too busy\r\n421 come back\r\n"],
        ErrorKind::Refused,
        r#"EHLO mail.example: "421-too busy / 421 come back""#,
    ),
    ("smtp", &[b"220 a\r\n", b"550 not you\r\n"], ErrorKind::Refused, r#""550 not you""#),
    (
        "smtp",
        &[b"220 a\r\n", b"502-what\r\n502 is that?\r\n"],
        ErrorKind::NotOffered,
        r#"the server does not offer TLS: it answers "502-what / 502 is that?""#,
    ),
    (
        "smtp",
        &[b"554-mail.example\r\n554-denied by policy\r\n554 bye\r\n"],
        ErrorKind::Refused,
        r#"the server refused: "554-mail.example / 554-denied by policy / 554 bye""#,
    ),
    (
        "smtp",
        &[b"220-a\r\n220 b\r\n", b"250-a\r\n250 STARTTLS\r\n", b"454-not\r\n454 now\r\n"],
        ErrorKind::Refused,
        r#"refused: "454-not / 454 now""#,
    ),
    ("lmtp", &[b"220 a\r\n", b"450 later\r\n"], ErrorKind::Refused, r#"LHLO mail.example: "450 later""#),
    (
        "imap",
        &[b"* OK a\r\n", b"A NO [UNAVAILABLE] backend is down\r\n"],
        ErrorKind::Refused,
        r#"refused: "A NO [UNAVAILABLE] backend is down""#,
    ),
    ("imap", &[b"* OK a\r\n", b"A BAD what?\r\n"], ErrorKind::Refused, r#""A BAD what?""#),
    ("imap", &[b"* OK a\r\n", b"A OK done\r\n"], ErrorKind::NotOffered, "the server does not offer TLS"),
    ("imap", &[b"* BYE too busy\r\n"], ErrorKind::Refused, r#""* BYE too busy""#),
    ("pop3", &[b"+OK a\r\n", b"-ERR what is CAPA?\r\n"], ErrorKind::NotOffered, r#""-ERR what is CAPA?""#),
    ("pop3", &[b"+OK a\r\n", b"-ERR [SYS/TEMP] down\r\n"], ErrorKind::Refused, r#""-ERR [SYS/TEMP] down""#),
    ("sieve", &[b"BYE \"no more room\"\r\n"], ErrorKind::Refused, r#""BYE \"no more room\"""#),
    ("nntp", &[b"200 a\r\n", b"500 what?\r\n"], ErrorKind::NotOffered, r#"it answers "500 what?""#),
    ("nntp", &[b"200 a\r\n", b"403 broken\r\n"], ErrorKind::Refused, r#""403 broken""#),
    ("irc", &[b":a 421 * CAP :unknown\r\n"], ErrorKind::NotOffered, r#"it answers ":a 421 * CAP :unknown""#),
    ("irc", &[b":a 465 * :you are banned\r\n"], ErrorKind::Refused, r#"refused: ":a 465 * :you are banned""#),
    (
        "ftp",
        &[b"220 a\r\n", b"504 AUTH TLS not understood, only AUTH SSL\r\n"],
        ErrorKind::NotOffered,
        r#"it answers "504 AUTH TLS not understood, only AUTH SSL""#,
    ),
    (
        "ftp",
        &[b"120-soon\r\n120 now\r\n", b"421-go\r\n  away\r\n421 bye\r\n"],
        ErrorKind::Refused,
        r#"refused: "421-go /   away / 421 bye""#,
    ),
    ("ftp", &[b"220-a\r\n220 b\r\n", b"534-not\r\n534 you\r\n"], ErrorKind::Refused, r#"refused: "534-not / 534 you""#),
    (
        "ldap",
        &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00"],
        ErrorKind::Refused,
        "the server refused: unavailable (result code 52)",
    ),
    (
        "ldap",
        &[b"\x30\x0f\x02\x01\x01\x78\x0a\x0a\x01\x33\x04\x00\x04\x03now"],
        ErrorKind::Refused,
        r#"busy (result code 51), "now""#,
    ),
    ("ldap", &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x7b\x04\x00\x04\x00"], ErrorKind::Refused, "result code 123"),
    (
        "ldap",
        &[b"\x30\x0f\x02\x01\x01\x78\x0a\x0a\x01\x02\x04\x00\x04\x03eh?"],
        ErrorKind::NotOffered,
        r#"it answers "eh?""#,
    ),
    (
        "xmpp",
        &[b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client' version='1.0'>\
            <stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text \
            xmlns='urn:ietf:params:xml:ns:xmpp-streams'>no such host here</text></stream:error>"],
        ErrorKind::Refused,
        r#"the server refused: host-unknown, "no such host here""#,
    ),
    (
        "mysql",
        &[b"\x17\0\0\0\xff\x10\x04Too many connections"],
        ErrorKind::Refused,
        r#"the server refused: error 1040, "Too many connections""#,
    ),
    (
        "tds",
        &[b"\x04\x01\x00\x19\0\0\x01\0\xaa\x0e\0\x12\x48\0\0\x01\x0e\x03\0n\0o\0!\0"],
        ErrorKind::Refused,
        r#"the server refused: error 18450, "no!""#,
    ),
];

fn refused(subject: &Subject, case: Case, says: &[&[u8]]) -> Error {
    let mut link = Link::new(case);
    subject.left_asks(&mut link);
    for turn in says {
        link.run();
        link.left.inject(turn);
    }
    link.run();
    let reason = link.left.lost().unwrap_or_else(|| panic!("{NAME} is believed")).clone();
    Error::of(&reason).unwrap_or_else(|| panic!("another reason: {reason}")).clone()
}

#[test]
fn a_refusal_keeps_the_words_of_the_server() {
    each_subject(|subject, case| {
        let name = (subject.peer)().name();
        for (_, says, kind, words) in ROWS.iter().filter(|(protocol, ..)| *protocol == name) {
            let error = refused(subject, case, says);
            assert_eq!(error.kind(), *kind, "{error}");
            assert!(error.to_string().contains(words), "{error} has not {words}");
            let hello = words.contains("LO mail.example") || *words == r#""550 not you""#;
            assert_eq!(error.is_hello_refused(), hello, "{error}");
        }
    });
}

#[test]
fn of_a_long_refusal_the_front_and_the_last_line_are_kept() {
    each_subject(|subject, case| {
        if !["smtp", "ftp"].contains(&(subject.peer)().name()) {
            return;
        }
        let many = format!("421-first\r\n{}421 at last\r\n", "421-and so on, and on, and on\r\n".repeat(1000));
        let message = refused(subject, case, &[many.as_bytes()]).to_string();
        assert!(
            message.contains("421-first / 421-and so on") && message.ends_with("/ ... / 421 at last\""),
            "{message}"
        );
        assert!(message.len() < 500, "{message}");
        let long = format!("421 {}\r\n", "x".repeat(8000));
        let message = refused(subject, case, &[long.as_bytes()]).to_string();
        assert!(message.ends_with("xxx...\"") && message.len() < 500, "{message}");
    });
}
