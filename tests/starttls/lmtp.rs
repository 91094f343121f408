//! LMTP: what is different from SMTP.

use onionskin::starttls::{ErrorKind, Lmtp};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject = Subject {
    peer: || Box::new(Lmtp::new().named("mail.example")),
    versions: BOTH,
    servers: SERVERS,
    clients: CLIENTS,
};

const SERVERS: &[Server] = &[
    Server {
        what: "a server of SMTP",
        says: &[b"220 mail.example ESMTP\r\n", b"500 what is LHLO?\r\n"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "a refusal",
        says: &[b"220 mail.example\r\n", b"250-mail.example\r\n250 STARTTLS\r\n", b"454 not now\r\n"],
        error: ErrorKind::Refused,
    },
];

const CLIENTS: &[Client] = &[
    Client { what: "a client of SMTP", says: &[b"EHLO a\r\n"], hears: b"530", error: None },
    Client { what: "mail in clear", says: &[b"LHLO a\r\n", b"MAIL FROM:<a@a>\r\n"], hears: b"530", error: None },
    Client { what: "a farewell", says: &[b"QUIT\r\n"], hears: b"221", error: Some(ErrorKind::NotAsked) },
];
