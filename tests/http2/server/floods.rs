//! Peers that send much that means nothing: in clear, and in TLS.

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::testing::{Clock, Cut, wire};
use onionskin::tls::Version;
use onionskin::tunnel::http2::PendingTunnels;

use super::raw::{
    ACK, CANCEL, CONTINUATION, Frame, GOAWAY, HEADERS, NO_ERROR, PING, PREFACE, Raw, SETTINGS, WINDOW_UPDATE, block,
    frames_in,
};
use super::{beside, connection, echo, serve, server};
use crate::common::Authority;
use crate::executor::both;

/// The frames of one turn.
type Flood = Box<dyn Fn(u32) -> Vec<Frame>>;

/// What is sent again and again, and by what it is ended.
fn floods() -> Vec<(&'static str, Flood)> {
    vec![
        (
            "rapid reset",
            Box::new(|n| vec![Frame::connect(2 * n + 3, "a.example:443"), Frame::reset(2 * n + 3, CANCEL)]),
        ),
        (
            "malformed requests",
            Box::new(|n| {
                vec![Frame::headers(2 * n + 3, &[(":method", "CONNECT"), (":path", "/"), (":authority", "a:1")])]
            }),
        ),
        (
            "CONTINUATION without end",
            Box::new(|n| match n {
                0 => vec![Frame::new(HEADERS, 0, 3, &block(&[(":method", "CONNECT")]))],
                _ => vec![Frame::new(CONTINUATION, 0, 3, &block(&[("x", "y")]))],
            }),
        ),
        ("empty DATA", Box::new(|_| vec![Frame::data(1, b"")])),
        ("WINDOW_UPDATE of nothing", Box::new(|_| vec![Frame::new(WINDOW_UPDATE, 0, 1, &[0; 4])])),
    ]
}

#[test]
fn t24_a_flood_ends_the_connection_or_the_stream() {
    for (what, frames) in floods() {
        let (tunnels, end, _clock) = server(Cut::Whole);
        let client = async {
            let mut raw = Raw::begin(end).await;
            raw.send(&Frame::connect(1, "a.example:443")).await;
            assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
            for n in 0..20_000 {
                for frame in frames(n) {
                    raw.send(&frame).await;
                }
            }
            let end = raw.rest().await;
            let goaway = end.iter().find(|frame| frame.kind == GOAWAY);
            (goaway.map(Frame::code), end.iter().filter(|frame| frame.kind != GOAWAY).count())
        };
        let ((code, answers), _) = both(client, serve(tunnels, echo));
        assert!(code.is_some(), "{what}: {code:?}");
        assert!(answers < 12_000, "{what}: {answers}");
    }
}

#[test]
fn t24_questions_that_have_to_be_answered_wait_while_nobody_reads_the_answers() {
    for (what, frame) in [("PING", Frame::new(PING, 0, 0, &[7; 8])), ("SETTINGS", Frame::new(SETTINGS, 0, 0, &[]))] {
        let clock = Clock::new();
        let (client, end) = wire(Cut::Whole, 100_000);
        let tunnels = PendingTunnels::over(connection(end, &clock));
        let mut sent = 0;
        let bytes = frame.bytes().repeat(1000);
        let client = async {
            let mut client = client;
            client.write_all(PREFACE).await.unwrap();
            client.write_all(&Frame::new(SETTINGS, 0, 0, &[]).bytes()).await.unwrap();
            for _ in 0..2_000 {
                client.write_all(&bytes).await.unwrap();
                sent += bytes.len();
            }
        };
        let mut client = crate::executor::Task::new(client);
        let mut server = crate::executor::Task::new(serve(tunnels, echo));
        crate::executor::run(&mut [&mut client, &mut server]);
        assert!(client.output().is_none(), "{what}: backpressure");
        drop(client);
        // Two wires, and what the server holds on the way in and out.
        assert!(sent < 2_000_000, "{what}: {sent}");
    }
    // And while somebody does, they are answered one by one.
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        for n in 0..1_000_u64 {
            raw.send(&Frame::new(PING, 0, 0, &n.to_be_bytes())).await;
            let pong = raw.next_kind(PING).await.unwrap();
            assert_eq!((pong.flags, &pong.payload[..]), (ACK, &n.to_be_bytes()[..]));
        }
    };
    beside(serve(tunnels, echo), client);
}

#[test]
fn t24_a_flood_through_tls_ends_too() {
    let authority = Authority::new();
    for (what, frames) in floods() {
        let clock = Clock::new();
        let (left, right) = wire(Cut::Whole, 1 << 20);
        let (mut left, mut right): (Connection<Socket>, Connection<Socket>) =
            (connection(left, &clock), connection(right, &clock));
        let tls = authority.client(&[Version::Tls13]);
        let accepting = authority.server("proxy.example", &[Version::Tls13]);
        let client = async move {
            left.start_tls(tls.to("proxy.example").unwrap()).await.unwrap();
            let mut said = [PREFACE, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat();
            said.extend(Frame::connect(1, "a.example:443").bytes());
            for n in 0..20_000 {
                said.extend(frames(n).iter().flat_map(Frame::bytes));
                // Each of them by itself: the server has done what it does before it hears of the next.
                if left.write_all(&said).await.is_err() {
                    break;
                }
                said.clear();
            }
            let _ = left.close().await;
            let mut heard = Vec::new();
            let _ = left.read_to_end(&mut heard).await;
            frames_in(&heard)
        };
        let server = async {
            right.start_tls(accepting.accept().unwrap()).await.unwrap();
            serve(PendingTunnels::over(right), echo).await
        };
        let (answers, _) = both(client, server);
        assert!(answers.iter().any(|frame| frame.kind == GOAWAY && frame.code() != NO_ERROR), "{what}");
        assert!(answers.len() < 12_000, "{what}: {}", answers.len());
    }
}
