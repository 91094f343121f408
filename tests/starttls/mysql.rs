//! MySQL and MariaDB.

use onionskin::starttls::{ErrorKind, Mysql, Negotiate};
use onionskin::testing::Cut;
use onionskin::tls::Version;

use crate::common::BOTH;
use crate::common::link::{Case, Link, text};
use crate::subject::{Client, Server, Subject};

pub(crate) const SUBJECT: Subject = Subject {
    peer: || Box::new(Mysql::new()),
    versions: BOTH,
    servers: SERVERS,
    clients: CLIENTS,
    never_early: Some("all that the server says is its greeting"),
};

#[test]
fn both_sides_know_the_greeting() {
    let mut link = Link::new(Case { cut: Cut::Bytes, version: Version::Tls13, depth: 1, padded: false });
    let client = Mysql::new().capabilities(1 << 19 | 1 << 28);
    let server = Mysql::new()
        .version("5.7.0-onion\0hidden")
        .connection_id(77)
        .scramble(*b"a scramble of twenty")
        .auth_plugin("x");
    let (at_client, at_server) = (client.seen(), server.seen());
    assert!(at_client.greeting().is_none() && at_server.greeting().is_none());
    let (left, right) = (link.client_layer(), link.server_layer());
    link.left.splice(Negotiate::new(client, left));
    link.right.splice(Negotiate::new(server, right));
    link.run();
    link.talk();
    let greeting = at_client.greeting().unwrap();
    assert_eq!(Some(&greeting), at_server.greeting().as_ref());
    assert_eq!(text(greeting.version()), "5.7.0-onion");
    assert_eq!(greeting.connection_id(), 77);
    assert_eq!(text(greeting.scramble()), "a scramble of twenty");
    assert_eq!(text(greeting.auth_plugin()), "x");
    assert_eq!((greeting.character_set(), greeting.status()), (45, 2));
    // What both can do: the client's 1 << 28 the server has not.
    let claimed = u32::from_le_bytes(*link.left.sent()[4..].first_chunk().unwrap());
    assert_eq!(claimed, 1 << 9 | 1 << 11 | 1 << 15 | 1 << 19);
}

#[test]
fn a_scramble_is_drawn_anew_for_each_start() {
    let server = Mysql::new();
    let scrambles = [(); 2].map(|()| {
        let mut link = Link::new(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
        let layer = link.server_layer();
        link.right.splice(Negotiate::new(&server, layer));
        link.run();
        server.seen().greeting().unwrap().scramble().to_vec()
    });
    assert_eq!(scrambles.each_ref().map(Vec::len), [20, 20]);
    assert!(scrambles.iter().flatten().all(|byte| (b'0'..b'p').contains(byte)));
    assert_ne!(scrambles[0], scrambles[1]);
}

#[test]
fn the_greeting_of_a_server_that_is_used_in_clear_is_left_for_the_application() {
    let mut link = Link::new(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
    let layer = link.client_layer();
    link.left.splice(Negotiate::new(Mysql::new(), layer).opportunistic());
    link.left.inject(WITHOUT_TLS);
    link.run();
    link.left.pass_end().unwrap();
    assert_eq!(text(&link.left.read()), text(WITHOUT_TLS));
}

const WITHOUT_TLS: &[u8] = b"\x50\0\0\0\x0a5.5.5-10.11.6\0\x01\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\x0f\0\x15\
    \0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password";

const SERVERS: &[Server] = &[
    Server { what: "no TLS", says: &[WITHOUT_TLS], error: ErrorKind::NotOffered },
    Server {
        what: "no TLS, as it is of old",
        says: &[b"\x18\0\0\0\x0a4.0.0\0\x01\0\0\0abcdefgh\0\x2c\0\x08\x02"],
        error: ErrorKind::NotOffered,
    },
    Server { what: "no service", says: &[b"\x17\0\0\0\xff\x10\x04Too many connections"], error: ErrorKind::Refused },
    Server { what: "no service, in number 1", says: &[b"\x03\0\0\x01\xff\x10\x04"], error: ErrorKind::Refused },
    Server { what: "another protocol", says: &[b"\x02\0\0\0\x09a"], error: ErrorKind::Malformed },
    Server { what: "another number", says: &[b"\x02\0\0\x01\x0aa"], error: ErrorKind::Malformed },
    Server { what: "half a greeting", says: &[b"\x06\0\0\0\x0a8.0.0"], error: ErrorKind::Malformed },
    Server {
        what: "a scramble that is not there",
        says: &[b"\x2a\0\0\0\x0a8.0.0\0\x01\0\0\0abcdefgh\0\xff\xff\x2d\x02\0\x0f\0\xff\0\0\0\0\0\0\0\0\0\0ijkl"],
        error: ErrorKind::Malformed,
    },
    Server { what: "an empty packet", says: &[b"\0\0\0\0"], error: ErrorKind::Malformed },
    Server { what: "the longest packet", says: &[b"\xff\xff\xff\0"], error: ErrorKind::TooLong },
    Server { what: "something else", says: &[b"220 mail.example\r\n"], error: ErrorKind::TooLong },
];

const CLIENTS: &[Client] = &[
    Client {
        what: "a login in clear",
        says: &[b"\x2a\0\0\x01\x05\xa6\x08\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0onion\0abcd"],
        hears: b"\x18\0\0\x02\xff\x57\x0c#HY000TLS is required",
        error: Some(ErrorKind::NotAsked),
    },
    Client {
        what: "a login in clear with the flag for TLS",
        says: &[b"\x2a\0\0\x01\x05\xae\x08\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0onion\0abcd"],
        hears: b"",
        error: Some(ErrorKind::Malformed),
    },
    Client {
        what: "the wrong number",
        says: &[b"\x20\0\0\0\x05\xae\x08\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"],
        hears: b"",
        error: Some(ErrorKind::Malformed),
    },
    Client { what: "half a request", says: &[b"\x02\0\0\x01\0\x08"], hears: b"", error: Some(ErrorKind::Malformed) },
    Client { what: "a long packet", says: &[b"\x01\x40\0\x01"], hears: b"", error: Some(ErrorKind::TooLong) },
    Client { what: "a web browser", says: &[b"GET / HTTP/1.1\r\n"], hears: b"", error: Some(ErrorKind::TooLong) },
];
