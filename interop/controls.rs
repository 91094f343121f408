//! Positive controls: each server with a client that is not ours either.
//!
//! They prove that a server runs and offers TLS, and that a client can be content with a server. A case of ours that
//! fails while its controls pass is a failure of ours.

use crate::Case;
use crate::bench::Bench;
use crate::clients::s_client;
use crate::servers::Server;
use crate::servers::aiosmtpd::AIOSMTPD;
use crate::servers::dovecot::DOVECOT;
use crate::servers::mariadb::MARIADB;
use crate::servers::postfix::POSTFIX;
use crate::servers::postgresql::POSTGRESQL;
use crate::servers::proftpd::PROFTPD;
use crate::servers::prosody::PROSODY;
use crate::servers::pure_ftpd::PURE_FTPD;
use crate::servers::slapd::SLAPD;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(server, service, protocol) in HANDSHAKES {
        let name = format!("{}: s_client starts TLS, {service}", server.name);
        let run = move |bench: &Bench| {
            let address = bench.server(server).address(service);
            s_client(bench, protocol, &address, "").with("Verify return code: 0 (ok)");
        };
        cases.push(Case::new(name, run).needs("openssl", "version").talks_to(&[server]));
    }
    cases
}

/// A server, its service, and what `s_client` calls its protocol.
const HANDSHAKES: &[(&Server, &str, &str)] = &[
    (&POSTFIX, "smtp", "smtp"),
    (&DOVECOT, "imap", "imap"),
    (&DOVECOT, "pop3", "pop3"),
    (&DOVECOT, "sieve", "sieve"),
    (&DOVECOT, "submission", "smtp"),
    (&DOVECOT, "lmtp", "lmtp"),
    (&PROFTPD, "ftp", "ftp"),
    (&PROFTPD, "ftp-resumed", "ftp"),
    (&PURE_FTPD, "ftp", "ftp"),
    (&SLAPD, "ldap", "ldap"),
    (&PROSODY, "xmpp", "xmpp"),
    (&PROSODY, "xmpp-server", "xmpp-server"),
    (&POSTGRESQL, "postgresql", "postgres"),
    (&MARIADB, "mysql", "mysql"),
    (&AIOSMTPD, "smtp", "smtp"),
    (&AIOSMTPD, "smtp-required", "smtp"),
];
