//! SOCKS5, who is asked.

use onionskin::runtime::Address;
use onionskin::stack::Readable;
use onionskin::tunnel::socks::SocksServer;
use onionskin::tunnel::{ErrorKind, Grant, Question, Reason, Request, TunnelProtocol};

use crate::{assert_kind, assert_told, credentials, error, facts, grant, question, refuse, server, target};

const GREETING: &[u8] = &[5, 1, 0];
const LOGIN: &[u8] = b"\x05\x02\x00\x02\x01\x05onion\x04peel";
const REQUEST: &[u8] = b"\x05\x01\x00\x03\x09a.example\x01\xbb";

fn asked(request: &[u8]) -> Option<Request> {
    let (pair, layer) = server(SocksServer::new(), &[GREETING, request].concat());
    match question(&pair.right, layer) {
        Some(Question::Tunnel(request)) => Some(request),
        other => {
            assert_eq!(other, None);
            assert!(pair.right.lost().is_some(), "whoever is not asked has lost the connection");
            None
        }
    }
}

/// The server has ended the connection behind the last of these answers.
#[track_caller]
fn assert_heard(pair: &mut onionskin::testing::Pair, heard: &[u8]) {
    assert_eq!(pair.left.read(), heard);
    assert!(matches!(pair.left.stack.readable(), Readable::EndOfInput), "{:?}", pair.left.stack.readable());
}

#[test]
fn k1_the_greeting_is_answered_with_the_one_method_of_the_server() {
    let authenticating = || SocksServer::new().authenticating();
    for (server_is, methods, answer) in [
        (SocksServer::new(), &[0][..], [5, 0]),
        (SocksServer::new(), &[2, 1, 0], [5, 0]),
        (SocksServer::new(), &[2], [5, 0xff]),
        (SocksServer::new(), &[1], [5, 0xff]),
        (authenticating(), &[0, 2], [5, 2]),
        (authenticating(), &[2], [5, 2]),
        (authenticating(), &[0], [5, 0xff]),
        (authenticating(), &[1, 0, 3], [5, 0xff]),
    ] {
        let (mut pair, _) = server(server_is, &[&[5, methods.len() as u8], methods].concat());
        assert_eq!(pair.left.read(), answer, "{methods:?}");
        assert_eq!(pair.right.lost().is_some(), answer[1] == 0xff);
        if answer[1] == 0xff {
            assert_kind(&pair.right, &ErrorKind::NoAcceptableMethod);
        }
    }
    // The most that there can be.
    let (mut pair, _) = server(SocksServer::new(), &[&[5, 255], &[9; 254][..], &[0]].concat());
    assert_eq!(pair.left.read(), [5, 0]);
}

#[test]
fn k4_the_target_is_what_the_client_has_written() {
    let of = |address: &[u8]| asked(&[&[5, 1, 0], address].concat()).map(|request| request.target);
    let six = [&[4][..], &[0x20, 1, 0x0d, 0xb8], &[0; 11], &[1, 0, 80]].concat();
    assert_eq!(of(b"\x03\x09a.example\x01\xbb"), Some(target("a.example:443")));
    assert_eq!(of(&[1, 192, 0, 2, 1, 0, 80]), Some(target("192.0.2.1:80")));
    assert_eq!(of(&six), Some(target("[2001:db8::1]:80")));
    // Clients send literals as names; rules for addresses must see an address.
    assert_eq!(of(b"\x03\x09192.0.2.1\x00\x50"), Some(target("192.0.2.1:80")));
    assert_eq!(of(b"\x03\x0b2001:db8::1\x00\x50"), Some(target("[2001:db8::1]:80")));
    let request = asked(REQUEST).unwrap();
    assert_eq!((request.protocol, request.user, request.fields), (TunnelProtocol::Socks5, None, vec![]));
}

