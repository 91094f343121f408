//! The request for an upgrade, and what a server may answer.

use std::time::Duration;

use futures::executor::block_on;
use onionskin::streams::policy::Policy;
use onionskin::streams::{ErrorKind, State, Streams};

use crate::world::runtime;

use super::{ONCE, Server, TEXT, failure, frame, receive};

#[test]
fn one_slash_the_port_and_all_fields_of_the_policy_are_on_the_request() {
    for (url, target) in [
        ("/chat", "/chat"),
        ("chat", "/chat"),
        ("//chat", "/chat"),
        ("", "/"),
        ("r/${room}?n=${room}", "/r/a%20b%2Fc?n=a%20b%2Fc"),
    ] {
        let server = Server::new();
        let keys = format!(
            r#", "http_url": "{url}", "metadata": [{{ "room": "" }}, {{ "agent": "user-agent:" }}, {{ "unset": "x-unset:" }}]"#
        );
        let world = server.world(ONCE, &keys);
        world.stream.set("room", "a b/c").unwrap();
        world.stream.set("agent", "onion/1").unwrap();
        world.stream.connect();
        let client = server.accept();
        assert_eq!(client.head.lines().next(), Some(&*format!("GET {target} HTTP/1.1")));
        assert_eq!(client.field("host"), Some(&*format!("127.0.0.1:{}", server.port())));
        assert_eq!(client.field("sec-websocket-version"), Some("13"));
        assert!(client.field("upgrade").unwrap().eq_ignore_ascii_case("websocket"));
        assert!(client.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
        assert_eq!(client.field("sec-websocket-key").unwrap().len(), 24, "sixteen bytes in base64");
        assert_eq!(client.field("user-agent"), Some("onion/1"));
        for absent in ["x-unset", "sec-websocket-protocol", "sec-websocket-extensions", "content-length", "origin"] {
            assert_eq!(client.field(absent), None, "{absent}");
        }
    }
}

#[test]
fn a_key_is_used_once() {
    let keys: std::collections::BTreeSet<_> = (0..4)
        .map(|_| {
            let server = Server::new();
            let policy = format!(
                r#"{{ "s": {{ "it": {{ "endpoint": "127.0.0.1", "port": {}, "protocol": "ws" }} }} }}"#,
                server.port()
            );
            // Not on the clock and with the numbers of the other tests.
            let streams = Streams::new(Policy::read(&policy).unwrap(), runtime()).unwrap();
            let stream = streams.open("it").unwrap();
            stream.connect();
            server.accept().field("sec-websocket-key").unwrap().to_owned()
        })
        .collect();
    assert_eq!(keys.len(), 4);
}

#[test]
fn who_asks_is_on_the_upgrade_and_in_no_error() {
    for (auth, expected) in [
        (r#""type": "basic", "user": "me", "password": "${secret}""#, "Basic bWU6c2VzYW1l"),
        (r#""type": "bearer", "token": "${secret}""#, "Bearer sesame"),
    ] {
        let server = Server::new();
        let mut world = crate::world::World::of(&format!(
            r#"{{ "auth": [{{ "name": "a", {auth} }}], "s": {{ "it": {{ "endpoint": "127.0.0.1", "port": {},
                "protocol": "ws", "use_auth": "a", "metadata": [{{ "secret": "" }}] }} }} }}"#,
            server.port()
        ));
        world.stream.set("secret", "sesame").unwrap();
        world.stream.connect();
        let mut client = server.accept();
        assert_eq!(client.field("authorization"), Some(expected));
        client.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        world.expect(&["connecting 1"]);
        let error = failure(&mut world);
        assert!(error.is_refused() && error.to_string().contains("401"), "{error}");
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("sesame") && !text.contains("bWU6"), "{text}");
        }
    }
}

