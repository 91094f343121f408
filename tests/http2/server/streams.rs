//! Tunnels side by side: what one of them does is no affair of the others.

use std::cell::RefCell;

use bytes::Bytes;
use futures::future::pending;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::testing::Cut;
use onionskin::tunnel::{Grant, Reason};

use super::client::{self, begin};
use super::raw::{Frame, Raw, WINDOW_UPDATE};
use super::{beside, driven, echo, serve, server, server_over};
use crate::executor::{Task, run};

/// Reads nothing of a tunnel to "unread.example", and echoes the others.
async fn echo_but_for_one(pending_tunnel: onionskin::tunnel::http2::PendingTunnel) {
    if pending_tunnel.request().target.to_string().contains("unread.example") {
        let _tunnel = pending_tunnel.grant(Grant::default()).await.unwrap();
        return pending().await;
    }
    // The client may have left.
    let _ = echo(pending_tunnel).await;
}

#[test]
fn t6_t7_each_direction_ends_by_itself() {
    for cut in [Cut::Whole, Cut::Bytes, Cut::Random(3)] {
        let (tunnels, end, _clock) = server(cut);
        let client = async {
            let (mut client, connection) = begin(end).await;
            driven(connection, async move {
                // The client ends first, and hears what comes behind that.
                let (mut send, mut receive) = client::open(&mut client, "a.example:443").await;
                client::send(&mut send, b"question", true).await.unwrap();
                assert_eq!(client::receive(&mut receive).await.unwrap(), b"question, answer");
                // The server ends first, and hears what comes behind that.
                let (mut send, mut receive) = client::open(&mut client, "b.example:443").await;
                assert_eq!(client::receive(&mut receive).await.unwrap(), b"that was all");
                client::send(&mut send, b"not here", true).await.unwrap();
            })
            .await;
        };
        let heard = RefCell::new(Vec::new());
        let server = serve(tunnels, |pending| async {
            let is_first = pending.request().target.to_string().contains("a.example");
            let mut tunnel = pending.grant(Grant::default()).await.unwrap();
            let mut bytes = Vec::new();
            if is_first {
                tunnel.read_to_end(&mut bytes).await.unwrap();
                bytes.extend(b", answer");
                tunnel.write_all(&bytes).await.unwrap();
                tunnel.close().await.unwrap();
            } else {
                tunnel.write_all(b"that was all").await.unwrap();
                tunnel.close().await.unwrap();
                tunnel.read_to_end(&mut bytes).await.unwrap();
                heard.borrow_mut().extend(bytes);
            }
        });
        let (_, _) = crate::executor::both(server, client);
        assert_eq!(*heard.borrow(), b"not here", "{cut:?}");
    }
}

#[test]
fn t16_a_tunnel_that_nobody_reads_holds_up_no_other() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let (mut client, connection) = begin(end).await;
        driven(connection, async move {
            let mut stuck = Vec::new();
            for _ in 0..3 {
                let (mut send, receive) = client::open(&mut client, "unread.example:443").await;
                // As much as there is room for.
                let mut sent = 0;
                loop {
                    send.reserve_capacity(1 << 20);
                    let room = futures::future::poll_fn(|cx| {
                        std::task::Poll::Ready(match send.poll_capacity(cx) {
                            std::task::Poll::Ready(room) => room.unwrap().unwrap(),
                            std::task::Poll::Pending => 0,
                        })
                    })
                    .await;
                    if room == 0 {
                        break;
                    }
                    sent += room;
                    send.send_data(Bytes::from(vec![7; room]), false).unwrap();
                    // Whoever sends comes to rest when the window is used up.
                    send.reserve_capacity(0);
                    drop(client::open(&mut client, "b.example:443").await);
                }
                assert!(sent > 0);
                stuck.push((send, receive));
            }
            let (mut send, mut receive) = client::open(&mut client, "a.example:443").await;
            let said: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
            let (heard, ()) = futures::join!(client::receive(&mut receive), async {
                client::send(&mut send, &said, true).await.unwrap();
            });
            assert!(heard.unwrap() == said);
        })
        .await;
    };
    beside(serve(tunnels, echo_but_for_one), client);
}

