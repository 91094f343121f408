//! What comes behind a tunnel: TLS, another proxy, or nobody because the client was dropped.

use std::sync::Arc;

use futures::io::AsyncWriteExt;
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::layer::opening::Opening;
use onionskin::runtime::Address;
use onionskin::testing::{Clock, WireEnd, wire};
use onionskin::tls::Version;
use onionskin::tunnel::http1::{Connect, ConnectServer};
use onionskin::tunnel::{Grant, Question};

use crate::common::{Authority, BOTH};
use crate::executor::{both, cancelled_after};
use crate::peer::{CUTS, Peer, connect};

fn pair(cut: onionskin::testing::Cut) -> (Connection<WireEnd>, Connection<WireEnd>) {
    let (left, right) = wire(cut, 1000);
    let [left, right] = [left, right].map(|end| Connection::with_timer(end, Arc::new(Clock::new())));
    (left, right)
}

async fn grant(connection: &mut Connection<WireEnd>) -> Address {
    let layer = connection.splice(Opening::of(ConnectServer::new())).unwrap();
    let asked = connection.asked::<ConnectServer>(layer).await.unwrap();
    let Question::Tunnel(request) = asked.question().clone() else { panic!("nobody has to log in") };
    asked.grant(Grant::default()).await.unwrap();
    request.target
}

#[test]
fn h3_h16_tls_and_another_proxy_behind_a_proxy_take_what_is_behind_its_answer() {
    let authority = Authority::new();
    for versions in [&[Version::Tls12][..], BOTH] {
        let (client, server) = (authority.client(versions), authority.server("c.example", versions));
        for cut in CUTS {
            let (mut left, mut right) = pair(cut);
            let dials = async {
                for target in ["b.example", "c.example"] {
                    left.open(Opening::of(Connect::new(Address::to_host(target, 443).unwrap()))).await.unwrap();
                }
                // The target speaks first, in TLS that it has begun at once.
                left.start_tls(client.to("c.example").unwrap()).await.unwrap();
                let line = left.read_line().await.unwrap().unwrap();
                left.write_line(&line).await.unwrap();
                left.close().await.unwrap();
                line
            };
            let serves = async {
                let targets = [grant(&mut right).await, grant(&mut right).await].map(|target| target.to_string());
                assert_eq!(targets, ["tcp b.example:443", "tcp c.example:443"]);
                right.start_tls(server.accept().unwrap()).await.unwrap();
                right.write_line("220 hello").await.unwrap();
                right.read_line().await.unwrap().unwrap()
            };
            let (heard, echoed) = both(dials, serves);
            assert_eq!((&heard[..], &echoed[..]), (&b"220 hello"[..], &b"220 hello"[..]), "{cut:?}");
        }
    }
}

#[test]
fn h15_a_tunnel_that_answers_in_clear_where_tls_is_wanted_is_no_connection() {
    let authority = Authority::new();
    for cut in CUTS {
        let (mut left, mut right) = pair(cut);
        let dials = async {
            left.open(Opening::of(connect())).await.unwrap();
            let error = left.start_tls(authority.client(BOTH).to("a.example").unwrap()).await.unwrap_err();
            let written = left.write_all(b"secret").await;
            let _ = left.close().await;
            drop(left);
            (error, written.is_err())
        };
        let serves = async {
            grant(&mut right).await;
            right.send_all(b"HTTP/1.1 200 OK\r\n\r\nwelcome to the hotel\r\n").await.unwrap();
            let mut heard = Vec::new();
            let _ = futures::io::AsyncReadExt::read_to_end(&mut right, &mut heard).await;
            heard
        };
        let ((error, is_refused), heard) = both(dials, serves);
        assert!(error.reason().unwrap().is_not_spoken() && is_refused, "{error}");
        assert!(!heard.windows(6).any(|part| part == b"secret"), "{cut:?}");
    }
}

#[test]
fn h17_a_client_that_is_dropped_at_any_await_closes_and_one_that_waits_again_gets_its_tunnel() {
    for waits_again in [false, true] {
        for cut in CUTS {
            for polls in 0.. {
                let (mut left, right) = pair(cut);
                let mut proxy = Peer(Some(right.into_inner().io));
                let layer = left.splice(Opening::of(connect())).unwrap();
                proxy.says("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n220 hello\r\n");
                let is_done = async { cancelled_after(polls, left.ready(layer)).await.map(Result::unwrap).is_some() };
                let is_done = crate::executor::alone(is_done);
                if waits_again {
                    let again = async {
                        if !is_done {
                            left.ready(layer).await.unwrap();
                        }
                        left.read_line().await
                    };
                    let line: Result<_, Error> = crate::executor::alone(again);
                    assert_eq!(line.unwrap().unwrap(), b"220 hello", "{cut:?} {polls}");
                } else {
                    drop(left);
                    proxy.hears();
                    assert!(proxy.is_hung_up_on(), "{cut:?} {polls}");
                }
                if is_done {
                    break;
                }
            }
        }
    }
}
