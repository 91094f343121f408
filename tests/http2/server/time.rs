//! Connections that say nothing, and the end of the service.

use std::cell::RefCell;
use std::time::Duration;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::testing::Cut;
use onionskin::tunnel::Grant;

use super::raw::{ACK, Frame, GOAWAY, NO_ERROR, PING, RST_STREAM, Raw};
use super::{beside, echo, serve, server};
use crate::executor::{Task, run};

#[test]
fn t20_a_ping_is_answered_though_nobody_reads_a_tunnel() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        raw.send(&Frame::new(PING, 0, 0, b"anybody?")).await;
        let pong = raw.next_kind(PING).await.unwrap();
        assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"anybody?"[..]));
    };
    beside(serve(tunnels, echo), client);
}

#[test]
fn t20_a_client_that_says_nothing_is_asked_and_then_given_up() {
    let (tunnels, end, clock) = server(Cut::Whole);
    let losses = RefCell::new(Vec::new());
    let mut server = Task::new(serve(tunnels, |pending| async {
        let mut tunnel = pending.grant(Grant::default()).await.unwrap();
        let loss = tunnel.read(&mut [0]).await.unwrap_err().to_string();
        losses.borrow_mut().push(loss);
    }));
    let (mut asked, mut is_over) = (0, false);
    let mut client = Task::new(async {
        let mut raw = Raw::begin(end).await;
        raw.send(&Frame::connect(1, "a.example:443")).await;
        assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
        while let Some(frame) = raw.next().await {
            if frame.kind == PING && frame.flags == 0 {
                asked += 1;
                // The first is answered, and the second is not.
                if asked == 1 {
                    raw.send(&Frame::new(PING, ACK, 0, &frame.payload)).await;
                }
            }
        }
        is_over = true;
    });
    run(&mut [&mut server, &mut client]);
    for (seconds, losses_then) in [(29, 0), (2, 0), (28, 0), (3, 0), (8, 0), (3, 1)] {
        clock.advance(Duration::from_secs(seconds));
        run(&mut [&mut server, &mut client]);
        assert_eq!(losses.borrow().len(), losses_then, "{losses:?}");
    }
    assert!(server.output().is_some());
    drop(client);
    assert_eq!((asked, is_over), (2, true));
    assert!(losses.borrow()[0].contains("PING"), "{losses:?}");
}

#[test]
fn t21_a_client_that_never_begins_is_given_up() {
    for begun in [false, true] {
        let (tunnels, end, clock) = server(Cut::Whole);
        let mut server = Task::new(serve(tunnels, echo));
        let mut client = Task::new(async {
            let mut end = end;
            if begun {
                end.write_all(&super::raw::PREFACE[..10]).await.unwrap();
            }
            let mut heard = Vec::new();
            end.read_to_end(&mut heard).await.unwrap();
        });
        run(&mut [&mut server, &mut client]);
        clock.advance(Duration::from_secs(9));
        run(&mut [&mut server, &mut client]);
        assert!(server.output().is_none());
        clock.advance(Duration::from_secs(2));
        run(&mut [&mut server, &mut client]);
        assert!(server.output().is_some_and(|served| served.is_empty()), "{begun}");
    }
}

#[test]
fn s13_the_service_ends_and_live_tunnels_finish() {
    for in_time in [true, false] {
        let (mut tunnels, end, clock) = server(Cut::Whole);
        let (stop, stopped) = futures::channel::oneshot::channel::<()>();
        let served = RefCell::new(Vec::new());
        let mut server = Task::new(async {
            let one = tunnels.next().await.unwrap();
            let echoing = async {
                let done = echo(one).await;
                served.borrow_mut().push(done);
            };
            let rest = async {
                stopped.await.unwrap();
                tunnels.shutdown(Duration::from_secs(60));
                assert!(tunnels.next().await.is_none(), "what is asked for now is refused");
            };
            futures::join!(echoing, rest);
        });
        let mut stop = Some(stop);
        let mut client = Task::new(async {
            let mut raw = Raw::begin(end).await;
            raw.send(&Frame::connect(1, "a.example:443")).await;
            assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
            stop.take().unwrap().send(()).unwrap();
            assert_eq!(raw.next_kind(GOAWAY).await.unwrap().code(), NO_ERROR);
            let ping = raw.next_kind(PING).await.unwrap();
            // On its way before the client had heard of that.
            raw.send(&Frame::connect(3, "b.example:443")).await;
            let refused = raw.next_of(3).await.unwrap();
            assert_eq!((refused.kind, refused.code()), (RST_STREAM, super::raw::REFUSED_STREAM));
            // The server has asked when the client will have heard, and says then what the last one was.
            raw.send(&Frame::new(PING, ACK, 0, &ping.payload)).await;
            let last = raw.next_kind(GOAWAY).await.unwrap();
            assert_eq!((last.code(), &last.payload[..4]), (NO_ERROR, &[0, 0, 0, 3][..]));
            raw.send(&Frame::data(1, b"still")).await;
            assert_eq!(raw.next_of(1).await.unwrap().payload, b"still");
            if in_time {
                raw.send(&Frame::data(1, b"").ending()).await;
                assert!(raw.next_of(1).await.unwrap().is_end());
            }
            let rest = raw.rest().await;
            assert!(rest.iter().all(|frame| frame.kind != GOAWAY || frame.code() == NO_ERROR), "{rest:?}");
        });
        run(&mut [&mut server, &mut client]);
        if !in_time {
            assert!(client.output().is_none());
            clock.advance(Duration::from_secs(59));
            run(&mut [&mut server, &mut client]);
            assert!(client.output().is_none());
            clock.advance(Duration::from_secs(2));
            run(&mut [&mut server, &mut client]);
        }
        assert!(server.output().is_some() && client.output().is_some(), "{in_time}");
        assert_eq!(served.borrow()[0].is_ok(), in_time);
    }
}

#[test]
fn t27_a_connection_without_tunnels_ends_when_its_time_is_over() {
    let (tunnels, end, clock) = server(Cut::Whole);
    let mut server = Task::new(serve(tunnels, echo));
    let mut client = Task::new(async {
        let mut raw = Raw::begin(end).await;
        // While there is a tunnel, it is not idle.
        raw.send(&Frame::connect(1, "a.example:443")).await;
        assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
        while let Some(frame) = raw.next().await {
            match frame.kind {
                PING if frame.flags == 0 && frame.payload == *b"the last" => {}
                PING if frame.flags == 0 => raw.send(&Frame::new(PING, ACK, 0, &frame.payload)).await,
                GOAWAY => return frame.code(),
                _ => {}
            }
        }
        u32::MAX
    });
    for _ in 0..400 {
        run(&mut [&mut server, &mut client]);
        clock.advance(Duration::from_secs(1));
    }
    assert!(client.output().is_none(), "five minutes and more, and it has a tunnel");
    drop(client);
    let (tunnels, end, clock) = super::server(Cut::Whole);
    let mut server = Task::new(serve(tunnels, echo));
    let mut client = Task::new(async {
        let mut raw = Raw::begin(end).await;
        raw.next_kind(GOAWAY).await.unwrap().code()
    });
    run(&mut [&mut server, &mut client]);
    clock.advance(Duration::from_secs(299));
    run(&mut [&mut server, &mut client]);
    assert!(client.output().is_none());
    clock.advance(Duration::from_secs(2));
    run(&mut [&mut server, &mut client]);
    assert_eq!(client.output(), Some(NO_ERROR));
    assert!(server.output().is_some());
}
