//! Streams of WebSocket, to servers of tungstenite and to some that are written by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::handshake::server::{Request, Response};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, WebSocket};
use async_tungstenite::tungstenite::{Message as WsMessage, accept_hdr};
use futures::executor::block_on;
use onionskin::streams::{Delivery, ErrorKind, Message};

use crate::world::World;

/// A stream to a listener of the test's, and the listener.
fn listen(more: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!(r#""endpoint": "127.0.0.1", "port": {port}, "protocol": "ws"{more}"#))
}

/// Accepts a WebSocket, with the subprotocol that it answers, and hands on the request.
#[allow(clippy::result_large_err, reason = "the callback of tungstenite has it so")]
fn accept(listener: &TcpListener, subprotocol: Option<&str>) -> (WebSocket<TcpStream>, Request) {
    let mut asked = None;
    let (stream, _) = listener.accept().unwrap();
    let socket = accept_hdr(stream, |request: &Request, mut response: Response| {
        asked = Some(request.clone());
        if let Some(subprotocol) = subprotocol {
            response.headers_mut().insert("sec-websocket-protocol", subprotocol.parse().unwrap());
        }
        Ok(response)
    });
    (socket.unwrap(), asked.unwrap())
}

/// Answers a handshake with these lines, in which `KEY` stands for what belongs there, and sends these bytes behind.
fn answer(listener: TcpListener, lines: &str, behind: &[u8]) -> JoinHandle<TcpStream> {
    let (lines, behind) = (lines.to_owned(), behind.to_owned());
    spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut key = String::new();
        let mut reader = BufReader::new(peer.try_clone().unwrap());
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("sec-websocket-key")
            {
                key = derive_accept_key(value.trim_end().as_bytes());
            }
            if line == "\r\n" {
                break;
            }
        }
        let text = lines.replace('\n', "\r\n").replace("KEY", &key) + "\r\n\r\n";
        let _ = peer.write_all(&[text.as_bytes(), &behind].concat());
        peer
    })
}

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\nConnection: keep-alive, Upgrade\nUpgrade: WebSocket\nSec-WebSocket-Accept: KEY";

