//! What breaks off is no end, and the one side hears of it from the other.

use std::cell::RefCell;
use std::io::ErrorKind;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::connection::Error;
use onionskin::testing::Cut;
use onionskin::tunnel::Grant;

use super::client::{self, begin};
use super::raw::{CANCEL, CONNECT_ERROR, DATA, Frame, HEADERS, NO_ERROR, PROTOCOL_ERROR, RST_STREAM, Raw};
use super::{beside, driven, echo, serve, server};
use crate::executor::both;

#[test]
fn t10_a_target_that_breaks_off_is_told_as_such() {
    for cut in [Cut::Whole, Cut::Bytes, Cut::Random(4)] {
        let (tunnels, end, _clock) = server(cut);
        let client = async {
            let mut raw = Raw::begin(end).await;
            raw.send(&Frame::connect(1, "lost.example:443")).await;
            assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
            assert_eq!(raw.next_of(1).await.unwrap().payload, b"so far");
            let last = raw.next_of(1).await.unwrap();
            assert_eq!((last.kind, last.code()), (RST_STREAM, CONNECT_ERROR), "{cut:?}");
            // One whose target ends as it should is no such thing.
            raw.send(&Frame::connect(3, "ended.example:443")).await;
            assert_eq!(raw.next_of(3).await.unwrap().status(), 200);
            assert_eq!(raw.next_of(3).await.unwrap().payload, b"so far");
            assert!(raw.next_of(3).await.unwrap().is_end(), "{cut:?}");
        };
        let server = serve(tunnels, |pending| async {
            let is_lost = pending.request().target.to_string().contains("lost");
            let mut tunnel = pending.grant(Grant::default()).await.unwrap();
            tunnel.write_all(b"so far").await.unwrap();
            tunnel.flush().await.unwrap();
            if is_lost {
                return tunnel.reset().unwrap();
            }
            tunnel.close().await.unwrap();
            let _ = tunnel.read(&mut [0]).await;
        });
        beside(server, client);
    }
}

#[test]
fn t11_a_stream_that_is_reset_is_lost_and_the_others_go_on() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let (mut client, connection) = begin(end).await;
        driven(connection, async move {
            let (mut other, mut heard) = client::open(&mut client, "a.example:443").await;
            let (mut send, mut receive) = client::open(&mut client, "a.example:443").await;
            client::send(&mut send, b"so far", false).await.unwrap();
            assert_eq!(client::receive_some(&mut receive, 6).await.unwrap(), b"so far");
            send.send_reset(h2::Reason::CANCEL);
            client::send(&mut other, b"goes on", true).await.unwrap();
            assert_eq!(client::receive(&mut heard).await.unwrap(), b"goes on");
        })
        .await;
    };
    let (_, done) = both(client, serve(tunnels, echo));
    let (ends, losses): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
    assert_eq!((ends.len(), losses.len()), (1, 1));
    let loss = losses.into_iter().next().unwrap().unwrap_err();
    assert_eq!(loss.kind(), ErrorKind::ConnectionReset, "{loss}");
}

#[test]
fn t11_the_loss_of_the_connection_is_the_loss_of_each_tunnel() {
    for is_end in [true, false] {
        let (tunnels, end, _clock) = server(Cut::Whole);
        let client = async {
            let mut raw = Raw::begin(end).await;
            for stream in [1, 3] {
                raw.send(&Frame::connect(stream, "a.example:443")).await;
                raw.send(&Frame::data(stream, b"so far")).await;
                assert_eq!(raw.next_of(stream).await.unwrap().status(), 200);
                assert_eq!(raw.next_of(stream).await.unwrap().payload, b"so far");
            }
            // One has ended its direction, and is lost all the same: it has more to be told.
            raw.send(&Frame::data(3, b"").ending()).await;
            assert!(raw.next_of(3).await.unwrap().is_end());
            if !is_end {
                raw.end.fail(ErrorKind::ConnectionReset);
            }
        };
        let (_, done) = both(client, serve(tunnels, echo));
        let losses = done.into_iter().filter_map(Result::err).collect::<Vec<_>>();
        assert_eq!(losses.len(), 1, "the one that had ended both ways is no loss, the other is: {losses:?}");
        assert!(losses[0].to_string().contains("a.example:443"), "{losses:?}");
    }
}

