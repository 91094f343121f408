//! How a connection ends, and that its protocol hears of it once.

use std::io;
use std::time::Duration;

use onionskin::protocol::{EndReasonKind, Error, ErrorKind, Protocol, Result, Session, Transport};
use onionskin::stack::{Limits, Stack};
use onionskin::testing::StringTransport;

use crate::common::link::{each, each_in_pieces, pattern};
use crate::record::{Callback, Log, Recorder, by_default, dialogue};

#[test]
fn a_close_is_told_once_to_both_sides_at_every_depth() {
    each(0..=3, |case| {
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), Recorder::new());
        dialogue.with_left(|_, transport| {
            transport.write(b"last words").unwrap();
            transport.close();
            transport.close();
            transport.write(b"never said").unwrap();
        });
        dialogue.run();
        let end = if case.depth == 0 { "end of input" } else { "ended" };
        assert_eq!(right.joined(), format!("made | data last words | {end} | lost: the connection was closed"));
        assert_eq!(left.joined(), "made | lost: the connection was closed");
        assert!(dialogue.left_reason().unwrap().is_closed() && dialogue.right_reason().unwrap().is_closed());
    });
}

#[test]
fn both_sides_close_at_once() {
    each(0..=3, |case| {
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), Recorder::new());
        dialogue.with_left(|_, transport| transport.close());
        dialogue.with_right(|_, transport| transport.close());
        dialogue.run();
        assert_eq!(left.joined(), "made | lost: the connection was closed");
        assert_eq!(right.joined(), "made | lost: the connection was closed");
    });
}

#[test]
fn much_that_was_written_before_a_close_arrives_whole() {
    each_in_pieces(0..=3, |case| {
        let (mut dialogue, _, right) = dialogue(case, Recorder::new(), Recorder::new());
        let bytes = pattern(900_000);
        dialogue.with_left(|_, transport| {
            transport.write(&bytes).unwrap();
            transport.close();
        });
        dialogue.run();
        let all = right.all();
        assert_eq!(all.len(), 4, "made, data, the end, the loss");
        assert!(all[1] == format!("data {}", bytes.escape_ascii()), "every byte is there, in sequence");
        assert!(dialogue.left_reason().unwrap().is_closed());
    });
}

#[test]
fn an_abort_in_any_callback_is_the_last_that_is_told() {
    let aborts_at = |wanted: &'static str| {
        Recorder::reacting(move |transport: &mut Transport<'_>, callback: &Callback, log: &Log| {
            if format!("{callback:?}").starts_with(wanted) {
                transport.abort();
                transport.abort();
                transport.close();
                assert!(transport.write(b"after the abort").is_ok());
                return Ok(());
            }
            match callback {
                Callback::Made => transport.write(b"hello"),
                Callback::Ended => transport.stop_tls().map(|_| ()).map_err(Into::into),
                _ => by_default(transport, callback, log),
            }
        })
    };
    for wanted in ["Made", "Data", "Ended", "Stopped", "EndOfInput"] {
        each(1..=2, |case| {
            let (mut dialogue, _, right) = dialogue(case, Recorder::new(), aborts_at(wanted));
            dialogue.with_left(|_, transport| match wanted {
                // The abort was the first thing that happened.
                "Made" => assert!(transport.stop_tls().is_err()),
                "Ended" | "Stopped" => transport.stop_tls().map(|_| ()).unwrap(),
                _ => {
                    transport.write(b"hello").unwrap();
                    transport.stop_tls().unwrap();
                    transport.close();
                }
            });
            dialogue.run();
            let all = right.all();
            assert_eq!(right.count("lost"), 1, "{all:?}");
            assert!(all.last().unwrap().starts_with("lost: the connection was aborted"), "{all:?}");
            assert!(dialogue.right_reason().unwrap().is_aborted());
            assert!(dialogue.left_reason().is_some(), "the other side is not left waiting");
        });
    }
}

