//! Raw streams, and with them what holds for all: states, delays, messages that wait, and ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use futures::executor::block_on;
use futures::{FutureExt, SinkExt, StreamExt};
use onionskin::streams::{Delivery, ErrorKind, Event, Message, State};

use crate::world::{Deaf, World};

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = raw_to(listener.local_addr().unwrap().port());
    (listener, stream)
}

fn raw_to(port: u16) -> String {
    format!(r#""endpoint": "127.0.0.1", "port": {port}, "protocol": "raw""#)
}

fn read(peer: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    peer.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_sent_arrives_and_what_arrives_is_received() {
    let (listener, stream) = listener();
    let mut world = World::new(r#""conceal": 0"#, &stream);
    assert_eq!(world.stream.state(), State::Idle);
    let sending = block_on(world.stream.enqueue("hello")).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(read(&mut peer, 5), b"hello");
    assert_eq!(block_on(sending).unwrap(), Delivery::Sent);
    world.expect(&["connecting 1", "connected", "sent #1"]);
    assert_eq!(world.stream.state(), State::Connected);

    peer.write_all(b"world").unwrap();
    let message = block_on(world.stream.receive()).unwrap().unwrap();
    assert_eq!(message.payload, "world");

    block_on(world.stream.close());
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it is closed");
    world.expect(&["disconnected", "closed"]);
    assert!(world.event().is_none());
    assert!(block_on(world.stream.receive()).is_none());
    assert!(block_on(world.stream.send("late")).unwrap_err().is_closed());
}

#[test]
fn refused_is_tried_again_with_each_delay_in_turn_and_the_last_again() {
    let deaf = Deaf::new();
    let mut world = World::new(r#""backoff": [100, 200, 300], "conceal": 5"#, &raw_to(deaf.port()));
    world.stream.connect();
    for (attempt, delay) in [100, 200, 300, 300, 300].into_iter().enumerate() {
        world.expect(&[&format!("connecting {}", attempt + 1), "unreachable", &format!("backoff {delay}")]);
        world.wait(Duration::from_millis(delay));
    }
    world.expect(&["connecting 6", "unreachable: cannot connect", "all retries failed"]);
    assert_eq!(world.stream.state(), State::Failed);
    let error = block_on(world.stream.receive()).unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Open(_)) && error.class().is_some(), "{error:?}");

    // Asked for again, it begins anew, with all its retries.
    world.stream.connect();
    world.expect(&["connecting 1", "unreachable", "backoff 100"]);
}

#[test]
fn without_a_table_the_first_failure_is_the_last_and_is_told() {
    let deaf = Deaf::new();
    let mut world = World::of(&format!(r#"{{ "s": {{ "it": {{ {} }} }} }}"#, raw_to(deaf.port())));
    world.stream.connect();
    world.expect(&["connecting 1", "unreachable", "all retries failed"]);
    let error = block_on(world.stream.send("lost")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Open(_)), "{error:?}");
    world.expect(&["connecting 1", "unreachable", "all retries failed", "undelivered #1: cannot connect"]);
}

#[test]
fn always_is_for_ever() {
    let deaf = Deaf::new();
    let mut world = World::new(r#""backoff": [10], "conceal": "always""#, &raw_to(deaf.port()));
    world.stream.connect();
    for attempt in 1..=300 {
        world.expect(&[&format!("connecting {attempt}"), "unreachable", "backoff 10"]);
        world.wait(Duration::from_millis(10));
    }
}

#[test]
fn an_hour_offline_and_back_nothing_is_lost_nothing_is_sent_twice() {
    let deaf = Deaf::new();
    let stream = raw_to(deaf.port());
    let mut world = World::new(r#""backoff": [60000], "conceal": "always""#, &stream);
    let sent: Vec<_> = (0..100).map(|n| block_on(world.stream.enqueue(format!("{n:02};"))).unwrap()).collect();
    for attempt in 1..=60 {
        world.expect(&[&format!("connecting {attempt}"), "unreachable", "backoff 60000"]);
        if attempt < 60 {
            world.wait(Duration::from_secs(60));
        }
    }
    let listener = deaf.listen();
    world.wait(Duration::from_secs(60));
    let (mut peer, _) = listener.accept().unwrap();
    let expected: String = (0..100).map(|n| format!("{n:02};")).collect();
    assert_eq!(read(&mut peer, expected.len()), expected.as_bytes());
    for sent in sent {
        assert_eq!(block_on(sent).unwrap(), Delivery::Sent);
    }
    block_on(world.stream.close());
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "nothing comes twice");
}

#[test]
fn a_lost_connection_is_opened_again_but_an_opportunistic_one_only_when_asked_for() {
    for is_opportunistic in [false, true] {
        let (listener, stream) = listener();
        let stream = format!(r#"{stream}, "opportunistic": {is_opportunistic}"#);
        let mut world = World::new(r#""backoff": [1000], "conceal": 3"#, &stream);
        world.stream.connect();
        drop(listener.accept().unwrap());
        world.expect(&["connecting 1", "connected", "disconnected: the peer has ended"]);
        if is_opportunistic {
            assert_eq!(world.stream.state(), State::Idle);
            world.stream.connect();
        } else {
            world.expect(&["backoff 1000"]);
            world.wait(Duration::from_secs(1));
        }
        world.expect(&["connecting 1", "connected"]);
    }
}

#[test]
fn a_connection_that_does_not_last_does_not_end_the_row_of_failures() {
    let (listener, stream) = listener();
    let retry = r#""backoff": [100, 200, 400], "conceal": 2, "stable_ms": 5000"#;
    let mut world = World::new(retry, &stream);
    world.stream.connect();
    for delay in [100, 200] {
        drop(listener.accept().unwrap());
        world.expect(&["connecting 1", "connected", "disconnected", &format!("backoff {delay}")]);
        world.wait(Duration::from_millis(delay));
    }
    drop(listener.accept().unwrap());
    world.expect(&["connecting 1", "connected", "disconnected", "all retries failed"]);

    // One that lasts does.
    world.stream.connect();
    for _ in 0..4 {
        let (peer, _) = listener.accept().unwrap();
        world.expect(&["connecting 1", "connected"]);
        world.clock.advance(Duration::from_secs(5));
        drop(peer);
        world.expect(&["disconnected", "backoff 100"]);
        world.wait(Duration::from_millis(100));
    }
}

#[test]
fn nailed_up_connects_at_once() {
    let (listener, stream) = listener();
    let mut world = World::new(r#""conceal": 0"#, &format!(r#"{stream}, "nailed_up": true"#));
    let _peer = listener.accept().unwrap();
    world.expect(&["connecting 1", "connected"]);
}

#[test]
fn a_peer_that_is_silent_for_too_long_is_given_up() {
    for key in [r#""svalidhup": 40"#, r#""svalidping": 20, "svalidhup": 40"#] {
        let (listener, stream) = listener();
        let mut world = World::new(&format!(r#"{key}, "backoff": [1000], "conceal": 1"#), &stream);
        world.stream.connect();
        let (mut peer, _) = listener.accept().unwrap();
        world.expect(&["connecting 1", "connected"]);
        let mut left = Duration::from_secs(40);
        if key.contains("svalidping") {
            // There is nothing to ask with in raw.
            world.wait(Duration::from_secs(20));
            left -= Duration::from_secs(20);
        }
        world.until_alarm_is(left);
        // A byte puts it off.
        world.clock.advance(left / 2);
        peer.write_all(b"x").unwrap();
        block_on(world.stream.receive()).unwrap().unwrap();
        world.clock.advance(left / 2);
        world.clock.advance(left / 2);
        assert_eq!(world.stream.state(), State::Connected, "{key}");
        world.clock.advance(Duration::from_secs(40));
        world.expect(&["disconnected: nothing came from the peer for 40s", "backoff 1000"]);
        assert_eq!(peer.read(&mut [0]).unwrap_or(0), 0);
    }
}

#[test]
fn idle_and_whole_times_are_two() {
    let (listener, stream) = listener();
    let mut world = World::new(r#""conceal": 0"#, &format!(r#"{stream}, "idle_timeout_ms": 3000, "timeout_ms": 9000"#));
    world.stream.connect();
    let _peer = listener.accept().unwrap();
    world.expect(&["connecting 1", "connected"]);
    // The whole is over when the stream stands.
    world.clock.advance(Duration::from_secs(2));
    block_on(world.stream.send("x")).unwrap();
    world.expect(&["sent #1"]);
    world.clock.advance(Duration::from_secs(3));
    world.expect(&["disconnected: nothing came from the peer for 3s", "all retries failed"]);
}

#[test]
fn the_whole_time_goes_over_all_attempts_and_their_delays() {
    let deaf = Deaf::new();
    let stream = format!(r#"{}, "timeout_ms": 2500"#, raw_to(deaf.port()));
    let mut world = World::new(r#""backoff": [1000], "conceal": "always""#, &stream);
    let sending = block_on(world.stream.enqueue("x")).unwrap();
    for attempt in 1..=2 {
        world.expect(&[&format!("connecting {attempt}"), "unreachable", "backoff 1000"]);
        world.wait(Duration::from_secs(1));
    }
    world.expect(&["connecting 3", "unreachable", "backoff 1000"]);
    world.wait(Duration::from_millis(500));
    world.expect(&["all retries failed", "undelivered #1: not done within 2.5s"]);
    let error = block_on(sending).unwrap_err();
    assert!(
        error.is_timeout()
            && matches!(error.kind(), ErrorKind::OutOfTime(time) if *time == Duration::from_millis(2500))
    );
}

#[test]
fn what_waits_is_bounded_and_dropped_as_the_policy_says() {
    for (when_full, kept) in [("drop-oldest", ["b", "c"]), ("drop-newest", ["a", "b"]), ("wait", ["a", "b"])] {
        let deaf = Deaf::new();
        let stream = format!(r#"{}, "queue_messages": 2, "when_full": "{when_full}""#, raw_to(deaf.port()));
        let mut world = World::new(r#""backoff": [1000], "conceal": "always""#, &stream);
        let first = block_on(world.stream.enqueue("a")).unwrap();
        let _second = block_on(world.stream.enqueue("b")).unwrap();
        world.expect(&["connecting 1", "unreachable", "backoff 1000"]);
        let third = world.stream.enqueue("c");
        match when_full {
            "drop-oldest" => {
                drop(third.now_or_never().unwrap().unwrap());
                assert!(block_on(first).unwrap_err().is_dropped());
                world.expect(&["undelivered #1: dropped"]);
            }
            "drop-newest" => assert!(third.now_or_never().unwrap().unwrap_err().is_dropped()),
            // Dropped while it waits for room, it is not sent.
            _ => assert!(third.now_or_never().is_none()),
        }
        let listener = deaf.listen();
        world.wait(Duration::from_secs(1));
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(read(&mut peer, 2), kept.concat().as_bytes(), "{when_full}");
        block_on(world.stream.close());
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "{when_full}");
    }
}

#[test]
fn who_does_not_receive_holds_up_the_peer_and_not_the_memory() {
    let (listener, stream) = listener();
    let world = World::new(r#""conceal": 0"#, &stream);
    world.stream.connect();
    let (mut peer, _) = listener.accept().unwrap();
    let total = 32 << 20;
    let writing = std::thread::spawn(move || {
        let block = vec![7; 1 << 16];
        (0..total / block.len()).for_each(|_| peer.write_all(&block).unwrap());
    });
    let mut received = 0;
    while received < total {
        let message = block_on(world.stream.receive()).unwrap().unwrap();
        assert!(message.payload.len() <= 64 * 1024);
        received += message.payload.len();
    }
    writing.join().unwrap();
}

#[test]
fn disconnect_ends_in_order_and_stays_so() {
    let (listener, stream) = listener();
    let mut world = World::new(r#""backoff": [1000], "conceal": "always""#, &stream);
    world.stream.connect();
    let (mut peer, _) = listener.accept().unwrap();
    world.expect(&["connecting 1", "connected"]);
    world.stream.disconnect();
    world.expect(&["disconnected"]);
    assert_eq!(world.stream.state(), State::Idle);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    // And while it waits for the next attempt.
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
    world.stream.connect();
    world.expect(&["connecting 1", "unreachable", "backoff 1000"]);
    world.stream.disconnect();
    world.expect(&["disconnected"]);
    assert_eq!(world.stream.state(), State::Idle);
}

#[test]
fn a_stream_is_a_sink_and_a_stream() {
    let (listener, stream) = listener();
    let mut world = World::new(r#""conceal": 0"#, &stream);
    let echo = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let bytes = read(&mut peer, 6);
        peer.write_all(&bytes).unwrap();
        peer.read(&mut [0]).unwrap()
    });
    block_on(async {
        let mut messages = futures::stream::iter(["one", "two"].map(|text| Ok(Message::from(text))));
        world.stream.send_all(&mut messages).await.unwrap();
        let mut received = Vec::new();
        while received.len() < 6 {
            received.extend_from_slice(&world.stream.next().await.unwrap().unwrap().payload);
        }
        assert_eq!(received, b"onetwo");
        SinkExt::close(&mut world.stream).await.unwrap();
        assert!(world.stream.next().await.is_none());
    });
    assert_eq!(echo.join().unwrap(), 0);
}

#[test]
fn dropping_a_stream_ends_its_connection() {
    let (listener, stream) = listener();
    let world = World::new(r#""conceal": 0"#, &stream);
    world.stream.connect();
    let (mut peer, _) = listener.accept().unwrap();
    drop(world.stream);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

#[test]
fn events_that_nobody_takes_are_forgotten_and_that_is_told() {
    let deaf = Deaf::new();
    let mut world = World::new(r#""backoff": [10], "conceal": "always""#, &raw_to(deaf.port()));
    world.stream.connect();
    for _ in 0..200 {
        world.wait(Duration::from_millis(10));
    }
    world.until_alarm_is(Duration::from_millis(10));
    let first = world.event().unwrap();
    assert!(matches!(first, Event::Missed(missed) if missed == 3 * 201 - 256), "{first:?}");
    for _ in 0..256 {
        world.event().unwrap();
    }
    assert!(world.events.next().now_or_never().is_none());
}

#[test]
fn values_are_declared_and_a_missing_one_fails_the_attempt_with_its_key() {
    let mut world = World::of(
        r#"{ "s": { "it": { "endpoint": "${host}", "port": 7, "protocol": "raw", "metadata": { "host": "" } } } }"#,
    );
    let error = world.stream.set("hots", "x").unwrap_err();
    assert!(error.to_string().ends_with(r#"no value is called "hots"; did you mean "host"?"#), "{error}");
    world.stream.connect();
    world.expect(&["connecting 1", "unreachable: $.s.it.endpoint: ", "all retries failed"]);
    let error = block_on(world.stream.receive()).unwrap().unwrap_err();
    assert!(error.is_policy());
    world.stream.set("host", "a b").unwrap();
    world.stream.connect();
    world.expect(&["connecting 1", "unreachable: $.s.it.endpoint: the value of `${host}`"]);
}

#[test]
fn another_policy_holds_from_the_next_attempt_on() {
    let (first, stream) = listener();
    let (second, other) = listener();
    let text = |stream: &str| {
        format!(
            r#"{{ "retry": {{ "r": {{ "backoff": [10], "conceal": 9 }} }}, "s": {{ "it": {{ {stream}, "retry": "r" }} }} }}"#
        )
    };
    let mut world = World::of(&text(&stream));
    world.stream.connect();
    let (peer, _) = first.accept().unwrap();
    world.expect(&["connecting 1", "connected"]);
    world.streams.set_policy(onionskin::streams::policy::Policy::read(&text(&other)).unwrap()).unwrap();
    block_on(world.stream.send("x")).unwrap();
    world.expect(&["sent #1"]);
    drop(peer);
    world.expect(&["disconnected", "backoff 10"]);
    world.wait(Duration::from_millis(10));
    let _peer = second.accept().unwrap();
    world.expect(&["connecting 1", "connected"]);
}
