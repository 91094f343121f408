//! Ends in order, and those that are not.

use std::time::Duration;

use futures::executor::block_on;
use onionskin::streams::{ErrorKind, State};

use super::{BINARY, CLOSE, CONTINUED, Client, MORE, ONCE, PING, Server, TEXT, failure, reason, receive};
use crate::world::World;

/// A stream that stands.
fn standing(retry: &str) -> (Server, World, Client) {
    let server = Server::new();
    let mut world = server.world(retry, "");
    world.stream.connect();
    let client = server.upgrade();
    world.expect(&["connecting 1", "connected"]);
    (server, world, client)
}

#[test]
fn our_close_says_1000_and_waits_for_that_of_the_peer() {
    let (_server, mut world, mut client) = standing(ONCE);
    world.stream.disconnect();
    client.read().is(CLOSE, reason(1000, ""));
    // What was on its way still arrives.
    client.frame(TEXT, "late");
    assert_eq!(receive(&world).payload, "late");
    assert_eq!(world.stream.state(), State::Connected, "it ends with the other Close");
    client.frame(CLOSE, reason(1000, ""));
    world.expect(&["disconnected"]);
    assert!(client.read_to_end().is_empty(), "nothing follows a Close");
    assert_eq!(world.stream.state(), State::Idle);
}

#[test]
fn what_was_sent_before_is_sent_before_the_close() {
    let (_server, world, mut client) = standing(ONCE);
    for text in ["one", "two", "three"] {
        block_on(world.stream.send(text)).unwrap();
    }
    world.stream.disconnect();
    for text in ["one", "two", "three"] {
        client.read().is(TEXT, text);
    }
    client.read().is(CLOSE, reason(1000, ""));
}

