//! LDAP.

use onionskin::starttls::{ErrorKind, Ldap};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject =
    Subject { peer: || Box::new(Ldap::new()), versions: BOTH, servers: SERVERS, clients: CLIENTS, never_early: None };

const SERVERS: &[Server] = &[
    Server {
        what: "one that does not know the operation",
        says: &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\0\x04\0"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "a refusal",
        says: &[b"\x30\x0f\x02\x01\x01\x78\x0a\x0a\x01\x34\x04\0\x04\x03now"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "success in more than one byte is not success",
        says: &[b"\x30\x0d\x02\x01\x01\x78\x08\x0a\x02\x01\0\x04\0\x04\0"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "a notice of disconnection, be it with success",
        says: &[b"\x30\x0c\x02\x01\0\x78\x07\x0a\x01\0\x04\0\x04\0"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "a success for another message",
        says: &[b"\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\0\x04\0\x04\0"],
        error: ErrorKind::Malformed,
    },
    Server {
        what: "a success to a bind",
        says: &[b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0"],
        error: ErrorKind::Malformed,
    },
    Server { what: "an answer without a result", says: &[b"\x30\x05\x02\x01\x01\x78\0"], error: ErrorKind::Malformed },
    Server {
        what: "a result that ends behind the message",
        says: &[b"\x30\x07\x02\x01\x01\x78\x7f\x0a\x01"],
        error: ErrorKind::Malformed,
    },
    Server { what: "an indefinite length", says: &[b"\x30\x80"], error: ErrorKind::Malformed },
    Server { what: "a length of eight bytes", says: &[b"\x30\x88"], error: ErrorKind::Malformed },
    Server { what: "a length of 2 GiB", says: &[b"\x30\x84\x7f\xff\xff\xff"], error: ErrorKind::TooLong },
    Server { what: "something else", says: &[b"220 mail.example\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client {
        what: "a bind with a password",
        says: &[b"\x30\x0f\x02\x01\x07\x60\x0a\x02\x01\x03\x04\0\x80\x03pwd"],
        hears: b"\x30\x1a\x02\x01\x07\x61\x15\x0a\x01\x0d\x04\0\x04\x0eStartTLS first",
        error: None,
    },
    Client {
        what: "a message id that needs a zero in front",
        says: &[b"\x30\x0d\x02\x02\0\xff\x63\x07\x04\0\x0a\x01\0\x0a\0"],
        hears: b"\x30\x1b\x02\x02\0\xff\x65\x15\x0a\x01\x0d",
        error: None,
    },
    Client {
        what: "the largest message id",
        says: &[b"\x30\x08\x02\x04\x7f\xff\xff\xff\x4a\0"],
        hears: b"\x30\x1d\x02\x04\x7f\xff\xff\xff\x6b\x15\x0a\x01\x0d",
        error: None,
    },
    Client {
        what: "another extended operation",
        says: &[b"\x30\x09\x02\x01\x02\x77\x04\x80\x02\x31\x2e"],
        hears: b"\x30\x1a\x02\x01\x02\x78\x15\x0a\x01\x0d",
        error: None,
    },
    Client {
        what: "StartTLS with a value",
        says: &[b"\x30\x1f\x02\x01\x02\x77\x1a\x80\x161.3.6.1.4.1.1466.20037\x81\0"],
        hears: b"\x30\x21\x02\x01\x02\x78\x1c\x0a\x01\x02",
        error: None,
    },
    Client {
        what: "StartTLS behind a refusal, with a long length",
        says: &[b"\x30\x05\x02\x01\x01\x60\0", b"\x30\x84\0\0\0\x1d\x02\x01\x02\x77\x18\x80\x161.3.6.1.4.1.1466.20037"],
        hears: b"\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\0\x04\0\x04\0",
        error: None,
    },
    Client { what: "an abandon has no answer", says: &[b"\x30\x06\x02\x01\x02\x50\x01\x01"], hears: b"", error: None },
    Client { what: "a farewell", says: &[b"\x30\x05\x02\x01\x02\x42\0"], hears: b"", error: Some(ErrorKind::NotAsked) },
    Client {
        what: "a request with the id of notices",
        says: &[b"\x30\x1d\x02\x01\0\x77\x18\x80\x161.3.6.1.4.1.1466.20037"],
        hears: b"",
        error: Some(ErrorKind::Malformed),
    },
    Client {
        what: "an answer in place of a request",
        says: &[b"\x30\x05\x02\x01\x02\x61\0"],
        hears: b"",
        error: Some(ErrorKind::Malformed),
    },
    Client {
        what: "a negative message id",
        says: &[b"\x30\x05\x02\x01\xff\x60\0"],
        hears: b"",
        error: Some(ErrorKind::Malformed),
    },
    Client { what: "an empty message", says: &[b"\x30\0"], hears: b"", error: Some(ErrorKind::Malformed) },
    Client { what: "a long one", says: &[b"\x30\x83\x01\0\x01"], hears: b"", error: Some(ErrorKind::TooLong) },
    Client { what: "a web browser", says: &[b"GET / HTTP/1.1\r\n"], hears: b"", error: Some(ErrorKind::Malformed) },
];
