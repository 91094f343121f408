//! What is asked, and what is answered.

use bytes::Bytes;
use futures::FutureExt;
use http::{Method, Request};
use onionskin::runtime::Address;
use onionskin::testing::Cut;
use onionskin::tunnel::{Credentials, Grant, Reason, Refusal, TunnelProtocol};

use super::client::{self, ask, begin, connect};
use super::raw::{Frame, HEADERS, PROTOCOL_ERROR, RST_STREAM, Raw};
use super::{beside, driven, echo, serve, server};
use crate::executor::both;

const CUTS: [Cut; 4] = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(5)];

#[test]
fn a_tunnel_is_granted_and_bytes_go_both_ways() {
    for cut in CUTS {
        let (tunnels, end, _clock) = server(cut);
        let client = async {
            let (mut client, connection) = begin(end).await;
            driven(connection, async move {
                let (mut send, mut receive) = client::open(&mut client, "a.example:443").await;
                client::send(&mut send, b"there and back", true).await.unwrap();
                client::receive(&mut receive).await.unwrap()
            })
            .await
        };
        let seen = std::cell::RefCell::new(Vec::new());
        let server = serve(tunnels, |pending| {
            let request = pending.request();
            assert_eq!((request.protocol, &request.user), (TunnelProtocol::Http2, &None));
            seen.borrow_mut().push(request.target.clone());
            echo(pending)
        });
        let (heard, done) = both(client, server);
        assert_eq!(heard, b"there and back", "{cut:?}");
        assert_eq!(done.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [14]);
        assert_eq!(*seen.borrow(), [Address::to_host("a.example", 443).unwrap()]);
    }
}

#[test]
fn t2_a_connect_that_is_none_is_malformed_or_answered_with_400() {
    let connect: &[(&str, &str)] = &[(":method", "CONNECT"), (":authority", "a.example:443")];
    let with = |more: &[(&'static str, &'static str)]| [connect, more].concat();
    let to = |authority| vec![(":method", "CONNECT"), (":authority", authority)];
    let malformed = [
        with(&[(":scheme", "https")]),
        with(&[(":path", "/")]),
        with(&[(":scheme", "https"), (":path", "/")]),
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[(":status", "200")]),
        to("a b.example:443"),
        to("http://a.example:443"),
        to("b\u{fc}cher.example:443"),
        vec![(":authority", "a.example:443")],
    ];
    let refused = [
        vec![(":method", "CONNECT")],
        with(&[("content-length", "0")]),
        with(&[("host", "b.example:443")]),
        with(&[("te", "trailers")]),
        to("a.example"),
        to("a.example:"),
        to("a.example:0"),
        to("a.example:65536"),
        to("u:p@a.example:443"),
        to("a..example:443"),
        to(":443"),
        to("[::1"),
    ];
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        let mut stream = 1;
        for fields in malformed {
            raw.send(&Frame::headers(stream, &fields)).await;
            let answer = raw.next_of(stream).await.unwrap_or_else(|| panic!("{fields:?} end the connection"));
            assert_eq!((answer.kind, answer.code()), (RST_STREAM, PROTOCOL_ERROR), "{fields:?}");
            stream += 2;
        }
        for fields in refused {
            raw.send(&Frame::headers(stream, &fields)).await;
            let answer = raw.next_of(stream).await.unwrap_or_else(|| panic!("{fields:?} end the connection"));
            let is_malformed = answer.kind == RST_STREAM && answer.code() == PROTOCOL_ERROR;
            assert!(is_malformed || answer.status() == 400, "{fields:?}: {answer:?}");
            stream += 2;
        }
        // The connection has taken no harm, and what is right is right.
        for fields in [with(&[]), with(&[("host", "a.example:443"), ("x-more", "1")])] {
            raw.send(&Frame::headers(stream, &fields)).await;
            let answer = raw.next_of(stream).await.unwrap();
            assert_eq!((answer.kind, answer.status()), (HEADERS, 200), "{fields:?}");
            stream += 2;
        }
    };
    beside(serve(tunnels, echo), client);
}

