//! XMPP, both kinds of it.

use onionskin::starttls::{ErrorKind, Negotiate, Xmpp};
use onionskin::testing::{Cut, Pair};

use crate::common::BOTH;
use crate::subject::{Client, Server, Subject};

pub(crate) const CLIENT_TO_SERVER: Subject = Subject {
    peer: || Box::new(Xmpp::client_to_server("xmpp.example")),
    versions: BOTH,
    servers: SERVERS,
    clients: CLIENTS,
    never_early: None,
};

pub(crate) const SERVER_TO_SERVER: Subject = Subject {
    peer: || Box::new(Xmpp::server_to_server("xmpp.example").claiming("o'neill.example")),
    versions: BOTH,
    servers: SERVERS,
    clients: CLIENTS,
    never_early: None,
};

#[test]
fn a_domain_stays_within_its_quotes() {
    let mut pair = Pair::new(Cut::Whole);
    let peer = Xmpp::client_to_server("a'/><b x=\"&\r\n").claiming("<b>@a");
    pair.left.splice(Negotiate::without_tls(&peer));
    pair.right.splice(Negotiate::without_tls(&peer));
    pair.run();
    let said = String::from_utf8(pair.left.sent().to_vec()).unwrap();
    assert!(said.contains(" to='a&apos;/&gt;&lt;b x=&quot;&amp;' from='&lt;b&gt;@a'>"), "{said}");
}

#[test]
fn white_space_between_elements_is_nothing() {
    let mut pair = Pair::new(Cut::Bytes);
    pair.left.splice(Negotiate::without_tls(Xmpp::client_to_server("a")));
    pair.run();
    pair.left.inject(b"<?xml version='1.0'?>\r\n<stream:stream version='1.0' ");
    pair.left.inject(b"xmlns:stream='http://etherx.jabber.org/streams'>\n \n<stream:features>\n ");
    pair.left.inject(b"<t:starttls xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'/>&amp;</stream:features>");
    pair.run();
    pair.left.inject(b" \n\t<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls' a='&lt;>'></proceed > behind");
    pair.run();
    assert_eq!(pair.left.stack.depth(), 0);
    assert_eq!(pair.left.read(), b" behind", "not a byte behind the go-ahead is taken");
}

const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream from='xmpp.example' id='1' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const FEATURES: &[u8] = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";

const SERVERS: &[Server] = &[
    Server {
        what: "no features, as it is of old",
        says: &[b"<s:stream from='xmpp.example' id='1' xmlns:s='http://etherx.jabber.org/streams'>"],
        error: ErrorKind::NotOffered,
    },
    Server { what: "no feature", says: &[HEADER, b"<stream:features/>"], error: ErrorKind::NotOffered },
    Server {
        what: "the word in another namespace",
        says: &[HEADER, b"<stream:features><starttls/><x xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "the word one level too deep",
        says: &[
            HEADER,
            b"<stream:features><x><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></x></stream:features>",
        ],
        error: ErrorKind::NotOffered,
    },
    Server {
        what: "a refusal",
        says: &[HEADER, FEATURES, b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"],
        error: ErrorKind::Refused,
    },
    Server {
        what: "an error in place of features",
        says: &[HEADER, b"<stream:error><host-unknown/></stream:error>"],
        error: ErrorKind::Refused,
    },
    Server { what: "a farewell", says: &[HEADER, FEATURES, b"</stream:stream>"], error: ErrorKind::Refused },
    Server {
        what: "an early go-ahead",
        says: &[
            HEADER,
            b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>\
                <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        ],
        error: ErrorKind::OutOfTurn,
    },
    Server { what: "no stream", says: &[b"<html>"], error: ErrorKind::Malformed },
    Server { what: "another stream", says: &[b"<stream:stream xmlns:stream='a'>"], error: ErrorKind::Malformed },
    Server { what: "a prefix that is not declared", says: &[b"<stream:stream>"], error: ErrorKind::Malformed },
    Server {
        what: "a go-ahead in no namespace",
        says: &[HEADER, FEATURES, b"<proceed/>"],
        error: ErrorKind::Malformed,
    },
    Server { what: "tags that do not match", says: &[HEADER, b"<stream:features></a>"], error: ErrorKind::Malformed },
    Server { what: "an end of something else", says: &[HEADER, b"</stream:features>"], error: ErrorKind::Malformed },
    Server { what: "an attribute twice", says: &[HEADER, b"<a b='' b=''/>"], error: ErrorKind::Malformed },
    Server { what: "text between elements", says: &[HEADER, b"220 ready\r\n"], error: ErrorKind::Malformed },
    Server { what: "a comment", says: &[HEADER, b"<!-- a -->"], error: ErrorKind::Malformed },
    Server { what: "a comment inside", says: &[HEADER, b"<a><!-- a --></a>"], error: ErrorKind::Malformed },
    Server { what: "CDATA", says: &[HEADER, b"<a><![CDATA[a]]></a>"], error: ErrorKind::Malformed },
    Server { what: "an instruction", says: &[HEADER, b"<?php a ?>"], error: ErrorKind::Malformed },
    Server { what: "a second declaration", says: &[HEADER, b"<?xml version='1.0'?>"], error: ErrorKind::Malformed },
    Server { what: "a DTD", says: &[b"<!DOCTYPE a [<!ENTITY b 'c'>]>"], error: ErrorKind::Malformed },
    Server { what: "an entity", says: &[HEADER, b"<a>&b;</a>"], error: ErrorKind::Malformed },
    Server { what: "an entity in an attribute", says: &[HEADER, b"<a c='&b;'/>"], error: ErrorKind::Malformed },
    Server {
        what: "much depth",
        says: &[HEADER, b"<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>"],
        error: ErrorKind::Malformed,
    },
    Server { what: "a name without end", says: &[HEADER, &LONG], error: ErrorKind::TooLong },
    Server { what: "what is no text", says: &[HEADER, b"<a>\xff</a>"], error: ErrorKind::Malformed },
    Server { what: "something else", says: &[b"220 mail.example\r\n"], error: ErrorKind::Malformed },
];

const LONG: [u8; 8192] = {
    let mut long = [b'a'; 8192];
    long[0] = b'<';
    long
};

const CLIENTS: &[Client] = &[
    Client {
        what: "features",
        says: &[b"<s:stream to='xmpp.example' version='1.0' from='a@&lt;' xmlns:s='http://etherx.jabber.org/streams'>"],
        hears: b"<?xml version='1.0'?><stream:stream xmlns='jabber:",
        error: None,
    },
    Client {
        what: "a password in clear",
        says: &[HEADER, b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AAAA</auth>"],
        hears: b"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream",
        error: Some(ErrorKind::NotAsked),
    },
    Client {
        what: "a request in another namespace",
        says: &[HEADER, b"<starttls/>"],
        hears: b"<stream:error><policy-violation",
        error: Some(ErrorKind::NotAsked),
    },
    Client {
        what: "a farewell",
        says: &[HEADER, b"</stream:stream >"],
        hears: b"</stream:stream>",
        error: Some(ErrorKind::NotAsked),
    },
    Client { what: "a DTD", says: &[b"<!DOCTYPE a>"], hears: b"", error: Some(ErrorKind::Malformed) },
    Client { what: "a name without end", says: &[HEADER, &LONG], hears: b"", error: Some(ErrorKind::TooLong) },
    Client { what: "a web browser", says: &[b"GET / HTTP/1.1\r\n"], hears: b"", error: Some(ErrorKind::Malformed) },
];
