//! Async code opens tunnels and is asked for them, in memory and over sockets.

use std::time::Duration;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::endpoint::{Connector, Listener};
use onionskin::layer::opening::Opening;
use onionskin::runtime::{self, Runtime, Socket};
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tunnel::socks::{Socks4a, Socks5, SocksServer};
use onionskin::tunnel::{Answer, Error, ErrorKind, Grant, Question, Reason};

use crate::executor::both;
use crate::{credentials, target};

const CUTS: [Cut; 5] = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(5), Cut::Random(6)];

fn pair(cut: Cut) -> (Connection<WireEnd>, Connection<WireEnd>) {
    let clock = Clock::new();
    let (left, right) = wire(cut, 500);
    let [left, right] = [left, right].map(|end| Connection::with_timer(end, std::sync::Arc::new(clock.clone())));
    (left, right)
}

#[test]
fn k15_async_code_grants_when_the_target_is_reached() {
    for cut in CUTS {
        let (mut left, mut right) = pair(cut);
        let client = async {
            let socks = Socks5::new(target("a.example:443")).credentials(credentials());
            let answer = left.open(Opening::of(socks)).await.unwrap();
            left.write_line("to the target").await.unwrap();
            (answer.bound().cloned(), left.read_line().await.unwrap().unwrap())
        };
        let server = async {
            let layer = right.splice(Opening::of(SocksServer::new().authenticating())).unwrap();
            let asked = right.asked::<SocksServer>(layer).await.unwrap();
            assert_eq!(asked.question(), &Question::Login(credentials()));
            asked.grant(Grant::default()).await.unwrap();
            let mut asked = right.asked::<SocksServer>(layer).await.unwrap();
            let bound = asked.during(async { target("192.0.2.7:8080") }).await.unwrap();
            asked.grant(Grant::bound_to(bound)).await.unwrap();
            assert_eq!(right.depth(), 0);
            right.write_line("from the target").await.unwrap();
            right.read_line().await.unwrap().unwrap()
        };
        let (client, server) = both(client, server);
        assert_eq!(client, (Some(target("192.0.2.7:8080")), b"from the target".to_vec()), "{cut:?}");
        assert_eq!(server, b"to the target", "{cut:?}");
    }
}

#[test]
fn k14_async_code_refuses_and_the_client_knows_why() {
    for cut in CUTS {
        let (mut left, mut right) = pair(cut);
        let client = async { left.open(Opening::of(Socks5::new(target("a.example:443")))).await.unwrap_err() };
        let server = async {
            let layer = right.splice(Opening::of(SocksServer::new())).unwrap();
            right.asked::<SocksServer>(layer).await.unwrap().refuse(Reason::Denied.into()).await.unwrap();
            let error = right.read_line().await.unwrap_err();
            drop(right);
            error
        };
        let (client, server) = both(client, server);
        let refused = Error::of(&client).unwrap();
        assert!(matches!(refused.kind(), ErrorKind::Refused { code: 2, .. }), "{refused}");
        assert!(client.is_refused(), "{client}");
        assert!(matches!(Error::of(&server).unwrap().kind(), ErrorKind::Declined(_)), "{server}");
    }
}

/// A listener on a free port, and what connects to it.
async fn listen(runtime: &'static dyn Runtime) -> (Listener, Connector) {
    let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = listener.local_address().as_tcp().unwrap().port();
    let connector = Connector::new(runtime, &format!("tcp:127.0.0.1:{port}").parse().unwrap()).unwrap();
    (listener, connector)
}

async fn accepted(listener: &Listener) -> Connection<Socket> {
    listener.accept().await.unwrap().ready().await.unwrap()
}

/// What a client asks in one of the languages.
async fn ask(client: &mut Connection<Socket>, is_old: bool) -> Result<Answer, onionskin::connection::Error> {
    match is_old {
        true => client.open(Opening::of(Socks4a::new(target("a.example:443")))).await,
        false => client.open(Opening::of(Socks5::new(target("a.example:443")))).await,
    }
}

