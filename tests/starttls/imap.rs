//! IMAP.

use onionskin::starttls::{ErrorKind, Imap};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject =
    Subject { peer: || Box::new(Imap::new()), versions: BOTH, servers: SERVERS, clients: CLIENTS };

const SERVERS: &[Server] = &[
    Server { what: "PREAUTH", says: &[b"* PREAUTH welcome back\r\n"], error: ErrorKind::Preauthenticated },
    Server {
        what: "no capability",
        says: &[b"* OK ready\r\n", b"* CAPABILITY IMAP4rev1 XSTARTTLS\r\nA OK\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server { what: "no service", says: &[b"* BYE closed\r\n"], error: ErrorKind::Refused },
    Server {
        what: "a refusal",
        says: &[b"* OK ready\r\n", b"* CAPABILITY STARTTLS\r\nA OK\r\n", b"B NO not now\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "a refusal behind other news",
        says: &[b"* OK ready\r\n", b"* CAPABILITY STARTTLS\r\nA OK\r\n", b"* 3 EXISTS\r\nB BAD\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "a farewell in place of an answer",
        says: &[b"* OK ready\r\n", b"* CAPABILITY STARTTLS\r\nA OK\r\n", b"* BYE\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "an early OK",
        says: &[b"* OK ready\r\n", b"* CAPABILITY STARTTLS\r\nA OK\r\nB OK go ahead\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "an OK for another command",
        says: &[b"* OK ready\r\n", b"* CAPABILITY STARTTLS\r\nA OK\r\n", b"C OK\r\n"],
        error: ErrorKind::Malformed,
    },
    Server { what: "something else", says: &[b"220 mail.example\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client { what: "a password in clear", says: &[b"1 LOGIN a b\r\n"], hears: b"1 NO [PRIVACYREQUIRED]", error: None },
    Client {
        what: "capabilities",
        says: &[b"1 capability\r\n"],
        hears: b"* CAPABILITY IMAP4rev1 STARTTLS",
        error: None,
    },
    Client { what: "an order to do nothing", says: &[b"1 NOOP\r\n"], hears: b"1 OK ", error: None },
    Client {
        what: "a literal, in which there could be a command",
        says: &[b"1 LOGIN {12+}\r\n2 STARTTLS\r\n"],
        hears: b"",
        error: Some(ErrorKind::Malformed),
    },
    Client { what: "no tag", says: &[b"(STARTTLS) OK\r\n"], hears: b"", error: Some(ErrorKind::Malformed) },
    Client { what: "a farewell", says: &[b"1 LOGOUT\r\n"], hears: b"* BYE", error: Some(ErrorKind::NotAsked) },
];
