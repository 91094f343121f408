//! `onion probe` looks at servers of others, and at one with a hole beside each of them: what it does not find here, it
//! finds there.

use std::process::Command;

use serde_json::Value;

use crate::Case;
use crate::bench::Bench;
use crate::open_server::{Manners, serve};
use crate::servers::aiosmtpd::AIOSMTPD;
use crate::servers::dovecot::DOVECOT;
use crate::servers::exim::EXIM;
use crate::servers::inn::INN;
use crate::servers::mariadb::MARIADB;
use crate::servers::postfix::POSTFIX;
use crate::servers::postgresql::POSTGRESQL;
use crate::servers::proftpd::PROFTPD;
use crate::servers::prosody::PROSODY;
use crate::servers::pure_ftpd::PURE_FTPD;
use crate::servers::slapd::SLAPD;
use crate::servers::{NAME, Server};

pub(crate) fn cases() -> Vec<Case> {
    let case = |probed: &'static Probed| {
        let name = format!("onion probe with {}: {}", probed.server.name, probed.service);
        Case::new(name, |bench| is_as_it_is(bench, probed)).talks_to(&[probed.server])
    };
    PROBED.iter().map(case).collect()
}

/// A service, and what it does with what a good client never says.
struct Probed {
    server: &'static Server,
    service: &'static str,
    protocol: &'static str,
    /// Of `glued_command`, `glued_client_hello`, `starttls_inside_tls` and `close_notify`.
    answers: [&'static str; 4],
}

fn is_as_it_is(bench: &Bench, probed: &Probed) {
    let (status, report) =
        probe(bench, &format!("tcp:{}", bench.server(probed.server).address(probed.service)), probed);
    assert_eq!(report["trust"]["state"], "trusted", "{report:#}");
    assert_eq!(answers(&report), probed.answers, "{report:#}");
    assert_eq!(status, Some(if probed.answers[0] == "executed" { 3 } else { 0 }), "{report:#}");
    if probed.answers[0] == "does_not_apply" {
        return;
    }
    let tls = bench.authority().server(NAME, crate::common::BOTH);
    let (status, report) = probe(bench, &serve(probed.protocol, Manners::OPEN, tls), probed);
    assert_eq!(answers(&report)[0], "executed", "{report:#}");
    assert_eq!(status, Some(3), "{report:#}");
}

fn probe(bench: &Bench, address: &str, probed: &Probed) -> (Option<i32>, Value) {
    let endpoint = format!("{address}+starttls:{}:sni={NAME}:ca={}", probed.protocol, bench.ca().display());
    let arguments = ["probe", &endpoint, "--json", "--timeout", "3"];
    let output = Command::new(env!("CARGO_BIN_EXE_onion")).args(arguments).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), report)
}

fn answers(report: &Value) -> [&str; 4] {
    ["glued_command", "glued_client_hello", "starttls_inside_tls", "close_notify"]
        .map(|question| report["questions"][question]["state"].as_str().expect("every question has an answer"))
}

const PROBED: &[Probed] = &[
    Probed { server: &POSTFIX, service: "smtp", protocol: "smtp", answers: ["dropped", "lost", "refused", "hangs_up"] },
    Probed { server: &EXIM, service: "smtp", protocol: "smtp", answers: ["dropped", "lost", "refused", "plaintext"] },
    Probed { server: &AIOSMTPD, service: "smtp", protocol: "smtp", answers: ["dropped", "lost", "nests", "hangs_up"] },
    Probed {
        server: &DOVECOT,
        service: "submission",
        protocol: "smtp",
        answers: ["fed_to_tls", "taken", "refused", "hangs_up"],
    },
    Probed {
        server: &DOVECOT,
        service: "lmtp",
        protocol: "lmtp",
        answers: ["fed_to_tls", "taken", "refused", "hangs_up"],
    },
    Probed {
        server: &DOVECOT,
        service: "imap",
        protocol: "imap",
        answers: ["fed_to_tls", "taken", "refused", "hangs_up"],
    },
    Probed {
        server: &DOVECOT,
        service: "pop3",
        protocol: "pop3",
        answers: ["fed_to_tls", "taken", "refused", "hangs_up"],
    },
    Probed {
        server: &DOVECOT,
        service: "sieve",
        protocol: "sieve",
        answers: ["fed_to_tls", "taken", "refused", "hangs_up"],
    },
    Probed { server: &INN, service: "nntp", protocol: "nntp", answers: ["dropped", INN_GLUED, "refused", "hangs_up"] },
    Probed { server: &PROFTPD, service: "ftp", protocol: "ftp", answers: ["dropped", "lost", "refused", "hangs_up"] },
    Probed { server: &PURE_FTPD, service: "ftp", protocol: "ftp", answers: ["dropped", "lost", "agrees", "hangs_up"] },
    Probed {
        server: &SLAPD,
        service: "ldap",
        protocol: "ldap",
        answers: ["refused", "refused", "refused", "hangs_up"],
    },
    Probed {
        server: &PROSODY,
        service: "xmpp",
        protocol: "xmpp",
        answers: ["answered_in_clear", "refused", "refused", "hangs_up"],
    },
    Probed {
        server: &PROSODY,
        service: "xmpp-server",
        protocol: "xmpp-server",
        answers: ["answered_in_clear", "refused", "refused", "hangs_up"],
    },
    Probed {
        server: &POSTGRESQL,
        service: "postgresql",
        protocol: "postgres",
        answers: ["refused", "lost", "refused", "hangs_up"],
    },
    Probed {
        server: &MARIADB,
        service: "mysql",
        protocol: "mysql",
        answers: ["does_not_apply", "does_not_apply", "does_not_apply", "does_not_apply"],
    },
];

/// INN takes a glued ClientHello for a line. One with a hybrid key is longer than a line may be, and INN hangs up; a short one is
/// dropped with the line, and waited for again. ring has no hybrid.
const INN_GLUED: &str = if cfg!(feature = "aws-lc-rs") { "refused" } else { "lost" };
