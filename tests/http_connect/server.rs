//! What a server is asked, and what it answers.

use onionskin::runtime::Address;
use onionskin::testing::Cut;
use onionskin::tunnel::http1::ConnectServer;
use onionskin::tunnel::{ErrorKind, Question, Reason, Refusal, TunnelProtocol};

use crate::peer::{CUTS, Service, grants, served};

const ASKS: &str = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nUser-Agent: x\r\n\r\n";
const GRANTED: &str = "HTTP/1.1 200 Connection Established\nProxy-Status: onionskin\n\n";

/// The first line of what a client hears that says this and is granted whatever it asks for.
fn status(said: impl AsRef<[u8]>) -> (String, ErrorKind) {
    let (heard, served) = served(Cut::Whole, ConnectServer::new(), said, grants);
    (heard.lines().next().unwrap_or_default().to_owned(), served.opened.unwrap_err().kind().clone())
}

#[test]
fn s1_s2_a_tunnel_is_200_in_one_write_once_it_is_granted_and_says_nothing_of_a_body() {
    for cut in CUTS {
        let (heard, served) = served(cut, ConnectServer::new(), ASKS, grants);
        assert_eq!(heard, GRANTED, "{cut:?}");
        let [Question::Tunnel(request)] = &served.questions[..] else { panic!("{:?}", served.questions) };
        assert_eq!((request.protocol, &request.user), (TunnelProtocol::Http1, &None));
        assert_eq!(request.target, Address::to_host("a.example", 443).unwrap());
        let names: Vec<_> = request.fields.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, ["host", "user-agent"]);
        assert!(served.opened.is_ok_and(|behind| behind.is_empty()));
        // A wire that is cut at random takes a part of a write.
        assert!(matches!(cut, Cut::Random(_)) || served.writes.len() == 1, "{cut:?}: {:?}", served.writes);
    }
    // Nothing is said before the application has answered: no 1xx either.
    let mut service = Service::new(Cut::Whole, ConnectServer::new(), grants);
    service.client.says(&ASKS[..ASKS.len() - 1]);
    service.run();
    assert_eq!(service.client.hears(), "");
    service.client.says("\n");
    service.run();
    assert_eq!(service.client.hears(), GRANTED);
}

#[test]
fn s1_clients_of_http10_and_without_a_host_are_served_and_targets_of_all_kinds() {
    for (asked, target) in [
        ("CONNECT a.example:443 HTTP/1.0\r\n\r\n", "tcp a.example:443"),
        ("CONNECT a.example:443 HTTP/1.0\n\n", "tcp a.example:443"),
        ("\r\n\r\nCONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: proxy:3128\r\n\r\n", "tcp 192.0.2.1:80"),
        ("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n", "tcp [2001:db8::1]:443"),
    ] {
        for cut in CUTS {
            let (heard, served) = served(cut, ConnectServer::new(), asked, grants);
            let [Question::Tunnel(request)] = &served.questions[..] else { panic!("{asked}") };
            assert_eq!((&heard[..], &request.target.to_string()[..]), (GRANTED, target), "{cut:?}");
        }
    }
}

#[test]
fn s3_a_client_that_is_refused_is_answered_and_then_closed_whatever_it_says_more() {
    for cut in CUTS {
        let said = format!("{}{ASKS}{}", ASKS.replace("User-Agent: x", "Connection: keep-alive"), "x".repeat(100_000));
        let denies = |_: &Question| Err(Reason::ConnectionRefused.into());
        let (heard, served) = served(cut, ConnectServer::new(), said, denies);
        let expected = "HTTP/1.1 502 Bad Gateway\nProxy-Status: onionskin; error=connection_refused\n\
             Content-Type: text/plain; charset=utf-8\nContent-Length: 34\nConnection: close\n\n\
             the target refused the connection\\n";
        assert_eq!(heard, expected, "{cut:?}");
        assert_eq!(served.questions.len(), 1, "a second request is never read");
        let error = served.opened.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Declined(what) if what.contains("the target refused")), "{error}");
        assert_eq!(error.target(), Some(&Address::to_host("a.example", 443).unwrap()));
    }
}

