//! What a client asks, and what it makes of the answer.

use std::net::SocketAddr;

use onionskin::runtime::Address;
use onionskin::testing::Cut;
use onionskin::tunnel::http1::Connect;
use onionskin::tunnel::{Answer, Credentials, Ender, ErrorKind};

use crate::peer::{CUTS, Dialogue, REQUEST, WRITTEN, answered, connect, refused};

fn asked(connect: Connect) -> String {
    Dialogue::new(Cut::Whole, connect).proxy.hears()
}

fn to(host: &str, port: u16) -> Connect {
    Connect::new(Address::to_host(host, port).unwrap())
}

#[test]
fn a1_a11_the_target_is_asked_for_with_its_port_twice_and_without_a_body() {
    for (host, port, authority) in [
        ("a.example", 443, "a.example:443"),
        ("A.example.", 80, "A.example.:80"),
        ("_x.example", 1, "_x.example:1"),
        ("192.0.2.1", 65535, "192.0.2.1:65535"),
        ("2001:db8::1", 443, "[2001:db8::1]:443"),
        ("::ffff:192.0.2.1", 443, "[::ffff:192.0.2.1]:443"),
    ] {
        // A11: neither a body nor a word about one.
        assert_eq!(asked(to(host, port)), format!("CONNECT {authority} HTTP/1.1\nHost: {authority}\n\n"));
    }
}

#[test]
fn a4_a5_a6_a7_a8_what_is_no_target_is_refused_and_nothing_is_sent() {
    let name = |host: &str, port| Address::Name { host: host.to_owned(), port };
    let mut targets: Vec<_> = [
        "",
        "a b",
        "a\r\nX: y",
        "a\0",
        "u:p@a.example",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "b\u{fc}cher",
        "a..b",
        ".a",
        "a..",
        ".",
    ]
    .into_iter()
    .map(|host| name(host, 443))
    .collect();
    let long = |label: usize, count| vec!["a".repeat(label); count].join(".");
    targets.extend([name(&long(64, 1), 443), name(&long(63, 4), 443)]);
    targets.extend([
        name("a.example", 0),
        Address::Tcp(SocketAddr::from(([192, 0, 2, 1], 0))),
        Address::Stdio,
        Address::Unix(None),
    ]);
    for target in targets {
        let mut dialogue = Dialogue::new(Cut::Whole, Connect::new(target.clone()));
        let error = dialogue.error();
        assert!(matches!(error.kind(), ErrorKind::Unaskable(_)), "{target:?}: {error}");
        assert_eq!((dialogue.proxy.hears(), error.to_string().lines().count()), (String::new(), 1), "{target:?}");
    }
    assert_ne!(asked(connect()), "");
    for host in ["xn--bcher-kva.example", "_srv.a.example", "a.example.", &long(63, 3)] {
        let asked = asked(Connect::new(name(host, 443)));
        assert_eq!(asked, format!("CONNECT {host}:443 HTTP/1.1\nHost: {host}:443\n\n"));
    }
}

#[test]
fn a10_fields_of_the_application_go_with_the_request() {
    let with_fields = connect().field("X-Id", "7").unwrap().field("Proxy-Connection", "keep-alive").unwrap();
    assert_eq!(
        asked(with_fields),
        "CONNECT a.example:443 HTTP/1.1\nHost: a.example:443\nX-Id: 7\nProxy-Connection: keep-alive\n\n"
    );
    for (name, value) in
        [("a b", ""), ("x", "secret\r\ny: z"), ("x", "secret\0"), ("host", "secret"), ("Content-Length", "0")]
    {
        let error = connect().field(name, value).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unaskable(_)) && !format!("{error:?}").contains("secret"), "{error}");
    }
}

#[test]
fn a12_a_user_and_a_password_go_with_the_request_and_show_nowhere() {
    let told = "CONNECT a.example:443 HTTP/1.1\nHost: a.example:443\nProxy-Authorization: Basic b25pb246cGVlbA==\n\n";
    let credentials = Credentials::new("onion", "peel").unwrap();
    assert_eq!(asked(connect().credentials(credentials.clone())), told);
    // A field of the application's own takes its place, and no secret is shown.
    let own = connect().credentials(credentials).field("Proxy-Authorization", "Bearer peel").unwrap();
    assert!(!format!("{own:?}").contains("peel") && !format!("{own:?}").contains("onion"), "{own:?}");
    let asked = asked(own);
    assert!(asked.ends_with("\nProxy-Authorization: Bearer peel\n\n") && !asked.contains("Basic"), "{asked}");
}

#[test]
fn a14_the_protocols_of_the_tunnel_are_told() {
    let asked = asked(connect().alpn(&[b"h2", b"http/1.1"]));
    assert!(asked.ends_with("\nALPN: h2, http%2F1.1\n\n"), "{asked}");
}

