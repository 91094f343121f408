//! The verb: every kind of layer is opened, also one of a stranger, and says what it has to say.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::{End, Error, ErrorKind, PeerAnswer, Stop};
use onionskin::layer::proxy_header::{AcceptProxyHeader, HeaderAddresses, ProxyHeader, SendProxyHeader};
use onionskin::layer::{Counter, Deflate, IdleTimeout, Throttle, TrafficLog};
use onionskin::runtime::{self, block_on};
use onionskin::stack::{Ends, Failure, Layer, LayerError, LayerErrorKind, Opens};
use onionskin::starttls::{Imap, Negotiate, Smtp};
use onionskin::testing::{Cut, Fault};
use onionskin::tls::{OnFailure, TlsFacts, TlsLayer};

use crate::common::layers::{Banner, Names, PassThrough};
use crate::executor::{Task, alone, both, cancelled_after};
use crate::peers::{CUTS, Conn, NAME, VERSIONS, client, pair, server, talk};

#[test]
fn every_layer_is_opened_in_memory() {
    for version in VERSIONS {
        for cut in CUTS {
            let (mut left, mut right, _clock) = pair(cut, 700);
            both(ask(&mut left, client(version), client(version)), answer(&mut right));
        }
    }
}

#[test]
fn every_layer_is_opened_over_tcp() {
    for &runtime in runtime::all() {
        block_on(runtime, async {
            let listener = runtime.listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
            let address = listener.local_address().as_tcp().unwrap();
            let (left, right) = join(runtime.connect_tcp(address), listener.accept()).await;
            let connect = |socket| Connection::with_timer(socket, Arc::new(runtime));
            let (mut left, mut right) = (connect(left.unwrap()), connect(right.unwrap()));
            join(ask(&mut left, client(VERSIONS[1]), client(VERSIONS[1])), answer(&mut right)).await;
        });
    }
}

fn header() -> ProxyHeader {
    ProxyHeader::v2(HeaderAddresses::tcp("192.0.2.7:40000".parse().unwrap(), "192.0.2.1:443".parse().unwrap()))
}

/// Opens one of each, from the wire inwards, and stops those that can be stopped.
async fn ask<IO: AsyncRead + AsyncWrite + Unpin>(conn: &mut Connection<IO>, outer: TlsLayer, inner: TlsLayer) {
    conn.open(SendProxyHeader::new(&header())).await.unwrap();
    assert_eq!(conn.depth(), 0, "it has left");
    assert_eq!(conn.open(Names::new("left")).await.unwrap(), "right");
    assert_eq!(conn.open(Banner::default()).await.unwrap(), "welcome");
    let counts = conn.open(Counter::new()).await.unwrap();
    open_those_that_say_nothing(conn).await;
    let facts: TlsFacts = conn.open(Negotiate::new(Smtp::new(), outer)).await.unwrap();
    assert_eq!(facts.server_name.as_deref(), Some(NAME));
    conn.open(Deflate::new()).await.unwrap();
    let facts = conn.open(inner).await.unwrap();
    assert_eq!(conn.tls_facts(facts.layer).unwrap().version, facts.version);

    let views = conn.layers();
    let names: Vec<&str> = views.iter().map(|layer| layer.name).collect();
    assert_eq!(names, ["names", "counter", "throttle", "idle", "traffic log", "cut", "layer", "tls", "deflate", "tls"]);
    assert_eq!(views.iter().next().unwrap().facts::<Names>().unwrap(), "right");
    assert_eq!(views.iter().last().unwrap().facts::<TlsLayer>().unwrap().version, facts.version);
    assert!(views.iter().last().unwrap().facts::<Names>().is_none(), "it is of another kind");

    conn.write_line("all the way").await.unwrap();
    assert_eq!(conn.read_line().await.unwrap().unwrap(), b"and back");
    assert!(counts.inbound() > 0 && counts.outbound() > 0, "the facts of a counter go on");
    for depth in [9, 8, 7] {
        conn.write_line("stop").await.unwrap();
        let stopped = conn.stop().await.unwrap();
        assert_eq!((stopped.answer, conn.depth()), (PeerAnswer::CloseNotify, depth));
    }
    conn.write_line("in clear").await.unwrap();
    assert_eq!(conn.read_line().await.unwrap().unwrap(), b"in clear too");
}

async fn answer<IO: AsyncRead + AsyncWrite + Unpin>(conn: &mut Connection<IO>) {
    assert_eq!(conn.open(AcceptProxyHeader::new()).await.unwrap(), Some(header()));
    assert_eq!(conn.depth(), 0, "it has left");
    assert_eq!(conn.open(Names::new("right")).await.unwrap(), "left");
    conn.send_all(b"welcome\n").await.unwrap();
    open_those_that_say_nothing(conn).await;
    let facts = conn.open(Negotiate::new(Smtp::new(), server())).await.unwrap();
    assert_eq!(facts.server_name.as_deref(), Some(NAME));
    conn.open(Deflate::new()).await.unwrap();
    conn.open(server()).await.unwrap();
    assert_eq!(conn.read_line().await.unwrap().unwrap(), b"all the way");
    conn.write_line("and back").await.unwrap();
    for _ in 0..3 {
        assert_eq!(conn.read_line().await.unwrap().unwrap(), b"stop");
        assert_eq!(conn.read_line().await.unwrap(), None, "the peer stops first");
        assert!(matches!(conn.end(), Some(End::Layer(_))));
        conn.stop().await.unwrap();
    }
    assert_eq!(conn.read_line().await.unwrap().unwrap(), b"in clear");
    conn.write_line("in clear too").await.unwrap();
}