#[test]
fn a_value_with_a_line_break_adds_no_field_to_the_upgrade() {
    let server = Server::new();
    let mut world = server.world(ONCE, r#", "metadata": [{ "kind": "x-kind:" }]"#);
    world.stream.set("kind", "a\r\nx-evil: 1").unwrap();
    world.stream.connect();
    world.expect(&["connecting 1"]);
    let error = failure(&mut world);
    assert!(error.is_policy(), "{error}");
    world.expect(&["all retries failed"]);
    world.stream.set("kind", "a").unwrap();
    world.stream.connect();
    let client = server.accept();
    assert_eq!((client.field("x-kind"), client.field("x-evil")), (Some("a"), None));
}

/// Some servers say more than the one word.
#[test]
fn connection_in_the_answer_is_a_list_of_words_in_any_case() {
    for connection in ["keep-alive, Upgrade", "upgrade", "UPGRADE , close", "keep-alive\r\nConnection: Upgrade"] {
        let server = Server::new();
        let mut world = server.world(ONCE, "");
        world.stream.connect();
        let mut client = server.accept();
        let answer = client.accepting("").replace("Connection: Upgrade", &format!("Connection: {connection}"));
        client.say(answer.replace("Upgrade: websocket", "Upgrade: WebSocket"));
        world.expect(&["connecting 1", "connected"]);
        assert_eq!(world.stream.state(), State::Connected, "{connection}");
    }
}

#[test]
fn an_answer_that_does_not_upgrade_is_an_error() {
    type Change = fn(String) -> String;
    let changes: [(&str, Change); 7] = [
        ("another key", |answer| answer.replace("Accept: ", "Accept: A")),
        ("no key", |answer| answer.replace("Sec-WebSocket-Accept", "X-Accept")),
        ("no Upgrade", |answer| answer.replace("Upgrade: websocket\r\n", "")),
        ("another Upgrade", |answer| answer.replace("Upgrade: websocket", "Upgrade: h2c")),
        ("no Connection", |answer| answer.replace("Connection: Upgrade\r\n", "")),
        ("another Connection", |answer| answer.replace("Connection: Upgrade", "Connection: Upgraded")),
        ("an extension nobody asked for", |answer| {
            answer.replace("Connection: ", "Sec-WebSocket-Extensions: permessage-deflate\r\nConnection: ")
        }),
    ];
    for (what, change) in changes {
        let server = Server::new();
        let mut world = server.world(ONCE, "");
        world.stream.connect();
        let mut client = server.accept();
        let answer = client.accepting("");
        let changed = change(answer.clone());
        assert_ne!(answer, changed);
        client.say(changed);
        world.expect(&["connecting 1"]);
        let error = failure(&mut world);
        assert!(matches!(error.kind(), ErrorKind::Broken { .. } | ErrorKind::Refused { .. }), "{what}: {error:?}");
        world.expect(&["all retries failed"]);
        assert!(client.read_to_end().is_empty(), "{what}: nothing is sent to who does not speak it");
    }
}

/// Exactly what was asked for, in the same case, once.
#[test]
fn a_subprotocol_is_answered_as_it_was_asked_for() {
    for (answer, is_fine) in [
        ("Sec-WebSocket-Protocol: chat\r\n", true),
        ("sec-websocket-protocol:  chat \r\n", true),
        ("Sec-WebSocket-Protocol: Chat\r\n", false),
        ("Sec-WebSocket-Protocol: other\r\n", false),
        ("Sec-WebSocket-Protocol: chat, other\r\n", false),
        ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n", false),
        ("Sec-WebSocket-Protocol: \r\n", false),
        ("", false),
    ] {
        let server = Server::new();
        let mut world = server.world(ONCE, r#", "ws_subprotocol": "chat""#);
        world.stream.connect();
        let mut client = server.accept();
        assert_eq!(client.field("sec-websocket-protocol"), Some("chat"));
        client.upgrade(answer);
        world.expect(&["connecting 1"]);
        if is_fine {
            world.expect(&["connected"]);
        } else {
            let error = failure(&mut world);
            assert!(error.to_string().contains("subprotocol"), "{answer:?}: {error}");
        }
    }
}

#[test]
fn a_subprotocol_that_nobody_asked_for_is_an_error() {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    world.stream.connect();
    server.accept().upgrade("Sec-WebSocket-Protocol: chat\r\n");
    world.expect(&["connecting 1"]);
    let error = failure(&mut world);
    assert!(error.to_string().contains("subprotocol"), "{error}");
}

#[test]
fn a_refusal_has_its_status_and_what_it_is_called() {
    for status in [200, 204, 301, 302, 400, 401, 403, 404, 426, 500, 502] {
        let server = Server::new();
        let mut world = server.world(r#""backoff": [100], "conceal": 1"#, r#", "http_resp_map": [{ "404": 1404 }]"#);
        world.stream.connect();
        let mut client = server.accept();
        client.say(format!("HTTP/1.1 {status} Some\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"));
        world.expect(&["connecting 1"]);
        if status == 404 {
            world.expect(&["status 1404"]);
        }
        let error = failure(&mut world);
        assert!(error.is_refused() && error.to_string().contains(&status.to_string()), "{error:?}");
        world.expect(&["backoff 100"]);
        assert!(client.read_to_end().is_empty());
    }
}

#[test]
fn who_asks_to_come_again_is_asked_again_after_that_time() {
    let server = Server::new();
    let mut world = server.world(r#""backoff": [100], "conceal": 3"#, "");
    world.stream.connect();
    for (number, (answer, delay)) in
        [("503 Busy\r\nRetry-After: 7", 7000), ("429 Many\r\nRetry-After: 2", 2000), ("503 Busy", 100)]
            .into_iter()
            .enumerate()
    {
        server.accept().say(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n"));
        let status = &answer[..3];
        world.expect(&[
            &format!("connecting {}", number + 1),
            &format!("unreachable: the answer is {status}"),
            &format!("backoff {delay}"),
        ]);
        world.wait(Duration::from_millis(delay));
    }
    let _client = server.upgrade();
    world.expect(&["connecting 4", "connected"]);
}

#[test]
fn fields_of_the_answer_are_values_before_the_stream_stands() {
    let server = Server::new();
    let mut world = server.world(ONCE, r#", "metadata": [{ "job": "x-job:" }], "http_resp_map": [{ "101": 1101 }]"#);
    world.stream.connect();
    server.accept().upgrade("X-Job: 17\r\n");
    world.expect(&["connecting 1", "status 1101", "value job", "connected"]);
    assert_eq!(world.stream.value("job").as_deref(), Some("17"));
}

#[test]
fn informational_answers_are_skipped() {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.accept();
    client.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
    client.upgrade("");
    world.expect(&["connecting 1", "connected"]);
}

#[test]
fn frames_in_the_segment_of_the_answer_and_an_answer_byte_by_byte() {
    for is_cut in [false, true] {
        let server = Server::new();
        let mut world = server.world(ONCE, "");
        world.stream.connect();
        let mut client = server.accept();
        let all = [client.accepting("").into_bytes(), frame(TEXT, "first"), frame(TEXT, "second")].concat();
        for piece in all.chunks(if is_cut { 1 } else { all.len() }) {
            client.say(piece);
        }
        world.expect(&["connecting 1", "connected"]);
        for expected in ["first", "second"] {
            assert_eq!(receive(&world).payload, expected);
        }
    }
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for_for_ever() {
    for begun in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"] {
        let server = Server::new();
        let mut world = server.world(r#""backoff": [100], "conceal": 1"#, "");
        world.stream.connect();
        let mut client = server.accept();
        client.say(begun);
        world.expect(&["connecting 1"]);
        let mut limit = world.clock.until_next_alarm();
        while limit.is_none() {
            std::thread::yield_now();
            limit = world.clock.until_next_alarm();
        }
        world.clock.advance(limit.unwrap());
        let error = failure(&mut world);
        assert!(error.is_timeout() || matches!(error.kind(), ErrorKind::Broken { .. }), "{error:?}");
        world.expect(&["backoff 100"]);
        assert!(client.read_to_end().is_empty());
    }
}

#[test]
fn an_end_in_the_middle_of_the_answer_is_an_end() {
    for begun in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: web"] {
        let server = Server::new();
        let mut world = server.world(ONCE, "");
        world.stream.connect();
        let mut client = server.accept();
        client.say(begun);
        client.end();
        world.expect(&["connecting 1", "unreachable: the peer has ended", "all retries failed"]);
    }
}

#[test]
fn closing_in_the_middle_of_the_handshake_ends_it() {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.accept();
    world.expect(&["connecting 1"]);
    block_on(world.stream.close());
    world.expect(&["closed"]);
    assert!(client.read_to_end().is_empty());
}
