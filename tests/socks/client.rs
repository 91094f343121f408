//! SOCKS5, who asks.

use std::collections::HashSet;

use onionskin::layer::opening::Opening;
use onionskin::runtime::Address;
use onionskin::testing::Cut;
use onionskin::tunnel::socks::{Offer, Socks5};
use onionskin::tunnel::{Credentials, Ender, ErrorKind};

use crate::{SECRET, assert_kind, assert_told, client, credentials, error, error_of, facts, target};

const METHOD: &[u8] = &[5, 0];
const LOGIN: &[u8] = &[5, 2];
const REPLY: &[u8] = &[5, 0, 0, 1, 192, 0, 2, 7, 0x1f, 0x90];

fn asks() -> Socks5 {
    Socks5::new(target("a.example:443")).by(target("proxy.example:1080"))
}

const GREETING: &[u8] = &[5, 1, 0];
const REQUEST: &[u8] = b"\x05\x01\x00\x03\x09a.example\x01\xbb";

/// What a client of this kind says when it is let through.
fn said(socks: Socks5, answers: &[&[u8]]) -> Vec<u8> {
    let mut pair = client(socks, answers);
    assert_eq!(pair.left.stack.depth(), 0, "it is through: {:?}", pair.left.lost());
    assert_eq!(pair.left.read(), b"");
    pair.left.sent().strip_suffix(SECRET).expect("the secret is last").to_vec()
}

#[test]
fn k1_only_what_is_configured_is_offered_and_in_that_order() {
    let with = |offer| asks().credentials_offered(credentials(), offer);
    for (socks, methods) in [
        (asks(), &[0][..]),
        (asks().credentials(credentials()), &[0, 2]),
        (with(Offer::LoginLast), &[0, 2]),
        (with(Offer::LoginFirst), &[2, 0]),
        (with(Offer::LoginOnly), &[2]),
    ] {
        let pair = client(socks, &[]);
        assert_eq!(pair.left.sent(), [&[5, methods.len() as u8], methods].concat());
    }
}

#[test]
fn k2_the_choice_must_be_one_that_was_offered_in_version_5() {
    let login_only = || asks().credentials_offered(credentials(), Offer::LoginOnly);
    let pair = client(asks(), &[&[5, 0xff]]);
    assert_kind(&pair.left, &ErrorKind::NoAcceptableMethod);
    assert!(error(&pair.left).is_auth() && pair.left.lost().unwrap().is_refused());
    for (socks, answer, sentence) in [
        (asks(), &[5, 2][..], "the proxy picks method 2, which was not offered"),
        (asks(), &[5, 1], "the proxy picks method 1, which was not offered"),
        // As pproxy 2.7.9 does: who asks that everybody logs in is not let in without.
        (login_only(), &[5, 0], "the proxy picks method 0, which was not offered"),
    ] {
        let pair = client(socks, &[answer]);
        assert_told(&pair.left, sentence);
        assert!(matches!(error(&pair.left).kind(), ErrorKind::Malformed(_)));
        assert_eq!(pair.left.sent().len(), 3, "nothing follows the greeting");
    }
    for (answer, first) in [(&[4, 0][..], &[4, 0][..]), (b"HTTP/1.1 400 Bad Request\r\n", b"HTTP/1.1 400 Bad")] {
        let pair = client(asks(), &[answer]);
        assert_kind(&pair.left, &ErrorKind::NotSpoken(first.to_vec()));
        assert!(pair.left.lost().unwrap().is_not_spoken());
    }
    // The control: each that was offered is taken.
    assert_eq!(said(asks(), &[METHOD, REPLY]), [GREETING, REQUEST].concat());
    let login = b"\x01\x05onion\x04peel";
    assert_eq!(said(login_only(), &[LOGIN, &[1, 0], REPLY]), [&[5, 1, 2], &login[..], REQUEST].concat());
    let either = asks().credentials(credentials());
    assert_eq!(said(either.clone(), &[METHOD, REPLY]), [&[5, 2, 0, 2], REQUEST].concat());
    assert_eq!(said(either, &[LOGIN, &[1, 0], REPLY]), [&[5, 2, 0, 2], &login[..], REQUEST].concat());
}

#[test]
fn k2_a_server_that_speaks_first_is_no_proxy() {
    let banner = b"SSH-2.0-OpenSSH_9.2p1\r\n";
    let mut pair = onionskin::testing::Pair::new(Cut::Whole);
    pair.left.inject(banner);
    pair.run();
    pair.left.splice(Opening::of(asks()));
    pair.run();
    assert_kind(&pair.left, &ErrorKind::NotSpoken(banner[..16].to_vec()));
    assert_eq!(pair.left.sent(), b"");
}