#[test]
fn s4_a_user_that_is_missing_or_wrong_is_407_and_one_that_is_right_is_asked_for() {
    let server = || ConnectServer::new().authenticating("the \"onion\"");
    let with = |field: &str| ASKS.replace("User-Agent: x", field);
    let checks = |question: &Question| match question {
        Question::Login(credentials) if credentials.password() == b"peel" => grants(question),
        Question::Login(_) => Err(Reason::Denied.into()),
        _ => grants(question),
    };
    for cut in CUTS {
        let said = with("Proxy-Authorization: Basic b25pb246cGVlbA==") + "behind";
        let (heard, served) = served(cut, server(), said, checks);
        let [Question::Login(credentials), Question::Tunnel(request)] = &served.questions[..] else {
            panic!("{cut:?}")
        };
        assert_eq!((&heard[..], credentials.user(), request.user.as_deref()), (GRANTED, "onion", Some("onion")));
        assert_eq!(request.fields.len(), 1, "nobody else sees the password");
        assert_eq!(served.opened.unwrap(), b"behind");
    }
    for (field, questions) in [
        ("User-Agent: x", 0),
        ("Proxy-Authorization: Basic b25pb246cGVlbGVk", 1),
        ("Proxy-Authorization: Basic !", 0),
        ("Proxy-Authorization: Bearer b25pb246cGVlbA==", 0),
        ("Authorization: Basic b25pb246cGVlbA==", 0),
    ] {
        let (heard, served) = served(Cut::Bytes, server(), with(field), checks);
        assert!(
            heard.starts_with("HTTP/1.1 407 Proxy Authentication Required\nProxy-Status: onionskin; error="),
            "{heard}"
        );
        assert!(
            heard.contains("\nProxy-Authenticate: Basic realm=\"the \\\\\"onion\\\\\"\", charset=\"UTF-8\"\n"),
            "{heard}"
        );
        assert_eq!(served.questions.len(), questions, "{field}");
        let error = served.opened.unwrap_err();
        assert!(error.is_auth() && !format!("{error:?}").contains("b25"), "{error}");
        assert_eq!(error.target(), Some(&Address::to_host("a.example", 443).unwrap()));
    }
    // Who cannot tell whether it is right does not say that it is wrong.
    let fails = |_: &Question| Err(Reason::Internal.into());
    let (heard, _) = served(Cut::Whole, server(), with("Proxy-Authorization: Basic b25pb246cGVlbA=="), fails);
    assert!(heard.starts_with("HTTP/1.1 500 "), "{heard}");
    // Without a question nobody has a user.
    let (_, served) =
        served(Cut::Whole, ConnectServer::new(), with("Proxy-Authorization: Basic b25pb246cGVlbA=="), grants);
    let [Question::Tunnel(request)] = &served.questions[..] else { panic!() };
    assert_eq!((&request.user, request.fields.len()), (&None, 1));
}

#[test]
fn s5_bytes_behind_the_request_are_the_targets() {
    let behind: Vec<u8> = (0..10_000_u32).flat_map(u32::to_be_bytes).collect();
    for cut in CUTS {
        let (heard, served) = served(cut, ConnectServer::new(), [ASKS.as_bytes(), &behind].concat(), grants);
        assert_eq!(heard, GRANTED);
        assert!(served.opened.unwrap() == behind, "{cut:?}");
    }
    for at in 0..ASKS.len() + 3 {
        let said = format!("{ASKS}\r\nbehind");
        let mut service = Service::new(Cut::Whole, ConnectServer::new(), grants);
        service.client.says(&said[..at]);
        service.run();
        service.client.says(&said[at..]);
        service.client.ends();
        assert_eq!(service.served().unwrap().opened.unwrap(), b"\r\nbehind", "{at}");
    }
}

