//! SOCKS4a, who is asked.

use onionskin::runtime::Address;
use onionskin::stack::Readable;
use onionskin::tunnel::socks::SocksServer;
use onionskin::tunnel::{ErrorKind, Grant, Question, Reason, TunnelProtocol};

use crate::{assert_kind, assert_told, error, facts, grant, question, refuse, server, target};

const NAMED: &[u8] = b"\x04\x01\x01\xbb\0\0\0\x01onion\0a.example\0";
const ADDRESSED: &[u8] = b"\x04\x01\0\x50\xc0\0\x02\x01\0";
const REFUSED: &[u8] = &[0, 91, 0, 0, 0, 0, 0, 0];

#[test]
fn k4a_a_request_has_an_address_or_a_name_and_perhaps_a_user() {
    for (says, of, user) in [
        (NAMED, "a.example:443", Some("onion")),
        (ADDRESSED, "192.0.2.1:80", None),
        (b"\x04\x01\0\x50\0\0\0\xff\x00192.0.2.1\0", "192.0.2.1:80", None),
    ] {
        let (mut pair, layer) = server(SocksServer::new(), &[says, b"behind it"].concat());
        let Some(Question::Tunnel(request)) = question(&pair.right, layer) else { panic!("a tunnel is asked for") };
        assert_eq!((request.target, request.user.as_deref()), (target(of), user));
        assert_eq!(request.protocol, TunnelProtocol::Socks4a);
        assert_eq!(pair.left.read(), b"");
        grant(&mut pair, layer, Grant::bound_to(target("192.0.2.7:8080")));
        assert_eq!(pair.left.read(), [0, 90, 0x1f, 0x90, 192, 0, 2, 7]);
        assert_eq!(pair.right.read(), b"behind it");
        assert_eq!(facts::<SocksServer>(&mut pair.right).target, target(of));
    }
}

#[test]
fn k4a_a_bound_address_that_has_no_room_is_zeros() {
    for (bound, reply) in [
        (target("[2001:db8::1]:8080"), [0, 90, 0, 0, 0, 0, 0, 0]),
        (target("[::ffff:192.0.2.7]:8080"), [0, 90, 0x1f, 0x90, 192, 0, 2, 7]),
        (Address::Stdio, [0, 90, 0, 0, 0, 0, 0, 0]),
    ] {
        let (mut pair, layer) = server(SocksServer::new(), NAMED);
        grant(&mut pair, layer, Grant::bound_to(bound));
        assert_eq!(pair.left.read(), reply);
    }
}

#[test]
fn k4a_every_refusal_is_91_and_the_end() {
    let (mut pair, layer) = server(SocksServer::new(), NAMED);
    refuse(&mut pair, layer, Reason::ConnectionRefused);
    assert_eq!(pair.left.read(), REFUSED);
    assert!(matches!(pair.left.stack.readable(), Readable::EndOfInput));
    assert_told(&pair.right, "socks4a, asked for tcp a.example:443: refused: the target refused the connection");

    let (mut pair, layer) = server(SocksServer::new(), NAMED);
    let now = pair.right.now();
    pair.right.stack.decline(now, layer).unwrap();
    pair.run();
    assert_eq!(pair.left.read(), REFUSED);

    for (says, sentence) in [
        (&b"\x04\x02\x01\xbb\xc0\0\x02\x01\0"[..], "BIND"),
        (b"\x04\x09\x01\xbb\xc0\0\x02\x01\0", "command 9"),
        (b"\x04\x01\0\0\xc0\0\x02\x01\0", "no port 0"),
        (b"\x04\x01\0\0\0\0\0\x01\0a.example\0", "no port 0"),
        (b"\x04\x01\0\x50\0\0\0\x01\0\0", "it is empty"),
        (b"\x04\x01\0\x50\0\0\0\x01\0a b\0", "a name has letters"),
        (b"\x04\x01\0\x50\0\0\0\x01\0\xc3\x28\0", "no ASCII"),
    ] {
        let (mut pair, layer) = server(SocksServer::new(), says);
        assert_eq!((question(&pair.right, layer), pair.left.read()), (None, REFUSED.to_vec()));
        assert!(matches!(pair.left.stack.readable(), Readable::EndOfInput));
        assert_told(&pair.right, sentence);
        assert_told(&pair.right, "socks4a: ");
    }
}

#[test]
fn k4a_a_text_without_an_end_is_waited_for_so_long() {
    let user = |length| [&ADDRESSED[..8], &vec![b'u'; length]].concat();
    let name = |length| [&b"\x04\x01\0\x50\0\0\0\x01\0"[..], &vec![b'n'; length]].concat();
    for of in [&user as &dyn Fn(usize) -> Vec<u8>, &name] {
        let (pair, _) = server(SocksServer::new(), &of(255));
        assert!(pair.right.stack.lost().is_none(), "the end may be next");
        let (mut pair, _) = server(SocksServer::new(), &of(256));
        assert_kind(&pair.right, &ErrorKind::TooLong(255));
        assert_eq!(pair.left.read(), REFUSED);
    }
    let (pair, layer) = server(SocksServer::new(), &[&user(255)[..], &[0]].concat());
    let Some(Question::Tunnel(request)) = question(&pair.right, layer) else { panic!("a tunnel is asked for") };
    assert_eq!(request.user, Some("u".repeat(255)));
}

#[test]
fn k17_a_server_that_wants_a_password_lets_no_client_of_socks4a_in() {
    let (mut pair, layer) = server(SocksServer::new().authenticating(), NAMED);
    assert_eq!((question(&pair.right, layer), pair.left.read()), (None, REFUSED.to_vec()));
    assert_kind(&pair.right, &ErrorKind::NoAcceptableMethod);
    assert!(error(&pair.right).is_auth());
}