/// It is malformed like any other (RFC 9113, section 8.2.1), but h2 ends the whole connection over it.
#[test]
fn t2_a_name_in_upper_case_ends_the_connection_in_h2() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        raw.send(&Frame::headers(1, &[(":method", "CONNECT"), (":authority", "a.example:443"), ("Upper", "case")]))
            .await;
        raw.next_kind(super::raw::GOAWAY).await.unwrap().code()
    };
    assert_ne!(beside(serve(tunnels, echo), client), super::raw::NO_ERROR);
}

#[test]
fn s9_a_request_for_anything_but_a_tunnel_is_answered_with_405() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let (mut client, connection) = begin(end).await;
        driven(connection, async move {
            let get = Request::builder().method(Method::GET).uri("http://a.example/").body(()).unwrap();
            let (answer, _send) = ask(&mut client, get).await.unwrap();
            let answer = answer.await.unwrap();
            assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"CONNECT".parse().unwrap()));
            drop(client::open(&mut client, "a.example:443").await);
        })
        .await;
    };
    beside(serve(tunnels, echo), client);
}

#[test]
fn t28_a_protocol_in_the_tunnel_is_answered_with_501() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        let fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", "/"),
            (":authority", "a.example:443"),
        ];
        raw.send(&Frame::headers(1, &fields)).await;
        assert_eq!(raw.next_of(1).await.unwrap().status(), 501);
        raw.send(&Frame::connect(3, "a.example:443")).await;
        assert_eq!(raw.next_of(3).await.unwrap().status(), 200);
    };
    beside(serve(tunnels, echo), client);
}

#[test]
fn t23_a_head_that_is_too_long_is_refused_and_the_connection_goes_on() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        let long = "x".repeat(12_000);
        let fields =
            [(":method", "CONNECT"), (":authority", "a.example:443"), ("x-long", &long[..]), ("x-longer", &long)];
        let block = super::raw::block(&fields);
        let (first, rest) = block.split_at(16_000);
        raw.send(&Frame::new(HEADERS, 0, 1, first)).await;
        raw.send(&Frame::new(super::raw::CONTINUATION, super::raw::END_HEADERS, 1, rest)).await;
        assert_eq!(raw.next_of(1).await.unwrap().status(), 431);
        let fields = &fields[..3];
        raw.send(&Frame::headers(3, fields)).await;
        assert_eq!(raw.next_of(3).await.unwrap().status(), 200, "12,000 bytes are none too many");
        let many = vec![("x", "y"); 101];
        let fields = [&fields[..2], &many].concat();
        raw.send(&Frame::headers(5, &fields)).await;
        assert_eq!(raw.next_of(5).await.unwrap().status(), 431);
    };
    beside(serve(tunnels, echo), client);
}

#[test]
fn s12_each_refusal_has_its_status_and_says_why() {
    let table = [
        (Reason::DnsError, 502, "dns_error"),
        (Reason::DnsTimeout, 504, "dns_timeout"),
        (Reason::ConnectionRefused, 502, "connection_refused"),
        (Reason::ConnectionTimeout, 504, "connection_timeout"),
        (Reason::Unroutable, 502, "destination_ip_unroutable"),
        (Reason::Unavailable, 503, "destination_unavailable"),
        (Reason::Denied, 403, "http_request_denied"),
        (Reason::ProhibitedAddress, 502, "destination_ip_prohibited"),
        (Reason::LimitReached, 503, "connection_limit_reached"),
        (Reason::NextHopCertificate, 502, "tls_certificate_error"),
        (Reason::NextHopAlert, 502, "tls_alert_received"),
        (Reason::NextHopTls, 502, "tls_protocol_error"),
        (Reason::NextHopRefused, 502, "http_request_error"),
        (Reason::Loop, 502, "proxy_loop_detected"),
        (Reason::Configuration, 500, "proxy_configuration_error"),
        (Reason::Internal, 500, "proxy_internal_error"),
    ];
    let (tunnels, end, _clock) = server(Cut::Random(7));
    let client = async {
        let (mut client, connection) = begin(end).await;
        driven(connection, async move {
            for (number, (_, status, error)) in table.iter().enumerate() {
                let (answer, _send) =
                    ask(&mut client, connect(&format!("a.example:{}", number + 1), &[])).await.unwrap();
                let answer = answer.await.unwrap();
                assert_eq!(answer.status().as_u16(), *status);
                assert_eq!(answer.headers()["proxy-status"], format!("onionskin; error={error}"), "{error}");
                assert!(answer.headers().get("content-length").is_none(), "{answer:?}");
                // An END_STREAM and a reset without an error are the end that servers give (RFC 9113, section 8.1).
                let body = client::receive(&mut answer.into_body()).await.unwrap();
                assert!(body.ends_with(b"\n"), "{error}");
            }
        })
        .await;
    };
    let server = serve(tunnels, |pending| async {
        let Address::Name { port, .. } = pending.request().target else { unreachable!() };
        pending.refuse(Refusal::from(table[usize::from(port) - 1].0)).await.unwrap();
    });
    beside(server, client);
}

