//! A client that ends, dies or is silent, at every byte of what it says; and an application that does not answer.

use std::time::Duration;

use futures::io::AsyncWriteExt;
use onionskin::Connection;
use onionskin::layer::opening::Opening;
use onionskin::testing::{Clock, Cut, wire};
use onionskin::tunnel::ErrorKind;
use onionskin::tunnel::http1::ConnectServer;

use crate::executor::Task;
use crate::peer::{Peer, Service, grants};

const ASKS: &str = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n";

#[test]
fn s8_an_end_at_any_byte_of_the_request_is_one_and_is_answered_with_nothing() {
    for is_reset in [false, true] {
        for at in 0..=ASKS.len() {
            let mut service = Service::new(Cut::Whole, ConnectServer::new(), grants);
            service.client.says(&ASKS[..at]);
            service.run();
            if is_reset {
                service.client.resets();
            } else {
                service.client.ends();
            }
            if at == ASKS.len() {
                // The control: a client may end behind its request, and is served.
                assert!(is_reset || service.served().unwrap().opened.is_ok());
                continue;
            }
            let error = service.served().unwrap().opened.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::Ended("the request"), "{at} {is_reset}: {error}");
            assert!(is_reset || service.client.hears().is_empty());
        }
    }
}

#[test]
fn s8_silence_at_any_byte_is_408_after_ten_seconds() {
    for at in 0..ASKS.len() {
        let mut service = Service::new(Cut::Whole, ConnectServer::new(), grants);
        service.client.says(&ASKS[..at]);
        service.clock.advance(Duration::from_secs(9));
        assert!(service.served().is_none() && service.client.hears().is_empty(), "{at}");
        service.clock.advance(Duration::from_secs(2));
        service.run();
        let heard = service.client.hears();
        assert_eq!(heard.starts_with("HTTP/1.1 408 Request Timeout\nProxy-Status: "), at > 0, "{at}: {heard}");
        assert!(service.client.is_hung_up_on());
        service.client.ends();
        let error = service.served().unwrap().opened.unwrap_err();
        assert!(error.is_timeout(), "{error}");
    }
}

#[test]
fn s8_a_byte_a_second_does_not_move_the_deadline() {
    let mut service = Service::new(Cut::Whole, ConnectServer::new(), grants);
    for (second, byte) in ASKS.as_bytes().iter().enumerate() {
        service.client.says([*byte]);
        service.run();
        if service.client.hears().starts_with("HTTP/1.1 408 ") {
            assert_eq!(second, 10);
            return;
        }
        service.clock.advance(Duration::from_secs(1));
    }
    panic!("the deadline has not come");
}

#[test]
fn s8_the_application_may_think_as_long_as_it_likes_and_then_nothing_but_its_answer_is_said() {
    let clock = Clock::new();
    let (left, right) = wire(Cut::Whole, 1 << 20);
    let (mut client, mut server) =
        (Peer(Some(left)), Connection::with_timer(right, std::sync::Arc::new(clock.clone())));
    let (answer, answered) = futures::channel::oneshot::channel::<()>();
    let serving = async {
        let layer = server.splice(Opening::of(ConnectServer::new())).unwrap();
        let mut asked = server.asked::<ConnectServer>(layer).await.unwrap();
        asked.during(answered).await.unwrap().unwrap();
        asked.grant(onionskin::tunnel::Grant::default()).await.unwrap();
    };
    let mut serving = Task::new(serving);
    serving.run();
    client.says(ASKS);
    serving.run();
    clock.advance(Duration::from_secs(3600));
    assert!(serving.run().is_none());
    assert_eq!(client.hears(), "");
    answer.send(()).unwrap();
    serving.run().unwrap();
    assert!(client.hears().starts_with("HTTP/1.1 200 "));
}

#[test]
fn s3_an_application_that_does_not_answer_is_500() {
    let (left, right) = wire(Cut::Whole, 1 << 20);
    let (mut client, mut server) = (Peer(Some(left)), Connection::with_timer(right, std::sync::Arc::new(Clock::new())));
    client.says(ASKS);
    let serving = async {
        let layer = server.splice(Opening::of(ConnectServer::new())).unwrap();
        drop(server.asked::<ConnectServer>(layer).await.unwrap());
        let error = server.read_line().await.unwrap_err();
        // Its last words have left, or leave now.
        let _ = server.close().await;
        error
    };
    let error = Task::new(serving).run().unwrap();
    let error = onionskin::tunnel::Error::of(&error).unwrap();
    assert!(matches!(error.kind(), ErrorKind::Declined(_)), "{error}");
    let heard = client.hears();
    assert!(
        heard.starts_with("HTTP/1.1 500 Internal Server Error\nProxy-Status: onionskin; error=proxy_internal_error\n"),
        "{heard}"
    );
}
