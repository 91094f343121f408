//! Our client asks, a server of somebody else answers.

use onionskin::Connection;
use onionskin::endpoint::{Connector, OpenError};
use onionskin::runtime::Socket;
use onionskin::tls::TlsFacts;

use crate::Case;
use crate::bench::{Bench, run, runtime};
use crate::servers::aiosmtpd::AIOSMTPD;
use crate::servers::dovecot::DOVECOT;
use crate::servers::exim::EXIM;
use crate::servers::inn::INN;
use crate::servers::inspircd::INSPIRCD;
use crate::servers::mariadb::MARIADB;
use crate::servers::place::Running;
use crate::servers::postfix::POSTFIX;
use crate::servers::postgresql::POSTGRESQL;
use crate::servers::proftpd::PROFTPD;
use crate::servers::prosody::PROSODY;
use crate::servers::pure_ftpd::PURE_FTPD;
use crate::servers::slapd::SLAPD;
use crate::servers::{NAME, Server};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for service in SERVICES {
        for version in service.versions {
            cases.push(service.case(&format!("TLS {version}"), move |bench, running| {
                talks(bench, running, service, version);
            }));
        }
        let name_is_another = service.case("the name is another, and then it is right", move |bench, running| {
            let error = connect(bench, running, service, "other.example", "1.2").expect_err("the name is another");
            assert!(error.connection_error().is_some_and(onionskin::connection::Error::is_certificate), "{error}");
            connect(bench, running, service, NAME, "1.2").expect("the name is right");
        });
        cases.push(name_is_another.named(&format!("as in TLS {}", service.versions.join(" and "))));
    }
    cases.push(
        Case::new("our client with aiosmtpd: STARTTLS inside STARTTLS", |bench| nests(bench, bench.server(&AIOSMTPD)))
            .talks_to(&[&AIOSMTPD]),
    );
    cases
}

/// What a server does behind STARTTLS, and what is said to see that it does.
struct Service {
    server: &'static Server,
    service: &'static str,
    protocol: &'static str,
    versions: &'static [&'static str],
    says: &'static [u8],
    hears: &'static str,
}

impl Service {
    fn case(&'static self, what: &str, run: impl FnOnce(&Bench, &Running) + Send + 'static) -> Case {
        let name = format!("our client with {}: {}, {what}", self.server.name, self.service);
        Case::new(name, move |bench| run(bench, bench.server(self.server))).talks_to(&[self.server])
    }
}

fn connect(
    bench: &Bench,
    running: &Running,
    service: &Service,
    name: &str,
    version: &str,
) -> Result<Connection<Socket>, OpenError> {
    let (address, ca) = (running.address(service.service), bench.ca());
    let step = format!("starttls:{}:name={NAME}:sni={name}:ca={}:max={version}", service.protocol, ca.display());
    let endpoint = format!("tcp:{address}+{step}").parse().expect("it is an endpoint");
    run(async { Connector::new(runtime(), &endpoint)?.connect().await })
}

/// Says something inside TLS, and hears that it was understood.
fn talks(bench: &Bench, running: &Running, service: &Service, version: &str) {
    let mut conn = connect(bench, running, service, NAME, version).unwrap_or_else(|error| panic!("{error}"));
    let layers = conn.layers();
    let versions: Vec<_> = layers.tls().map(TlsFacts::version_name).collect();
    assert_eq!(versions, [format!("TLSv{version}")]);
    run(async {
        // Who refuses us may have hung up by now; what it said before can still be read.
        let _ = conn.send_all(service.says).await;
        hear(&mut conn, service.hears).await;
    });
}

/// Reads until `text` has come.
async fn hear(conn: &mut Connection<Socket>, text: &str) {
    use futures::io::AsyncReadExt;
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains(text) {
        let count = conn.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{text:?} was expected, not: {}", heard.escape_ascii());
        heard.extend_from_slice(&buffer[..count]);
    }
}

/// The server does not offer STARTTLS inside TLS, but when it is asked for it, it means it.
fn nests(bench: &Bench, aiosmtpd: &Running) {
    let service = SERVICES.iter().find(|service| service.server.name == "aiosmtpd").expect("it is in the table");
    let mut conn = connect(bench, aiosmtpd, service, NAME, "1.3").unwrap_or_else(|error| panic!("{error}"));
    let client = bench.authority().client(crate::common::BOTH);
    run(async {
        conn.send_all(b"EHLO client.example\r\n").await.unwrap();
        hear(&mut conn, "250 HELP\r\n").await;
        conn.write_line("STARTTLS").await.unwrap();
        hear(&mut conn, "220 Ready to start TLS\r\n").await;
        conn.start_tls(client.to(NAME).unwrap()).await.unwrap();
        assert_eq!(conn.layers().tls().count(), 2);
        conn.send_all(service.says).await.unwrap();
        hear(&mut conn, service.hears).await;
    });
}