#[test]
fn t17_room_is_given_back_as_somebody_reads() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let (read, may_read) = futures::channel::oneshot::channel();
    let may_read = RefCell::new(Some(may_read));
    let client = async {
        let mut raw = Raw::begin(end).await;
        raw.send(&Frame::connect(1, "a.example:443")).await;
        assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
        // Most of the window that there is for one stream.
        for _ in 0..60 {
            raw.send(&Frame::data(1, &[7; 16_384])).await;
        }
        raw.send(&Frame::new(super::raw::PING, 0, 0, &[1; 8])).await;
        let mut given = 0;
        loop {
            let frame = raw.next().await.unwrap();
            match frame.kind {
                WINDOW_UPDATE if frame.stream == 1 => {
                    given += u32::from_be_bytes(frame.payload[..].try_into().unwrap()) as usize;
                }
                super::raw::PING => break,
                _ => {}
            }
        }
        let buffer = onionskin::stack::Limits::default().buffer;
        assert!(given <= buffer, "{given}: what a boundary holds, and no more, has been taken");
        read.send(()).unwrap();
        while given < 30 * 16_384 {
            let frame = raw.next().await.unwrap();
            if frame.kind == WINDOW_UPDATE && frame.stream == 1 {
                given += u32::from_be_bytes(frame.payload[..].try_into().unwrap()) as usize;
            }
        }
    };
    let server = serve(tunnels, |pending| async {
        let mut tunnel = pending.grant(Grant::default()).await.unwrap();
        let may_read = may_read.borrow_mut().take().unwrap();
        may_read.await.unwrap();
        let mut bytes = vec![0; 60 * 16_384];
        tunnel.read_exact(&mut bytes).await.unwrap();
        pending_for_ever(tunnel).await;
    });
    beside(server, client);
}

#[test]
fn t17_room_is_given_back_when_a_part_of_the_window_was_read_and_not_for_each_frame() {
    const QUARTER: usize = 1 << 18;
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        raw.send(&Frame::connect(1, "a.example:443")).await;
        assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
        for _ in 0..15 {
            raw.send(&Frame::data(1, &[7; 16_384])).await;
        }
        loop {
            let frame = raw.next().await.unwrap();
            assert!((frame.kind, frame.stream) != (WINDOW_UPDATE, 1), "less than a quarter says nothing");
            if frame.kind == super::raw::DATA {
                break;
            }
        }
        // By half of it there is some.
        for _ in 15..33 {
            raw.send(&Frame::data(1, &[7; 16_384])).await;
        }
        let given = loop {
            let frame = raw.next().await.unwrap();
            if (frame.kind, frame.stream) == (WINDOW_UPDATE, 1) {
                break u32::from_be_bytes(frame.payload[..].try_into().unwrap()) as usize;
            }
        };
        assert!((QUARTER..=33 * 16_384).contains(&given), "{given}");
    };
    let server = serve(tunnels, |pending| async {
        let mut tunnel = pending.grant(Grant::default()).await.unwrap();
        tunnel.read_exact(&mut vec![0; 15 * 16_384]).await.unwrap();
        tunnel.write_all(b"read").await.unwrap();
        tunnel.flush().await.unwrap();
        tunnel.read_exact(&mut vec![0; 18 * 16_384]).await.unwrap();
        pending_for_ever(tunnel).await;
    });
    beside(server, client);
}

async fn pending_for_ever<T>(_held: T) {
    pending::<()>().await;
}

#[test]
fn t18_thousands_of_small_frames_that_nobody_reads_harm_no_other_tunnel() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        raw.send(&Frame::connect(1, "unread.example:443")).await;
        assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
        for _ in 0..5_000 {
            raw.send(&Frame::data(1, b"x")).await;
        }
        raw.send(&Frame::connect(3, "a.example:443")).await;
        raw.send(&Frame::data(3, b"still here")).await;
        assert_eq!(raw.next_of(3).await.unwrap().status(), 200);
        assert_eq!(raw.next_of(3).await.unwrap().payload, b"still here");
        assert!(raw.end.arriving() == 0, "nothing was said of the other");
    };
    beside(serve(tunnels, echo_but_for_one), client);
}

