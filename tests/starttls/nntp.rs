//! NNTP.

use onionskin::starttls::{ErrorKind, Nntp};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject =
    Subject { peer: || Box::new(Nntp::new()), versions: BOTH, servers: SERVERS, clients: CLIENTS };

const SERVERS: &[Server] = &[
    Server {
        what: "no capability",
        says: &[b"200 ready\r\n", b"101 these\r\nVERSION 2\r\nREADER\r\n.\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "capabilities that only look like it",
        says: &[b"201 ready\r\n", b"101 STARTTLS\r\nXSTARTTLS\r\nSTARTTLSX\r\nSASL STARTTLS\r\n..STARTTLS\r\n.\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "no capabilities at all",
        says: &[b"200 ready\r\n", b"500 what are CAPABILITIES?\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server { what: "no service for a time", says: &[b"400 come back later\r\n"], error: ErrorKind::Refused },
    Server { what: "no service", says: &[b"502 go away\r\n"], error: ErrorKind::Refused },
    Server {
        what: "a refusal to list capabilities",
        says: &[b"200 ready\r\n", b"400 going down\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "no TLS at present",
        says: &[b"200 ready\r\n", b"101 these\r\nSTARTTLS\r\n.\r\n", b"580 not now\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "no TLS any more",
        says: &[b"200 ready\r\n", b"101 these\r\nSTARTTLS\r\n.\r\n", b"502 you are logged in already\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "privacy is required, but not like this",
        says: &[b"200 ready\r\n", b"101 these\r\nSTARTTLS\r\n.\r\n", b"483 the other port\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "an early go-ahead",
        says: &[b"200 ready\r\n", b"101 these\r\nSTARTTLS\r\n.\r\n382 go ahead\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "capabilities before they are asked for",
        says: &[b"200 ready\r\n101 these\r\nSTARTTLS\r\n.\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "a yes to another question",
        says: &[b"200 ready\r\n", b"101 these\r\nSTARTTLS\r\n.\r\n", b"281 welcome\r\n"],
        error: ErrorKind::Malformed,
    },
    Server {
        what: "a reply of two lines",
        says: &[b"200 ready\r\n", b"101 these\r\nSTARTTLS\r\n.\r\n", b"382-go\r\n382 ahead\r\n"],
        error: ErrorKind::Malformed,
    },
    Server { what: "a line without end", says: &[b"200 ready\r\n", &[b'1'; 8192]], error: ErrorKind::TooLong },
    Server { what: "something else", says: &[b"+OK ready\r\n"], error: ErrorKind::Malformed },
    Server { what: "another greeting", says: &[b"220 mail.example\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client { what: "a name in clear", says: &[b"AUTHINFO USER a\r\n"], hears: b"483 STARTTLS first", error: None },
    Client { what: "a password in clear", says: &[b"AUTHINFO PASS b\r\n"], hears: b"483 STARTTLS first", error: None },
    Client { what: "an article in clear", says: &[b"POST\r\n"], hears: b"483 STARTTLS first", error: None },
    Client {
        what: "capabilities",
        says: &[b"capabilities\r\n"],
        hears: b"101 these\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n",
        error: None,
    },
    Client {
        what: "capabilities, which may change by the asking",
        says: &[b"CAPABILITIES AUTOUPDATE\r\n"],
        hears: b"101 these\r\n",
        error: None,
    },
    Client { what: "a newsreader", says: &[b"MODE READER\r\n"], hears: b"200", error: None },
    Client { what: "another mode", says: &[b"MODE STREAM\r\n"], hears: b"483", error: None },
    Client { what: "an argument too many", says: &[b"STARTTLS now\r\n"], hears: b"501", error: None },
    Client { what: "a farewell", says: &[b"QUIT\r\n"], hears: b"205", error: Some(ErrorKind::NotAsked) },
    Client { what: "a line without end", says: &[&[b'S'; 8192]], hears: b"", error: Some(ErrorKind::TooLong) },
];