async fn open_those_that_say_nothing<IO: AsyncRead + AsyncWrite + Unpin>(conn: &mut Connection<IO>) {
    conn.open(Throttle::new()).await.unwrap();
    conn.open(IdleTimeout::new(Duration::MAX)).await.unwrap();
    conn.open(TrafficLog::to(|_| ())).await.unwrap();
    conn.open(Fault::cut(Cut::Whole)).await.unwrap();
    conn.open(PassThrough).await.unwrap();
}

#[test]
fn what_has_left_in_one_segment_with_what_follows_has_said_its_facts() {
    for cut in CUTS {
        let (mut left, mut right, _clock) = pair(cut, 700);
        left.queue(b"hello\nbehind").unwrap();
        alone(left.close()).unwrap();
        assert_eq!(alone(right.open(Banner::default())).unwrap(), "hello");
        let mut rest = Vec::new();
        alone(right.read_to_end(&mut rest)).unwrap();
        assert_eq!((&rest[..], right.end()), (&b"behind"[..], Some(End::Wire)));
    }
}

#[test]
fn ready_completes_for_a_layer_that_is_not_tls() {
    fn ready(layer: impl Opens) {
        let (mut left, _right, _clock) = pair(Cut::Whole, 700);
        let id = left.splice(layer).unwrap();
        let layer = alone(left.ready(id)).unwrap();
        assert!(layer.id == id && layer.is_ready() && layer.tls.is_none(), "{layer:?}");
        assert_eq!(alone(left.ready(id)).unwrap().name, layer.name, "as often as it is asked");
    }
    ready(Counter::new());
    ready(Throttle::new());
    ready(IdleTimeout::new(Duration::MAX));
    ready(TrafficLog::to(|_| ()));
    ready(Fault::cut(Cut::Whole));
    ready(Deflate::new());
    ready(PassThrough);

    let (mut left, mut right, _clock) = pair(Cut::Whole, 700);
    let (left_id, right_id) = (left.splice(Names::new("left")).unwrap(), right.splice(Names::new("right")).unwrap());
    let (by_left, by_right) = both(left.ready(left_id), right.ready(right_id));
    assert_eq!(by_left.unwrap().facts::<Names>().unwrap(), "right");
    assert_eq!(by_right.unwrap().facts::<Names>().unwrap(), "left");
    left.remove(left_id).unwrap();
    assert!(alone(left.ready(left_id)).unwrap_err().is_no_such_layer());
}

#[test]
fn a_layer_that_waits_for_nobody_does_not_wait_for_the_socket_either() {
    let (mut left, _right, _clock) = pair(Cut::Whole, 10);
    left.queue(&[b'x'; 5000]).unwrap(); // and nobody reads it
    let counts = alone(left.open(Counter::new())).unwrap();
    assert_eq!(counts.outbound(), 0, "that was written before");
    let sent = Task::new(left.open(SendProxyHeader::new(&header()))).run();
    assert!(sent.is_none(), "what that one says stands behind it");
}

#[test]
fn an_open_that_is_dropped_at_any_poll_goes_on_and_is_waited_for_again() {
    const LONG: &str = "somebody whose name takes more than one write";
    let mut dropped = 0;
    for cut in [Cut::Whole, Cut::Bytes, Cut::Random(61)] {
        for polls in 1.. {
            let (mut left, mut right, _clock) = pair(cut, 3);
            let asks = async {
                let opened = cancelled_after(polls, left.open(Names::new(LONG))).await;
                let was_dropped = opened.is_none();
                let id = left.layers().iter().last().expect("it stays").id;
                // Whatever is polled drives it.
                left.write_line("behind").await.unwrap();
                let layer = left.ready(id).await.unwrap();
                assert_eq!((left.depth(), layer.facts::<Names>().unwrap().as_str()), (1, "right"));
                was_dropped
            };
            let answers = async {
                assert_eq!(right.open(Names::new("right")).await.unwrap(), LONG);
                assert_eq!(right.read_line().await.unwrap().unwrap(), b"behind");
            };
            if !both(asks, answers).0 {
                break;
            }
            dropped += 1;
        }
    }
    assert!(dropped > 12, "it never had to wait");
}