#[test]
fn an_error_of_a_callback_closes_behind_what_was_written_and_is_the_reason() {
    each(0..=2, |case| {
        let fails = Recorder::reacting(|transport, callback, log| match callback {
            Callback::Data => {
                transport.write(b"sorry")?;
                Err("what is this".into())
            }
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), fails);
        dialogue.with_left(|_, transport| transport.write(b"nonsense").unwrap());
        dialogue.run();
        assert_eq!(right.joined(), "made | lost: what is this");
        assert_eq!(left.all()[1], "data sorry");
        assert!(dialogue.left_reason().unwrap().is_closed());
        let error = dialogue.right_reason().unwrap().error().unwrap().clone();
        assert_eq!(error.kind(), ErrorKind::Application);
    });
}

#[test]
fn a_socket_that_fails_is_a_loss() {
    let recorder = Recorder::new();
    let log = recorder.log();
    let mut transport = StringTransport::new(recorder);
    transport.receive(b"before");
    transport.break_with(io::ErrorKind::ConnectionReset.into());
    assert_eq!(log.joined(), "made | data before | lost: the socket failed: connection reset");
    assert!(transport.reason().unwrap().loss().unwrap().io_error().is_some());
}

#[test]
fn the_end_of_the_wire_under_tls_is_a_truncation_at_every_depth() {
    each(1..=3, |case| {
        let (mut dialogue, left, _) = dialogue(case, Recorder::new(), Recorder::new());
        dialogue.with_right(|_, transport| {
            transport.write(b"whole").unwrap();
        });
        dialogue.run();
        dialogue.with_right(|_, transport| transport.abort());
        dialogue.run();
        assert_eq!(left.count("lost"), 1);
        assert_eq!(left.all()[1], "data whole");
        let reason = dialogue.left_reason().unwrap();
        assert_eq!(reason.loss().unwrap().layers().len(), case.depth, "{reason}");
        assert!(reason.loss().unwrap().layer_error().unwrap().is_truncated(), "{reason}");
    });
}

#[test]
fn a_half_closed_connection_still_carries_what_is_written() {
    let server = Recorder::reacting(|transport, callback, log| match callback {
        Callback::EndOfInput => {
            transport.write(b"the answer")?;
            transport.close();
            Ok(())
        }
        _ => by_default(transport, callback, log),
    });
    let log = server.log();
    let mut transport = StringTransport::new(server);
    transport.receive(b"the question");
    transport.end_of_input();
    assert_eq!(transport.sent(), b"the answer");
    assert_eq!(log.joined(), "made | data the question | end of input | lost: the connection was closed");
}

#[test]
fn an_end_in_the_middle_of_a_message_shows_what_is_there() {
    let waits = Recorder::reacting(|transport, callback, log| match callback {
        // Understands whole words only.
        Callback::Data => {
            if let Some(end) = transport.input().iter().position(|&byte| byte == b' ') {
                log.add_data(&transport.take(end + 1));
            }
            Ok(())
        }
        Callback::EndOfInput => {
            log.add(&format!("left over: {}", transport.input().escape_ascii()));
            by_default(transport, callback, log)
        }
        _ => by_default(transport, callback, log),
    });
    let log = waits.log();
    let mut transport = StringTransport::new(waits);
    transport.receive(b"one two thr");
    transport.end_of_input();
    assert_eq!(log.joined(), "made | data one two  | end of input | left over: thr | lost: the connection was closed");
}

#[test]
fn a_layer_that_ends_in_the_middle_of_a_message_is_an_error() {
    each(1..=2, |case| {
        let waits = |_: &mut Transport<'_>, _: &Callback, _: &Log| Ok(());
        let (mut dialogue, _, right) = dialogue(case, Recorder::new(), Recorder::reacting(waits));
        dialogue.with_left(|_, transport| {
            transport.write(b"half a mess").unwrap();
            transport.stop_tls().unwrap();
            transport.write(b"age").unwrap();
        });
        dialogue.run();
        let reason = dialogue.right_reason().unwrap();
        assert_eq!(reason.error().map(Error::kind), Some(ErrorKind::Unfinished), "{reason}");
        assert_eq!(right.count("ended"), 0, "and nothing was said of what stands behind it");
    });
}

