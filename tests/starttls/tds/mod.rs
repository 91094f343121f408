//! TDS.

mod framing;
mod login;

use onionskin::starttls::{ErrorKind, Tds};
use onionskin::tls::Version;

use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject = Subject {
    peer: || Box::new(Tds::new()),
    versions: &[Version::Tls12],
    servers: SERVERS,
    clients: CLIENTS,
    never_early: None,
};

const SERVERS: &[Server] = &[
    Server { what: "no TLS", says: &[&prelogin(0x04, 2)], error: ErrorKind::NotOffered },
    Server { what: "no word of it", says: &[b"\x04\x01\0\x09\0\0\x01\0\xff"], error: ErrorKind::NotOffered },
    Server { what: "TLS for the login alone", says: &[&prelogin(0x04, 0)], error: ErrorKind::Refused },
    Server { what: "an error", says: &[b"\x04\x01\0\x09\0\0\x01\0\xaa"], error: ErrorKind::Refused },
    Server { what: "TLS with a certificate of ours", says: &[&prelogin(0x04, 0x81)], error: ErrorKind::Malformed },
    Server { what: "a question in place of an answer", says: &[&prelogin(0x12, 1)], error: ErrorKind::Malformed },
    Server {
        what: "an answer that goes on",
        says: &[b"\x04\0\0\x0f\0\0\x01\0\x01\0\x06\0\x01\xff\x01"],
        error: ErrorKind::Malformed,
    },
    Server {
        what: "an option beyond the end",
        says: &[b"\x04\x01\0\x0f\0\0\x01\0\x01\0\x07\0\x01\xff\x01"],
        error: ErrorKind::Malformed,
    },
    Server {
        what: "options without end",
        says: &[b"\x04\x01\0\x0e\0\0\x01\0\x01\0\x05\0\x01\x01"],
        error: ErrorKind::Malformed,
    },
    Server { what: "a length too small", says: &[b"\x04\x01\0\x07\0\0\x01\0"], error: ErrorKind::Malformed },
    Server { what: "a length too large", says: &[b"\x04\x01\x10\x01\0\0\x01\0"], error: ErrorKind::TooLong },
    Server { what: "something else", says: &[b"220 mail.example\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client { what: "TLS for the login alone", says: &[&prelogin(0x12, 0)], hears: &answer(3), error: None },
    Client { what: "TLS", says: &[&prelogin(0x12, 1)], hears: &answer(1), error: None },
    Client { what: "TLS or nothing", says: &[&prelogin(0x12, 3)], hears: &answer(1), error: None },
    Client { what: "no TLS", says: &[&prelogin(0x12, 2)], hears: &answer(3), error: Some(ErrorKind::NotAsked) },
    Client {
        what: "no word of it",
        says: &[b"\x12\x01\0\x09\0\0\x01\0\xff"],
        hears: &answer(3),
        error: Some(ErrorKind::NotAsked),
    },
    Client { what: "a login", says: &[b"\x10\x01\x00\x60"], hears: b"", error: Some(ErrorKind::NotAsked) },
    Client { what: "a login of old", says: &[b"\x02"], hears: b"", error: Some(ErrorKind::NotAsked) },
    Client { what: "an answer", says: &[&prelogin(0x04, 1)], hears: b"", error: Some(ErrorKind::Malformed) },
    Client {
        what: "a certificate of its own",
        says: &[&prelogin(0x12, 0x81)],
        hears: b"",
        error: Some(ErrorKind::Malformed),
    },
    Client {
        what: "a length too large",
        says: &[b"\x12\x01\xff\xff\0\0\x01\0"],
        hears: b"",
        error: Some(ErrorKind::TooLong),
    },
    Client { what: "a web browser", says: &[b"GET / HTTP/1.1\r\n"], hears: b"", error: Some(ErrorKind::Malformed) },
];

/// A message whose only option is ENCRYPTION.
const fn prelogin(kind: u8, encryption: u8) -> [u8; 15] {
    [kind, 1, 0, 15, 0, 0, 1, 0, 1, 0, 6, 0, 1, 0xff, encryption]
}

/// What a server here says: version, encryption, instance, no thread, no MARS.
const fn answer(encryption: u8) -> [u8; 43] {
    [
        4, 1, 0, 43, 0, 0, 1, 0, // the packet
        0, 0, 26, 0, 6, 1, 0, 32, 0, 1, 2, 0, 33, 0, 1, 3, 0, 34, 0, 0, 4, 0, 34, 0, 1, 0xff, // the table
        15, 0, 0, 0, 0, 0, encryption, 0, 0, // the values
    ]
}