#[test]
fn h1_any_2xx_is_a_tunnel() {
    for line in [
        "HTTP/1.1 200 Connection established",
        "HTTP/1.0 200 Connection Established",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200",
        "HTTP/1.1 201 Created",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 205 Reset Content",
        "HTTP/1.1 299 \u{fc}",
    ] {
        let outcome = answered(Cut::Whole, format!("{line}\r\n\r\nbehind"));
        let Answer::Http { status, .. } = outcome.opened.unwrap() else { panic!("{line}") };
        assert_eq!(
            (status.to_string(), &outcome.behind[..], outcome.layers),
            (line[9..12].to_owned(), &b"behind"[..], 0)
        );
    }
    for line in
        ["HTTP/1.1 099 x", "HTTP/1.1 000 x", "HTTP/1.1 20 x", "HTTP/1.1 2000 x", "HTTP/1.1  200 x", "HTTP/1.1 abc"]
    {
        assert!(matches!(refused(format!("{line}\r\n\r\n")), ErrorKind::Malformed(_)), "{line}");
    }
}

#[test]
fn h2_what_a_2xx_says_of_a_body_is_ignored_and_listed() {
    for fields in [
        &[("content-length", "5")][..],
        &[("content-length", "0")],
        &[("transfer-encoding", "chunked")],
        &[("content-length", "5"), ("transfer-encoding", "chunked")],
        &[("content-length", "5"), ("content-length", "-7, x"), ("transfer-encoding", "?")],
    ] {
        let lines: String =
            fields.iter().map(|(name, value)| format!("{}: {value}\r\n", name.to_uppercase())).collect();
        let outcome = answered(Cut::Whole, format!("HTTP/1.1 200 OK\r\n{lines}\r\n1\r\nbehind"));
        let Answer::Http { fields: listed, .. } = outcome.opened.unwrap() else { panic!("{fields:?}") };
        let listed: Vec<_> =
            listed.iter().map(|(name, value)| (&name[..], std::str::from_utf8(value).unwrap())).collect();
        assert_eq!((&listed[..], &outcome.behind[..]), (fields, &b"1\r\nbehind"[..]));
    }
}

#[test]
fn h3_h4_bytes_behind_the_head_are_the_tunnels_however_it_is_cut() {
    let head = "HTTP/1.1 200 OK\r\nVia: 1.1 a\r\n\r\n";
    let behind: Vec<u8> = (0..20_000_u32).flat_map(u32::to_be_bytes).collect();
    for cut in CUTS {
        let outcome = answered(cut, [head.as_bytes(), &behind].concat());
        assert!(outcome.opened.unwrap().field("via") == Some(b"1.1 a") && outcome.behind == behind, "{cut:?}");
    }
    for at in 0..head.len() + 3 {
        let mut dialogue = Dialogue::new(Cut::Whole, connect());
        let said = [head, "220 hello"].concat();
        dialogue.proxy.says(&said[..at]);
        assert!(dialogue.outcome().is_none());
        dialogue.proxy.says(&said[at..]);
        dialogue.proxy.ends();
        let outcome = dialogue.outcome().unwrap();
        assert!(outcome.opened.is_ok() && outcome.behind == b"220 hello", "{at}");
        assert_eq!(dialogue.proxy.hears(), format!("{REQUEST}{WRITTEN}"), "{at}");
    }
}

