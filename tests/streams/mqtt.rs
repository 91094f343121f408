//! Streams of MQTT, to a broker that says byte for byte what a test wants.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use async_tungstenite::tungstenite::handshake::server::{Request, Response};
use async_tungstenite::tungstenite::{Message as WsMessage, accept_hdr};
use futures::FutureExt;
use futures::executor::block_on;
use onionskin::streams::{Delivery, ErrorKind, Message, State};

use crate::world::{Deaf, World, words};

/// The end of a broker.
struct Broker(TcpStream);

impl Broker {
    /// The next packet: its first byte, and what is behind its length.
    fn packet(&mut self) -> (u8, Vec<u8>) {
        let first = self.bytes(1)[0];
        let mut len = 0;
        for shift in (0..).step_by(7) {
            let byte = self.bytes(1)[0];
            len |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        (first, self.bytes(len))
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Accepts the client, and returns what is in its CONNECT.
    fn accept(listener: &TcpListener, has_session: bool) -> (Self, Vec<u8>) {
        let mut broker = Self(listener.accept().unwrap().0);
        let (first, connect) = broker.packet();
        assert_eq!(first, 0x10);
        broker.say(&[0x20, 2, has_session.into(), 0]);
        (broker, connect)
    }

    /// A PUBLISH: its first byte, identifier, topic and payload.
    fn publish(&mut self) -> (u8, u16, String, Vec<u8>) {
        let (first, body) = self.packet();
        assert_eq!(first & 0xf0, 0x30, "{body:?}");
        let len = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + len].to_vec()).unwrap();
        let behind = &body[2 + len..];
        if first & 0x06 == 0 {
            return (first, 0, topic, behind.to_vec());
        }
        (first, u16::from_be_bytes([behind[0], behind[1]]), topic, behind[2..].to_vec())
    }

    /// An answer with an identifier.
    fn answer(&mut self, first: u8, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.say(&[first, 2, high, low]);
    }

    /// The identifier in an answer of this kind.
    fn answered(&mut self, first: u8) -> u16 {
        let (found, body) = self.packet();
        assert_eq!(found, first, "{body:?}");
        u16::from_be_bytes([body[0], body[1]])
    }
}

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

fn publish(first: u8, topic: &str, id: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let id = id.map_or(Vec::new(), |id| id.to_be_bytes().to_vec());
    let body = [&(topic.len() as u16).to_be_bytes()[..], topic.as_bytes(), &id, payload].concat();
    [&[first, body.len() as u8][..], &body].concat()
}

fn listen(more: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = mqtt_to(listener.local_addr().unwrap().port(), more);
    (listener, stream)
}

