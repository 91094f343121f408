//! Messages both ways, and what is between them.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use futures::executor::block_on;
use onionskin::streams::{Delivery, ErrorKind, Message};
use onionskin::testing::Dice;

use super::{BINARY, CLOSE, CONTINUED, MORE, ONCE, PING, PONG, Server, TEXT, frame, receive};

#[test]
fn text_and_binary_both_ways_in_the_order_of_events() {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    let sending = block_on(world.stream.enqueue("hello")).unwrap();
    let mut client = server.upgrade();
    client.read().is(TEXT, "hello");
    assert_eq!(block_on(sending).unwrap(), Delivery::Sent);
    world.expect(&["connecting 1", "connected", "sent #1"]);

    client.frame(TEXT, "grüß");
    client.frame(BINARY, [255, 0]);
    client.frame(BINARY, "");
    let text = receive(&world);
    assert!(text.is_text && text.is_first && text.is_last && text.payload == "grüß");
    let bytes = receive(&world);
    assert!(!bytes.is_text && bytes.payload[..] == [255, 0]);
    assert!(receive(&world).payload.is_empty(), "an empty message is one");
}

#[test]
fn ws_binary_says_what_bytes_are_sent_as() {
    for (key, expected) in [(r#", "ws_binary": true"#, BINARY), ("", TEXT)] {
        let server = Server::new();
        let world = server.world(ONCE, key);
        world.stream.connect();
        let mut client = server.upgrade();
        block_on(world.stream.send("text")).unwrap();
        let frame = client.read();
        assert_eq!(frame.payload, b"text");
        if !key.is_empty() {
            assert_eq!(frame.first, expected);
        }
    }
}

#[test]
fn text_that_is_none_is_refused_before_it_is_sent_and_the_stream_goes_on() {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    world.expect(&["connecting 1", "connected"]);
    let mut wrong = Message::text("");
    wrong.payload = vec![0xff].into();
    block_on(world.stream.send(wrong)).unwrap_err();
    world.expect(&["undelivered #1"]);
    block_on(world.stream.send("right")).unwrap();
    client.read().is(TEXT, "right");
}

#[test]
fn each_length_is_written_and_read_and_each_mask_is_another() {
    let server = Server::new();
    let world = server.world(ONCE, r#", "ws_binary": true"#);
    world.stream.connect();
    let mut client = server.upgrade();
    let mut masks = BTreeSet::new();
    let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20];
    for len in lengths {
        let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let sending = block_on(world.stream.enqueue(bytes.clone())).unwrap();
        let frame = client.read();
        assert_eq!(frame.payload, bytes, "{len}");
        masks.insert(frame.mask);
        block_on(sending).unwrap();
        client.frame(BINARY, &bytes);
        assert_eq!(receive(&world).payload, bytes, "{len}");
    }
    assert_eq!(masks.len(), lengths.len());
}

#[test]
fn pieces_are_fragments() {
    let server = Server::new();
    let world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    for (text, is_first, is_last, expected) in [
        ("a", true, false, TEXT & MORE),
        ("", false, false, CONTINUED & MORE),
        ("b", false, true, CONTINUED),
        ("whole", true, true, TEXT),
    ] {
        block_on(world.stream.send(Message::text(text).piece(is_first, is_last))).unwrap();
        client.read().is(expected, text);
    }
}

#[test]
fn a_message_in_fragments_with_pings_in_between_is_one() {
    let server = Server::new();
    let world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    client.frame(TEXT & MORE, "gr\u{fc}");
    client.frame(PING, "one");
    client.frame(CONTINUED & MORE, "");
    client.frame(PING, "two");
    client.frame(CONTINUED, "\u{df}");
    let message = receive(&world);
    assert!(message.is_text && message.is_first && message.is_last);
    assert_eq!(message.payload, "gr\u{fc}\u{df}");
    client.read().is(PONG, "one");
    client.read().is(PONG, "two");
}

/// A character may be cut by the border of two fragments.
#[test]
fn a_character_may_be_cut_between_two_fragments() {
    let server = Server::new();
    let world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    let text = "a\u{20ac}\u{1f9c5}z";
    for at in 0..=text.len() {
        let (one, two) = text.as_bytes().split_at(at);
        client.frame(TEXT & MORE, one);
        client.frame(CONTINUED, two);
        assert_eq!(receive(&world).payload, text, "cut at {at}");
    }
}

#[test]
fn what_is_cut_at_any_byte_is_the_same() {
    let all = [frame(TEXT & MORE, "one"), frame(PING, "?"), frame(CONTINUED, "two"), frame(BINARY, [7; 200])].concat();
    for at in 1..all.len() {
        let server = Server::new();
        let world = server.world(ONCE, "");
        world.stream.connect();
        let mut client = server.upgrade();
        client.say(&all[..at]);
        // It has come when the ping behind it is answered; a frame that is cut cannot be asked behind.
        std::thread::yield_now();
        client.say(&all[at..]);
        assert_eq!(receive(&world).payload, "onetwo");
        assert_eq!(receive(&world).payload[..], [7; 200]);
        client.read().is(PONG, "?");
    }
}

/// Messages, fragments and pings by chance, in segments of any length.
#[test]
fn whatever_is_said_in_whatever_segments_is_received() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let (mut wire, mut messages, mut pings) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..20 {
            let is_text = dice.one_in(2);
            let payload = if is_text {
                "\u{e9}\u{20ac}\u{1f9c5}x".repeat(dice.below(60)).into_bytes()
            } else {
                (0..dice.below(70_000)).map(|i| (i % 251) as u8).collect()
            };
            let mut first = if is_text { TEXT } else { BINARY };
            let mut rest = &payload[..];
            while dice.one_in(2) {
                let (piece, behind) = rest.split_at(dice.below(rest.len() + 1));
                wire.extend(frame(first & MORE, piece));
                (first, rest) = (CONTINUED, behind);
                if dice.one_in(3) {
                    let ping = number.to_string();
                    wire.extend(frame(PING, &ping));
                    pings.push(ping);
                }
            }
            wire.extend(frame(first, rest));
            messages.push((is_text, payload));
        }
        let server = Server::new();
        let world = server.world(ONCE, "");
        world.stream.connect();
        let mut client = server.upgrade();
        let mut writer = client.socket.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            let mut rest = &wire[..];
            while !rest.is_empty() {
                let most = if dice.one_in(3) { 4 } else { 20_000 };
                let (piece, behind) = rest.split_at(rest.len().min(1 + dice.below(most)));
                writer.write_all(piece).unwrap();
                rest = behind;
            }
        });
        for (is_text, payload) in messages {
            let message = receive(&world);
            assert!(message.is_first && message.is_last && message.is_text == is_text);
            assert!(message.payload == payload);
        }
        // Of pings that come at once, the last one is answered for sure (RFC 6455, section 5.5.3).
        if let Some(last) = pings.pop() {
            while client.read().payload != last.as_bytes() {}
        }
        writing.join().unwrap();
    }
}