#[test]
fn text_and_bytes_both_ways_and_an_end_that_is_said() {
    let (listener, stream) = listen(r#", "http_url": "chat?x=1""#);
    let mut world = World::new(r#""conceal": 0"#, &stream);
    let server = spawn(move || {
        let (mut socket, request) = accept(&listener, None);
        assert_eq!(request.uri(), "/chat?x=1");
        assert_eq!(request.headers()["host"], listener.local_addr().unwrap().to_string());
        assert_eq!(request.headers()["connection"], "Upgrade");
        assert_eq!(socket.read().unwrap(), WsMessage::text("hello"));
        socket.send(WsMessage::text("grüße")).unwrap();
        socket.send(WsMessage::binary(vec![0, 255])).unwrap();
        let WsMessage::Close(Some(frame)) = socket.read().unwrap() else { panic!("no end") };
        assert_eq!(frame.code, CloseCode::Normal);
        let _ = socket.flush();
    });
    assert_eq!(block_on(world.stream.send("hello")).unwrap(), Delivery::Sent);
    let text = block_on(world.stream.receive()).unwrap().unwrap();
    assert!(text.is_text && text.payload == "grüße");
    let bytes = block_on(world.stream.receive()).unwrap().unwrap();
    assert!(!bytes.is_text && bytes.payload == [0, 255][..]);
    block_on(world.stream.close());
    server.join().unwrap();
    world.expect(&["connecting 1", "connected", "sent #1", "disconnected", "closed"]);
}

#[test]
fn bytes_are_binary_where_the_policy_says_so_and_must_be_text_where_not() {
    for is_binary in [true, false] {
        let (listener, stream) = listen(&format!(r#", "ws_binary": {is_binary}"#));
        let world = World::new(r#""conceal": 0"#, &stream);
        let server = spawn(move || {
            let (mut socket, _) = accept(&listener, None);
            let first = socket.read().unwrap();
            (first, socket)
        });
        let sent = block_on(world.stream.send(vec![0xff]));
        if is_binary {
            assert_eq!(sent.unwrap(), Delivery::Sent);
        } else {
            assert!(matches!(sent.unwrap_err().kind(), ErrorKind::Unsupported(_)));
            block_on(world.stream.send("text")).unwrap();
        }
        let (first, _socket) = server.join().unwrap();
        assert_eq!(first.is_binary(), is_binary);
    }
}

#[test]
fn pieces_are_fragments_of_one_message() {
    let (listener, stream) = listen("");
    let world = World::new(r#""conceal": 0"#, &stream);
    let server = spawn(move || {
        let (mut socket, _) = accept(&listener, None);
        (socket.read().unwrap(), socket)
    });
    for (text, is_first, is_last) in [("one ", true, false), ("two ", false, false), ("three", false, true)] {
        block_on(world.stream.send(Message::from(text).piece(is_first, is_last))).unwrap();
    }
    assert_eq!(server.join().unwrap().0, WsMessage::text("one two three"));
}

#[test]
fn fields_and_who_asks_are_on_the_upgrade_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let policy = format!(
        r#"{{ "auth": [{{ "name": "me", "type": "basic", "user": "u", "password": "p" }}],
              "s": {{ "it": {{ "endpoint": "127.0.0.1", "port": {}, "protocol": "ws", "use_auth": "me", "ws_subprotocol": "chat",
                     "http_url": "/${{room}}", "metadata": [{{ "room": "" }}, {{ "key": "x-key:" }}, {{ "seen": "x-seen:" }}] }} }} }}"#,
        listener.local_addr().unwrap().port()
    );
    let mut world = World::of(&policy);
    world.stream.set("room", "a/b").unwrap();
    world.stream.set("key", "17").unwrap();
    let answering = answer(listener, &format!("{SWITCHING}\nSec-WebSocket-Protocol: chat\nX-Seen: 18"), b"");
    world.stream.connect();
    world.expect(&["connecting 1", "value seen", "connected"]);
    assert_eq!(world.stream.value("seen").as_deref(), Some("18"));
    drop(answering.join().unwrap());
}

/// Subprotocols: exact case, once, and none that nobody asked for.
#[test]
fn an_answer_that_is_not_for_this_handshake_is_refused() {
    for (asked, lines, expected) in [
        (
            "",
            "HTTP/1.1 101 X\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: c3VyZWx5IG5vdA==",
            "Accept",
        ),
        ("", "HTTP/1.1 101 X\nConnection: Upgrade\nUpgrade: h2c\nSec-WebSocket-Accept: KEY", "not for a WebSocket"),
        ("", "HTTP/1.1 101 X\nUpgrade: websocket\nSec-WebSocket-Accept: KEY", "not for a WebSocket"),
        ("", &format!("{SWITCHING}\nSec-WebSocket-Protocol: chat"), r#"is "chat", and none"#),
        (r#", "ws_subprotocol": "chat""#, SWITCHING, r#"is none, and "chat""#),
        (r#", "ws_subprotocol": "chat""#, &format!("{SWITCHING}\nSec-WebSocket-Protocol: CHAT"), r#"is "CHAT""#),
        (
            r#", "ws_subprotocol": "chat""#,
            &format!("{SWITCHING}\nSec-WebSocket-Protocol: chat\nSec-WebSocket-Protocol: chat"),
            r#"is "chat""#,
        ),
        ("", "HTTP/1.1 403 Forbidden\nContent-Length: 0", "the answer to the handshake is 403"),
        ("", "HTTP/1.1 200 OK\nContent-Length: 0", "the answer to the handshake is 200"),
        (
            "",
            "HTTP/1.1 302 Found\nLocation: http://x.example/\nContent-Length: 0",
            "the answer to the handshake is 302",
        ),
        ("", "SSH-2.0-OpenSSH_9.2", "ws: "),
    ] {
        let (listener, stream) = listen(asked);
        let mut world = World::new(r#""conceal": 0"#, &stream);
        let answering = answer(listener, lines, b"");
        world.stream.connect();
        world.expect(&["connecting 1"]);
        let event = crate::world::words(&world.event().unwrap());
        assert!(event.starts_with("unreachable: ws: ") && event.contains(expected), "{lines}: {event}");
        drop(answering.join().unwrap());
    }
}

#[test]
fn who_asks_to_come_again_is_waited_for() {
    let (listener, stream) = listen("");
    let mut world = World::new(r#""backoff": [100], "conceal": 1"#, &stream);
    let again = listener.try_clone().unwrap();
    let answering = answer(listener, "HTTP/1.1 503 Busy\nRetry-After: 9\nContent-Length: 0", b"");
    world.stream.connect();
    world.expect(&["connecting 1", "unreachable: the answer is 503", "backoff 9000"]);
    drop(answering.join().unwrap());
    world.wait(Duration::from_secs(9));
    let _peer = accept(&again, None);
    world.expect(&["connecting 2", "connected"]);
}

#[test]
fn bytes_behind_the_answer_are_the_first_message() {
    let (listener, stream) = listen("");
    let world = World::new(r#""conceal": 0"#, &stream);
    let answering = answer(listener, SWITCHING, b"\x81\x02hi\x81\x03you");
    world.stream.connect();
    for expected in ["hi", "you"] {
        assert_eq!(block_on(world.stream.receive()).unwrap().unwrap().payload, expected);
    }
    drop(answering.join().unwrap());
}

#[test]
fn the_end_of_the_peer_is_told_with_its_code() {
    for (code, reason, expected) in [
        (CloseCode::Normal, "bye", "disconnected: the peer has ended"),
        (CloseCode::Policy, "no\nway", r"disconnected: ws: the peer refuses: it has closed with 1008: no\nway"),
        (CloseCode::Away, "", "disconnected: ws: the peer refuses: it has closed with 1001"),
    ] {
        let (listener, stream) = listen("");
        let mut world = World::new(r#""backoff": [100], "conceal": 1"#, &stream);
        world.stream.connect();
        let (mut socket, _) = accept(&listener, None);
        socket.close(Some(CloseFrame { code, reason: reason.into() })).unwrap();
        // The answer to it comes, and then nothing.
        assert!(matches!(socket.read().unwrap(), WsMessage::Close(_)));
        assert!(socket.read().is_err());
        world.expect(&["connecting 1", "connected", expected, "backoff 100"]);
        drop(socket);
        world.wait(Duration::from_millis(100));
        let _socket = accept(&listener, None);
        world.expect(&["connecting 1", "connected"]);
    }
}

#[test]
fn an_end_without_a_word_is_a_loss_but_not_behind_our_own() {
    let (listener, stream) = listen("");
    let mut world = World::new(r#""conceal": 0"#, &stream);
    let answering = answer(listener, SWITCHING, b"");
    world.stream.connect();
    world.expect(&["connecting 1", "connected"]);
    drop(answering.join().unwrap());
    world.expect(&["disconnected: the peer has ended", "all retries failed"]);

    let (listener, stream) = listen("");
    let mut world = World::new(r#""conceal": 0"#, &stream);
    let answering = answer(listener, SWITCHING, b"");
    world.stream.connect();
    world.expect(&["connecting 1", "connected"]);
    world.stream.disconnect();
    let mut peer = answering.join().unwrap();
    let mut frame = [0; 8];
    peer.read_exact(&mut frame).unwrap();
    assert_eq!(frame[0], 0x88, "our end");
    drop(peer);
    world.expect(&["disconnected"]);
    assert_eq!(world.stream.state(), onionskin::streams::State::Idle);
}

#[test]
fn a_peer_is_pinged_when_it_is_silent_and_given_up_when_it_stays_so() {
    let (listener, stream) = listen("");
    let mut world = World::new(r#""svalidping": 20, "svalidhup": 30, "backoff": [100], "conceal": 1"#, &stream);
    world.stream.connect();
    let (mut socket, _) = accept(&listener, None);
    world.expect(&["connecting 1", "connected"]);
    world.wait(Duration::from_secs(20));
    // Reading it makes the answer, which the message takes to the wire.
    assert!(matches!(socket.read().unwrap(), WsMessage::Ping(_)));
    socket.send(WsMessage::text("still here")).unwrap();
    block_on(world.stream.receive()).unwrap().unwrap();
    world.pass(Duration::from_secs(20));
    assert!(matches!(socket.get_mut().read(&mut [0; 64]).unwrap(), 6), "a ping, which nobody answers");
    world.wait(Duration::from_secs(10));
    world.expect(&["disconnected: nothing came from the peer for 30s", "backoff 100"]);
}

#[test]
fn pings_are_answered() {
    let (listener, stream) = listen("");
    let world = World::new(r#""conceal": 0"#, &stream);
    world.stream.connect();
    let (mut socket, _) = accept(&listener, None);
    for word in ["one", "two"] {
        socket.send(WsMessage::Ping(word.into())).unwrap();
        assert_eq!(socket.read().unwrap(), WsMessage::Pong(word.into()));
    }
}

#[test]
fn hostile_frames_are_named_errors_and_nothing_is_kept_for_them() {
    let huge = [&[0x82, 127][..], &(1_u64 << 40).to_be_bytes()].concat();
    let fragments = [&[0x02, 126, 0xff, 0xff][..], &[7; 65535]].concat();
    let without_end = [fragments, [&[0x00, 126, 0xff, 0xff][..], &[7; 65535]].concat().repeat(300)].concat();
    let long_ping = [&b"\x89\x7e\x01\x00"[..], &[7; 256]].concat();
    for (bytes, expected) in [
        (&huge[..], "ws: "),
        (&without_end, "ws: "),
        (b"\x81\x02\xc3\x28", "ws: "),
        (b"\x81\x82\x00\x00\x00\x00hi", "ws: "),
        (b"\xc1\x02hi", "ws: "),
        (b"\x83\x02hi", "ws: "),
        (b"\x80\x02hi", "ws: "),
        (&long_ping, "ws: "),
    ] {
        let (listener, stream) = listen("");
        let mut world = World::new(r#""conceal": 0"#, &stream);
        let answering = answer(listener, SWITCHING, bytes);
        world.stream.connect();
        world.expect(&["connecting 1", "connected", &format!("disconnected: {expected}"), "all retries failed"]);
        drop(answering.join().unwrap());
    }
}

#[test]
fn pings_without_end_hold_up_nobody() {
    let (listener, stream) = listen("");
    let mut world = World::new(r#""conceal": 0"#, &stream);
    let answering = answer(listener, SWITCHING, b"");
    world.stream.connect();
    world.expect(&["connecting 1", "connected"]);
    let mut peer = answering.join().unwrap();
    let mut reading = peer.try_clone().unwrap();
    let writing = spawn(move || while peer.write_all(&b"\x89\x00".repeat(1000)).is_ok() {});
    let drain = spawn(move || while reading.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {});
    assert_eq!(block_on(world.stream.send("x")).unwrap(), Delivery::Sent);
    // Its end is not answered: it is left after five seconds.
    world.stream.disconnect();
    world.wait(Duration::from_secs(5));
    world.expect(&["sent #1", "disconnected"]);
    drain.join().unwrap();
    writing.join().unwrap();
}

#[test]
fn endless_fields_in_the_answer_are_a_named_error() {
    let (listener, stream) = listen("");
    let mut world = World::new(r#""conceal": 0"#, &stream);
    let endless = format!("HTTP/1.1 101 X\n{}", "X-More: 0123456789\n".repeat(20_000));
    let answering = answer(listener, &endless, b"");
    world.stream.connect();
    world.expect(&["connecting 1", "unreachable: ws: ", "all retries failed"]);
    drop(answering.join().unwrap());
}
