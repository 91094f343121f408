//! A tunnel is asked for, and answered.

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use http::Response;
use onionskin::runtime::Address;
use onionskin::testing::Cut;
use onionskin::tunnel::http2::Connect;
use onionskin::tunnel::{Answer, Credentials, Ender, ErrorKind, TunnelProtocol};

use crate::{CUTS, hear, run, say, settle, target};

#[test]
fn t1_the_request_has_a_method_and_an_authority_and_nothing_else() {
    for (host, port, authority) in [
        ("mail.test", 993, "mail.test:993"),
        ("2001:db8::1", 80, "[2001:db8::1]:80"),
        ("Mail.Test.", 1, "Mail.Test.:1"),
    ] {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
            let connect = Connect::new(Address::to_host(host, port).unwrap());
            let connect = connect.credentials(Credentials::new("u", "p").unwrap()).field("X-Trace", "7").unwrap();
            let asked = async {
                let asked = proxy.next().await;
                let uri = asked.request.uri();
                assert_eq!((asked.request.method(), &uri.to_string()[..]), (&http::Method::CONNECT, authority));
                assert!(uri.scheme().is_none() && uri.path().is_empty());
                let fields: Vec<_> = asked.request.headers().iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!(fields, ["proxy-authorization", "x-trace"], "no host, no content-length");
                assert!(asked.request.extensions().get::<h2::ext::Protocol>().is_none());
                asked.grant()
            };
            let (opened, _far) = join(tunnels.open(connect), asked).await;
            let opened = opened.unwrap();
            let [hop] = opened.route() else { panic!("{:?}", opened.route()) };
            assert_eq!((hop.protocol, hop.stream), (Some(TunnelProtocol::Http2), Some(1)));
            let Some(Answer::Http { status, .. }) = &hop.answer else { panic!("{hop:?}") };
            assert_eq!(*status, 200);
        });
    }
}

#[test]
fn t1_what_is_no_target_or_no_field_is_not_asked_for() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let error = tunnels.open(Address::Stdio).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unaskable(_)), "{error}");
        for name in ["te", "connection", "transfer-encoding", ":path", "host", "a b"] {
            assert!(Connect::new(target()).field(name, "x").is_err(), "{name}");
        }
        let (opened, _far) = join(tunnels.open(target()), proxy.grant()).await;
        opened.unwrap();
    });
}

#[test]
fn bytes_cross_at_any_cut() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(cut).await;
            let (opened, mut far) = join(tunnels.open(target()), proxy.grant()).await;
            let mut opened = opened.unwrap();
            say(&mut opened, b"hello").await;
            assert_eq!(far.hear(5).await, b"hello");
            far.say(b"goodbye");
            hear(&mut opened, b"goodbye").await;
        });
    }
}

#[test]
fn t3_an_answer_that_ends_the_stream_leaves_our_direction_open() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(cut).await;
            let answered = async {
                let mut asked = proxy.next().await;
                asked.respond.send_response(Response::new(()), true).unwrap();
                asked.recv
            };
            let (opened, recv) = join(tunnels.open(target()), answered).await;
            let mut opened = opened.unwrap();
            assert_eq!(opened.read(&mut [0; 9]).await.unwrap(), 0);
            opened.write_all(b"still heard").await.unwrap();
            opened.close().await.unwrap();
            let mut recv = recv;
            let mut heard = Vec::new();
            while let Some(bytes) = recv.data().await {
                heard.extend_from_slice(&bytes.unwrap());
            }
            assert_eq!(heard, b"still heard");
        });
    }
}

#[test]
fn t4_a_content_length_on_the_answer_is_an_error_with_its_name() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        for length in ["0", "5", "1000000"] {
            let answer = Response::builder().header("content-length", length).body(()).unwrap();
            let answered = async { proxy.next().await.answer(answer) };
            let (opened, mut far) = join(tunnels.open(target()), answered).await;
            let error = opened.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Http2(_)), "{error}");
            assert!(error.to_string().contains("content-length"), "{error}");
            assert_eq!(far.reset().await, h2::Reason::CANCEL);
        }
        let (opened, _far) = join(tunnels.open(target()), proxy.grant()).await;
        opened.unwrap();
    });
}

#[test]
fn t5_a_refusal_has_its_body_and_the_connection_goes_on() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(cut).await;
            let (opened, _far) = join(tunnels.open(target()), proxy.grant()).await;
            let mut before = opened.unwrap();
            let refused = async {
                let answer = Response::builder().status(502).header("proxy-status", "p; error=connection_refused");
                let mut far = proxy.next().await.answer(answer.body(()).unwrap());
                far.say(b"no such luck");
                far.end();
                far
            };
            let (opened, _far2) = join(tunnels.open(target()), refused).await;
            let error = opened.unwrap_err();
            let ErrorKind::Refused { by, code, body, .. } = error.kind() else { panic!("{error}") };
            assert_eq!((*by, *code, &body[..]), (Ender::Target, 502, &b"no such luck"[..]));
            assert_eq!(error.target(), Some(&target()));
            assert!(error.to_string().contains("http2 proxy tcp proxy.test:443"), "{error}");
            say(&mut before, b"alive").await;
        });
    }
}

#[test]
fn t5_a_refusal_with_a_long_body_is_cancelled() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let refused = async {
            let mut far = proxy.next().await.answer(Response::builder().status(403).body(()).unwrap());
            far.say(&[b'x'; 10_000]);
            far
        };
        let (opened, mut far) = join(tunnels.open(target()), refused).await;
        let error = opened.unwrap_err();
        let ErrorKind::Refused { body, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(body.len(), 4096);
        assert_eq!(far.reset().await, h2::Reason::CANCEL);
    });
}

#[test]
fn t5_who_is_to_say_who_it_is_is_told_so() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        for (connect, has_told) in [
            (Connect::new(target()), false),
            (Connect::new(target()).credentials(Credentials::new("u", "secret").unwrap()), true),
        ] {
            let refused = async {
                let answer = Response::builder().status(407).header("proxy-authenticate", "Basic realm=\"p\"");
                let mut far = proxy.next().await.answer(answer.body(()).unwrap());
                far.end();
            };
            let (opened, ()) = join(tunnels.open(connect), refused).await;
            let error = opened.unwrap_err();
            assert!(error.is_auth() && !format!("{error:?}").contains("secret"), "{error:?}");
            assert_eq!(matches!(error.kind(), ErrorKind::AuthRejected), has_told, "{error}");
        }
    });
}

#[test]
fn t5_an_answer_that_does_not_come_is_not_waited_for_longer_than_30_s() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let late = async {
            let asked = proxy.next().await;
            settle().await;
            bench.clock.advance(std::time::Duration::from_secs(29));
            settle().await;
            bench.clock.advance(std::time::Duration::from_secs(1));
            asked
        };
        let (opened, asked) = join(tunnels.open(target()), late).await;
        let error = opened.unwrap_err();
        assert!(error.is_timeout() && error.to_string().contains("CONNECT"), "{error}");
        settle().await;
        drop(asked);
        let (opened, _far) = join(tunnels.open(target()), proxy.grant()).await;
        opened.unwrap();
    });
}