#[test]
fn k15_over_sockets_bytes_end_in_each_direction_by_themselves() {
    for &runtime in runtime::all() {
        eprintln!("with {}", runtime.name());
        runtime::block_on(runtime, async {
            for is_old in [false, true] {
                let (listener, connector) = listen(runtime).await;
                let client = async {
                    let mut client = connector.connect().await.unwrap();
                    ask(&mut client, is_old).await.unwrap();
                    client.write_all(&[7; 100_000]).await.unwrap();
                    client.close().await.unwrap();
                    let mut heard = Vec::new();
                    client.read_to_end(&mut heard).await.unwrap();
                    heard.len()
                };
                let server = async {
                    let mut server = accepted(&listener).await;
                    let layer = server.splice(Opening::of(SocksServer::new())).unwrap();
                    let asked = server.asked::<SocksServer>(layer).await.unwrap();
                    let bound = listener.local_address().clone();
                    asked.grant(Grant::bound_to(bound)).await.unwrap();
                    let mut heard = Vec::new();
                    server.read_to_end(&mut heard).await.unwrap();
                    server.write_all(&heard).await.unwrap();
                    server.close().await.unwrap();
                    heard.len()
                };
                assert_eq!(join(client, server).await, (100_000, 100_000));
            }
        });
    }
}

#[test]
fn k14_over_sockets_a_refused_client_reads_the_reply_and_the_end() {
    for &runtime in runtime::all() {
        eprintln!("with {}", runtime.name());
        runtime::block_on(runtime, async {
            for is_old in [false, true] {
                let (listener, connector) = listen(runtime).await;
                let client = async {
                    let mut client = connector.connect().await.unwrap();
                    ask(&mut client, is_old).await.unwrap_err()
                };
                let server = async {
                    let mut server = accepted(&listener).await;
                    let layer = server.splice(Opening::of(SocksServer::new())).unwrap();
                    let asked = server.asked::<SocksServer>(layer).await.unwrap();
                    asked.refuse(Reason::ConnectionRefused.into()).await.unwrap();
                    let _ = server.close().await;
                };
                let (error, ()) = join(client, server).await;
                let code = if is_old { 91 } else { 5 };
                let refused = Error::of(&error).unwrap_or_else(|| panic!("{error}"));
                assert!(matches!(refused.kind(), ErrorKind::Refused { code: found, .. } if *found == code), "{error}");
                assert_eq!(refused.is_target(), !is_old);
            }
        });
    }
}

#[test]
fn k8_over_sockets_an_end_in_place_of_the_reply_is_named() {
    for &runtime in runtime::all() {
        eprintln!("with {}", runtime.name());
        runtime::block_on(runtime, async {
            let (listener, connector) = listen(runtime).await;
            let client = async {
                let mut client = connector.connect().await.unwrap();
                ask(&mut client, false).await.unwrap_err()
            };
            // As OpenSSH does.
            let server = async {
                let mut server = accepted(&listener).await;
                server.read_exact(&mut [0; 3]).await.unwrap();
                server.write_all(&[5, 0]).await.unwrap();
                server.flush().await.unwrap();
                server.read_exact(&mut [0; 16]).await.unwrap();
                server.close().await.unwrap();
            };
            let (error, ()) = join(client, server).await;
            assert_eq!(Error::of(&error).unwrap().kind(), &ErrorKind::Ended("the reply"), "{error}");
        });
    }
}

#[test]
fn a_client_that_is_not_answered_gives_up_in_its_time() {
    let clock = Clock::new();
    let (left, _right) = wire(Cut::Whole, 500);
    let mut left = Connection::with_timer(left, std::sync::Arc::new(clock.clone()));
    let ask = left.open(Opening::of(Socks5::new(target("a.example:443"))));
    let mut task = crate::executor::Task::new(ask);
    assert!(task.run().is_none());
    clock.advance(Duration::from_secs(29));
    assert!(task.run().is_none());
    clock.advance(Duration::from_secs(2));
    let error = task.run().unwrap().unwrap_err();
    let kind = Error::of(&error).unwrap().kind();
    assert_eq!(kind, &ErrorKind::TimedOut("the choice of a method"), "{error}");
}
