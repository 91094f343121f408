//! SOCKS4a, who asks.

use std::collections::HashSet;

use onionskin::runtime::Address;
use onionskin::tunnel::socks::Socks4a;
use onionskin::tunnel::{Ender, ErrorKind};

use crate::{SECRET, assert_kind, assert_told, client, error, error_of, facts, target};

const REPLY: &[u8] = &[0, 90, 0x1f, 0x90, 192, 0, 2, 7];

fn asks() -> Socks4a {
    Socks4a::new(target("a.example:443")).by(target("proxy.example:1080"))
}

fn request(socks: Socks4a) -> Vec<u8> {
    let pair = client(socks, &[REPLY]);
    assert_eq!(pair.left.stack.depth(), 0, "it is through: {:?}", pair.left.lost());
    pair.left.sent().strip_suffix(SECRET).expect("the secret is last").to_vec()
}

#[test]
fn k4a_a_name_stands_behind_an_address_that_is_none_and_an_address_by_itself() {
    assert_eq!(request(asks()), b"\x04\x01\x01\xbb\0\0\0\x01\0a.example\0");
    assert_eq!(request(asks().user("onion")), b"\x04\x01\x01\xbb\0\0\0\x01onion\0a.example\0");
    assert_eq!(request(Socks4a::new(target("192.0.2.1:80")).user("onion")), b"\x04\x01\0\x50\xc0\0\x02\x01onion\0");
    let by_name = Address::Name { host: "192.0.2.1".to_owned(), port: 80 };
    assert_eq!(request(Socks4a::new(by_name)), b"\x04\x01\0\x50\xc0\0\x02\x01\0");
}

#[test]
fn k4a_what_there_is_no_room_for_is_not_asked_for() {
    let of = |host: &str| Socks4a::new(Address::to_host(host, 80).unwrap());
    for (socks, sentence) in [
        (of("2001:db8::1"), "no room for an IPv6 address; SOCKS5 has"),
        (of("::ffff:192.0.2.1"), "no room for an IPv6 address"),
        (of("0.0.0.1"), "the sign that a name follows"),
        (of("0.0.0.255"), "the sign that a name follows"),
        (asks().user("u".repeat(256)), "at most 255 bytes"),
        (asks().user("a\0b"), "no control characters"),
        (Socks4a::new(Address::Name { host: "a\0b".to_owned(), port: 1 }), "a name has letters"),
        (Socks4a::new(Address::Stdio), "SOCKS leads to ports of TCP, not to stdio"),
    ] {
        let pair = client(socks, &[REPLY]);
        assert_told(&pair.left, sentence);
        assert!(matches!(error(&pair.left).kind(), ErrorKind::Unaskable(_)));
        assert_eq!(pair.left.sent(), b"");
    }
    // The controls.
    assert_eq!(request(of("0.0.0.0")), b"\x04\x01\0\x50\0\0\0\0\0");
    assert_eq!(request(asks().user("u".repeat(255))).len(), 8 + 256 + 10);
}

#[test]
fn k4a_the_reply_is_eight_bytes_and_begins_with_zero() {
    let mut pair = client(asks(), &[&[REPLY, b"behind it"].concat()]);
    assert_eq!(pair.left.read(), b"behind it");
    assert_eq!(facts::<Socks4a>(&mut pair.left).bound(), Some(&target("192.0.2.7:8080")));
    for (answer, first) in [(&[4, 90][..], &[4, 90][..]), (b"HTTP/1.1 400 Bad Request\r\n", b"HTTP/1.1 400 Bad")] {
        let pair = client(asks(), &[answer]);
        assert_kind(&pair.left, &ErrorKind::NotSpoken(first.to_vec()));
    }
}

#[test]
fn k4a_each_code_is_an_error_of_its_own_also_when_the_reply_is_cut() {
    let mut told = HashSet::new();
    for code in (0..=255u8).filter(|code| *code != 90) {
        let pair = client(asks(), &[&[0, code]]);
        let error = error(&pair.left);
        let ErrorKind::Refused { by, code: found, .. } = error.kind() else { panic!("{error}") };
        let expected = if matches!(code, 92 | 93) { Ender::Proxy } else { Ender::Unknown };
        assert_eq!((*by, *found), (expected, u16::from(code)));
        assert!(told.insert(error.to_string()), "{error}");
    }
    let pair = client(asks(), &[&[0, 91]]);
    assert_told(&pair.left, "socks4a proxy tcp proxy.example:1080, asked for tcp a.example:443: refused: 91 ");
}

#[test]
fn k4a_an_end_in_place_of_the_reply_names_it() {
    for (answers, stage) in [(&[][..], "the reply"), (&[&[0, 90, 1][..]], "the end of the reply")] {
        for is_reset in [false, true] {
            let mut pair = client(asks(), answers);
            let now = pair.left.now();
            match is_reset {
                false => pair.left.end_input(),
                true => pair.left.stack.handle_error(now, std::io::ErrorKind::ConnectionReset.into()),
            }
            pair.run();
            let reason = pair.left.lost().unwrap();
            assert_eq!(error_of(reason).kind(), &ErrorKind::Ended(stage));
            assert_eq!(reason.io_error().is_some(), is_reset);
        }
    }
}