/// While all of them have more to say than the client takes, no tunnel sends twice before each other has sent once.
#[test]
fn t19_a_hundred_tunnels_take_turns() {
    const TUNNELS: u32 = 100;
    const EACH: usize = 100_000;
    // The wire has room for a frame, so what the tunnels have to say waits with us and not on the way.
    let (tunnels, end, _clock) = server_over(Cut::Whole, 20_000);
    let (go_on, goes_on) = futures::channel::oneshot::channel::<()>();
    let mut server = Task::new(serve(tunnels, |pending| async {
        let mut tunnel = pending.grant(Grant::default()).await.unwrap();
        tunnel.write_all(&[7; EACH]).await.unwrap();
        tunnel.close().await.unwrap();
        tunnel.read_to_end(&mut Vec::new()).await.unwrap();
    }));
    let mut client = Task::new(async {
        let mut raw = Raw::begin(end).await;
        raw.send(&Frame::new(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())).await;
        let mut order = Vec::new();
        for number in 0..TUNNELS {
            raw.send(&Frame::connect(2 * number + 1, "a.example:443").ending()).await;
        }
        goes_on.await.unwrap();
        let mut ended = 0;
        while ended < TUNNELS {
            let frame = raw.next().await.unwrap();
            ended += u32::from(frame.is_end());
            if frame.kind == super::raw::DATA {
                order.push((frame.stream, frame.payload.len()));
            }
        }
        order
    });
    // All queues are full before the client takes anything.
    run(&mut [&mut server, &mut client]);
    go_on.send(()).unwrap();
    run(&mut [&mut server, &mut client]);
    let order = client.output().expect("the client is not stuck");
    let (mut last, mut longest, mut bytes) = (std::collections::HashMap::new(), 0, 0);
    for (at, (stream, len)) in order.iter().enumerate() {
        bytes += len;
        if let Some(before) = last.insert(*stream, at) {
            longest = longest.max(at - before);
        }
    }
    println!("{} frames, at most {longest} from one of a tunnel to its next", order.len());
    assert_eq!((last.len(), bytes), (TUNNELS as usize, TUNNELS as usize * EACH));
    assert!(longest <= TUNNELS as usize, "{longest}");
}

#[test]
fn t13_no_more_tunnels_than_there_may_be() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        for number in 0..=100 {
            raw.send(&Frame::connect(2 * number + 1, "unread.example:443")).await;
        }
        let answer = raw.next_of(201).await.unwrap();
        assert_eq!((answer.kind, answer.code()), (super::raw::RST_STREAM, super::raw::REFUSED_STREAM));
        // One that is gone makes room.
        raw.send(&Frame::reset(1, super::raw::CANCEL)).await;
        raw.send(&Frame::connect(203, "a.example:443")).await;
        assert_eq!(raw.next_of(203).await.unwrap().status(), 200);
    };
    beside(serve(tunnels, echo_but_for_one), client);
}

#[test]
fn a_refusal_is_no_tunnel_and_the_others_go_on() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let (mut client, connection) = begin(end).await;
        driven(connection, async move {
            let (mut send, mut receive) = client::open(&mut client, "a.example:443").await;
            let (answer, _) = client::ask(&mut client, client::connect("denied.example:443", &[])).await.unwrap();
            assert_eq!(answer.await.unwrap().status(), 403);
            client::send(&mut send, b"still", true).await.unwrap();
            assert_eq!(client::receive(&mut receive).await.unwrap(), b"still");
        })
        .await;
    };
    let server = serve(tunnels, |pending| async {
        if pending.request().target.to_string().contains("denied") {
            return pending.refuse(Reason::Denied).await.unwrap();
        }
        echo(pending).await.unwrap();
    });
    beside(server, client);
}
