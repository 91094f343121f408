//! Positive controls: each server with a client that is not ours either.
//!
//! They prove that a server runs and offers TLS, and that a client can be content with a server. A case of ours that
//! fails while its controls pass is a failure of ours.

use std::io::Read;
use std::net::TcpListener;

use crate::Case;
use crate::bench::Bench;
use crate::clients::{
    Encryption, curl, gnutls_cli, ldapsearch, lftp, mariadb, posttls_finger, psql, python, s_client, swaks, tsql,
};
use crate::servers::aiosmtpd::AIOSMTPD;
use crate::servers::dovecot::DOVECOT;
use crate::servers::mariadb::MARIADB;
use crate::servers::place::Running;
use crate::servers::postfix::{self, POSTFIX};
use crate::servers::postgresql::POSTGRESQL;
use crate::servers::proftpd::{self, PROFTPD};
use crate::servers::prosody::PROSODY;
use crate::servers::pure_ftpd::{self, PURE_FTPD};
use crate::servers::slapd::SLAPD;
use crate::servers::{FTP_FILES, Server, ftp_file};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(server, service, protocol) in HANDSHAKES {
        cases.push(control(server, "openssl", &format!("handshake, {service}"), move |bench, running| {
            s_client(bench, protocol, &running.address(service), "").with("Verify return code: 0 (ok)");
        }));
        if !NOT_FOR_GNUTLS.contains(&protocol) {
            cases.push(control(server, "gnutls-cli", &format!("handshake, {service}"), move |bench, running| {
                gnutls_cli(bench, protocol, &running.address(service), "").with("Status: The certificate is trusted");
            }));
        }
    }
    cases.extend(mail());
    cases.extend(files());
    cases.extend(directory_and_databases());
    cases
}

fn mail() -> Vec<Case> {
    let letter = "Subject: from curl\r\n\r\nonion\r\n";
    let send: &[&str] =
        &["--mail-from", "sender@client.example", "--mail-rcpt", "onion@onion.test", "--upload-file", "-"];
    let login: &[&str] = &["--user", "onion:peel"];
    vec![
        control(&POSTFIX, "swaks", "a letter arrives", |bench, postfix| {
            swaks(bench, &postfix.address("smtp"), "from swaks", &[]).with("250 2.0.0 Ok: queued");
            postfix.await_file(&postfix::mailbox(postfix), "Subject: from swaks");
        }),
        control(&POSTFIX, "swaks", "a letter in a pipeline", |bench, postfix| {
            swaks(bench, &postfix.address("smtp"), "pipelined", &["--pipeline"]).with("250 2.0.0 Ok: queued");
        }),
        control(&POSTFIX, "curl", "a letter", move |bench, postfix| {
            curl(bench, "smtp", &postfix.address("smtp"), "", send, letter).with("250 2.0.0 Ok: queued");
        }),
        control(&POSTFIX, "posttls-finger", "trust", |bench, postfix| {
            posttls_finger(bench, &postfix.address("smtp")).with("Verified TLS connection established");
        }),
        control(&POSTFIX, "python3", "smtplib", |bench, postfix| {
            python(bench, "smtp", &postfix.address("smtp")).with("content");
        }),
        control(&AIOSMTPD, "swaks", "a letter arrives", |bench, aiosmtpd| {
            swaks(bench, &aiosmtpd.address("smtp-required"), "from swaks", &[]).with("250 OK");
            assert!(aiosmtpd.log().contains("letter over TLSv1."), "it was sent over TLS");
        }),
        control(&DOVECOT, "swaks", "a letter arrives, lmtp", |bench, dovecot| {
            swaks(bench, &dovecot.address("lmtp"), "from swaks", &["--protocol", "LMTP"]).with("250 2.0.0");
            let fetch = ["--user", "onion:peel", "--request", "FETCH 1:* BODY[HEADER]"];
            curl(bench, "imap", &dovecot.address("imap"), "INBOX", &fetch, "").with("Subject: from swaks");
        }),
        control(&DOVECOT, "curl", "mailboxes, imap", |bench, dovecot| {
            curl(bench, "imap", &dovecot.address("imap"), "", login, "").with("INBOX");
        }),
        control(&DOVECOT, "curl", "letters, pop3", |bench, dovecot| {
            curl(bench, "pop3", &dovecot.address("pop3"), "", login, "").with("+OK");
        }),
        control(&DOVECOT, "python3", "imaplib", |bench, dovecot| {
            python(bench, "imap", &dovecot.address("imap")).with("content");
        }),
        control(&DOVECOT, "python3", "poplib", |bench, dovecot| {
            python(bench, "pop3", &dovecot.address("pop3")).with("content");
        }),
    ]
}

