//! SMTP.

use onionskin::starttls::{ErrorKind, Smtp};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject = Subject {
    peer: || Box::new(Smtp::new().named("mail.example")),
    versions: BOTH,
    servers: SERVERS,
    clients: CLIENTS,
    never_early: None,
};

const SERVERS: &[Server] = &[
    Server {
        what: "no capability",
        says: &[b"220 mail.example\r\n", b"250-mail.example\r\n250 PIPELINING\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "a capability that only looks like it",
        says: &[b"220 mail.example\r\n", b"250-STARTTLSX\r\n250 XSTARTTLS\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "no extensions at all",
        says: &[b"220 mail.example\r\n", b"502 what is EHLO?\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server { what: "no service", says: &[b"554-go\r\n554 away\r\n"], error: ErrorKind::Refused },
    Server {
        what: "a refusal",
        says: &[b"220 mail.example\r\n", b"250-mail.example\r\n250 STARTTLS\r\n", b"454 not now\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "a refusal of several lines",
        says: &[b"220 mail.example\r\n", b"250-mail.example\r\n250 STARTTLS\r\n", b"454-not now\r\n454 nor later\r\n"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "no extensions, in several lines",
        says: &[b"220 mail.example\r\n", b"502-what is\r\n502 EHLO?\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "an early go-ahead",
        says: &[b"220 mail.example\r\n", b"250-mail.example\r\n250 STARTTLS\r\n220 go ahead\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server {
        what: "capabilities before they are asked for",
        says: &[b"220 mail.example\r\n250-mail.example\r\n250 STARTTLS\r\n"],
        error: ErrorKind::OutOfTurn,
    },
    Server { what: "something else", says: &[b"* OK ready\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client { what: "mail in clear", says: &[b"EHLO a\r\n", b"MAIL FROM:<a@a>\r\n"], hears: b"530 5.7.0", error: None },
    Client { what: "a password in clear", says: &[b"EHLO a\r\n", b"AUTH PLAIN AAAA\r\n"], hears: b"530", error: None },
    Client { what: "an argument too many", says: &[b"STARTTLS now\r\n"], hears: b"501", error: None },
    Client { what: "an argument too few", says: &[b"EHLO\r\n"], hears: b"501", error: None },
    Client { what: "an order to do nothing", says: &[b"noop\r\n"], hears: b"250", error: None },
    Client {
        what: "capabilities",
        says: &[b"ehlo a\r\n"],
        hears: b"250-mail.example\r\n250 STARTTLS\r\n",
        error: None,
    },
    Client { what: "a farewell", says: &[b"QUIT\r\n"], hears: b"221", error: Some(ErrorKind::NotAsked) },
];