#[test]
fn a_message_that_no_limit_allows_is_an_error_and_a_larger_limit_takes_it() {
    let waits_for = |limit: usize| {
        let mut transport = StringTransport::new(Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => {
                transport.expect_input(limit);
                Ok(())
            }
            Callback::Data if transport.input().len() < 500_000 => Ok(()),
            Callback::Data => {
                log.add("whole");
                by_default(transport, callback, log)
            }
            _ => by_default(transport, callback, log),
        }));
        transport.receive(&pattern(500_000));
        transport.advance(Duration::from_secs(5));
        transport
    };
    let refused = waits_for(0);
    let error = refused.reason().unwrap().error().unwrap();
    assert!(error.is_too_long(), "{error}");
    let taken = waits_for(500_000);
    assert!(taken.reason().is_none());
    assert_eq!(taken.protocol().log().count("whole"), 1);
}

#[test]
fn a_peer_that_does_not_read_is_not_waited_for_beyond_thirty_seconds() {
    let recorder = Recorder::new();
    let log = recorder.log();
    let mut transport = StringTransport::new(recorder);
    transport.hold(true);
    transport.act(|_, transport| {
        transport.write(b"anybody there?").unwrap();
        transport.close();
    });
    transport.advance(Duration::from_secs(29));
    assert_eq!(log.joined(), "made");
    transport.advance(Duration::from_secs(1));
    assert_eq!(log.joined(), "made | lost: the peer did not read what was sent last");

    let mut reads = StringTransport::new(Recorder::new());
    reads.act(|_, transport| transport.close());
    assert!(reads.reason().is_none(), "it waits for the peer to close too");
    reads.end_of_input();
    assert!(reads.reason().unwrap().is_closed());
}

#[test]
fn a_peer_that_never_closes_is_not_waited_for_beyond_five_seconds() {
    let recorder = Recorder::new();
    let log = recorder.log();
    let mut transport = StringTransport::new(recorder);
    transport.act(|_, transport| transport.close());
    transport.receive(b"still talking");
    transport.advance(Duration::from_secs(4));
    transport.receive(b"and talking");
    assert_eq!(log.joined(), "made");
    transport.advance(Duration::from_secs(1));
    assert_eq!(log.joined(), "made | lost: the connection was closed");
}

#[test]
fn a_timeout_closes_unless_it_is_taken_back() {
    let recorder = Recorder::new();
    let log = recorder.log();
    let mut transport = StringTransport::new(recorder);
    transport.act(|_, transport| transport.set_timeout(Some(Duration::from_secs(10))));
    transport.advance(Duration::from_secs(9));
    transport.act(|_, transport| transport.set_timeout(Some(Duration::from_secs(10))));
    transport.advance(Duration::from_secs(9));
    transport.act(|_, transport| transport.set_timeout(None));
    transport.advance(Duration::from_secs(90));
    assert_eq!(log.joined(), "made");
    transport.act(|_, transport| transport.set_timeout(Some(Duration::MAX)));
    transport.act(|_, transport| transport.set_timeout(Some(Duration::from_secs(10))));
    transport.advance(Duration::from_secs(10));
    transport.end_of_input();
    assert_eq!(log.joined(), "made | timed out | lost: timed out");
}

#[test]
fn a_session_that_is_dropped_tells_its_protocol() {
    let (log, mut stack, now) = (Recorder::new().log(), Stack::new(Limits::default()), std::time::Instant::now());
    drop(Session::new(Recorder::new(), Default::default()));
    assert_eq!(log.joined(), "", "it never heard of a connection");

    let recorder = Recorder::new();
    let log = recorder.log();
    let mut session = Session::new(recorder, Default::default());
    session.dispatch(&mut stack, now);
    drop(session);
    assert_eq!(log.joined(), "made | lost: the connection was aborted");
}

#[test]
fn the_defaults_of_the_trait_drop_input_and_close_when_the_peer_does() {
    struct Silent;
    impl Protocol for Silent {}
    let mut transport = StringTransport::new(Silent);
    transport.receive(&pattern(1_000_000));
    assert_eq!(transport.stack().inbound_len(), 0);
    transport.end_of_input();
    assert!(matches!(transport.reason().unwrap().kind(), EndReasonKind::Closed));
}

