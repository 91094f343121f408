//! ManageSieve.

use onionskin::starttls::{ErrorKind, Sieve};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject =
    Subject { peer: || Box::new(Sieve::new()), versions: BOTH, servers: SERVERS, clients: CLIENTS };

const SERVERS: &[Server] = &[
    Server {
        what: "no capability",
        says: &[b"\"IMPLEMENTATION\" \"example\"\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "capabilities that only look like it",
        says: &[b"\"XSTARTTLS\"\r\n\"STARTTLSX\"\r\n\"SIEVE\" \"STARTTLS\"\r\n\"\\\"STARTTLS\"\r\nOK \"STARTTLS\"\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "a capability in a literal",
        says: &[b"\"IMPLEMENTATION\" {16}\r\n\r\n\"STARTTLS\"\r\nOK\r\nOK\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server { what: "no service", says: &[b"BYE (TRYLATER) \"go away\"\r\n"], error: ErrorKind::Refused },
    Server {
        what: "no service behind capabilities",
        says: &[b"\"STARTTLS\"\r\nbye {7}\r\ngo away\r\n"],
        error: ErrorKind::Refused,
    },
    Server { what: "a refusal", says: &[b"\"STARTTLS\"\r\nOK\r\n", b"NO \"not now\"\r\n"], error: ErrorKind::Refused },
    Server {
        what: "a refusal to one who knows the capability from a literal",
        says: &[b"{8}\r\nstarttls\r\nOK\r\n", b"NO\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "a farewell in place of an answer",
        says: &[b"\"STARTTLS\"\r\nOK\r\n", b"BYE (REFERRAL \"sieve://other.example\") {3}\r\nbye\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "an early go-ahead",
        says: &[b"\"STARTTLS\"\r\nOK\r\nOK \"go ahead\"\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "an early go-ahead, behind a literal",
        says: &[b"\"STARTTLS\"\r\nOK {5}\r\nready\r\nOK \"go ahead\"\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "capabilities in place of an answer",
        says: &[b"\"STARTTLS\"\r\nOK\r\n", b"\"STARTTLS\"\r\nOK\r\n"],
        error: ErrorKind::Malformed,
    },
    Server {
        what: "a literal of which no end can come",
        says: &[b"\"STARTTLS\"\r\n\"SIEVE\" {99999999999999999999}\r\n"],
        error: ErrorKind::TooLong,
    },
    Server {
        what: "literals that are too long together",
        says: &[b"\"STARTTLS\"\r\n\"SIEVE\" {4096+}\r\n", &[b'x'; 4096], b" {4096}\r\n"],
        error: ErrorKind::TooLong,
    },
    Server { what: "a line without end", says: &[&[b'"'; 8192]], error: ErrorKind::TooLong },
    Server { what: "a string without end", says: &[b"\"STARTTLS\r\n\"\r\nOK\r\n"], error: ErrorKind::Malformed },
    Server { what: "a quote without end", says: &[b"\"STARTTLS\\\"\r\n"], error: ErrorKind::Malformed },
    Server { what: "a length that is none", says: &[b"\"SIEVE\" {-1}\r\n"], error: ErrorKind::Malformed },
    Server { what: "a length of nothing", says: &[b"\"SIEVE\" {+}\r\n"], error: ErrorKind::Malformed },
    Server { what: "words behind a length", says: &[b"\"SIEVE\" {3} \"x\"\r\n"], error: ErrorKind::Malformed },
    Server { what: "an empty line", says: &[b"\"STARTTLS\"\r\n\r\n"], error: ErrorKind::Malformed },
    Server { what: "something else", says: &[b"* OK ready\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client {
        what: "a password in clear",
        says: &[b"AUTHENTICATE \"PLAIN\" \"AAAA\"\r\n"],
        hears: b"NO (ENCRYPT-NEEDED)",
        error: None,
    },
    Client {
        what: "a password in a literal, in which there could be a command",
        says: &[b"AUTHENTICATE \"PLAIN\" {8+}\r\nLOGOUT\r\n\r\n"],
        hears: b"NO (ENCRYPT-NEEDED) \"STARTTLS first\"\r\n",
        error: None,
    },
    Client {
        what: "a script in clear",
        says: &[b"PUTSCRIPT \"a\" {", b"14+}\r\nLOGOUT\r\n", b"keep;\n", b"\r\n"],
        hears: b"NO (ENCRYPT-NEEDED)",
        error: None,
    },
    Client {
        what: "an answer that nobody asked for",
        says: &[b"\"AAAA\"\r\n"],
        hears: b"NO (ENCRYPT-NEEDED)",
        error: None,
    },
    Client { what: "capabilities", says: &[b"capability\r\n"], hears: b"\"IMPLEMENTATION\"", error: None },
    Client { what: "an order to do nothing", says: &[b"NOOP\r\n"], hears: b"OK \"done\"\r\n", error: None },
    Client {
        what: "a tag that comes back",
        says: &[b"NOOP \"a \\\"tag\\\"\"\r\n"],
        hears: b"OK (TAG \"a \\\"tag\\\"\") \"done\"\r\n",
        error: None,
    },
    Client {
        what: "a tag of two lines that comes back",
        says: &[b"NOOP {4+}\r\na\r\nb\r\n"],
        hears: b"OK (TAG {4}\r\na\r\nb) \"done\"\r\n",
        error: None,
    },
    Client { what: "two tags", says: &[b"NOOP \"a\" \"b\"\r\n"], hears: b"NO \"wrong", error: None },
    Client { what: "an argument too many", says: &[b"STARTTLS \"now\"\r\n"], hears: b"NO \"wrong", error: None },
    Client { what: "a farewell", says: &[b"LOGOUT\r\n"], hears: b"OK \"bye\"", error: Some(ErrorKind::NotAsked) },
    Client {
        what: "a literal of which no end can come",
        says: &[b"PUTSCRIPT \"a\" {4294967295+}\r\n"],
        hears: b"",
        error: Some(ErrorKind::TooLong),
    },
    Client {
        what: "a string without end",
        says: &[b"PUTSCRIPT \"STARTTLS\r\n"],
        hears: b"",
        error: Some(ErrorKind::Malformed),
    },
];