#[test]
fn t12_fields_behind_the_data_of_a_tunnel_are_no_clean_end() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        for (stream, last) in
            [(1, Frame::headers(1, &[("x-trailer", "1")]).ending()), (3, Frame::data(3, b"").ending())]
        {
            raw.send(&Frame::connect(stream, "a.example:443")).await;
            raw.send(&Frame::data(stream, b"so far")).await;
            assert_eq!(raw.next_of(stream).await.unwrap().status(), 200);
            assert_eq!(raw.next_of(stream).await.unwrap().payload, b"so far");
            raw.send(&last).await;
            let answer = raw.next_of(stream).await.unwrap();
            if stream == 1 {
                assert_eq!((answer.kind, answer.code()), (RST_STREAM, PROTOCOL_ERROR));
            } else {
                assert!(answer.kind == DATA && answer.is_end(), "{answer:?}");
            }
        }
        // In the middle they are as wrong.
        raw.send(&Frame::connect(5, "a.example:443")).await;
        assert_eq!(raw.next_of(5).await.unwrap().status(), 200);
        raw.send(&Frame::headers(5, &[("x-trailer", "1")])).await;
        let answer = raw.next_of(5).await.unwrap();
        assert_eq!((answer.kind, answer.code()), (RST_STREAM, PROTOCOL_ERROR));
    };
    let (_, done) = both(client, serve(tunnels, echo));
    assert_eq!(done.iter().filter(|done| done.is_err()).count(), 2, "{done:?}");
}

#[test]
fn t9_a_tunnel_that_is_dropped_before_it_has_ended_is_cancelled() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let client = async {
        let mut raw = Raw::begin(end).await;
        raw.send(&Frame::connect(1, "a.example:443")).await;
        assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
        let last = raw.next_of(1).await.unwrap();
        assert_eq!((last.kind, last.code()), (RST_STREAM, CANCEL));
        // One that has ended both ways is over, and its reset says at most that.
        raw.send(&Frame::connect(3, "ended.example:443").ending()).await;
        assert_eq!(raw.next_of(3).await.unwrap().status(), 200);
        assert!(raw.next_of(3).await.unwrap().is_end());
        raw.send(&Frame::connect(5, "ended.example:443").ending()).await;
        let next = raw.next_kind(HEADERS).await.unwrap();
        assert_eq!(next.stream, 5, "nothing more of 3");
        let rest = raw.next_of(5).await.unwrap();
        assert!(rest.kind != RST_STREAM || rest.code() == NO_ERROR, "{rest:?}");
    };
    let server = serve(tunnels, |pending| async {
        let is_ended = pending.request().target.to_string().contains("ended");
        let mut tunnel = pending.grant(Grant::default()).await.unwrap();
        if is_ended {
            let mut bytes = Vec::new();
            tunnel.read_to_end(&mut bytes).await.unwrap();
            assert!(bytes.is_empty(), "a request may end its direction at once");
            tunnel.close().await.unwrap();
        }
    });
    beside(server, client);
}

#[test]
fn t15_a_loss_names_the_tunnel_and_what_became_of_the_connection() {
    let (tunnels, end, _clock) = server(Cut::Whole);
    let losses = RefCell::new(Vec::new());
    let client = async {
        let mut raw = Raw::begin(end).await;
        raw.send(&Frame::connect(1, "a.example:443")).await;
        assert_eq!(raw.next_of(1).await.unwrap().status(), 200);
        // SETTINGS with a length that no settings have are an error of the connection.
        raw.send(&Frame::new(super::raw::SETTINGS, 0, 0, &[0; 5])).await;
        assert!(raw.next_kind(super::raw::GOAWAY).await.unwrap().code() != NO_ERROR);
        raw.rest().await;
    };
    let server = serve(tunnels, |pending| async {
        let mut tunnel = pending.grant(Grant::default()).await.unwrap();
        let error = tunnel.read(&mut [0]).await.unwrap_err();
        losses.borrow_mut().push(Error::of(&error).map(ToString::to_string).unwrap_or_else(|| error.to_string()));
    });
    both(client, server);
    assert!(losses.borrow()[0].contains("a.example:443"), "{losses:?}");
}