#[test]
fn k3_any_status_but_0_is_a_refusal() {
    let with = || asks().credentials(credentials());
    // As dante and microsocks say it, and the end behind it.
    for status in [1, 2, 255] {
        let pair = client(with(), &[LOGIN, &[1, status]]);
        assert_kind(&pair.left, &ErrorKind::AuthRejected);
        assert!(error(&pair.left).is_auth());
        assert!(!pair.left.sent().ends_with(REQUEST));
    }
    let pair = client(with(), &[LOGIN, &[5, 0]]);
    assert_told(&pair.left, "the answer to user and password has version 5, not 1");
    // The control, with all that there is room for.
    let longest = Credentials::new("u".repeat(255), "p".repeat(255)).unwrap();
    let login = [&[1, 255], &[b'u'; 255][..], &[255], &[b'p'; 255]].concat();
    let all = said(asks().credentials(longest), &[LOGIN, &[1, 0], REPLY]);
    assert_eq!(all, [&[5, 2, 0, 2], &login[..], REQUEST].concat());
}

#[test]
fn k3_an_empty_password_cannot_be_said() {
    let pair = client(asks().credentials(Credentials::new("onion", "").unwrap()), &[]);
    assert_told(&pair.left, "no room for an empty password");
    assert!(matches!(error(&pair.left).kind(), ErrorKind::Unaskable(_)));
    assert_eq!(pair.left.sent(), b"");
}

/// The request for this target.
fn request(target: Address) -> Vec<u8> {
    said(Socks5::new(target), &[METHOD, REPLY]).split_off(GREETING.len())
}

#[test]
fn k4_the_type_of_the_address_is_that_of_the_target() {
    assert_eq!(request(target("a.example:443")), REQUEST);
    assert_eq!(request(target("192.0.2.1:80")), [5, 1, 0, 1, 192, 0, 2, 1, 0, 80]);
    // A literal that was given as a name is not sent as one, whether the proxy could resolve it or not.
    let by_name = |host: &str| Address::Name { host: host.to_owned(), port: 80 };
    assert_eq!(request(by_name("192.0.2.1")), request(target("192.0.2.1:80")));
    assert_eq!(request(by_name("2001:db8::1")), request(target("[2001:db8::1]:80")));
}

#[test]
fn a2_an_ipv6_target_is_sixteen_bytes_and_has_no_zone() {
    let sixteen = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(request(target("[2001:db8::1]:65535")), [&[5, 1, 0, 4], &sixteen[..], &[255, 255]].concat());
    let zoned = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 3);
    let pair = client(Socks5::new(Address::Tcp(zoned.into())), &[]);
    assert_told(&pair.left, "the zone of an address means nothing to another machine");
    assert_eq!(pair.left.sent(), b"");
}

#[test]
fn a3_an_ipv4_address_inside_ipv6_stays_ipv6() {
    let sixteen = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
    assert_eq!(request(target("[::ffff:192.0.2.1]:80")), [&[5, 1, 0, 4], &sixteen[..], &[0, 80]].concat());
    let tail = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1];
    assert_eq!(request(target("[64:ff9b::192.0.2.1]:80")), [&[5, 1, 0, 4], &tail[..], &[0, 80]].concat());
}

#[test]
fn a4_a6_a7_a8_a9_what_is_no_target_is_not_asked_for_and_nothing_is_sent() {
    let by_name = |host: &str, port| Address::Name { host: host.to_owned(), port };
    let longest = format!("{}.{}", "a".repeat(63), "b.".repeat(94) + "c");
    for (target, sentence) in [
        (by_name(&"a".repeat(256), 1), "a name has at most 253 bytes"),
        (by_name(&format!("{longest}d"), 1), "a name has at most 253 bytes"),
        (by_name("a\0b", 1), "a name has letters"),
        (by_name("b\u{fc}cher.example", 1), "A-labels"),
        (by_name("a..example", 1), "nothing between two dots"),
        (by_name("a.example..", 1), "nothing between two dots"),
        (by_name(&"a".repeat(64), 1), "a label has at most 63 bytes"),
        (by_name("a.example", 0), "no port 0"),
        (target("192.0.2.1:1").as_tcp().map(|to| Address::Tcp((to.ip(), 0).into())).unwrap(), "at port 0"),
        (Address::Unix(Some("/run/a.sock".into())), "SOCKS leads to ports of TCP, not to unix /run/a.sock"),
    ] {
        let pair = client(Socks5::new(target), &[METHOD]);
        assert_told(&pair.left, sentence);
        assert!(matches!(error(&pair.left).kind(), ErrorKind::Unaskable(_)));
        assert_eq!(pair.left.sent(), b"");
    }
    // The control.
    for host in ["_srv.a.example", "a.example.", "xn--bcher-kva.example"] {
        let expected = [&[5, 1, 0, 3, host.len() as u8], host.as_bytes(), &[0, 1]].concat();
        assert_eq!(request(by_name(host, 1)), expected);
    }
    assert_eq!(request(by_name(&longest, 1)), [b"\x05\x01\x00\x03\xfd", longest.as_bytes(), &[0, 1]].concat());
}