const BOTH: &[&str] = &["1.2", "1.3"];

const SERVICES: &[Service] = &[
    Service { server: &POSTFIX, service: "smtp", protocol: "smtp", versions: BOTH, says: b"NOOP\r\n", hears: "250 " },
    Service { server: &EXIM, service: "smtp", protocol: "smtp", versions: BOTH, says: b"NOOP\r\n", hears: "250 " },
    Service {
        server: &AIOSMTPD,
        service: "smtp",
        protocol: "smtp",
        versions: BOTH,
        says: b"EHLO client.example\r\n",
        hears: "250 ",
    },
    Service {
        server: &DOVECOT,
        service: "submission",
        protocol: "smtp",
        versions: BOTH,
        says: b"EHLO client.example\r\n",
        hears: "AUTH PLAIN",
    },
    Service {
        server: &DOVECOT,
        service: "lmtp",
        protocol: "lmtp",
        versions: BOTH,
        says: b"LHLO client.example\r\nMAIL FROM:<a@client.example>\r\n",
        hears: "250 2.1.0",
    },
    Service {
        server: &DOVECOT,
        service: "imap",
        protocol: "imap",
        versions: BOTH,
        says: b"1 LOGIN onion peel\r\n",
        hears: "1 OK",
    },
    Service {
        server: &DOVECOT,
        service: "pop3",
        protocol: "pop3",
        versions: BOTH,
        says: b"USER onion\r\nPASS peel\r\nSTAT\r\n",
        hears: "+OK Logged in",
    },
    Service {
        server: &DOVECOT,
        service: "sieve",
        protocol: "sieve",
        versions: BOTH,
        says: b"AUTHENTICATE \"PLAIN\" \"AG9uaW9uAHBlZWw=\"\r\n",
        hears: "OK \"Logged in",
    },
    Service {
        server: &INN,
        service: "nntp",
        protocol: "nntp",
        versions: BOTH,
        says: b"GROUP onion.test\r\n",
        hears: "211 0 ",
    },
    // What was asked for before TLS is still open.
    Service {
        server: &INSPIRCD,
        service: "irc",
        protocol: "irc",
        versions: &["1.2"],
        says: b"CAP END\r\nNICK onion12\r\nUSER onion 0 * :onion\r\n",
        hears: " 001 onion12 :",
    },
    // A name of its own, because both may be there at the same time.
    Service {
        server: &INSPIRCD,
        service: "irc",
        protocol: "irc",
        versions: &["1.3"],
        says: b"CAP END\r\nNICK onion13\r\nUSER onion 0 * :onion\r\n",
        hears: " 001 onion13 :",
    },
    Service {
        server: &PROFTPD,
        service: "ftp",
        protocol: "ftp",
        versions: BOTH,
        says: b"USER onion\r\nPASS peel\r\n",
        hears: "230 ",
    },
    Service {
        server: &PURE_FTPD,
        service: "ftp",
        protocol: "ftp",
        versions: BOTH,
        says: b"USER onion\r\nPASS peel\r\n",
        hears: "230 ",
    },
    // An anonymous bind, and the answer that says success.
    Service {
        server: &SLAPD,
        service: "ldap",
        protocol: "ldap",
        versions: BOTH,
        says: b"\x30\x0c\x02\x01\x02\x60\x07\x02\x01\x03\x04\x00\x80\x00",
        hears: "\x02\x01\x02\x61\x07\x0a\x01\0",
    },
    Service {
        server: &PROSODY,
        service: "xmpp",
        protocol: "xmpp",
        versions: BOTH,
        says: b"<?xml version='1.0'?><stream:stream to='onion.test' xmlns='jabber:client' \
                xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
        hears: "<mechanism>PLAIN</mechanism>",
    },
    Service {
        server: &PROSODY,
        service: "xmpp-server",
        protocol: "xmpp-server",
        versions: BOTH,
        says: b"<?xml version='1.0'?><stream:stream to='onion.test' xmlns='jabber:server' \
                xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
        hears: "<stream:features",
    },
    // The startup message of protocol 3.0, and the request for a password.
    Service {
        server: &POSTGRESQL,
        service: "postgresql",
        protocol: "postgres",
        versions: BOTH,
        says: b"\0\0\0\x26\0\x03\0\0user\0onion\0database\0postgres\0\0",
        hears: "SCRAM-SHA-256",
    },
    // A log-in with another proof than the password's.
    Service {
        server: &MARIADB,
        service: "mysql",
        protocol: "mysql",
        versions: BOTH,
        says: b"Q\0\0\x02\0\x8a\x08\0\0\0\0\x01!\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0onion\0\x14xxxxxxxxxxxxxxxxxxxxmysql_native_password\0",
        hears: "Access denied for user 'onion'",
    },
];
