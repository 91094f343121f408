//! A proxy that wants to know who asks.

use std::sync::Arc;

use futures::io::AsyncReadExt;
use onionskin::Connection;
use onionskin::layer::opening::Opening;
use onionskin::testing::{Clock, Cut, wire};
use onionskin::tunnel::http1::Connect;
use onionskin::tunnel::{Credentials, Error, ErrorKind};

use crate::executor::Task;
use crate::peer::{CUTS, Dialogue, Peer, REQUEST, connect, refused};

const CHALLENGE: &str =
    "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate, Basic realm=\"squid\"\r\n";
const TOLD: &str =
    "CONNECT a.example:443 HTTP/1.1\nHost: a.example:443\nProxy-Authorization: Basic b25pb246cGVlbA==\n\n";

fn onion() -> Credentials {
    Credentials::new("onion", "peel").unwrap()
}

/// What comes of it when the proxy says `said` first, the application is asked and answers `answer`, and the proxy says `then`.
/// With it, what the proxy has heard beside the first request, and whether the application was asked.
fn challenged(
    cut: Cut,
    connect: Connect,
    said: &str,
    answer: Option<Credentials>,
    then: &str,
) -> (Result<Vec<u8>, Error>, String, bool) {
    let (left, right) = wire(cut, 1 << 20);
    let (mut connection, mut proxy) = (Connection::with_timer(left, Arc::new(Clock::new())), Peer(Some(right)));
    let mut asks = false;
    let (outcome, heard) = {
        let asks = &mut asks;
        let client = async move {
            let layer = connection.splice(Opening::of(connect)).unwrap();
            let asked = connection.asked::<Connect>(layer).await?;
            *asks = true;
            assert_eq!(asked.question().basic().unwrap().realm(), Some("squid"));
            match answer {
                Some(credentials) => asked.grant(credentials).await?,
                None => asked.refuse(()).await?,
            }
            connection.ready(layer).await?;
            let mut behind = Vec::new();
            connection.read_to_end(&mut behind).await.unwrap();
            Ok(behind)
        };
        let mut client = Task::new(client);
        let mut outcome = client.run();
        assert!(outcome.is_none());
        proxy.hears();
        proxy.says(said);
        outcome = outcome.or_else(|| client.run());
        let heard = proxy.hears();
        if outcome.is_none() {
            proxy.says(then);
            proxy.ends();
            outcome = client.run();
        }
        (outcome.expect("the client has come to an end"), heard)
    };
    (
        outcome.map_err(|error: onionskin::connection::Error| {
            Error::of(&error).unwrap_or_else(|| panic!("{error}")).clone()
        }),
        heard,
        asks,
    )
}

#[test]
fn h7_a_challenge_is_answered_once_on_the_same_connection() {
    let bodies = [
        "Content-Length: 0\r\n\r\n".to_owned(),
        format!("Content-Length: 65536\r\nConnection: keep-alive\r\n\r\n{}", "x".repeat(65_536)),
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
    ];
    for cut in CUTS {
        for body in &bodies {
            let said = format!("{CHALLENGE}{body}");
            let then = "HTTP/1.1 200 OK\r\n\r\nbehind";
            let (outcome, heard, asks) = challenged(cut, connect().asking(), &said, Some(onion()), then);
            assert_eq!((outcome.unwrap(), &heard[..], asks), (b"behind".to_vec(), TOLD, true), "{cut:?}");
        }
    }
}

#[test]
fn h7_a_user_that_is_not_accepted_is_not_tried_again() {
    let said = format!("{CHALLENGE}Content-Length: 0\r\n\r\n");
    let (outcome, _, _) = challenged(Cut::Bytes, connect().asking(), &said, Some(onion()), &said);
    let error = outcome.unwrap_err();
    assert!(error.is_auth() && matches!(error.kind(), ErrorKind::AuthRejected), "{error}");
    assert!(!format!("{error:?}").contains("peel"));
    // Nor is one that was told with the first request, asking or not.
    for connect in [connect().credentials(onion()), connect().credentials(onion()).asking()] {
        let mut dialogue = Dialogue::new(Cut::Whole, connect);
        assert_eq!(dialogue.proxy.hears(), TOLD);
        dialogue.proxy.says(&said);
        let error = dialogue.error();
        assert!(matches!(error.kind(), ErrorKind::AuthRejected), "{error}");
    }
}

#[test]
fn h7_where_no_second_request_can_follow_the_challenges_are_the_error() {
    for answer in [
        format!("{CHALLENGE}Content-Length: 0\r\nConnection: x, Close\r\n\r\n"),
        format!("{CHALLENGE}Content-Length: 0\r\nProxy-Connection: close\r\n\r\n"),
        format!("{CHALLENGE}\r\n"),
        format!("{CHALLENGE}Content-Length: 65537\r\n\r\n{}", "x".repeat(65_537)),
        format!("{CHALLENGE}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{CHALLENGE}Content-Length: 0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"),
        format!("{CHALLENGE}Content-Length: 0\r\n\r\n").replace("Basic", "Digest"),
    ] {
        for asks in [false, true] {
            let mut dialogue = Dialogue::new(Cut::Whole, if asks { connect().asking() } else { connect() });
            dialogue.proxy.says(&answer);
            dialogue.run();
            dialogue.proxy.ends();
            let error = dialogue.error();
            let ErrorKind::AuthRequired(challenges) = error.kind() else { panic!("{error}") };
            assert_eq!((challenges.iter().count(), error.is_refused()), (2, true), "{answer}");
            assert_eq!(dialogue.proxy.hears(), REQUEST);
        }
    }
    // The control: HTTP/1.0 that stays is asked again.
    let stays =
        format!("{CHALLENGE}Content-Length: 0\r\nProxy-Connection: Keep-Alive\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    let (outcome, _, asks) =
        challenged(Cut::Whole, connect().asking(), &stays, Some(onion()), "HTTP/1.0 200 OK\r\n\r\n");
    assert!(outcome.is_ok() && asks);
}

#[test]
fn h7_a_proxy_that_closes_without_a_word_wants_another_connection() {
    let said = format!("{CHALLENGE}Content-Length: 0\r\n\r\n");
    let (outcome, _, asks) = challenged(Cut::Whole, connect().asking(), &said, Some(onion()), "");
    let error = outcome.unwrap_err();
    assert!(
        asks && matches!(error.kind(), ErrorKind::AuthRequired(challenges) if challenges.basic().is_some()),
        "{error}"
    );
    // Once it has begun to answer, its end is an end.
    let (outcome, _, _) = challenged(Cut::Whole, connect().asking(), &said, Some(onion()), "HTTP/1.1 2");
    let error = outcome.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Ended(_)), "{error}");
}

#[test]
fn h7_an_application_that_does_not_say_who_it_is_gets_the_challenges() {
    let said = format!("{CHALLENGE}Content-Length: 0\r\n\r\n");
    let (outcome, heard, asks) = challenged(Cut::Whole, connect().asking(), &said, None, "");
    let error = outcome.unwrap_err();
    assert!(asks && matches!(error.kind(), ErrorKind::AuthRequired(_)), "{error}");
    assert_eq!(heard, "");
    assert!(error.to_string().contains("Negotiate, Basic realm=\"squid\""), "{error}");
}

#[test]
fn h7_an_answer_ahead_of_the_second_request_is_none() {
    let said = format!("{CHALLENGE}Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    let (outcome, heard, _) = challenged(Cut::Whole, connect().asking(), &said, Some(onion()), "");
    let error = outcome.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
    assert_eq!(heard, "");
    assert!(matches!(refused(&said), ErrorKind::AuthRequired(_)));
}