#[test]
fn a12_user_and_password_are_shown_nowhere() {
    let socks = asks().credentials(Credentials::new("onion-user", "peel-password").unwrap());
    let mut shown = vec![format!("{socks:?}")];
    for answers in [&[LOGIN][..], &[LOGIN, &[1, 1]], &[LOGIN, &[1, 0], &[5, 2]], &[&[5, 0xff]], &[b"HTTP/1.1"]] {
        let pair = client(socks.clone(), answers);
        shown.push(format!("{:#}{:?}{:?}", pair.left.stack, pair.left.stack, pair.left.lost()));
    }
    for shown in shown {
        assert!(!shown.contains("onion-user") && !shown.contains("peel-password"), "{shown}");
    }
    // The control: they are said to the proxy, once.
    let pair = client(socks, &[LOGIN, &[1, 0], REPLY]);
    let sent = String::from_utf8_lossy(pair.left.sent()).into_owned();
    assert_eq!((sent.matches("onion-user").count(), sent.matches("peel-password").count()), (1, 1));
}

#[test]
fn a13_a_name_goes_to_the_proxy_as_it_was_given() {
    for name in ["A.Example", "a.example.", "_srv.a", "xn--bcher-kva.example"] {
        let said = request(Address::to_host(name, 443).unwrap());
        assert_eq!(said, [&[5, 1, 0, 3, name.len() as u8], name.as_bytes(), &[1, 0xbb]].concat());
    }
}

/// What a client knows when the proxy has granted with this address.
fn bound(address: &[u8]) -> Option<Address> {
    let mut pair = client(asks(), &[METHOD, &[&[5, 0, 0], address, b"behind it"].concat()]);
    assert_eq!(pair.left.read(), b"behind it", "{address:?}");
    facts::<Socks5>(&mut pair.left).bound().cloned()
}

#[test]
fn k5_k9_each_type_of_address_is_read_to_its_last_byte_and_kept() {
    let named = |name: &str| [&[3, name.len() as u8], name.as_bytes(), &[0x1f, 0x90]].concat();
    assert_eq!(bound(&[1, 192, 0, 2, 7, 0x1f, 0x90]), Some(target("192.0.2.7:8080")));
    assert_eq!(bound(&[1, 0, 0, 0, 0, 0, 0]), Some(Address::Tcp(([0, 0, 0, 0], 0).into())));
    let six = [&[4][..], &[0x20, 1, 0x0d, 0xb8], &[0; 11], &[1], &[0x1f, 0x90]].concat();
    assert_eq!(bound(&six), Some(target("[2001:db8::1]:8080")));
    assert_eq!(bound(&named("out.example")), Some(target("out.example:8080")));
    assert_eq!(bound(&named("192.0.2.7")), Some(target("192.0.2.7:8080")));
    // What is no name is skipped over.
    for odd in ["", "a b", "\u{fc}", &"x".repeat(255)] {
        assert_eq!(bound(&named(odd)), None, "{odd:?}");
    }
}

#[test]
fn k5_an_address_of_no_type_is_refused() {
    for other in [0, 2, 5, 255] {
        let pair = client(asks(), &[METHOD, &[5, 0, 0, other, 0, 0, 0, 0, 0, 0]]);
        assert_told(&pair.left, &format!("the reply has an address of type {other}"));
        assert!(matches!(error(&pair.left).kind(), ErrorKind::Malformed(_)));
    }
    let pair = client(asks(), &[METHOD, &[4, 0, 0, 1]]);
    assert_told(&pair.left, "the reply has version 4, not 5");
}