#[test]
fn the_facts_of_a_layer_that_left_while_nobody_waited_are_told_once() {
    for cut in CUTS {
        for polls in [0, 1] {
            let (mut left, mut right, _clock) = pair(cut, 700);
            let id = right.splice(Banner::default()).unwrap();
            assert!(alone(cancelled_after(polls, right.ready(id))).is_none());
            alone(left.send_all(b"hello\nnext\n")).unwrap();
            assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"next", "who reads drives it too");
            assert_eq!(right.depth(), 0);
            let layer = alone(right.ready(id)).unwrap();
            assert_eq!((layer.name, layer.facts::<Banner>().unwrap().as_str()), ("banner", "hello"));
            assert!(alone(right.ready(id)).unwrap_err().is_no_such_layer());
        }
    }
}

#[test]
fn the_failure_of_a_layer_comes_out_of_open() {
    for cut in CUTS {
        let (mut left, mut right, _clock) = pair(cut, 700);
        alone(left.send_all(b"no\nstill there\n")).unwrap();
        let error = alone(right.open(Banner::or_not())).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Peeled(..)), "{error}");
        assert_eq!(error.layer_error().unwrap().kind(), LayerErrorKind::Protocol);
        assert_eq!((right.depth(), alone(right.read_line()).unwrap().unwrap()), (0, b"still there".to_vec()));
        talk(&mut left, &mut right);

        let (mut left, mut right, _clock) = pair(cut, 700);
        alone(left.send_all(b"no\nstill there\n")).unwrap();
        let error = alone(right.open(Banner::default())).unwrap_err();
        assert!(error.reason().is_some(), "the connection is lost: {error}");
        assert_eq!(error.layer_error().unwrap().kind(), LayerErrorKind::Protocol);

        let (mut left, mut right, _clock) = pair(cut, 700);
        alone(left.send_all(b"hel")).unwrap();
        alone(left.close()).unwrap();
        assert!(alone(right.open(Banner::default())).unwrap_err().is_truncated());
    }

    let (mut left, mut right, _clock) = pair(Cut::Whole, 700);
    alone(left.write_line("500 no TLS here")).unwrap();
    let error = alone(right.open(client(VERSIONS[1]).on_failure(OnFailure::Peel))).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Peeled(..)) && error.is_not_spoken(), "{error}");
    assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"500 no TLS here");
}

#[test]
fn a_layer_that_leaves_without_the_facts_it_was_opened_for_says_so() {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 700);
    let asks = async {
        let error = left.negotiate(Negotiate::without_tls(Imap::new())).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::OtherFacts(_, "starttls")), "{error}");
        assert_eq!(left.read_line().await.unwrap().unwrap(), b"in clear", "the connection lives");
    };
    let answers = async {
        right.write_line("* OK ready").await.unwrap();
        right.read_line().await.unwrap();
        right.send_all(b"* CAPABILITY STARTTLS\r\nA OK done\r\n").await.unwrap();
        right.read_line().await.unwrap();
        right.send_all(b"B OK\r\nin clear\r\n").await.unwrap();
    };
    both(asks, answers);
}

#[test]
fn stop_and_stop_tls_are_one() {
    let stop = |conn: &mut Conn, by_the_other_name: bool| -> Result<Vec<u8>, Error> {
        let stopped = if by_the_other_name { alone(conn.stop_tls()) } else { alone(conn.stop()) };
        stopped.map(|stopped| stopped.late)
    };
    for by_the_other_name in [false, true] {
        let (mut left, mut right, _clock) = pair(Cut::Whole, 700);
        assert!(stop(&mut left, by_the_other_name).unwrap_err().is_no_such_layer(), "there is nothing to stop");
        alone(left.open(Deflate::new())).unwrap();
        alone(right.open(Deflate::new())).unwrap();
        alone(left.open(Counter::new())).unwrap();
        talk(&mut left, &mut right);
        left.begin_stop(Stop::new()).unwrap();
        alone(left.flush()).unwrap();
        alone(right.send_all(b"late")).unwrap();
        stop(&mut right, by_the_other_name).unwrap();
        assert_eq!(stop(&mut left, by_the_other_name).unwrap(), b"late");
        assert_eq!((left.depth(), right.depth()), (1, 0), "the counter above it stays");
        talk(&mut left, &mut right);
    }
}

#[test]
fn one_that_fails_as_it_is_put_in_is_not_open() {
    /// Says that it is ready from the start, as most do, and is not.
    #[derive(Debug)]
    struct Broken(bool);

    impl Opens for Broken {
        type Facts = ();
    }

    impl Layer for Broken {
        fn attach(&mut self, _ends: &mut Ends<'_>) -> Result<(), Failure> {
            match self.0 {
                true => Err(LayerError::new(LayerErrorKind::Unsupported, "that is broken").into()),
                false => Ok(()),
            }
        }
    }

    for is_broken in [false, true] {
        let (mut left, _right, _clock) = pair(Cut::Whole, 700);
        match alone(left.open(Broken(is_broken))) {
            Ok(()) => assert!(!is_broken),
            Err(error) => assert!(is_broken && error.to_string().ends_with("that is broken"), "{error}"),
        }
    }
}
