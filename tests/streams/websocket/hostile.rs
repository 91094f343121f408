//! Servers that mean no good: each ends in an error that says why, and none of them grows our memory.

use std::io::Write;
use std::time::Duration;

use futures::executor::block_on;
use onionskin::streams::policy::Protocol;
use onionskin::streams::{Error, ErrorKind};

use crate::world::World;

use super::{BINARY, CLOSE, CONTINUED, MORE, ONCE, PING, Server, TEXT, failure, frame, reason, receive};

/// What becomes of a stream whose server says this, once it is upgraded, and whether the client says Close with which code.
fn after(said: impl AsRef<[u8]>) -> (Error, Option<u16>) {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    world.expect(&["connecting 1", "connected"]);
    // It may hang up in the middle.
    let _ = client.socket.write_all(said.as_ref());
    let error = failure(&mut world);
    world.expect(&["all retries failed"]);
    // What is unread makes a reset of the end, and that may overtake the Close.
    let code = client.try_read().ok().filter(|frame| frame.first == CLOSE && frame.payload.len() >= 2);
    (error, code.map(|frame| u16::from_be_bytes([frame.payload[0], frame.payload[1]])))
}

#[track_caller]
fn is_broken(what: &str, said: impl AsRef<[u8]>, expected_code: u16) {
    let (error, code) = after(said);
    assert!(matches!(error.kind(), ErrorKind::Broken { protocol: Protocol::Ws, .. }), "{what}: {error:?}");
    assert!(code.is_none_or(|code| code == expected_code), "{what}: {code:?}");
    assert!(error.to_string().starts_with("ws: "), "{what}: {error}");
}

#[test]
fn frames_that_break_the_rules() {
    let masked = [TEXT, 0x81, 1, 2, 3, 4, b'h' ^ 1];
    is_broken("a masked frame", masked, 1002);
    for bit in [0x40, 0x20, 0x10] {
        is_broken("a reserved bit", frame(TEXT | bit, "x"), 1002);
        is_broken("a reserved bit of a ping", frame(PING | bit, "x"), 1002);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        is_broken("a reserved opcode", frame(0x80 | opcode, "x"), 1002);
    }
    is_broken("a ping in fragments", frame(PING & MORE, "x"), 1002);
    is_broken("a Close in fragments", frame(CLOSE & MORE, reason(1000, "")), 1002);
    is_broken("a ping of 126 bytes", frame(PING, [0; 126]), 1002);
    is_broken("a Close of 126 bytes", frame(CLOSE, reason(1000, &"x".repeat(124))), 1002);
    is_broken("nothing to continue", frame(CONTINUED, "x"), 1002);
    is_broken("nothing to continue, and more", frame(CONTINUED & MORE, "x"), 1002);
    is_broken("a message in a message", [frame(TEXT & MORE, "x"), frame(TEXT, "y")].concat(), 1002);
    is_broken("another in a message", [frame(TEXT & MORE, "x"), frame(BINARY & MORE, "y")].concat(), 1002);
}

#[test]
fn text_that_is_none() {
    for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"cut \xe2\x82"] {
        is_broken("bad UTF-8", frame(TEXT, bytes), 1007);
        let (one, two) = bytes.split_at(bytes.len() - 1);
        is_broken("bad UTF-8 in fragments", [frame(TEXT & MORE, one), frame(CONTINUED, two)].concat(), 1007);
    }
}

/// The length alone is enough to say no: nothing is set aside for it.
#[test]
fn lengths_that_are_too_much() {
    for len in [(16 << 20) + 1, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, u64::MAX] {
        let mut head = vec![BINARY, 127];
        head.extend(len.to_be_bytes());
        let (error, _) = after(&head);
        assert!(matches!(error.kind(), ErrorKind::Broken { .. }), "{len}: {error:?}");
    }
}

#[test]
fn sixteen_mebibytes_are_a_message_and_one_byte_more_is_none() {
    let limit = 16 << 20;
    let server = Server::new();
    let world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    client.frame(BINARY, vec![1; limit]);
    assert_eq!(receive(&world).payload.len(), limit, "it is as long as it may be");

    let half = vec![1; limit / 2];
    let whole = [frame(BINARY & MORE, &half), frame(CONTINUED & MORE, &half)].concat();
    client.say([&whole[..], &frame(CONTINUED, "")].concat());
    assert_eq!(receive(&world).payload.len(), limit, "so it is in fragments");

    let (error, _) = after([&whole[..], &frame(CONTINUED, "1")].concat());
    assert!(matches!(error.kind(), ErrorKind::Broken { .. }), "{error:?}");
}

#[test]
fn fragments_without_end() {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    world.expect(&["connecting 1", "connected"]);
    let piece = frame(CONTINUED & MORE, vec![7; 1 << 16]);
    client.frame(BINARY & MORE, "begun");
    let sent = (0..100_000).take_while(|_| client.socket.write_all(&piece).is_ok()).count();
    assert!(sent < 2_000, "{sent}");
    let error = failure(&mut world);
    assert!(matches!(error.kind(), ErrorKind::Broken { .. }), "{error:?}");
}

