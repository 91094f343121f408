//! STARTTLS, every protocol on both sides.
//!
//! A [`Subject`] is a protocol, and the peers of its own that are not to be believed. The other files are what is done to
//! every subject: a new protocol is a file with one `SUBJECT`, a line in [`SUBJECTS`], and has them all.
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

#[path = "../common/mod.rs"]
mod common;

mod again;
mod asking;
mod both_sides;
mod certificates;
mod clients;
mod damage;
mod ends;
mod flood;
mod ftp_ccc;
mod injection;
mod subject;
mod tables;
mod words;

mod ftp;
mod imap;
mod irc;
mod ldap;
mod lmtp;
mod mysql;
mod nntp;
mod pieces;
mod pop3;
mod postgres;
mod sieve;
mod smtp;
mod tds;
mod xmpp;

use self::subject::Subject;

const SUBJECTS: &[Subject] = &[
    smtp::SUBJECT,
    lmtp::SUBJECT,
    imap::SUBJECT,
    pop3::SUBJECT,
    sieve::SUBJECT,
    nntp::SUBJECT,
    irc::SUBJECT,
    ftp::SUBJECT,
    ldap::SUBJECT,
    xmpp::CLIENT_TO_SERVER,
    xmpp::SERVER_TO_SERVER,
    postgres::SUBJECT,
    mysql::SUBJECT,
    tds::SUBJECT,
];
