//! Whom a tunnel is asked for, and what is said beside it, in both roles.

use std::net::SocketAddrV6;

use futures::future::join;
use onionskin::runtime::Address;
use onionskin::testing::Cut;
use onionskin::tunnel::http2::Connect;
use onionskin::tunnel::{Credentials, ErrorKind};

use crate::server::raw::{Frame, Raw};
use crate::server::{beside, echo, serve, server};
use crate::{run, target};

fn name(host: &str) -> Address {
    Address::Name { host: host.to_owned(), port: 443 }
}

fn long(label: usize, count: usize) -> String {
    vec!["a".repeat(label); count].join(".")
}

/// What is a target, and how it is written.
fn targets() -> Vec<(Address, String)> {
    let zone = SocketAddrV6::new("fe80::1".parse().unwrap(), 443, 0, 5);
    let ip = |host: &str| Address::to_host(host, 443).unwrap();
    vec![
        (ip("192.0.2.1"), "192.0.2.1:443".to_owned()),
        (ip("2001:db8::1"), "[2001:db8::1]:443".to_owned()),
        (Address::Tcp(zone.into()), "[fe80::1]:443".to_owned()),
        (ip("::ffff:192.0.2.1"), "[::ffff:192.0.2.1]:443".to_owned()),
        (name("_srv.A.example"), "_srv.A.example:443".to_owned()),
        (name("a.example."), "a.example.:443".to_owned()),
        (name("xn--bcher-kva.example"), "xn--bcher-kva.example:443".to_owned()),
        (name(&long(63, 3)), format!("{}:443", long(63, 3))),
    ]
}

/// Hosts that are none.
fn mistakes() -> Vec<String> {
    let mistaken = [
        "",
        "a b",
        "a\r\nb",
        "a\0",
        "a\tb",
        "u:p@a.example",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "b\u{fc}cher.example",
        "a..example",
        ".a.example",
        "a.example..",
        ".",
    ];
    mistaken.into_iter().map(str::to_owned).chain([long(64, 1), long(63, 4)]).collect()
}

#[test]
fn a2_a3_a7_a8_what_is_a_target_is_asked_for_as_it_was_given() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        for (target, authority) in targets() {
            let asked = async {
                let asked = proxy.next().await;
                assert_eq!(asked.request.uri().to_string(), authority);
                asked.grant()
            };
            let (opened, _far) = join(tunnels.open(target), asked).await;
            opened.unwrap();
        }
    });
}

#[test]
fn a4_a5_a6_a7_a8_what_is_no_target_is_not_asked_for() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let mut mistaken: Vec<_> = mistakes().iter().map(|host| name(host)).collect();
        mistaken.extend([
            Address::Name { host: "a.example".to_owned(), port: 0 },
            Address::Tcp(([192, 0, 2, 1], 0).into()),
            Address::Stdio,
            Address::Unix(None),
        ]);
        for target in mistaken {
            let error = tunnels.open(target.clone()).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unaskable(_)), "{target:?}: {error}");
            assert_eq!(error.to_string().lines().count(), 1, "{target:?}");
        }
        // The first that the proxy hears of is the control.
        let asked = async {
            let asked = proxy.next().await;
            assert_eq!(
                (asked.request.uri().to_string(), asked.respond.stream_id().as_u32()),
                ("mail.test:993".to_owned(), 1)
            );
            asked.grant()
        };
        let (opened, _far) = join(tunnels.open(target()), asked).await;
        opened.unwrap();
    });
}

#[test]
fn a2_a3_a7_a8_a_server_is_asked_for_what_was_written() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        for (number, (_, authority)) in (0..).zip(targets()) {
            raw.send(&Frame::connect(2 * number + 1, &authority)).await;
            assert_eq!(raw.next_of(2 * number + 1).await.unwrap().status(), 200, "{authority}");
        }
    };
    let asked = std::cell::RefCell::new(Vec::new());
    let server = serve(tunnels, |pending| {
        asked.borrow_mut().push(pending.request().target.clone());
        echo(pending)
    });
    beside(server, client);
    let without_zone = |address: Address| match address {
        Address::Tcp(std::net::SocketAddr::V6(it)) => Address::Tcp((*it.ip(), it.port()).into()),
        other => other,
    };
    let expected: Vec<_> = targets().into_iter().map(|(target, _)| without_zone(target)).collect();
    assert_eq!(*asked.borrow(), expected);
}

#[test]
fn a4_a5_a6_a7_a8_what_is_no_target_is_400_and_nobody_is_asked() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        let ports =
            ["a.example", "a.example:", "a.example:0", "a.example:65536", "a.example:+1", "a.example: 1", "::1:443"];
        let mistaken = mistakes().into_iter().map(|host| format!("{host}:443")).chain(ports.map(str::to_owned));
        for (number, authority) in (0..).zip(mistaken) {
            let stream = 2 * number + 1;
            raw.send(&Frame::connect(stream, &authority)).await;
            let answer = raw.next_of(stream).await.unwrap();
            // What h2 takes for no authority at all is no request at all.
            let is_malformed = answer.kind == super::server::raw::RST_STREAM && answer.code() == 1;
            assert!(is_malformed || answer.status() == 400, "{authority:?}: {answer:?}");
        }
        raw.send(&Frame::connect(1001, "a.example:443")).await;
        assert_eq!(raw.next_of(1001).await.unwrap().status(), 200);
    };
    let asked = std::cell::Cell::new(0);
    let server = serve(tunnels, |pending| {
        asked.set(asked.get() + 1);
        echo(pending)
    });
    beside(server, client);
    assert_eq!(asked.get(), 1);
}

#[test]
fn a10_a12_a14_what_is_said_beside_the_target_is_said_once_and_shown_nowhere() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let connect = Connect::new(target()).credentials(Credentials::new("onion", "secret").unwrap());
        let connect = connect.field("X-Id", "secret").unwrap().alpn(&[b"h2", b"http/1.1"]);
        assert!(!format!("{connect:?}").contains("secret"), "{connect:?}");
        for (name, value) in
            [("a b", ""), ("x", "secret\r\ny: z"), ("x", "secret\0"), ("Content-Length", "0"), ("te", "")]
        {
            let error = Connect::new(target()).field(name, value).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Unaskable(_)) && !format!("{error:?}").contains("secret"),
                "{error}"
            );
        }
        let asked = async {
            let asked = proxy.next().await;
            let fields: Vec<_> =
                asked.request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let expected = [
                ("proxy-authorization", &b"Basic b25pb246c2VjcmV0"[..]),
                ("x-id", b"secret"),
                ("alpn", b"h2, http%2F1.1"),
            ];
            assert_eq!(fields, expected);
            asked.grant()
        };
        let (opened, _far) = join(tunnels.open(connect), asked).await;
        let opened = opened.unwrap();
        assert!(!format!("{opened:?} {opened} {:?}", opened.route()).contains("secret"));
    });
}