fn files() -> Vec<Case> {
    let login: &[&str] = &["--user", "onion:peel"];
    let large = String::from_utf8(ftp_file(FTP_FILES[2].1)).expect("it is text");
    let mut cases = Vec::new();
    for (server, home) in [(&PROFTPD, proftpd::home as fn(&Running) -> _), (&PURE_FTPD, pure_ftpd::home)] {
        for (how, options) in CURL_WAYS {
            let large = large.clone();
            cases.push(control(server, "curl", &format!("a file, {how}"), move |bench, ftpd| {
                let options = [login, options].concat();
                curl(bench, "ftp", &ftpd.address("ftp"), "large", &options, "").with(&large);
            }));
        }
        cases.push(control(server, "curl", "an upload", move |bench, ftpd| {
            let options = [login, &["--upload-file", "-"]].concat();
            curl(bench, "ftp", &ftpd.address("ftp"), "from-curl", &options, "onion").with("");
            assert_eq!(std::fs::read_to_string(home(ftpd).join("from-curl")).expect("it is there"), "onion");
        }));
        for (how, settings) in LFTP_WAYS {
            let large = large.clone();
            cases.push(control(server, "lftp", &format!("a file, {how}"), move |bench, ftpd| {
                lftp(bench, &ftpd.address("ftp"), settings, "cat large").with(&large);
            }));
        }
        for what in ["ftp", "ftp-ccc"] {
            cases.push(control(server, "python3", &format!("ftplib, {what}"), move |bench, ftpd| {
                python(bench, what, &ftpd.address("ftp")).with("content");
            }));
        }
    }
    cases.push(control(&PROFTPD, "lftp", "a file, the session must be resumed", move |bench, proftpd| {
        lftp(bench, &proftpd.address("ftp-resumed"), &[], "cat large").with(&large);
    }));
    cases
}

const CURL_WAYS: [(&str, &[&str]); 5] = [
    ("all over TLS", &[]),
    ("data in clear", &["--ftp-ssl-control"]),
    ("the server connects", &["--ftp-port", "127.0.0.1"]),
    ("CCC, curl stops first", &["--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", "active"]),
    ("CCC, the server stops first", &["--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", "passive"]),
];

const LFTP_WAYS: [(&str, &[&str]); 3] =
    [("all over TLS", &[]), ("data in clear", &["ftp:ssl-protect-data no"]), ("CCC", &["ftp:ssl-use-ccc yes"])];

fn directory_and_databases() -> Vec<Case> {
    let mut cases = vec![
        control(&SLAPD, "ldapsearch", "bind and search", |bench, slapd| {
            ldapsearch(bench, &slapd.address("ldap"), "(uid=onion)").with("cn: Onion");
        }),
        control(&POSTGRESQL, "psql", "a query", |bench, postgresql| {
            let query = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            psql(bench, &postgresql.address("postgresql"), query).with("TLSv1.3");
        }),
        control(&MARIADB, "mariadb", "a query", |bench, mariadb_server| {
            mariadb(bench, &mariadb_server.address("mysql"), "SHOW STATUS LIKE 'Ssl_version'").with("TLSv1.3");
        }),
    ];
    for (encryption, octet) in [(Encryption::Request, 0), (Encryption::Require, 1)] {
        let name = format!("tsql asks in its PRELOGIN: {encryption:?}");
        cases.push(Case::new(name, move |bench| asks_in_prelogin(bench, encryption, octet)).uses("tsql"));
    }
    cases
}

/// There is no free server of TDS, so this is one packet of it.
fn asks_in_prelogin(bench: &Bench, encryption: Encryption, octet: u8) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port is found");
    let address = listener.local_addr().expect("it has one").to_string();
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("tsql comes");
        let mut header = [0; 8];
        peer.read_exact(&mut header).expect("a header comes");
        let mut packet = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - header.len()];
        peer.read_exact(&mut packet).expect("a packet comes");
        (header[0], packet)
    });
    assert!(!tsql(bench, &address, encryption, "exit\n").is_content(), "nobody answered");
    let (kind, packet) = server.join().expect("tsql asked");
    // A list of options: token, offset, length; 1 is ENCRYPTION. MS-TDS 2.2.6.5.
    let options = packet.chunks(5).take_while(|option| option[0] != 0xff);
    let option = options.into_iter().find(|option| option[0] == 1).expect("encryption is an option");
    let offset = usize::from(u16::from_be_bytes([option[1], option[2]]));
    assert_eq!((kind, packet[offset]), (0x12, octet));
}

/// A case for one server and one client.
fn control(
    server: &'static Server,
    client: &'static str,
    what: &str,
    run: impl FnOnce(&Bench, &Running) + Send + 'static,
) -> Case {
    let name = format!("{} with {client}: {what}", server.name);
    Case::new(name, move |bench| run(bench, bench.server(server))).uses(client).talks_to(&[server])
}

/// A server, its service, and what `s_client` and `gnutls-cli` call its protocol.
const HANDSHAKES: &[(&Server, &str, &str)] = &[
    (&POSTFIX, "smtp", "smtp"),
    (&AIOSMTPD, "smtp", "smtp"),
    (&AIOSMTPD, "smtp-required", "smtp"),
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
];

const NOT_FOR_GNUTLS: &[&str] = &["xmpp-server", "mysql"];