#[test]
fn k7_each_reply_is_an_error_of_its_own_that_says_who_has_refused() {
    let mut told = HashSet::new();
    for code in 1..=255u8 {
        let pair = client(asks(), &[METHOD, &[5, code, 0, 1, 0, 0, 0, 0, 0, 0]]);
        let error = error(&pair.left);
        let ErrorKind::Refused { by, code: found, reason, .. } = error.kind() else { panic!("{error}") };
        let expected = match code {
            2 | 7 | 8 => Ender::Proxy,
            3..=6 => Ender::Target,
            _ => Ender::Unknown,
        };
        assert_eq!((*by, *found), (expected, u16::from(code)), "{reason}");
        assert!(error.is_refused() && error.is_target() == (3..=6).contains(&code));
        assert_eq!(
            (error.target(), error.proxy()),
            (Some(&target("a.example:443")), Some(&target("proxy.example:1080")))
        );
        assert!(told.insert(error.to_string()), "{error}");
        assert!(pair.left.lost().unwrap().is_refused());
    }
    let refused = client(asks(), &[METHOD, &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]]);
    let sentence = "socks5 proxy tcp proxy.example:1080, asked for tcp a.example:443: the proxy cannot reach the target: 5 the connection was refused";
    assert_told(&refused.left, sentence);
}

#[test]
fn k7_a_refusal_is_shown_although_the_reply_is_cut() {
    // socksv5 ends it there; dante's has a name behind it.
    let dante = b"\x05\x04\x00\x03\x14unresolvable.invalid\x01\xbb";
    for reply in [&[5, 4][..], &[5, 4, 0], dante, &dante[..9]] {
        let mut pair = client(asks(), &[METHOD, reply]);
        pair.left.end_input();
        pair.run();
        assert!(matches!(error(&pair.left).kind(), ErrorKind::Refused { code: 4, by: Ender::Target, .. }));
    }
}

#[test]
fn k8_an_end_in_place_of_an_answer_names_what_was_to_come() {
    let with = || asks().credentials(credentials());
    let stages: [(&[&[u8]], &str); 5] = [
        (&[], "the choice of a method"),
        (&[LOGIN], "the answer to user and password"),
        (&[LOGIN, &[1, 0]], "the reply"),
        (&[METHOD], "the reply"),
        (&[METHOD, &[5, 0, 0]], "the end of the reply"),
    ];
    for (answers, stage) in stages {
        for is_reset in [false, true] {
            let mut pair = client(with(), answers);
            let now = pair.left.now();
            match is_reset {
                false => pair.left.end_input(),
                true => pair.left.stack.handle_error(now, std::io::ErrorKind::ConnectionReset.into()),
            }
            pair.run();
            let reason = pair.left.lost().unwrap();
            let error = error_of(reason);
            assert_eq!(error.kind(), &ErrorKind::Ended(stage));
            // How OpenSSH refuses: whoever reads it is told that it may be one.
            assert!(error.to_string().contains("some proxies say no in this way"), "{error}");
            assert_eq!(reason.io_error().is_some(), is_reset, "{reason}");
        }
    }
}

#[test]
fn k10_nothing_is_sent_ahead_of_the_answer_unless_that_was_asked_for() {
    assert_eq!(client(asks(), &[]).left.sent(), GREETING);
    let pair = client(asks().optimistic(), &[]);
    assert_eq!(pair.left.sent(), [GREETING, REQUEST].concat());
    assert_eq!(said(asks().optimistic(), &[METHOD, REPLY]), [GREETING, REQUEST].concat());
    assert_eq!(said(asks().optimistic(), &[&[METHOD, REPLY].concat()]), [GREETING, REQUEST].concat());
    // With somebody to be named there is nothing to be hoped for.
    let pair = client(asks().credentials(credentials()).optimistic(), &[]);
    assert_eq!(pair.left.sent(), [5, 2, 0, 2]);
    // An answer that was there before its question is none to it.
    for answers in [&[METHOD, REPLY].concat()[..], &[METHOD, &[5]].concat()] {
        let pair = client(asks(), &[answers]);
        assert_told(&pair.left, "the peer answered before it was asked");
        assert_eq!(pair.left.sent(), GREETING);
    }
}

#[test]
fn k11_gssapi_is_neither_offered_nor_taken() {
    let all = asks().credentials(credentials());
    assert!(!client(all.clone(), &[]).left.sent()[2..].contains(&1));
    assert_told(&client(all, &[&[5, 1]]).left, "the proxy picks method 1, which was not offered");
}

#[test]
fn a_drawing_shows_what_is_awaited_and_whom_it_is_for() {
    let pair = client(asks(), &[METHOD]);
    let drawing = format!("{:#}", pair.left.stack);
    assert!(drawing.contains("asks for tcp a.example:443") && drawing.contains("awaits the reply"), "{drawing}");
}

#[test]
fn a_limit_that_is_too_small_is_an_error_of_this_negotiation() {
    let mut pair = onionskin::testing::Pair::new(Cut::Whole);
    pair.left.splice(Opening::of(asks()).limit(5));
    for answer in [METHOD, REPLY] {
        pair.run();
        pair.left.inject(answer);
    }
    pair.run();
    assert_kind(&pair.left, &ErrorKind::TooLong(5));
}
