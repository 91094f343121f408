//! Positive controls: each server with a client that is not ours either.
//!
//! They prove that a server runs and offers TLS, and that a client can be content with a server. A case of ours that
//! fails while its controls pass is a failure of ours.

use std::io::Read;
use std::net::TcpListener;

use crate::Case;
use crate::bench::Bench;
use crate::clients::{
    self, Encryption, curl, gnutls_cli, go_sendxmpp, ldapsearch, lftp, mariadb, posttls_finger, psql, python, s_client,
    sieve_connect, swaks, tsql,
};
use crate::servers::aiosmtpd::AIOSMTPD;
use crate::servers::dovecot::DOVECOT;
use crate::servers::exim::{self, EXIM};
use crate::servers::inn::{self, INN};
use crate::servers::inspircd::INSPIRCD;
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
    cases.extend(talk_and_queries());
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
        control(&EXIM, "swaks", "a letter arrives", |bench, exim| {
            swaks(bench, &exim.address("smtp"), "from swaks", &[]).with("250 OK id=");
            exim.await_file(&exim::mailbox(exim), "Subject: from swaks");
        }),
        control(&POSTFIX, "exim4", "a letter", |bench, postfix| {
            clients::exim(bench, &postfix.address("smtp"), "from exim").with("CV=yes");
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
        control(&DOVECOT, "sieve-connect", "log-in, sieve", |bench, dovecot| {
            sieve_connect(bench, &dovecot.address("sieve")).with("Listscripts completed");
        }),
    ]
}

fn files() -> Vec<Case> {
    let mut cases = Vec::new();
    for (server, home) in [(&PROFTPD, proftpd::home as fn(&Running) -> _), (&PURE_FTPD, pure_ftpd::home)] {
        cases.extend(CURL_WAYS.map(|(how, options)| curl_fetches(server, how, options)));
        cases.extend(LFTP_WAYS.map(|(how, settings)| lftp_fetches(server, "ftp", how, settings)));
        cases.push(control(server, "curl", "an upload", move |bench, ftpd| {
            let options = ["--user", "onion:peel", "--upload-file", "-"];
            curl(bench, "ftp", &ftpd.address("ftp"), "from-curl", &options, "onion").with("226");
            assert_eq!(std::fs::read_to_string(home(ftpd).join("from-curl")).expect("it is there"), "onion");
        }));
        for what in ["ftp", "ftp-ccc"] {
            cases.push(control(server, "python3", &format!("ftplib, {what}"), move |bench, ftpd| {
                python(bench, what, &ftpd.address("ftp")).with("content");
            }));
        }
    }
    // Not with Pure-FTPd: it sends its close_notify and waits for an answer, which curl does not give when it waits for
    // the server. CCC of lftp is in no case: it takes a close_notify for the end of the connection if it comes in time.
    let options = ["--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", "passive"];
    cases.push(curl_fetches(&PROFTPD, "CCC, the server stops first", &options));
    cases.push(lftp_fetches(&PROFTPD, "ftp-resumed", "the session must be resumed", &[]));
    cases
}

fn curl_fetches(server: &'static Server, how: &str, options: &[&'static str]) -> Case {
    let options = [&["--user", "onion:peel"], options].concat();
    control(server, "curl", &format!("a file, {how}"), move |bench, ftpd| {
        curl(bench, "ftp", &ftpd.address("ftp"), "large", &options, "").with(&large_file());
    })
}

fn lftp_fetches(server: &'static Server, service: &'static str, how: &str, settings: &[&'static str]) -> Case {
    let settings = settings.to_vec();
    control(server, "lftp", &format!("a file, {how}"), move |bench, ftpd| {
        lftp(bench, &ftpd.address(service), &settings, "cat large").with(&large_file());
    })
}

fn large_file() -> String {
    String::from_utf8(ftp_file(FTP_FILES[2].1)).expect("it is text")
}

const CURL_WAYS: [(&str, &[&str]); 4] = [
    ("all over TLS", &[]),
    ("data in clear", &["--ftp-ssl-control"]),
    // curl 7.88 never starts TLS on a data connection that the server has made.
    ("data in clear, the server connects", &["--ftp-ssl-control", "--ftp-port", "127.0.0.1"]),
    ("CCC, curl stops first", &["--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", "active"]),
];

const LFTP_WAYS: [(&str, &[&str]); 2] = [("all over TLS", &[]), ("data in clear", &["ftp:ssl-protect-data no"])];

fn talk_and_queries() -> Vec<Case> {
    let mut cases = vec![
        control(&SLAPD, "ldapsearch", "bind and search", |bench, slapd| {
            ldapsearch(bench, &slapd.address("ldap"), "(uid=onion)").with("cn: Onion");
        }),
        control(&PROSODY, "go-sendxmpp", "log-in, a message", |bench, prosody| {
            go_sendxmpp(bench, &prosody.address("xmpp"), "peel me").with("<body>peel me</body>");
        }),
        control(&INN, "python3", "nntplib", |bench, inn| {
            python(bench, "nntp", &inn.address("nntp")).with(&format!("group {}", inn::GROUP));
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
    (&EXIM, "smtp", "smtp"),
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
    (&INN, "nntp", "nntp"),
    (&INSPIRCD, "irc", "irc"),
    (&POSTGRESQL, "postgresql", "postgres"),
    (&MARIADB, "mysql", "mysql"),
];

const NOT_FOR_GNUTLS: &[&str] = &["irc", "xmpp", "xmpp-server", "mysql"];