/// Pongs that nobody reads are not all kept: either the pings are held up, or not each has one (RFC 6455, section 5.5.3).
#[test]
fn pings_without_end_and_nobody_reads_the_pongs() {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    world.expect(&["connecting 1", "connected"]);
    let pings = frame(PING, [7; 125]).repeat(1_000);
    client.socket.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    // Sixty-four megabytes of them, more than what lies in sockets.
    let is_taken = (0..500).all(|_| client.socket.write_all(&pings).is_ok());
    if !is_taken {
        return;
    }
    drop(block_on(world.stream.enqueue("behind them")).unwrap());
    let mut pongs = 0;
    while client.read().first != TEXT {
        pongs += 1;
    }
    assert!(pongs < 200_000, "{pongs} pongs were kept");
}

/// The same below MQTT, which reads bytes and knows of no pings.
#[test]
fn pings_without_end_below_mqtt() {
    let server = Server::new();
    let keys = r#""protocol": "mqtt", "mqtt_over_ws": true, "mqtt_topic": "t""#;
    let world = World::new(ONCE, &format!(r#""endpoint": "127.0.0.1", "port": {}, {keys}"#, server.port()));
    world.stream.connect();
    let mut client = server.accept();
    client.upgrade("Sec-WebSocket-Protocol: mqtt\r\n");
    assert_eq!(client.read().payload[0], 0x10, "CONNECT");
    client.frame(BINARY, [0x20, 2, 0, 0]);
    let pings = frame(PING, [7; 125]).repeat(1_000);
    client.socket.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    if !(0..500).all(|_| client.socket.write_all(&pings).is_ok()) {
        return;
    }
    drop(block_on(world.stream.enqueue("behind them")).unwrap());
    let mut pongs = 0;
    while client.read().first != BINARY {
        pongs += 1;
    }
    assert!(pongs < 200_000, "{pongs} pongs were kept");
}

#[test]
fn pings_without_end_stop_nobody_from_sending() {
    let server = Server::new();
    let world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.upgrade();
    let mut writer = client.socket.try_clone().unwrap();
    let pinging = std::thread::spawn(move || {
        let pings = frame(PING, "x").repeat(100);
        while writer.write_all(&pings).is_ok() {}
    });
    for n in 0..20 {
        let sending = block_on(world.stream.enqueue(n.to_string())).unwrap();
        let text = loop {
            let frame = client.read();
            if frame.first == TEXT {
                break frame.payload;
            }
        };
        assert_eq!(text, n.to_string().as_bytes());
        block_on(sending).unwrap();
    }
    drop(world);
    let _ = client.socket.shutdown(std::net::Shutdown::Both);
    pinging.join().unwrap();
}

#[test]
fn a_head_without_end() {
    for line in ["X-More: and more\r\n", "x"] {
        let server = Server::new();
        let mut world = server.world(ONCE, "");
        world.stream.connect();
        let mut client = server.accept();
        client.say("HTTP/1.1 101 Switching Protocols\r\n");
        let lines = line.repeat(4_096);
        let sent = (0..10_000).take_while(|_| client.socket.write_all(lines.as_bytes()).is_ok()).count();
        assert!(sent < 5_000, "{sent}");
        world.expect(&["connecting 1"]);
        let error = failure(&mut world);
        assert!(matches!(error.kind(), ErrorKind::Broken { .. } | ErrorKind::Refused { .. }), "{error:?}");
    }
}

#[test]
fn informational_answers_without_end() {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.accept();
    world.expect(&["connecting 1"]);
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000);
    client.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let sent = (0..100).take_while(|_| client.socket.write_all(hints.as_bytes()).is_ok()).count();
    if sent == 100 {
        // They are skipped, and the time limit for the answer is what ends them.
        let limit = world.clock.until_next_alarm().expect("there is a limit");
        world.clock.advance(limit);
    }
    let error = failure(&mut world);
    assert!(error.is_timeout() || matches!(error.kind(), ErrorKind::Broken { .. }), "{error:?}");
}

#[test]
fn what_is_not_http() {
    for said in ["SSH-2.0-OpenSSH\r\n\r\n", "\0\0\0\0\r\n\r\n", "HTTP/9.9 101 x\r\n\r\n", "HTTP/1.1 1010 x\r\n\r\n"] {
        let server = Server::new();
        let mut world = server.world(ONCE, "");
        world.stream.connect();
        let mut client = server.accept();
        client.say(said);
        world.expect(&["connecting 1"]);
        let error = failure(&mut world);
        assert!(matches!(error.kind(), ErrorKind::Broken { .. }), "{said:?}: {error:?}");
    }
}

/// The body of a refusal may be as long as it likes: nobody reads it.
#[test]
fn a_refusal_with_a_body_without_end() {
    let server = Server::new();
    let mut world = server.world(ONCE, "");
    world.stream.connect();
    let mut client = server.accept();
    client.say("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let sent = (0..10_000).take_while(|_| client.socket.write_all(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 1_000, "{sent}");
    world.expect(&["connecting 1"]);
    let error = failure(&mut world);
    assert!(error.is_refused() && error.to_string().contains("403"), "{error:?}");
}