#[test]
fn k12_what_is_no_socks_is_recognised_and_answered_with_nothing() {
    for says in
        [&b"CONNECT a.example:443 HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0", b"\x06"]
    {
        let (mut pair, _) = server(SocksServer::new(), says);
        assert_kind(&pair.right, &ErrorKind::NotSpoken(says[..says.len().min(16)].to_vec()));
        assert!(pair.right.lost().unwrap().is_not_spoken());
        assert_heard(&mut pair, b"");
    }
    let (pair, _) = server(SocksServer::new(), b"CONNECT a.example:443 HTTP/1.1\r\n");
    assert_told(&pair.right, r#"the peer does not speak it: it begins with "CONNECT a.exampl"#);
    // A server of SOCKS5 alone knows as much of SOCKS4.
    let (pair, _) = server(SocksServer::new().without_socks4a(), b"\x04\x01\x01\xbb\xc0\0\x02\x01\0");
    assert!(matches!(error(&pair.right).kind(), ErrorKind::NotSpoken(_)));
}

#[test]
fn k13_k18_bind_and_udp_associate_are_refused() {
    for (command, sentence) in [(2, "BIND"), (3, "UDP ASSOCIATE"), (0, "command 0"), (9, "command 9")] {
        // The port 0 is what a client of UDP says that does not know its own.
        let request = [5, command, 0, 1, 0, 0, 0, 0, 0, 0];
        let (mut pair, _) = server(SocksServer::new(), &[GREETING, &request].concat());
        assert_heard(&mut pair, &[5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_told(&pair.right, sentence);
        assert!(matches!(error(&pair.right).kind(), ErrorKind::Unsupported(_)));
    }
}

#[test]
fn k14_a_refusal_is_the_reply_of_its_reason_and_the_end() {
    for (reason, reply) in [
        (Reason::DnsError, 4),
        (Reason::DnsTimeout, 4),
        (Reason::ConnectionRefused, 5),
        (Reason::ConnectionTimeout, 4),
        (Reason::Unroutable, 3),
        (Reason::Unavailable, 4),
        (Reason::Denied, 2),
        (Reason::ProhibitedAddress, 2),
        (Reason::LimitReached, 1),
        (Reason::NextHopCertificate, 1),
        (Reason::NextHopAlert, 1),
        (Reason::NextHopTls, 1),
        (Reason::NextHopRefused, 1),
        (Reason::Loop, 1),
        (Reason::Internal, 1),
        (Reason::Configuration, 1),
    ] {
        let (mut pair, layer) = server(SocksServer::new(), &[GREETING, REQUEST].concat());
        pair.right.write(b"secret");
        refuse(&mut pair, layer, reason);
        assert_heard(&mut pair, &[5, 0, 5, reply, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_told(&pair.right, &format!("socks5, asked for tcp a.example:443: refused: {reason}"));
        assert!(matches!(error(&pair.right).kind(), ErrorKind::Declined(_)));
    }
}

#[test]
fn k14_whoever_does_not_answer_has_refused() {
    let (mut pair, layer) = server(SocksServer::new(), &[GREETING, REQUEST].concat());
    let now = pair.right.now();
    pair.right.stack.decline(now, layer).unwrap();
    pair.run();
    assert_heard(&mut pair, &[5, 0, 5, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    let (mut pair, layer) = server(SocksServer::new().authenticating(), LOGIN);
    pair.right.stack.decline(now, layer).unwrap();
    pair.run();
    assert_heard(&mut pair, &[5, 2, 1, 1]);
}

#[test]
fn k15_success_is_said_when_it_is_granted_and_with_the_bound_address() {
    let six = [&[5, 0, 0, 4][..], &[0x20, 1, 0x0d, 0xb8], &[0; 11], &[1], &[0x1f, 0x90]].concat();
    for (bound, reply) in [
        (Some(target("192.0.2.7:8080")), &[5, 0, 0, 1, 192, 0, 2, 7, 0x1f, 0x90][..]),
        (Some(target("[2001:db8::1]:8080")), &six),
        (Some(Address::Unix(None)), &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        (None, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ] {
        let (mut pair, layer) = server(SocksServer::new(), &[GREETING, REQUEST, b"behind it"].concat());
        pair.right.write(b"from there");
        pair.run();
        assert_eq!((pair.left.read(), pair.right.read()), (vec![5, 0], vec![]), "nothing before it is granted");
        grant(&mut pair, layer, bound.map_or_else(Grant::default, Grant::bound_to));
        assert_eq!(pair.left.read(), [reply, b"from there"].concat());
        assert_eq!(pair.right.read(), b"behind it");
        assert_eq!(facts::<SocksServer>(&mut pair.right).target, target("a.example:443"));
        assert_eq!(pair.right.stack.depth(), 0);
    }
}

#[test]
fn k16_what_is_no_request_is_refused() {
    let (mut pair, _) = server(SocksServer::new(), &[5, 0]);
    assert_heard(&mut pair, &[5, 0xff]);
    assert_told(&pair.right, "the client offers no method at all");
    for (request, reply, sentence) in [
        (&b"\x05\x01\0\x03\0\x01\xbb"[..], 1, "it is empty"),
        (b"\x05\x01\0\x03\x03a b\x01\xbb", 1, "a name has letters"),
        (b"\x05\x01\0\x03\x02\xc3\x28\x01\xbb", 1, "no ASCII"),
        (b"\x05\x01\0\x03\x09a.example\0\0", 1, "no port 0"),
        (b"\x05\x01\0\x01\x01\x02\x03\x04\0\0", 1, "at port 0"),
        (b"\x05\x01\0\x02\x01\x02\x03\x04\0\0", 8, "no type 2 of addresses"),
        (b"\x04\x01\0\x01\x01\x02\x03\x04\0\x50", 1, "another version than 5"),
    ] {
        let (mut pair, _) = server(SocksServer::new(), &[GREETING, request].concat());
        assert_heard(&mut pair, &[5, 0, 5, reply, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_told(&pair.right, sentence);
        assert!(matches!(error(&pair.right).kind(), ErrorKind::Malformed(_)));
        assert_eq!(asked(request), None);
    }
    assert!(asked(REQUEST).is_some());
}

#[test]
fn k17_a_login_is_for_the_application_to_judge_and_there_is_one_try() {
    let says = [LOGIN, REQUEST, b"behind it"].concat();
    let (mut pair, layer) = server(SocksServer::new().authenticating(), &says);
    assert_eq!(question(&pair.right, layer), Some(Question::Login(credentials())));
    assert_eq!(pair.left.read(), [5, 2], "nothing before it is judged");
    grant(&mut pair, layer, Grant::default());
    assert_eq!(pair.left.read(), [1, 0]);
    let Some(Question::Tunnel(request)) = question(&pair.right, layer) else { panic!("a tunnel is asked for") };
    assert_eq!((request.target, request.user.as_deref()), (target("a.example:443"), Some("onion")));
    grant(&mut pair, layer, Grant::default());
    assert_eq!(pair.right.read(), b"behind it");
    assert_eq!(facts::<SocksServer>(&mut pair.right).user.as_deref(), Some("onion"));

    // Refused, and the same client tries again in the same segment: nobody hears it.
    let (mut pair, layer) = server(SocksServer::new().authenticating(), &[LOGIN, &LOGIN[4..], REQUEST].concat());
    refuse(&mut pair, layer, Reason::Denied);
    assert_heard(&mut pair, &[5, 2, 1, 1]);
    assert_kind(&pair.right, &ErrorKind::AuthRejected);
    assert_eq!(question(&pair.right, layer), None);
}

#[test]
fn k17_what_is_no_login_is_refused_and_not_repeated() {
    for (login, sentence) in [
        (&b"\x01\0\x06secret"[..], "left its user or its password empty"),
        (b"\x01\x06secret\0", "left its user or its password empty"),
        (b"\x05\x06secret\x06secret", "another version than 1"),
        (b"\x01\x08secret\xc3\x28\x06secret", "no UTF-8"),
        (b"\x01\x07secret:\x06secret", "no colon"),
        (b"\x01\x06secret\x07secret\n", "control characters"),
    ] {
        let (mut pair, layer) = server(SocksServer::new().authenticating(), &[&[5, 1, 2], login].concat());
        assert_eq!(question(&pair.right, layer), None);
        assert_heard(&mut pair, &[5, 2, 1, 1]);
        assert_told(&pair.right, sentence);
        let told = format!("{:?} {:#}", pair.right.lost(), pair.right.stack);
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn a12_what_a_user_has_said_is_shown_nowhere() {
    let says = b"\x05\x01\x02\x01\x0aonion-user\x0dpeel-password";
    let (mut pair, layer) = server(SocksServer::new().authenticating(), says);
    let mut shown = format!("{:#} {:?} {:?}", pair.right.stack, pair.right.stack, question(&pair.right, layer));
    refuse(&mut pair, layer, Reason::Denied);
    shown += &format!("{:#} {:?}", pair.right.stack, pair.right.lost());
    assert!(!shown.contains("onion-user") && !shown.contains("peel-password"), "{shown}");
}

#[test]
fn k17_credentials_are_equal_when_both_parts_are() {
    let of = |user: &str, password: &str| onionskin::tunnel::Credentials::new(user, password).unwrap();
    assert_eq!(of("onion", "peel"), credentials());
    for (user, password) in [("onion", "peeL"), ("onioN", "peel"), ("onion", "peels"), ("onion", ""), ("onionp", "eel")]
    {
        assert_ne!(of(user, password), credentials());
    }
}
