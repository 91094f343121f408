//! PostgreSQL.

use onionskin::starttls::{ErrorKind, Postgres};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject = Subject {
    peer: || Box::new(Postgres::new()),
    versions: BOTH,
    servers: SERVERS,
    clients: CLIENTS,
    never_early: None,
};

const SERVERS: &[Server] = &[
    Server { what: "no TLS", says: &[b"N"], error: ErrorKind::Refused },
    Server { what: "an ancient one", says: &[b"EFATAL:  unsupported protocol\0"], error: ErrorKind::Refused },
    Server { what: "an error of today", says: &[b"E\0\0\0\x0aSFATAL\0\0"], error: ErrorKind::Refused },
    Server { what: "a small s", says: &[b"s"], error: ErrorKind::Malformed },
    Server { what: "something else", says: &[b"220 mail.example\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client { what: "Kerberos first", says: &[b"\0\0\0\x08\x04\xd2\x16\x30"], hears: b"N", error: None },
    Client {
        what: "Kerberos, then TLS",
        says: &[b"\0\0\0\x08\x04\xd2\x16\x30", b"\0\0\0\x08\x04\xd2\x16\x2f"],
        hears: b"S",
        error: None,
    },
    Client {
        what: "a StartupMessage in clear",
        says: &[b"\0\0\0\x13\0\x03\0\0user\0onion\0\0"],
        hears: b"E\0\0\0\x42SFATAL\0VFATAL\0C28000\0M",
        error: Some(ErrorKind::NotAsked),
    },
    Client {
        what: "a StartupMessage behind Kerberos",
        says: &[b"\0\0\0\x08\x04\xd2\x16\x30", b"\0\0\0\x13\0\x03\0\0user\0onion\0\0"],
        hears: b"E",
        error: Some(ErrorKind::NotAsked),
    },
    Client {
        what: "a CancelRequest in clear",
        says: &[b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02"],
        hears: b"E",
        error: Some(ErrorKind::NotAsked),
    },
    Client {
        what: "SSLRequest with more in it",
        says: &[b"\0\0\0\x09\x04\xd2\x16\x2f\0"],
        hears: b"E",
        error: Some(ErrorKind::NotAsked),
    },
    Client { what: "a length too small", says: &[b"\0\0\0\x07"], hears: b"", error: Some(ErrorKind::Malformed) },
    Client { what: "a length too large", says: &[b"\0\0\x27\x11"], hears: b"", error: Some(ErrorKind::TooLong) },
    Client { what: "the largest length", says: &[b"\xff\xff\xff\xff"], hears: b"", error: Some(ErrorKind::TooLong) },
    Client { what: "a word, which is a length", says: &[b"EHLO"], hears: b"", error: Some(ErrorKind::TooLong) },
];
