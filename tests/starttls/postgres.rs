//! PostgreSQL.

use onionskin::stack::Event;
use onionskin::starttls::{Error, ErrorKind, Negotiate, Postgres};
use onionskin::testing::Cut;
use onionskin::tls::{TlsLayer, TlsServer, Version};

use crate::common::link::{Case, Link, NAME, text};
use crate::common::{Authority, BOTH};
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject = Subject {
    peer: || Box::new(Postgres::new()),
    versions: BOTH,
    servers: SERVERS,
    clients: CLIENTS,
    never_early: None,
};

const SERVERS: &[Server] = &[
    Server { what: "no TLS", says: &[b"N"], error: ErrorKind::Refused },
    Server { what: "an ancient one", says: &[b"EFATAL:  unsupported protocol\0"], error: ErrorKind::Refused },
    Server { what: "an error of today", says: &[b"E\0\0\0\x0aSFATAL\0\0"], error: ErrorKind::Refused },
    Server { what: "a small s", says: &[b"s"], error: ErrorKind::Malformed },
    Server { what: "something else", says: &[b"220 mail.example\r\n"], error: ErrorKind::Malformed },
];

const CLIENTS: &[Client] = &[
    Client { what: "Kerberos first", says: &[b"\0\0\0\x08\x04\xd2\x16\x30"], hears: b"N", error: None },
    Client {
        what: "Kerberos, then TLS",
        says: &[b"\0\0\0\x08\x04\xd2\x16\x30", b"\0\0\0\x08\x04\xd2\x16\x2f"],
        hears: b"S",
        error: None,
    },
    Client {
        what: "a StartupMessage in clear",
        says: &[b"\0\0\0\x13\0\x03\0\0user\0onion\0\0"],
        hears: b"E\0\0\0\x42SFATAL\0VFATAL\0C28000\0M",
        error: Some(ErrorKind::NotAsked),
    },
    Client {
        what: "a StartupMessage behind Kerberos",
        says: &[b"\0\0\0\x08\x04\xd2\x16\x30", b"\0\0\0\x13\0\x03\0\0user\0onion\0\0"],
        hears: b"E",
        error: Some(ErrorKind::NotAsked),
    },
    Client { what: "a CancelRequest in clear", says: &[CANCEL], hears: b"", error: Some(ErrorKind::Cancel) },
    Client {
        what: "a CancelRequest without a key",
        says: &[b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\x01"],
        hears: b"E",
        error: Some(ErrorKind::NotAsked),
    },
    Client {
        what: "SSLRequest with more in it",
        says: &[b"\0\0\0\x09\x04\xd2\x16\x2f\0"],
        hears: b"E",
        error: Some(ErrorKind::NotAsked),
    },
    Client { what: "a length too small", says: &[b"\0\0\0\x07"], hears: b"", error: Some(ErrorKind::Malformed) },
    Client { what: "a length too large", says: &[b"\0\0\x27\x11"], hears: b"", error: Some(ErrorKind::TooLong) },
    Client { what: "the largest length", says: &[b"\xff\xff\xff\xff"], hears: b"", error: Some(ErrorKind::TooLong) },
    Client { what: "a word, which is a length", says: &[b"EHLO"], hears: b"", error: Some(ErrorKind::TooLong) },
];

const CANCEL: &[u8] = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02";
const NO_KERBEROS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";

fn case(cut: Cut) -> Case {
    Case { cut, version: Version::Tls13, depth: 1, padded: false }
}

/// A CancelRequest of this length.
fn cancel(len: usize) -> Vec<u8> {
    let mut request = [&(len as u32).to_be_bytes(), &CANCEL[4..12]].concat();
    request.resize(len, b'k');
    request
}

#[test]
fn a_cancel_request_is_answered_with_nothing_and_not_quoted() {
    for len in [16, 44, 268] {
        let mut link = Link::new(case(Cut::Bytes));
        SUBJECT.right_is_asked(&mut link);
        link.right.inject(&cancel(len));
        link.run();
        assert_eq!(text(link.right.sent()), "", "nobody reads an answer");
        let reason = link.right.lost().unwrap().clone();
        assert_eq!(Error::of(&reason).unwrap().kind(), ErrorKind::Cancel);
        assert!(!reason.to_string().contains("kkk"), "{reason}");
    }
    // One byte more than a key may have is something else.
    let mut link = Link::new(case(Cut::Whole));
    SUBJECT.right_is_asked(&mut link);
    link.right.inject(&cancel(269));
    link.run();
    assert_eq!(Error::of(link.right.lost().unwrap()).unwrap().kind(), ErrorKind::NotAsked);
}

#[test]
fn a_server_that_accepts_it_reads_the_cancel_request_in_clear() {
    for cut in [Cut::Whole, Cut::Bytes] {
        for (first, len) in [(&b""[..], 16), (b"", 44), (b"", 268), (NO_KERBEROS, 16)] {
            let mut link = Link::new(case(cut));
            let negotiate = Negotiate::new(Postgres::new().accept_cancel(), link.server_layer());
            let id = link.right.splice(negotiate);
            link.right.inject(&[first, &cancel(len)].concat());
            link.run();
            let events = link.right.events();
            let [Event::Failed { layer, error, .. }] = &events[..] else { panic!("{events:?}") };
            assert_eq!((*layer, Error::of(error).unwrap().kind()), (id, ErrorKind::Cancel));
            assert_eq!(link.right.pass_end().unwrap(), id);
            assert_eq!(text(&link.right.read()), text(&cancel(len)));
            assert_eq!(text(link.right.sent()), if first.is_empty() { "" } else { "N" });
            assert!(link.right.lost().is_none());
        }
        // Nothing else gets by in clear.
        for other in
            [&b"\0\0\0\x13\0\x03\0\0user\0onion\0\0"[..], &cancel(269), b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\x01"]
        {
            let mut link = Link::new(case(cut));
            let negotiate = Negotiate::new(Postgres::new().accept_cancel(), link.server_layer());
            link.right.splice(negotiate);
            link.right.inject(other);
            link.run();
            crate::subject::assert_failed(&mut link.right, ErrorKind::NotAsked);
        }
    }
}

#[test]
fn a_client_that_begins_with_tls_is_taken_if_it_offers_the_protocol() {
    let authority = Authority::new();
    let client = |offered: &[&str]| -> TlsLayer {
        let client = onionskin::tls::TlsClient::builder(authority.roots()).alpn(offered).build().unwrap();
        client.to(NAME).unwrap()
    };
    let identity = authority.identity(NAME);
    let plain = TlsServer::new(identity.clone()).unwrap();
    let serving = TlsServer::builder(identity).alpn(["postgresql"]).build().unwrap();
    for cut in [Cut::Whole, Cut::Bytes] {
        for server in [&plain, &serving] {
            for (offered, is_taken) in
                [(&["postgresql"][..], true), (&["h2", "postgresql"], true), (&["h2"], false), (&[], false)]
            {
                let mut link = Link::new(case(cut));
                let right = link.right.splice(Negotiate::new(Postgres::new(), server.accept().unwrap()));
                link.left.splice(client(offered));
                link.run();
                if is_taken {
                    assert!(matches!(link.right.events()[..], [Event::Ready(id)] if id == right));
                    link.talk();
                    let facts = link.left.stack.layers().next().unwrap().1.details().join(", ");
                    assert!(facts.contains("postgresql"), "the protocol was agreed to: {facts}");
                    continue;
                }
                let reason = link.right.lost().unwrap().to_string();
                assert!(reason.contains("application protocols (ALPN)"), "{offered:?}: {reason}");
                assert_eq!(link.right.sent()[..7], [21, 3, 3, 0, 2, 2, 120], "no_application_protocol");
                let reason = link.left.lost().unwrap().to_string();
                assert!(reason.contains("ALPN"), "{offered:?}: {reason}");
            }
        }
    }
    // It must be the first that the client says.
    let mut link = Link::new(case(Cut::Whole));
    link.right.splice(Negotiate::new(Postgres::new(), plain.accept().unwrap()));
    link.right.inject(NO_KERBEROS);
    link.run();
    assert_eq!(link.left.read(), b"N");
    link.left.splice(client(&["postgresql"]));
    link.run();
    let reason = link.right.stack.lost().unwrap();
    assert_eq!(Error::of(reason).unwrap().kind(), ErrorKind::Malformed, "{reason}");
}