fn mqtt_to(port: u16, more: &str) -> String {
    format!(r#""endpoint": "127.0.0.1", "port": {port}, "protocol": "mqtt", {more}"#)
}

#[test]
fn each_publication_has_the_acknowledgement_of_its_quality_of_service() {
    for qos in [0, 1, 2] {
        let (listener, stream) = listen(&format!(r#""mqtt_topic": "a/b", "mqtt_qos": {qos}, "mqtt_retain": true"#));
        let mut world = World::new(r#""conceal": 0"#, &stream);
        let mut sending = block_on(world.stream.enqueue("21.5")).unwrap();
        let (mut broker, _) = Broker::accept(&listener, false);
        let (first, id, topic, payload) = broker.publish();
        assert_eq!((first, topic.as_str(), payload.as_slice()), (0x31 | qos << 1, "a/b", &b"21.5"[..]));
        if qos == 1 {
            assert!((&mut sending).now_or_never().is_none());
            broker.answer(PUBACK, id);
        }
        if qos == 2 {
            broker.answer(PUBREC, id);
            assert_eq!(broker.answered(PUBREL), id);
            assert!((&mut sending).now_or_never().is_none());
            broker.answer(PUBCOMP, id);
        }
        let expected = if qos == 0 { Delivery::Sent } else { Delivery::Acknowledged };
        assert_eq!(block_on(sending).unwrap(), expected);
        world.expect(&["connecting 1", "connected", if qos == 0 { "sent #1" } else { "acknowledged #1" }]);
    }
}

#[test]
fn a_client_says_who_it_is_and_what_is_said_when_it_is_lost() {
    let (listener, stream) = listen(
        r#""mqtt_topic": "t", "mqtt_client_id": "c-${serial}", "mqtt_user": "u", "mqtt_password": "${word}", "mqtt_keep_alive": 300,
           "mqtt_clean_start": true, "mqtt_will_topic": "gone/${serial}", "mqtt_will_message": "bye", "mqtt_will_qos": 1,
           "mqtt_will_retain": true, "metadata": [{ "serial": "" }, { "word": "" }]"#,
    );
    let world = World::new(r#""conceal": 0"#, &stream);
    world.stream.set("serial", "42").unwrap();
    world.stream.set("word", "sesame").unwrap();
    world.stream.connect();
    let (_broker, connect) = Broker::accept(&listener, false);
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    let flags = 0x80 | 0x40 | 0x20 | 0x08 | 0x04 | 0x02;
    let expected = [
        &text("MQTT")[..],
        &[4, flags, 1, 44],
        &text("c-42"),
        &text("gone/42"),
        &text("bye"),
        &text("u"),
        &text("sesame"),
    ];
    assert_eq!(connect, expected.concat());
    assert!(!format!("{:?} {:?}", world.stream, world.streams).contains("sesame"));
}

#[test]
fn it_stands_when_what_is_subscribed_to_and_the_birth_are_acknowledged() {
    let (listener, stream) = listen(
        r#""mqtt_topic": "t", "mqtt_subscribe": ["a/+", { "filter": "b", "qos": 2 }], "mqtt_qos": 1,
           "mqtt_birth_topic": "born", "mqtt_birth_message": "here", "mqtt_birth_qos": 1"#,
    );
    let mut world = World::new(r#""conceal": 0"#, &stream);
    let sending = block_on(world.stream.enqueue("x")).unwrap();
    let (mut broker, _) = Broker::accept(&listener, false);
    let (first, body) = broker.packet();
    assert_eq!((first, &body[2..]), (0x82, &b"\0\x03a/+\x01\0\x01b\x02"[..]));
    broker.say(&[0x90, 4, body[0], body[1], 1, 0]);
    let (_, birth, topic, _) = broker.publish();
    assert_eq!(topic, "born");
    assert_eq!(world.stream.state(), State::Connecting);
    broker.answer(PUBACK, birth);
    let (_, id, topic, _) = broker.publish();
    assert_eq!(topic, "t");
    world.expect(&["connecting 1", "connected"]);
    broker.answer(PUBACK, id);
    block_on(sending).unwrap();

    let (listener, stream) = listen(r#""mqtt_subscribe": ["a", "b/+"]"#);
    let mut world = World::new(r#""conceal": 0"#, &stream);
    world.stream.connect();
    let (mut broker, _) = Broker::accept(&listener, false);
    let (_, body) = broker.packet();
    broker.say(&[0x90, 4, body[0], body[1], 0, 0x80]);
    world.expect(&[
        "connecting 1",
        r"unreachable: mqtt: the peer refuses: the subscription to b/+",
        "all retries failed",
    ]);
}

#[test]
fn what_arrives_is_acknowledged_by_the_quality_of_service_of_its_packet_and_given_once() {
    let (listener, stream) = listen(r#""mqtt_subscribe": "a/#""#);
    let world = World::new(r#""conceal": 0"#, &stream);
    world.stream.connect();
    let (mut broker, _) = Broker::accept(&listener, false);
    let (_, body) = broker.packet();
    broker.say(&[0x90, 3, body[0], body[1], 0]);
    broker.say(&publish(0x30, "a/0", None, b"zero"));
    broker.say(&publish(0x32, "a/1", Some(7), b"one"));
    broker.say(&publish(0x34, "a/2", Some(8), b"two"));
    broker.say(&publish(0x3c, "a/2", Some(8), b"two"));
    assert_eq!(broker.answered(PUBACK), 7);
    assert_eq!((broker.answered(PUBREC), broker.answered(PUBREC)), (8, 8));
    broker.answer(PUBREL, 8);
    assert_eq!(broker.answered(PUBCOMP), 8);
    broker.say(&publish(0x30, "a/0", None, b"end"));
    for (topic, payload) in [("a/0", "zero"), ("a/1", "one"), ("a/2", "two"), ("a/0", "end")] {
        let message = block_on(world.stream.receive()).unwrap().unwrap();
        assert_eq!((message.topic.as_deref(), &message.payload[..]), (Some(topic), payload.as_bytes()));
    }
}

#[test]
fn what_was_in_flight_is_sent_again_in_a_session_that_the_broker_has() {
    let (listener, stream) = listen(r#""mqtt_topic": "t", "mqtt_qos": 2"#);
    let mut world = World::new(r#""backoff": [100], "conceal": 3"#, &stream);
    let first = block_on(world.stream.enqueue("one")).unwrap();
    let second = block_on(world.stream.enqueue("two")).unwrap();
    let (mut broker, _) = Broker::accept(&listener, false);
    let (_, one, ..) = broker.publish();
    let (_, two, ..) = broker.publish();
    broker.answer(PUBREC, one);
    assert_eq!(broker.answered(PUBREL), one);
    drop(broker);
    world.expect(&["connecting 1", "connected", "disconnected: the peer has ended", "backoff 100"]);
    world.wait(Duration::from_millis(100));
    let (mut broker, _) = Broker::accept(&listener, true);
    let mut seen = [broker.packet(), broker.packet()];
    seen.sort_by_key(|(first, _)| *first);
    assert_eq!((seen[0].0, &seen[0].1[3..5]), (0x3c, &two.to_be_bytes()[..]), "DUP, and the same identifier");
    assert_eq!((seen[1].0, &seen[1].1[..]), (PUBREL, &one.to_be_bytes()[..]));
    broker.answer(PUBCOMP, one);
    assert_eq!(block_on(first).unwrap(), Delivery::Acknowledged);
    broker.answer(PUBREC, two);
    assert_eq!(broker.answered(PUBREL), two);
    broker.answer(PUBCOMP, two);
    assert_eq!(block_on(second).unwrap(), Delivery::Acknowledged);
}

#[test]
fn a_packet_identifier_that_was_in_flight_when_the_connection_broke_is_never_used_again() {
    let (listener, stream) = listen(r#""mqtt_topic": "t", "mqtt_qos": 2"#);
    let mut world = World::new(r#""backoff": [100], "conceal": "always""#, &stream);
    let received = block_on(world.stream.enqueue("received")).unwrap();
    let lost = block_on(world.stream.enqueue("lost")).unwrap();
    let (mut broker, _) = Broker::accept(&listener, false);
    let mut used = vec![broker.publish().1, broker.publish().1];
    broker.answer(PUBREC, used[0]);
    assert_eq!(broker.answered(PUBREL), used[0]);
    world.expect(&["connecting 1", "connected"]);
    for _ in 0..3 {
        drop(broker);
        world.expect(&["disconnected"]);
        let event = words(&world.event().unwrap());
        assert_eq!(event, "backoff 100");
        world.wait(Duration::from_millis(100));
        // The broker says that it knows nothing of a session.
        (broker, _) = Broker::accept(&listener, false);
        let (first, id, _, payload) = broker.publish();
        assert_eq!((first, &payload[..]), (0x34, &b"lost"[..]), "anew, and not what the broker had");
        assert!(!used.contains(&id), "{id} of {used:?}");
        used.push(id);
        world.expect(&["connecting 1"]);
        if used.len() == 3 {
            // It was received, and only the session that could say so is gone.
            world.expect(&["acknowledged #1"]);
        }
        world.expect(&["connected"]);
    }
    let last = *used.last().unwrap();
    broker.answer(PUBREC, last);
    assert_eq!(broker.answered(PUBREL), last);
    broker.answer(PUBCOMP, last);
    assert_eq!(block_on(received).unwrap(), Delivery::Acknowledged);
    assert_eq!(block_on(lost).unwrap(), Delivery::Acknowledged);
}

#[test]
fn identifiers_wrap_around_those_that_are_in_flight() {
    let (listener, stream) =
        listen(r#""mqtt_topic": "t", "mqtt_qos": 1, "client_buflen": 1000000, "queue_messages": 70000"#);
    let world = World::new(r#""conceal": 0"#, &stream);
    let kept = block_on(world.stream.enqueue("kept")).unwrap();
    let (mut broker, _) = Broker::accept(&listener, false);
    let (_, kept_id, ..) = broker.publish();
    let answering = std::thread::spawn(move || {
        for _ in 0..66_000 {
            let (_, id, ..) = broker.publish();
            assert_ne!(id, kept_id);
            broker.answer(PUBACK, id);
        }
        broker.answer(PUBACK, kept_id);
        broker
    });
    block_on(async {
        for _ in 0..66_000 {
            world.stream.enqueue("x").await.unwrap();
        }
    });
    assert_eq!(block_on(kept).unwrap(), Delivery::Acknowledged);
    drop(answering.join().unwrap());
}

#[test]
fn an_hour_offline_and_back_nothing_that_was_promised_is_lost_or_sent_twice() {
    for qos in [0, 1, 2] {
        let deaf = Deaf::new();
        let stream = mqtt_to(deaf.port(), &format!(r#""mqtt_topic": "t", "mqtt_qos": {qos}"#));
        let mut world = World::new(r#""backoff": [600000], "conceal": "always""#, &stream);
        let sent: Vec<_> = (0..150).map(|n| block_on(world.stream.enqueue(format!("{n}"))).unwrap()).collect();
        for attempt in 1..6 {
            world.expect(&[&format!("connecting {attempt}"), "unreachable", "backoff 600000"]);
            world.wait(Duration::from_secs(600));
        }
        world.expect(&["connecting 6", "unreachable", "backoff 600000"]);
        let listener = deaf.listen();
        world.wait(Duration::from_secs(600));
        let (mut broker, _) = Broker::accept(&listener, false);
        let mut next = 0;
        let mut released = 0;
        while next < 150 || released < if qos == 2 { 150 } else { 0 } {
            let (first, body) = broker.packet();
            if first == PUBREL {
                released += 1;
                broker.say(&[PUBCOMP, 2, body[0], body[1]]);
                continue;
            }
            let (id, payload) = if qos == 0 { (&body[..0], &body[3..]) } else { (&body[3..5], &body[5..]) };
            assert_eq!((first, std::str::from_utf8(payload).unwrap()), (0x30 | qos << 1, &*next.to_string()));
            next += 1;
            match qos {
                1 => broker.say(&[PUBACK, 2, id[0], id[1]]),
                2 => broker.say(&[PUBREC, 2, id[0], id[1]]),
                _ => {}
            }
        }
        for sent in sent {
            let expected = if qos == 0 { Delivery::Sent } else { Delivery::Acknowledged };
            assert_eq!(block_on(sent).unwrap(), expected);
        }
        block_on(world.stream.close());
        assert_eq!(broker.packet().0, 0xe0, "the end is all that comes behind");
        assert_eq!(broker.0.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn a_broker_that_refuses_is_told_by_its_code() {
    for (code, expected) in [
        (1, "1, unacceptable protocol version"),
        (2, "2, identifier"),
        (4, "4, bad user name"),
        (5, "5, not authorized"),
    ] {
        let (listener, stream) = listen(r#""mqtt_topic": "t""#);
        let mut world = World::new(r#""conceal": 0"#, &stream);
        let sending = block_on(world.stream.enqueue("x")).unwrap();
        let mut broker = Broker(listener.accept().unwrap().0);
        broker.packet();
        broker.say(&[0x20, 2, 0, code]);
        world.expect(&[
            "connecting 1",
            &format!("unreachable: mqtt: the peer refuses: {expected}"),
            "all retries failed",
        ]);
        assert!(block_on(sending).unwrap_err().is_refused());
    }
}

#[test]
fn a_broker_that_says_nothing_is_given_up() {
    let (listener, stream) = listen(r#""mqtt_topic": "t""#);
    let mut world = World::new(r#""backoff": [100], "conceal": 1"#, &stream);
    world.stream.connect();
    let mut broker = Broker(listener.accept().unwrap().0);
    broker.packet();
    world.wait(Duration::from_secs(30));
    world.expect(&["connecting 1", "unreachable: nothing came from the peer for 30s", "backoff 100"]);
}

#[test]
fn it_says_that_it_is_there_and_gives_up_who_does_not_answer() {
    let (listener, stream) = listen(r#""mqtt_topic": "t", "mqtt_qos": 1, "mqtt_keep_alive": 20"#);
    let mut world = World::new(r#""backoff": [100], "conceal": 1"#, &stream);
    world.stream.connect();
    let (mut broker, connect) = Broker::accept(&listener, false);
    assert_eq!(connect[8..10], [0, 20]);
    world.expect(&["connecting 1", "connected"]);
    world.pass(Duration::from_secs(20));
    assert_eq!(broker.packet(), (0xc0, Vec::new()));
    broker.say(&[0xd0, 0]);
    // An acknowledgement shows that the answer is read.
    let sending = block_on(world.stream.enqueue("x")).unwrap();
    let (_, id, ..) = broker.publish();
    broker.answer(PUBACK, id);
    assert_eq!(block_on(sending).unwrap(), Delivery::Acknowledged);
    world.expect(&["acknowledged #1"]);
    world.pass(Duration::from_secs(20));
    assert_eq!(broker.packet(), (0xc0, Vec::new()));
    world.pass(Duration::from_secs(20));
    world.expect(&["disconnected: nothing came from the peer for 20s", "backoff 100"]);
}

#[test]
fn the_end_is_said_before_the_connection_is_closed() {
    let (listener, stream) = listen(r#""mqtt_topic": "t""#);
    let mut world = World::new(r#""conceal": 0"#, &stream);
    world.stream.connect();
    let (mut broker, _) = Broker::accept(&listener, false);
    world.expect(&["connecting 1", "connected"]);
    world.stream.disconnect();
    assert_eq!(broker.packet(), (0xe0, Vec::new()));
    assert_eq!(broker.0.read(&mut [0]).unwrap(), 0);
    world.expect(&["disconnected"]);
}

#[test]
fn no_value_can_add_a_level_to_a_topic_and_no_message_goes_where_nothing_says() {
    let (listener, stream) = listen(r#""mqtt_topic": "dev/${serial}/t", "metadata": [{ "serial": "" }]"#);
    let world = World::new(r#""conceal": 0"#, &stream);
    world.stream.connect();
    let (mut broker, _) = Broker::accept(&listener, false);
    for hostile in ["a/b", "+", "#", "a\0b"] {
        world.stream.set("serial", hostile).unwrap();
        let error = block_on(world.stream.send("x")).unwrap_err();
        assert!(error.is_policy() && error.to_string().contains("mqtt_topic"), "{hostile:?}: {error}");
    }
    assert!(block_on(world.stream.send(Message::from("x").on("own/#"))).unwrap_err().is_policy());
    world.stream.set("serial", "42").unwrap();
    block_on(world.stream.send("x")).unwrap();
    assert_eq!(broker.publish().2, "dev/42/t");
    block_on(world.stream.send(Message::from("x").on("own/topic"))).unwrap();
    assert_eq!(broker.publish().2, "own/topic");

    let (listener, stream) = listen(r#""mqtt_subscribe": "a""#);
    let world = World::new(r#""conceal": 0"#, &stream);
    world.stream.connect();
    let (mut broker, _) = Broker::accept(&listener, false);
    let (_, body) = broker.packet();
    broker.say(&[0x90, 3, body[0], body[1], 0]);
    assert!(block_on(world.stream.send("x")).unwrap_err().is_policy());
}

#[test]
fn hostile_brokers_are_named_errors() {
    let long_topic = [&[0x30, 0x05, 0xff, 0xff][..], b"abc"].concat();
    for (bytes, expected) in [
        (&b"\x30\xff\xff\xff\xff\x7f"[..], "mqtt: "),
        (b"\x30\xff\xff\xff\x7f", "mqtt: "),
        (&long_topic, "mqtt: "),
        (b"\x30\x04\0\x02a+", "mqtt: a PUBLISH from what is no topic"),
        (b"\x30\x04\0\x02a#", "mqtt: a PUBLISH from what is no topic"),
        (b"\x30\x02\0\0", "mqtt: "),
        (b"\x30\x04\0\x02\xc3\x28", "mqtt: "),
        (b"\x36\x06\0\x02ab\0\x01", "mqtt: "),
        (b"\x32\x06\0\x02ab\0\0", "mqtt: "),
        (b"\x90\x03\0\x09\0", "mqtt: "),
        (b"\x40\x02\0\0", "mqtt: "),
        (b"\x20\x02\0\0", "mqtt: "),
        (b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0", "mqtt: "),
        (b"\xf0\0", "mqtt: "),
        (b"\x00\0", "mqtt: "),
        (b"\xd0\x01x", "mqtt: "),
    ] {
        let (listener, stream) = listen(r#""mqtt_topic": "t""#);
        let mut world = World::new(r#""conceal": 0"#, &stream);
        world.stream.connect();
        let (mut broker, _) = Broker::accept(&listener, false);
        world.expect(&["connecting 1", "connected"]);
        broker.say(bytes);
        let event = words(&world.event().unwrap());
        assert!(event.starts_with(&format!("disconnected: {expected}")), "{bytes:02x?}: {event}");
        world.expect(&["all retries failed"]);
    }
}

#[test]
fn cut_at_every_byte_it_is_the_same() {
    let (listener, stream) = listen(r#""mqtt_topic": "t", "mqtt_qos": 2, "mqtt_subscribe": "a""#);
    let world = World::new(r#""conceal": 0"#, &stream);
    let sending = block_on(world.stream.enqueue("x")).unwrap();
    let mut broker = Broker(listener.accept().unwrap().0);
    broker.0.set_nodelay(true).unwrap();
    broker.packet();
    let slowly = |broker: &mut Broker, bytes: &[u8]| bytes.iter().for_each(|byte| broker.say(&[*byte]));
    slowly(&mut broker, &[0x20, 2, 0, 0]);
    let (_, body) = broker.packet();
    slowly(&mut broker, &[0x90, 3, body[0], body[1], 0]);
    let (_, id, ..) = broker.publish();
    slowly(&mut broker, &publish(0x34, "a", Some(9), b"in"));
    let [high, low] = id.to_be_bytes();
    slowly(&mut broker, &[PUBREC, 2, high, low]);
    assert_eq!((broker.answered(PUBREC), broker.answered(PUBREL)), (9, id));
    slowly(&mut broker, &[PUBREL, 2, 0, 9, PUBCOMP, 2, high, low]);
    assert_eq!(broker.answered(PUBCOMP), 9);
    assert_eq!(block_on(sending).unwrap(), Delivery::Acknowledged);
    assert_eq!(block_on(world.stream.receive()).unwrap().unwrap().payload, "in");
}

/// MQTT 3.1.1, section 6: frames mean nothing, and there are brokers that take one to pieces; one packet is written as one frame.
#[test]
#[allow(clippy::result_large_err, reason = "the callback of tungstenite has it so")]
fn over_a_websocket_it_is_a_stream_of_bytes() {
    let (listener, stream) =
        listen(r#""mqtt_topic": "t", "mqtt_subscribe": "a", "mqtt_over_ws": true, "http_url": "/mqtt", "mqtt_qos": 1"#);
    let world = World::new(r#""conceal": 0"#, &stream);
    let sending = block_on(world.stream.enqueue("x")).unwrap();
    let mut socket = accept_hdr(listener.accept().unwrap().0, |request: &Request, mut response: Response| {
        assert_eq!(
            (request.uri().path(), &request.headers()["sec-websocket-protocol"]),
            ("/mqtt", &"mqtt".parse().unwrap())
        );
        response.headers_mut().insert("sec-websocket-protocol", "mqtt".parse().unwrap());
        Ok(response)
    })
    .unwrap();
    let read = |socket: &mut async_tungstenite::tungstenite::WebSocket<TcpStream>| socket.read().unwrap().into_data();
    assert_eq!(read(&mut socket)[0], 0x10);
    for byte in [0x20_u8, 2, 0, 0] {
        socket.send(WsMessage::binary(vec![byte])).unwrap();
        socket.send(WsMessage::binary(vec![])).unwrap();
    }
    let subscribe = read(&mut socket);
    let answer = [0x90, 3, subscribe[2], subscribe[3], 0];
    // Text, and two packets in one frame.
    socket.send(WsMessage::text("")).unwrap();
    socket.send(WsMessage::binary([&answer[..], &publish(0x30, "a", None, b"in")].concat())).unwrap();
    assert_eq!(block_on(world.stream.receive()).unwrap().unwrap().payload, "in");
    let frame = read(&mut socket);
    assert_eq!((frame[0], frame.len()), (0x32, usize::from(frame[1]) + 2), "one packet, one frame");
    socket.send(WsMessage::binary(vec![PUBACK, 2, frame[5], frame[6]])).unwrap();
    assert_eq!(block_on(sending).unwrap(), Delivery::Acknowledged);
    world.stream.disconnect();
    assert_eq!(read(&mut socket), [0xe0, 0][..]);
    // Ends of TCP behind it are clean, whether or not the frame for an end comes first.
    drop(socket);
}

#[test]
fn version_5_is_said_to_be_missing() {
    let (_listener, stream) = listen(r#""mqtt_topic": "t", "mqtt_version": "5""#);
    let policy = format!(r#"{{ "s": {{ "it": {{ {stream} }} }} }}"#);
    let policy = onionskin::streams::policy::Policy::read(&policy).unwrap();
    let error = onionskin::streams::Streams::new(policy, crate::world::runtime()).unwrap().open("it").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported(_)), "{error}");
}

#[test]
fn a_message_that_was_told_to_have_failed_is_never_sent_again() {
    for has_session in [true, false] {
        let (listener, stream) = listen(r#""mqtt_topic": "t", "mqtt_qos": 1"#);
        let mut world = World::new(r#""conceal": 0"#, &stream);
        let failed = block_on(world.stream.enqueue("failed")).unwrap();
        let (mut broker, _) = Broker::accept(&listener, false);
        broker.publish();
        drop(broker);
        world.expect(&["connecting 1", "connected", "disconnected", "all retries failed", "undelivered #1"]);
        assert!(block_on(failed).is_err());
        let next = block_on(world.stream.enqueue("next")).unwrap();
        let (mut broker, _) = Broker::accept(&listener, has_session);
        let (_, id, _, payload) = broker.publish();
        assert_eq!(payload, b"next");
        broker.answer(PUBACK, id);
        assert_eq!(block_on(next).unwrap(), Delivery::Acknowledged);
    }
}

#[test]
fn an_acknowledgement_of_another_quality_of_service_is_none() {
    for (qos, first) in [(1, PUBREC), (1, PUBCOMP), (2, PUBACK), (2, PUBCOMP)] {
        let (listener, stream) = listen(&format!(r#""mqtt_topic": "t", "mqtt_qos": {qos}"#));
        let mut world = World::new(r#""conceal": 0"#, &stream);
        let sending = block_on(world.stream.enqueue("x")).unwrap();
        let (mut broker, _) = Broker::accept(&listener, false);
        let (_, id, ..) = broker.publish();
        broker.answer(first, id);
        world.expect(&["connecting 1", "connected", "disconnected: mqtt: a", "all retries failed", "undelivered #1"]);
        assert!(block_on(sending).is_err());
    }
}

#[test]
fn a_program_that_is_slow_to_receive_loses_no_connection_for_it() {
    let (listener, stream) = listen(r#""mqtt_subscribe": "a", "mqtt_keep_alive": 20"#);
    let mut world = World::new(r#""svalidping": 30, "svalidhup": 60, "conceal": 0"#, &stream);
    world.stream.connect();
    let (mut broker, _) = Broker::accept(&listener, false);
    let (_, body) = broker.packet();
    broker.say(&[0x90, 3, body[0], body[1], 0]);
    world.expect(&["connecting 1", "connected"]);
    // More than is kept, and the answer to the question behind it.
    let payload = [&1_u16.to_be_bytes()[..], b"a", &[7; 20_000]].concat();
    let message = [&[0x30, 0xa3, 0x9c, 0x01][..], &payload].concat();
    for _ in 0..5 {
        broker.say(&message);
    }
    for _ in 0..10 {
        world.pass(Duration::from_secs(20));
        assert_eq!(broker.packet(), (0xc0, Vec::new()));
        broker.say(&[0xd0, 0]);
    }
    assert_eq!(world.stream.state(), State::Connected);
    for _ in 0..5 {
        assert_eq!(block_on(world.stream.receive()).unwrap().unwrap().payload.len(), 20_000);
    }
    world.stream.disconnect();
    world.expect(&["disconnected"]);
}

/// Who sends, and waits for that, before it receives.
#[test]
fn an_acknowledgement_behind_a_long_message_is_read_though_nobody_receives() {
    let (listener, stream) = listen(r#""mqtt_topic": "t", "mqtt_qos": 1, "mqtt_subscribe": "a""#);
    let world = World::new(r#""conceal": 0"#, &stream);
    let sending = block_on(world.stream.enqueue("x")).unwrap();
    let (mut broker, _) = Broker::accept(&listener, false);
    let (_, body) = broker.packet();
    broker.say(&[0x90, 3, body[0], body[1], 0]);
    let (_, id, ..) = broker.publish();
    let payload = [&1_u16.to_be_bytes()[..], b"a", &[7; 100_000]].concat();
    broker.say(&[&[0x30, 0xa3, 0x8d, 0x06][..], &payload].concat());
    broker.answer(PUBACK, id);
    assert_eq!(block_on(sending).unwrap(), Delivery::Acknowledged);
    assert_eq!(block_on(world.stream.receive()).unwrap().unwrap().payload.len(), 100_000);
}