#[test]
fn h5_informational_answers_are_skipped_and_listed_and_have_a_limit() {
    for cut in CUTS {
        let outcome =
            answered(cut, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.0 200 OK\r\n\r\nx");
        let Answer::Http { status, fields, informational, .. } = outcome.opened.unwrap() else { panic!("{cut:?}") };
        assert_eq!((status, fields.len(), informational, &outcome.behind[..]), (200, 0, vec![100, 103], &b"x"[..]));
    }
    let early = "HTTP/1.1 102 x\r\n\r\n";
    assert!(answered(Cut::Whole, early.repeat(8) + "HTTP/1.1 200 OK\r\n\r\n").opened.is_ok());
    assert!(matches!(refused(early.repeat(9) + "HTTP/1.1 200 OK\r\n\r\n"), ErrorKind::Malformed(_)));
    assert!(
        matches!(refused("HTTP/1.1 101 x\r\nUpgrade: a\r\n\r\n"), ErrorKind::Malformed(what) if what.contains("101"))
    );
    let ErrorKind::Refused { code, .. } = refused(early.to_owned() + "HTTP/1.1 403 no\r\n\r\n") else { panic!() };
    assert_eq!(code, 403);
}

#[test]
fn h6_a_redirection_is_a_refusal() {
    for status in [300, 301, 302, 304, 307, 308] {
        let answer = format!("HTTP/1.1 {status} x\r\nLocation: http://b.example/\r\n\r\n");
        let ErrorKind::Refused { code, by, fields, .. } = refused(answer) else { panic!("{status}") };
        assert_eq!((code, by, &fields[0].1[..]), (status, Ender::Unknown, &b"http://b.example/"[..]));
    }
}

#[test]
fn h8_a_refusal_keeps_what_the_proxy_has_said() {
    let long = "x".repeat(5000);
    for (answer, kept) in [
        ("Content-Length: 4\r\n\r\nno!\nHTTP/1.1 200 OK\r\n\r\n".to_owned(), "no!\n"),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n2\r\n!\n\r\n0\r\n\r\n".to_owned(), "no!\n"),
        ("\r\nno!\n".to_owned(), "no!\n"),
        ("Content-Length: 400\r\n\r\nno!\n".to_owned(), "no!\n"),
        (format!("\r\n{long}"), &long[..4096]),
        (format!("Content-Length: 4096\r\n\r\n{long}"), &long[..4096]),
        ("Content-Length: 0\r\n\r\n".to_owned(), ""),
    ] {
        for cut in CUTS {
            let answer = format!("HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\n{answer}");
            let outcome = answered(cut, answer.as_bytes());
            let error = outcome.opened.unwrap_err();
            let ErrorKind::Refused { by, code, reason, fields, body, .. } = error.kind() else { panic!("{error}") };
            assert_eq!(
                (*by, *code, &reason[..]),
                (Ender::Target, 503, "Service Unavailable (ERR_CONNECT_FAIL 111)"),
                "{cut:?}"
            );
            assert_eq!((&fields[0].0[..], std::str::from_utf8(body).unwrap()), ("x-squid-error", kept), "{cut:?}");
            assert!(error.is_refused() && error.is_target() && !error.is_auth(), "{error}");
        }
    }
    let stated = "HTTP/1.1 502 Bad Gateway\r\nProxy-Status: near; error=dns_error; details=\"nx\", far\r\nContent-Length: 0\r\n\r\n";
    let error = answered(Cut::Bytes, stated).opened.unwrap_err();
    assert_eq!(
        error.to_string(),
        "http1 proxy tcp proxy.example:3128, asked for tcp a.example:443: the proxy cannot reach the target: 502 Bad Gateway (near: dns_error, nx)"
    );
    assert_eq!(error.proxy_status().iter().map(|status| &status.proxy[..]).collect::<Vec<_>>(), ["near", "far"]);
}

#[test]
fn h9_a_head_has_a_limit_and_all_heads_together_have_the_same() {
    let of = |len: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(len - 24));
    for cut in [Cut::Whole, Cut::Pieces(1000)] {
        assert!(answered(cut, of(16_384) + "behind").opened.is_ok());
        let error = answered(cut, of(16_385)).opened.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::TooLong(16_384), "{error}");
        // It does not wait for the end of what is too long already.
        assert_eq!(answered(cut, &of(20_000)[..16_384]).opened.unwrap_err().kind(), &ErrorKind::TooLong(16_384));
    }
    let early = |len| of(len).replace(" 200 ", " 103 ");
    assert!(answered(Cut::Whole, early(16_000) + &of(384)).opened.is_ok());
    assert_eq!(refused(early(16_000) + &of(385)), ErrorKind::TooLong(16_384));
    let fields = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(answered(Cut::Whole, fields(100)).opened.is_ok());
    assert_eq!(refused(fields(101)), ErrorKind::TooManyFields(100));
    let early = fields(60).replace(" 200 ", " 103 ");
    assert!(answered(Cut::Whole, early.clone() + &fields(40)).opened.is_ok());
    assert_eq!(refused(early + &fields(41)), ErrorKind::TooManyFields(100));
}

#[test]
fn h12_what_is_not_http_is_named_with_its_first_bytes() {
    for first in [
        &b"\x15\x03\x03\x00\x02\x02\x0a"[..],
        b"\x05\x00",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00",
        b"HTTP/2 200 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
    ] {
        let outcome = answered(Cut::Whole, first);
        let error = outcome.opened.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotSpoken(first[..first.len().min(16)].to_owned()), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
        // And as soon as it is seen.
        assert!(matches!(answered(Cut::Bytes, first).opened.unwrap_err().kind(), ErrorKind::NotSpoken(_)));
    }
}

#[test]
fn h13_a_head_is_read_strictly() {
    for tolerated in ["HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\nA: b\n\n", "HTTP/1.1 200 OK\r\nA:b \r\nB:\r\n\n"] {
        let outcome = answered(Cut::Bytes, tolerated.to_owned() + "x");
        assert!(outcome.opened.is_ok() && outcome.behind == b"x", "{tolerated:?}");
    }
    for head in [
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
        "HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
    ] {
        for cut in [Cut::Whole, Cut::Bytes] {
            let error = answered(cut, head).opened.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{head:?}: {error}");
        }
    }
}

#[test]
fn h14_nothing_of_the_tunnel_is_sent_before_the_answer() {
    let mut dialogue = Dialogue::new(Cut::Whole, connect());
    assert_eq!(dialogue.proxy.hears(), REQUEST);
    for piece in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n", "A: b\r\n", "\r"] {
        dialogue.proxy.says(piece);
        dialogue.run();
        assert_eq!(dialogue.proxy.hears(), "", "{piece:?}");
    }
    dialogue.proxy.says("\n");
    dialogue.run();
    assert_eq!(dialogue.proxy.hears(), WRITTEN);
    // Nor ever, if it is refused.
    let mut dialogue = Dialogue::new(Cut::Whole, connect());
    dialogue.proxy.says("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    assert!(dialogue.error().is_refused());
    assert_eq!(dialogue.proxy.hears(), REQUEST);
    assert!(dialogue.proxy.is_hung_up_on());
}