#[test]
fn s8_a_head_has_limits() {
    let of = |len: usize| format!("CONNECT a.example:443 HTTP/1.0\r\nA: {}\r\n\r\n", "x".repeat(len - 39));
    let (heard, served) = served(Cut::Whole, ConnectServer::new(), of(16_384) + "x", grants);
    assert!(heard == GRANTED && served.opened.unwrap() == b"x");
    let too_large = "HTTP/1.1 431 Request Header Fields Too Large".to_owned();
    assert_eq!(status(of(16_385)), (too_large.clone(), ErrorKind::TooLong(16_384)));
    assert_eq!(status(&of(1_000_000)[..16_384]), (too_large.clone(), ErrorKind::TooLong(16_384)));
    let fields = |count| format!("CONNECT a.example:443 HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(crate::peer::served(Cut::Whole, ConnectServer::new(), fields(100), grants).1.opened.is_ok());
    assert_eq!(status(fields(101)), (too_large, ErrorKind::TooManyFields(100)));
}

#[test]
fn s9_other_methods_and_versions_and_what_is_no_request_are_refused() {
    for (said, expected) in [
        ("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        ("connect a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 405 Method Not Allowed"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported"),
        ("CONNECT a.example:443 HTTP/1.2\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported"),
        ("CONNECT a.example:443\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("CONNECT a.example:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde", "HTTP/1.1 400 Bad Request"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n fold\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost : a\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a\0\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("CONNECT  a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    ] {
        let (heard, kind) = status(said);
        assert_eq!(heard, expected, "{said:?}: {kind}");
    }
    let (heard, _) = served(Cut::Bytes, ConnectServer::new(), "GET / HTTP/1.0\r\n\r\n", grants);
    assert!(heard.contains("\nAllow: CONNECT\n") && heard.contains("\nProxy-Status: onionskin; error="), "{heard}");
}

#[test]
fn a4_a5_a6_a7_a8_what_is_no_target_is_400() {
    for target in [
        "a.example",
        "a.example:",
        ":443",
        "a.example:0",
        "a.example:65536",
        "a.example:+1",
        "a.example:x",
        "u:p@a.example:443",
        "http://a.example:443",
        "a.example:443/",
        "/",
        "*",
        "a..b:1",
        "::1:443",
        "[::1:443",
        "[fe80::1%25eth0]:443",
        "a\\b:443",
        "a%20b:443",
        "[a.example]:443",
        "b\u{fc}cher.example:443",
        "127.1:443",
        "2130706433:443",
    ] {
        let (heard, kind) = status(format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(heard, "HTTP/1.1 400 Bad Request", "{target}");
        assert!(matches!(kind, ErrorKind::Malformed(_)), "{target}: {kind}");
    }
}

#[test]
fn k12_what_is_no_http_is_named_and_answered_with_nothing() {
    for first in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"\x05\x01\x00",
        b"\x04\x01",
        b"SSH-2.0-x\r\n",
        b"EHLO\r\n",
        b"\0\0\0\0",
        b"\n\n\n\n\n\n\n\n\n\n",
    ] {
        let (heard, kind) = status(first);
        assert_eq!((&heard[..], kind), ("", ErrorKind::NotSpoken(first[..first.len().min(16)].to_owned())));
    }
}

#[test]
fn s12_a_refusal_says_what_the_application_lets_it_say() {
    let refuses = |_: &Question| {
        let mut refusal = Refusal::from(Reason::ConnectionTimeout);
        refusal.next_hop = Some("[2001:db8::1]:443".to_owned());
        refusal.details = Some("no answer to \"SYN\"\r\nX: y".to_owned());
        Err(refusal)
    };
    let (heard, _) = served(Cut::Whole, ConnectServer::new().named("front 7"), ASKS, refuses);
    let stated = "HTTP/1.1 504 Gateway Timeout\nProxy-Status: \"front 7\"; error=connection_timeout; next-hop=\"[2001:db8::1]:443\"; \
         details=\"no answer to \\\\\"SYN\\\\\"??X: y\"\n";
    assert!(heard.starts_with(stated), "{heard}");
}