#[test]
fn s4_whoever_does_not_say_who_they_are_is_asked() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let tunnels = tunnels.authenticating("the \"realm\"", |credentials: Credentials| {
        let is_right = credentials == Credentials::new("onion", "peel").unwrap();
        async move { is_right }.boxed()
    });
    let client = async {
        let (mut client, connection) = begin(end).await;
        driven(connection, async move {
            // Nothing; "onion:wrong"; a scheme that nobody knows; right; wrong again.
            let right = [("proxy-authorization", "Basic b25pb246cGVlbA==")];
            let wrong = [("proxy-authorization", "Basic b25pb246d3Jvbmc=")];
            let other = [("proxy-authorization", "Bearer b25pb246cGVlbA==")];
            let twice = [right[0], right[0]];
            for (fields, expected) in
                [(&[][..], 407), (&wrong, 407), (&other, 407), (&twice, 407), (&right, 200), (&wrong, 407)]
            {
                let (answer, _send) = ask(&mut client, connect("a.example:443", fields)).await.unwrap();
                let answer = answer.await.unwrap();
                assert_eq!(answer.status().as_u16(), expected, "{fields:?}");
                if expected == 407 {
                    let challenge = answer.headers()["proxy-authenticate"].to_str().unwrap();
                    assert!(challenge.starts_with(r#"Basic realm="the \"realm\"""#), "{challenge}");
                    assert!(!format!("{answer:?}").contains("wrong"));
                }
            }
        })
        .await;
    };
    let server = serve(tunnels, |pending| async {
        assert_eq!(pending.request().user.as_deref(), Some("onion"));
        assert!(pending.request().fields.iter().all(|(name, _)| name != "proxy-authorization"));
        pending.grant(Grant::default()).await.unwrap()
    });
    beside(server, client);
}

#[test]
fn a_request_that_is_dropped_is_refused() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let (mut client, connection) = begin(end).await;
        driven(connection, async move {
            let (answer, _send) = ask(&mut client, connect("a.example:443", &[])).await.unwrap();
            assert_eq!(answer.await.unwrap().status(), 500);
        })
        .await;
    };
    beside(serve(tunnels, |pending| async { drop(pending) }), client);
}

#[test]
fn whoever_waits_no_longer_takes_the_work_with_it() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let (mut client, connection) = begin(end).await;
        driven(connection, async move {
            let (_answer, mut send) = ask(&mut client, connect("a.example:443", &[])).await.unwrap();
            drop(client::open(&mut client, "b.example:443").await);
            send.send_reset(h2::Reason::CANCEL);
            let (mut send, mut receive) = client::open(&mut client, "b.example:443").await;
            send.send_data(Bytes::new(), true).unwrap();
            client::receive(&mut receive).await.unwrap();
        })
        .await;
    };
    let given_up = std::cell::Cell::new(false);
    let server = serve(tunnels, |mut pending| async {
        if pending.request().target == Address::to_host("b.example", 443).unwrap() {
            return drop(echo(pending).await);
        }
        let error = pending.during(std::future::pending::<()>()).await.unwrap_err();
        assert!(error.to_string().contains("a.example:443"), "{error}");
        given_up.set(true);
    });
    beside(server, client);
    assert!(given_up.get());
}