/// Each of them is answered, with the next thing that is read.
#[test]
fn three_glued_pings_are_three_pongs() {
    let server = Server::new();
    let world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    client.say([frame(PING, "1"), frame(PING, "2"), frame(PING, "3")].concat());
    for expected in ["1", "2", "3"] {
        client.read().is(PONG, expected);
    }
    // Pongs that nobody asked for are taken, and not answered (RFC 6455, section 5.5.3).
    client.say([frame(PONG, "unasked"), frame(TEXT, "x")].concat());
    assert_eq!(receive(&world).payload, "x");
    block_on(world.stream.send("y")).unwrap();
    client.read().is(TEXT, "y");
}

#[test]
fn validity_is_asked_by_a_ping_and_a_pong_puts_off_the_end() {
    let server = Server::new();
    let mut world = server.world(r#""svalidping": 20, "svalidhup": 30, "backoff": [1000], "conceal": 1"#, "");
    world.stream.connect();
    let mut client = server.upgrade();
    world.expect(&["connecting 1", "connected"]);
    world.wait(Duration::from_secs(20));
    for _ in 0..3 {
        let ping = client.read();
        assert_eq!(ping.first, PING);
        client.frame(PONG, ping.payload);
        // What comes behind it is received, and so it has been heard.
        client.frame(TEXT, "seen");
        receive(&world);
        world.clock.advance(Duration::from_secs(10));
        world.until_alarm_is(Duration::from_secs(10));
        world.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(client.read().first, PING);
    world.wait(Duration::from_secs(10));
    world.expect(&["disconnected: nothing came from the peer for 30s", "backoff 1000"]);
    world.wait(Duration::from_secs(1));
    let _client = server.upgrade();
    world.expect(&["connecting 1", "connected"]);
}

#[test]
fn what_arrives_or_a_ping_of_the_peer_is_proof_of_life() {
    for sign in [frame(PING, ""), frame(TEXT, "x"), frame(PONG, "")] {
        let server = Server::new();
        let mut world = server.world(r#""svalidhup": 30"#, "");
        world.stream.connect();
        let mut client = server.upgrade();
        world.expect(&["connecting 1", "connected"]);
        for _ in 0..3 {
            world.clock.advance(Duration::from_secs(20));
            // What comes behind it is received, and so it has been heard.
            client.say([&sign[..], &frame(TEXT, "seen")].concat());
            while receive(&world).payload != "seen" {}
        }
        world.clock.advance(Duration::from_secs(30));
        world.expect(&["disconnected: nothing came"]);
    }
}

#[test]
fn who_does_not_receive_holds_up_the_peer_and_still_sends() {
    let server = Server::new();
    let world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    let (total, len) = (48 << 20, 1 << 16);
    let mut writer = client.socket.try_clone().unwrap();
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let writing = {
        let written = std::sync::Arc::clone(&written);
        std::thread::spawn(move || {
            let frame = frame(BINARY, vec![7; len]);
            for _ in 0..total / len {
                writer.write_all(&frame).unwrap();
                written.fetch_add(len, std::sync::atomic::Ordering::SeqCst);
            }
        })
    };
    // The other way goes on, however long nobody receives.
    for n in 0..100 {
        let sending = block_on(world.stream.enqueue(n.to_string())).unwrap();
        client.read().is(TEXT, n.to_string());
        block_on(sending).unwrap();
    }
    assert!(written.load(std::sync::atomic::Ordering::SeqCst) < total, "not all of it is held in memory");
    let mut received = 0;
    while received < total {
        received += receive(&world).payload.len();
    }
    writing.join().unwrap();
}

#[test]
fn what_waits_while_the_peer_is_away_comes_in_order_and_once() {
    let server = Server::new();
    let mut world = server.world(r#""backoff": [1000], "conceal": "always""#, "");
    world.stream.connect();
    drop(server.upgrade());
    world.expect(&["connecting 1", "connected", "disconnected", "backoff 1000"]);
    for n in 0..100 {
        drop(block_on(world.stream.enqueue(n.to_string())).unwrap());
    }
    world.wait(Duration::from_secs(1));
    let mut client = server.upgrade();
    for n in 0..100 {
        client.read().is(TEXT, n.to_string());
    }
    world.stream.disconnect();
    assert_eq!(client.read().first, CLOSE);
}

#[test]
fn a_message_that_is_being_written_when_the_line_breaks_is_not_sent_and_is_told() {
    let server = Server::new();
    let mut world = server.world(ONCE, r#", "ws_binary": true"#);
    world.stream.connect();
    let client = server.upgrade();
    world.expect(&["connecting 1", "connected"]);
    // More than what fits into any buffer on the way.
    let sending = block_on(world.stream.enqueue(vec![7; 15 << 20])).unwrap();
    drop(client);
    let error = block_on(sending).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Ended | ErrorKind::Lost(_)), "{error:?}");
}