/// An end of the connection behind our own Close is one in order; before it, it is none.
#[test]
fn an_end_without_close_is_lost_unless_we_have_said_it() {
    for is_ours in [true, false] {
        let (_server, mut world, mut client) = standing(r#""backoff": [100], "conceal": 1"#);
        if is_ours {
            world.stream.disconnect();
            client.read().is(CLOSE, reason(1000, ""));
            drop(client);
            world.expect(&["disconnected"]);
            assert_eq!(world.stream.state(), State::Idle);
        } else {
            drop(client);
            world.expect(&["disconnected: the peer has ended", "backoff 100"]);
        }
    }
}

#[test]
fn an_end_in_the_middle_of_a_frame_or_a_message_is_lost() {
    for begun in [&[TEXT, 5, b'h', b'e'][..], &[TEXT & MORE, 1, b'h'], &[TEXT], &[TEXT, 126, 0], &[BINARY, 127, 0, 0]] {
        let (_server, mut world, mut client) = standing(ONCE);
        client.say(begun);
        client.end();
        let error = failure(&mut world);
        assert!(matches!(error.kind(), ErrorKind::Ended | ErrorKind::Lost(_)), "{error:?}");
        world.expect(&["all retries failed"]);
    }
}

#[test]
fn a_close_of_the_peer_is_answered_by_its_code_and_told_with_its_reason() {
    for (code, why) in [(1000, ""), (1001, "going away"), (1008, "no such room"), (3000, "own"), (4999, "last")] {
        let (server, mut world, mut client) = standing(r#""backoff": [100], "conceal": 1"#);
        client.frame(CLOSE, reason(code, why));
        let answer = client.read();
        assert_eq!((answer.first, &answer.payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
        client.end();
        assert!(client.read_to_end().is_empty(), "nothing follows a Close");
        let error = failure(&mut world);
        if code == 1000 {
            assert!(matches!(error.kind(), ErrorKind::Ended), "{error:?}");
        } else {
            let error = error.to_string();
            assert!(error.contains(&code.to_string()) && error.contains(why), "{error}");
        }
        world.expect(&["backoff 100"]);
        world.wait(Duration::from_millis(100));
        let _client = server.upgrade();
        world.expect(&["connecting 1", "connected"]);
    }
}

#[test]
fn a_close_without_a_code_is_one() {
    let (_server, mut world, mut client) = standing(ONCE);
    client.frame(CLOSE, "");
    assert_eq!(client.read().first, CLOSE);
    client.end();
    let error = failure(&mut world);
    assert!(matches!(error.kind(), ErrorKind::Refused { .. } | ErrorKind::Ended), "{error:?}");
    world.expect(&["all retries failed"]);
}

/// What a peer says is shown as what can be printed.
#[test]
fn a_reason_with_control_characters_is_shown_without_them() {
    let (_server, mut world, mut client) = standing(ONCE);
    client.frame(CLOSE, reason(1008, "\x1b[31mred\r\nline"));
    let error = failure(&mut world).to_string();
    assert!(error.contains("red") && !error.contains(['\x1b', '\r', '\n']), "{error:?}");
}

#[test]
fn codes_that_are_not_for_the_wire_and_reasons_that_are_none_are_errors() {
    let bad: [&[u8]; 8] = [
        &[3],
        &reason(0, ""),
        &reason(999, ""),
        &reason(1005, ""),
        &reason(1006, ""),
        &reason(1015, ""),
        &[3, 232, 0xff, 0xfe],
        &[3, 232, 0xe2, 0x82],
    ];
    for payload in bad {
        let (_server, mut world, mut client) = standing(ONCE);
        client.frame(CLOSE, payload);
        let error = failure(&mut world);
        let is_named = matches!(error.kind(), ErrorKind::Broken { .. }) || error.to_string().contains("1002");
        assert!(is_named, "{payload:?}: {error:?}");
    }
}

#[test]
fn what_comes_behind_the_close_of_the_peer_is_nothing() {
    let (_server, mut world, mut client) = standing(ONCE);
    client.say([super::frame(CLOSE, reason(1000, "")), super::frame(TEXT, "behind"), super::frame(PING, "x")].concat());
    let _ = failure(&mut world);
    world.expect(&["all retries failed"]);
    let answer = client.read();
    assert_eq!(answer.first, CLOSE);
    assert!(client.read_to_end().is_empty());
    let next = block_on(world.stream.receive()).unwrap();
    assert!(next.is_err(), "{next:?}");
}

#[test]
fn both_say_close_at_once() {
    let (_server, mut world, mut client) = standing(ONCE);
    world.stream.disconnect();
    client.frame(CLOSE, reason(1001, "me too"));
    let close = client.read();
    assert_eq!(close.first, CLOSE);
    world.expect(&["disconnected"]);
    assert_eq!(world.stream.state(), State::Idle);
    assert!(client.read_to_end().is_empty(), "there is one Close of each");
}

#[test]
fn pings_behind_our_close_keep_nothing_open() {
    let (_server, mut world, mut client) = standing(ONCE);
    world.stream.disconnect();
    client.read().is(CLOSE, reason(1000, ""));
    for _ in 0..10 {
        client.frame(PING, "still there?");
    }
    // A peer that never says Close is given up.
    world.wait(Duration::from_secs(5));
    world.expect(&["disconnected"]);
    assert_eq!(world.stream.state(), State::Idle);
}

#[test]
fn dropping_a_stream_ends_its_connection() {
    let (_server, world, mut client) = standing(ONCE);
    drop(world.stream);
    client.read().is(CLOSE, reason(1000, ""));
    client.frame(CLOSE, reason(1000, ""));
    assert!(client.read_to_end().is_empty());
}

#[test]
fn closing_a_fragmented_message_in_the_middle_is_in_order() {
    let (_server, mut world, mut client) = standing(ONCE);
    client.frame(TEXT & MORE, "begun");
    client.frame(CONTINUED & MORE, "and not ended");
    client.frame(CLOSE, reason(1001, "away"));
    let error = failure(&mut world);
    assert!(error.to_string().contains("1001"), "{error}");
    assert_eq!(client.read().first, CLOSE);
}
