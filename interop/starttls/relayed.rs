//! Whole sessions of other clients with other servers, with `onion relay` between them: our server and our client.

use std::process::Command;

use crate::Case;
use crate::bench::{Bench, Peer};
use crate::clients::{curl, ldapsearch, lftp, psql, python, swaks};
use crate::servers::dovecot::DOVECOT;
use crate::servers::inn::INN;
use crate::servers::postfix::{self, POSTFIX};
use crate::servers::postgresql::POSTGRESQL;
use crate::servers::pure_ftpd::PURE_FTPD;
use crate::servers::slapd::SLAPD;
use crate::servers::{FTP_FILES, NAME, Server, ftp_file};

pub(crate) fn cases() -> Vec<Case> {
    let letter = "Subject: from curl\r\n\r\nonion\r\n";
    let send = ["--mail-from", "sender@client.example", "--mail-rcpt", "onion@onion.test", "--upload-file", "-"];
    let login = ["--user", "onion:peel"];
    vec![
        relayed("swaks", &POSTFIX, "smtp", ("smtp", true, false), |bench, address| {
            swaks(bench, address, "relayed", &[]).with("250 2.0.0 Ok: queued");
            let postfix = bench.server(&POSTFIX);
            postfix.await_file(&postfix::mailbox(postfix), "Subject: relayed");
        }),
        relayed("swaks", &POSTFIX, "smtp", ("smtp", true, true), |bench, address| {
            swaks(bench, address, "on both sides", &[]).with("250 2.0.0 Ok: queued");
        }),
        relayed("curl", &POSTFIX, "smtp", ("smtp", true, false), move |bench, address| {
            curl(bench, "smtp", address, "", &send, letter).with("250 2.0.0 Ok: queued");
        }),
        relayed("python3", &POSTFIX, "smtp", ("smtp", true, true), |bench, address| {
            python(bench, "smtp", address).with("content");
        }),
        relayed("curl", &DOVECOT, "imap", ("imap", true, true), move |bench, address| {
            curl(bench, "imap", address, "", &login, "").with("INBOX");
        }),
        relayed("python3", &DOVECOT, "imap", ("imap", true, true), |bench, address| {
            python(bench, "imap", address).with("content");
        }),
        relayed("curl", &DOVECOT, "pop3", ("pop3", true, true), move |bench, address| {
            curl(bench, "pop3", address, "", &login, "").with("+OK");
        }),
        relayed("python3", &DOVECOT, "pop3", ("pop3", true, true), |bench, address| {
            python(bench, "pop3", address).with("content");
        }),
        relayed("python3", &INN, "nntp", ("nntp", true, false), |bench, address| {
            python(bench, "nntp", address).with("content");
        }),
        relayed("python3", &INN, "nntp", ("nntp", true, true), |bench, address| {
            python(bench, "nntp", address).with("content");
        }),
        relayed("ldapsearch", &SLAPD, "ldap", ("ldap", true, true), |bench, address| {
            ldapsearch(bench, address, "(objectClass=*)").with("dn: ");
        }),
        relayed("curl", &PURE_FTPD, "ftp", ("ftp", true, false), move |bench, address| {
            curl(bench, "ftp", address, "large", &login, "").with(&large_file());
        }),
        relayed("curl", &PURE_FTPD, "ftp", ("ftp", true, false), move |bench, address| {
            let upload = [&login[..], &["--disable-epsv", "--upload-file", "-"]].concat();
            curl(bench, "ftp", address, "relayed", &upload, &large_file()).with("226");
            curl(bench, "ftp", address, "relayed", &login, "").with(&large_file());
        })
        .named("an upload with PASV"),
        relayed("lftp", &PURE_FTPD, "ftp", ("ftp", true, false), |bench, address| {
            lftp(bench, address, &[], "ls\ncat large").with(&large_file());
        }),
        relayed("psql", &POSTGRESQL, "postgresql", ("postgres", true, true), |bench, address| {
            psql(bench, address, "SELECT 6 * 7").with("42");
        }),
    ]
}

fn large_file() -> String {
    String::from_utf8(ftp_file(FTP_FILES[2].1)).expect("it is text")
}

/// A case in which the relay starts TLS on the side of the client, of the server, or of both.
fn relayed(
    client: &'static str,
    server: &'static Server,
    service: &'static str,
    (protocol, near, far): (&'static str, bool, bool),
    run: impl FnOnce(&Bench, &str) + Send + 'static,
) -> Case {
    let where_to = match (near, far) {
        (true, false) => "TLS to the relay",
        (false, true) => "TLS behind the relay",
        _ => "TLS on both sides of the relay",
    };
    Case::new(format!("{client} to {}: {protocol}, {where_to}", server.name), move |bench| {
        let mut listen = "tcp:127.0.0.1:0".to_owned();
        if near {
            let (chain, key) = (bench.certificate(NAME), bench.key(NAME));
            listen += &format!("+starttls:{protocol}:cert={}:key={}", chain.display(), key.display());
        }
        let mut connect = format!("tcp:{}", bench.server(server).address(service));
        if far {
            connect += &format!("+starttls:{protocol}:sni={NAME}:ca={}", bench.ca().display());
        }
        let mut relay = Peer::start(Command::new(env!("CARGO_BIN_EXE_onion")).args(["relay", &listen, &connect]));
        let address = relay.expect("listening on tcp:").replace("listening on tcp:", "");
        run(bench, &address);
        // Some say goodbye without a close_notify, so what it ended with is theirs.
        relay.expect(" bytes there, ");
    })
    .uses(client)
    .talks_to(&[server])
}
