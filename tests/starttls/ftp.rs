//! FTP: AUTH TLS.

use onionskin::starttls::ftp::{Change, Level, Protection};
use onionskin::starttls::{ErrorKind, Ftp};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject =
    Subject { peer: || Box::new(Ftp::new()), versions: BOTH, never_early: None, servers: SERVERS, clients: CLIENTS };

const SERVERS: &[Server] = &[
    Server { what: "no AUTH", says: &[b"220 ready\r\n", b"502 what is AUTH?\r\n"], error: ErrorKind::NotOffered },
    Server { what: "no such command", says: &[b"220 ready\r\n", b"500 what?\r\n"], error: ErrorKind::NotOffered },
    Server { what: "no TLS", says: &[b"220 ready\r\n", b"504 only GSSAPI\r\n"], error: ErrorKind::NotOffered },
    Server { what: "no TLS for us", says: &[b"220 ready\r\n", b"534 not you\r\n"], error: ErrorKind::Refused },
    Server { what: "not now", says: &[b"220 ready\r\n", b"431 come again\r\n"], error: ErrorKind::Refused },
    Server { what: "a demand for a password", says: &[b"220 ready\r\n", b"530 log in\r\n"], error: ErrorKind::Refused },
    Server { what: "no service", says: &[b"421-go\r\n 220 in between\r\n421 away\r\n"], error: ErrorKind::Refused },
    Server { what: "a delay, and no service", says: &[b"120 soon\r\n", b"421 never\r\n"], error: ErrorKind::Refused },
    Server {
        what: "a greeting of many lines, and a refusal of many",
        says: &[
            b"220-ready\r\n421 is not the end\r\n\r\n220-nor this\r\n220 but this\r\n",
            b"534-\r\n234 no\r\n534 no\r\n",
        ],
        error: ErrorKind::Refused,
    },
    Server { what: "an early go-ahead", says: &[b"220 ready\r\n234 begin\r\n"], error: ErrorKind::OutOfTurn },
    Server { what: "a wrong go-ahead", says: &[b"220 ready\r\n", b"200 begin\r\n"], error: ErrorKind::Malformed },
    Server { what: "a challenge", says: &[b"220 ready\r\n", b"334 ADAT=\r\n"], error: ErrorKind::Malformed },
    Server { what: "a log-in already", says: &[b"230 welcome back\r\n"], error: ErrorKind::Malformed },
    Server { what: "something else", says: &[b"* OK ready\r\n"], error: ErrorKind::Malformed },
    Server { what: "a code too long", says: &[b"2200 ready\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client { what: "a name in clear", says: &[b"USER anonymous\r\n"], hears: b"530", error: None },
    Client { what: "a password in clear", says: &[b"PASS secret\r\n"], hears: b"530", error: None },
    Client { what: "protection before TLS", says: &[b"PBSZ 0\r\n"], hears: b"503", error: None },
    Client { what: "a level before TLS", says: &[b"PROT P\r\n"], hears: b"503", error: None },
    Client { what: "an end before the start", says: &[b"CCC\r\n"], hears: b"533", error: None },
    Client { what: "another mechanism", says: &[b"AUTH GSSAPI\r\n"], hears: b"504", error: None },
    Client { what: "a mechanism of before", says: &[b"AUTH SSL\r\n"], hears: b"504", error: None },
    Client { what: "no mechanism", says: &[b"AUTH\r\n"], hears: b"501", error: None },
    Client {
        what: "features",
        says: &[b"feat\r\n"],
        hears: b"211-Features\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End\r\n",
        error: None,
    },
    Client { what: "an order to do nothing", says: &[b"NOOP\r\n"], hears: b"200", error: None },
    Client { what: "the kind of system", says: &[b"SYST\r\n"], hears: b"215 ", error: None },
    Client { what: "a farewell", says: &[b"QUIT\r\n"], hears: b"221", error: Some(ErrorKind::NotAsked) },
];

/// What is said on a control connection, what each answer begins with, and what it does.
type Script = &'static [(&'static str, &'static str, Does)];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Nothing,
    Start,
    Stop,
}

fn assert_answers(protection: &mut Protection, script: Script) {
    for &(line, reply, does) in script {
        let answer = protection.command(line.as_bytes()).unwrap_or_else(|| panic!("{line} is one of the four"));
        assert!(answer.reply().starts_with(reply), "{line}: {}", answer.reply());
        let done = match answer.change() {
            Change::Nothing => Does::Nothing,
            Change::StartTls => Does::Start,
            Change::StopTls(_) => Does::Stop,
        };
        assert_eq!(done, does, "{line}");
    }
}

#[test]
fn the_security_commands_have_an_order() {
    let mut protection = Protection::new();
    assert_answers(
        &mut protection,
        &[
            ("PBSZ 0", "503", Does::Nothing),
            ("PROT P", "503", Does::Nothing),
            ("CCC", "533", Does::Nothing),
            ("AUTH TLS", "234", Does::Start),
            ("AUTH TLS", "503", Does::Nothing),
            ("PROT P", "503", Does::Nothing),
            ("PBSZ", "501", Does::Nothing),
            ("PBSZ many", "501", Does::Nothing),
            ("pbsz 16384", "200 PBSZ=0", Does::Nothing),
            ("PROT S", "536", Does::Nothing),
            ("PROT E", "536", Does::Nothing),
            ("PROT X", "504", Does::Nothing),
            ("PROT", "501", Does::Nothing),
        ],
    );
    assert_eq!(protection.data(), Level::Clear);
    assert_answers(&mut protection, &[("prot p", "200", Does::Nothing), ("PBSZ 0", "200", Does::Nothing)]);
    assert_eq!(protection.data(), Level::Private, "a second PBSZ changes nothing");
    assert_answers(&mut protection, &[("PROT C", "200", Does::Nothing), ("PROT P", "200", Does::Nothing)]);
    assert!(["USER a", "", " ", "CCCC", "PROTP"].iter().all(|line| protection.command(line.as_bytes()).is_none()));
}

#[test]
fn nobody_changes_the_protection_of_data_in_clear() {
    let mut protection = Protection::in_tls();
    assert_answers(
        &mut protection,
        &[
            ("PBSZ 0", "200", Does::Nothing),
            ("PROT P", "200", Does::Nothing),
            ("CCC now", "501", Does::Nothing),
            ("CCC", "200", Does::Stop),
            ("PROT C", "533", Does::Nothing),
            ("PBSZ 0", "533", Does::Nothing),
            ("CCC", "533", Does::Nothing),
        ],
    );
    assert_eq!(protection.data(), Level::Private);
    assert!(!protection.is_control_protected() && protection.is_authenticated());
    assert_answers(
        &mut protection,
        &[
            ("AUTH TLS-C", "234", Does::Start),
            ("PROT P", "503", Does::Nothing),
            ("PBSZ 0", "200", Does::Nothing),
            ("CCC", "200", Does::Stop),
        ],
    );
    assert_eq!(protection.data(), Level::Clear, "AUTH begins anew");
}

#[test]
fn a_server_may_refuse_to_give_protection_up() {
    let mut protection = Protection::in_tls().refuse_clear_control().refuse_clear_data();
    assert_answers(
        &mut protection,
        &[
            ("PBSZ 0", "200", Does::Nothing),
            ("PROT C", "534", Does::Nothing),
            ("PROT P", "200", Does::Nothing),
            ("PROT C", "534", Does::Nothing),
            ("CCC", "534", Does::Nothing),
        ],
    );
    assert!(protection.is_control_protected());
    assert_eq!(protection.data(), Level::Private);
}