#[test]
fn a_loss_waits_until_a_paused_protocol_has_read_what_came_before() {
    let recorder = Recorder::new();
    let log = recorder.log();
    let mut transport = StringTransport::new(recorder);
    transport.act(|_, transport| transport.pause_producing());
    transport.receive(b"before");
    transport.break_with(io::ErrorKind::ConnectionReset.into());
    assert_eq!(log.joined(), "made");
    transport.act(|_, transport| transport.resume_producing());
    assert_eq!(log.joined(), "made | data before | lost: the socket failed: connection reset");
}

#[test]
fn a_protocol_is_told_that_its_server_stops() -> Result {
    let says_goodbye = Recorder::reacting(|transport, callback, log| match callback {
        Callback::StopRequested => {
            transport.write(b"421 closing\r\n")?;
            transport.close();
            Ok(())
        }
        _ => by_default(transport, callback, log),
    });
    let mut transport = StringTransport::new(says_goodbye);
    transport.act(Protocol::stop_requested)?;
    assert_eq!(transport.sent(), b"421 closing\r\n");
    Ok(())
}

/// Goes on writing when the peer has closed its side.
fn half_closed() -> Recorder {
    Recorder::reacting(|transport, callback, log| match callback {
        Callback::EndOfInput => Ok(()),
        _ => by_default(transport, callback, log),
    })
}

#[test]
fn a_loss_after_the_end_of_input_is_told() {
    for unread in [false, true] {
        let recorder = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Data if unread => Ok(()),
            Callback::EndOfInput => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let log = recorder.log();
        let mut transport = StringTransport::new(recorder);
        transport.receive(b"half a message");
        transport.end_of_input();
        transport.act(|_, transport| transport.write(b"an answer")).unwrap();
        assert_eq!(transport.sent(), b"an answer");
        assert!(transport.reason().is_none(), "the other half lives");
        transport.break_with(io::ErrorKind::BrokenPipe.into());
        assert_eq!(log.count("lost: the socket failed"), 1, "{log:?}");
    }
}

#[test]
fn a_half_closed_connection_can_be_closed() {
    let mut transport = StringTransport::new(half_closed());
    transport.end_of_input();
    transport.act(|_, transport| {
        transport.write(b"an answer").unwrap();
        transport.close();
    });
    assert_eq!(transport.sent(), b"an answer");
    assert!(transport.reason().unwrap().is_closed());
}

#[test]
fn a_handle_can_abort_a_close_that_takes_long() {
    let recorder = Recorder::new();
    let log = recorder.log();
    let mut transport = StringTransport::new(recorder);
    transport.hold(true);
    transport.act(|_, transport| {
        transport.write(b"anybody there?").unwrap();
        transport.close();
    });
    let handle = transport.handle();
    handle.write("too late").unwrap();
    transport.run();
    assert_eq!(log.joined(), "made", "it waits for the peer to read");
    handle.abort();
    transport.run();
    assert_eq!(log.joined(), "made | lost: the connection was aborted");
    assert_eq!(transport.sent(), b"");
}

#[test]
fn an_error_behind_a_close_in_the_same_callback_is_the_reason() {
    let fails = Recorder::reacting(|transport, callback, log| match callback {
        Callback::Data => {
            transport.close();
            Err("what is this".into())
        }
        _ => by_default(transport, callback, log),
    });
    let mut transport = StringTransport::new(fails);
    transport.receive(b"nonsense");
    transport.end_of_input();
    assert_eq!(transport.reason().unwrap().to_string(), "what is this");
}

#[test]
fn a_loss_with_nothing_before_it_is_told_to_a_paused_protocol_too() {
    let recorder = Recorder::new();
    let log = recorder.log();
    let mut transport = StringTransport::new(recorder);
    transport.act(|_, transport| transport.pause_producing());
    transport.break_with(io::ErrorKind::ConnectionReset.into());
    assert_eq!(log.joined(), "made | lost: the socket failed: connection reset");
}
