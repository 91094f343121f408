//! POP3.

use onionskin::starttls::{ErrorKind, Pop3};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject =
    Subject { peer: || Box::new(Pop3::new()), versions: BOTH, servers: SERVERS, clients: CLIENTS };

const SERVERS: &[Server] = &[
    Server {
        what: "no capability",
        says: &[b"+OK ready\r\n", b"+OK\r\nTOP\r\nUIDL\r\n.\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "capabilities that only look like it",
        says: &[b"+OK ready\r\n", b"+OK STLS\r\nXSTLS\r\nSTLSX\r\nSASL STLS\r\n..STLS\r\n.\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "no capabilities at all",
        says: &[b"+OK ready\r\n", b"-ERR what is CAPA?\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server { what: "no service", says: &[b"-ERR [SYS/TEMP] go away\r\n"], error: ErrorKind::Refused },
    Server {
        what: "a refusal",
        says: &[b"+OK ready\r\n", b"+OK\r\nSTLS\r\n.\r\n", b"-ERR not now\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "an early go-ahead",
        says: &[b"+OK ready\r\n", b"+OK\r\nSTLS\r\n.\r\n+OK go ahead\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "capabilities before they are asked for",
        says: &[b"+OK ready\r\n+OK\r\nSTLS\r\n.\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "an answer that only looks like one",
        says: &[b"+OK ready\r\n", b"+OK\r\nSTLS\r\n.\r\n", b"+OKAY\r\n"],
        error: ErrorKind::Malformed,
    },
    Server {
        what: "a list that goes on behind its end",
        says: &[b"+OK ready\r\n", b"+OK\r\nSTLS\r\n.\r\nUIDL\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server { what: "a line without end", says: &[b"+OK ready\r\n", &[b'+'; 8192]], error: ErrorKind::TooLong },
    Server { what: "something else", says: &[b"* OK ready\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client { what: "a name in clear", says: &[b"USER a\r\n"], hears: b"-ERR STLS first", error: None },
    Client { what: "a password in clear", says: &[b"PASS b\r\n"], hears: b"-ERR STLS first", error: None },
    Client { what: "a login in clear", says: &[b"AUTH PLAIN AAAA\r\n"], hears: b"-ERR STLS first", error: None },
    // The state for it comes after the login (RFC 1939 section 5).
    Client { what: "an order to do nothing", says: &[b"NOOP\r\n"], hears: b"-ERR STLS first", error: None },
    Client { what: "capabilities", says: &[b"capa\r\n"], hears: b"+OK\r\nSTLS\r\n.\r\n", error: None },
    Client { what: "an argument too many", says: &[b"STLS now\r\n"], hears: b"-ERR wrong", error: None },
    Client { what: "a farewell", says: &[b"QUIT\r\n"], hears: b"+OK", error: Some(ErrorKind::NotAsked) },
    Client { what: "a line without end", says: &[&[b'S'; 8192]], hears: b"", error: Some(ErrorKind::TooLong) },
];
