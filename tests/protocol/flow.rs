//! Flow control: producers, water marks, pauses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use onionskin::protocol::{Addresses, ErrorKind, Producer, Result, Session, Streaming, Transport};
use onionskin::stack::{Limits, Output, Stack};
use onionskin::testing::StringTransport;

use crate::common::link::{Case, Link, NAME, each, each_in_pieces, each_version, pattern};
use crate::record::{Callback, Log, Recorder, by_default, dialogue, over};

/// Writes pieces until it has written all, and counts what it is told.
struct Source {
    left: usize,
    piece: usize,
    streaming: Streaming,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    resumed: AtomicUsize,
    paused: AtomicUsize,
    stopped: AtomicUsize,
}

impl Source {
    fn new(streaming: Streaming, left: usize, piece: usize) -> (Self, Arc<Calls>) {
        let calls = Arc::<Calls>::default();
        (Self { left, piece, streaming, calls: Arc::clone(&calls) }, calls)
    }

    fn write(&mut self, transport: &mut Transport<'_>) -> Result {
        let count = self.piece.min(self.left);
        self.left -= count;
        transport.write(&vec![b'x'; count])?;
        if self.left == 0 {
            transport.unregister_producer();
        }
        Ok(())
    }
}

impl Producer for Source {
    fn resume_producing(&mut self, transport: &mut Transport<'_>) -> Result {
        self.calls.resumed.fetch_add(1, Ordering::Relaxed);
        match self.streaming {
            Streaming::Pull => self.write(transport),
            Streaming::Push => {
                while self.left > 0 && !transport.is_full() {
                    self.write(transport)?;
                }
                Ok(())
            }
        }
    }

    fn pause_producing(&mut self) {
        self.calls.paused.fetch_add(1, Ordering::Relaxed);
    }

    fn stop_producing(&mut self) {
        self.calls.stopped.fetch_add(1, Ordering::Relaxed);
    }
}

fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

#[test]
fn one_pause_and_one_resume_are_told_whatever_the_depth() {
    each(0..=4, |case| {
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), Recorder::new());
        dialogue.pair.right.hold(true);
        let bytes = pattern(100_000);
        for piece in bytes.chunks(10_000) {
            dialogue.with_left(|_, transport| transport.write(piece).unwrap());
        }
        assert_eq!(left.joined(), "made | paused");
        dialogue.pair.right.hold(false);
        dialogue.run();
        assert_eq!(left.joined(), "made | paused | resumed");
        assert!(right.all()[1] == format!("data {}", bytes.escape_ascii()));
    });
}

#[test]
fn a_handshake_holds_writes_back_with_one_pause_and_one_resume() {
    each_in_pieces(1..=3, |case| {
        let link = Link::outer(case);
        let (client, server) = (link.client.clone(), link.server.clone());
        let left = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => {
                transport.start_tls(client.to(NAME)?)?;
                transport.write(&[b'x'; 3_500_000])
            }
            _ => by_default(transport, callback, log),
        });
        let right = Recorder::reacting(move |transport, callback, _| match callback {
            Callback::Made => transport.start_tls(server.accept()?).map(|_| ()).map_err(Into::into),
            Callback::Data => {
                transport.consume(transport.input().len());
                Ok(())
            }
            _ => Ok(()),
        });
        let (_dialogue, left, _) = over(link, left, right);
        assert_eq!((left.count("paused"), left.count("resumed"), left.count("ready")), (1, 1, 1), "{left:?}");
    });
}

#[test]
fn producers_of_both_kinds_bring_everything_across_within_the_marks() {
    for streaming in [Streaming::Pull, Streaming::Push] {
        each_in_pieces(0..=3, |case| {
            let received = Arc::new(AtomicUsize::new(0));
            let (mut dialogue, _, _) = dialogue(case, Recorder::new(), sink(&received));
            let (source, calls) = Source::new(streaming, 1_000_000, 3_000);
            dialogue.with_left(|_, transport| {
                transport.set_water_marks(4_000, 20_000);
                transport.register_producer(source, streaming).unwrap();
                transport.close(); // waits until the producer is done
            });
            let mut most = 0;
            while dialogue.step() {
                most = most.max(dialogue.pair.left.stack.outbound_len());
            }
            assert_eq!(count(&received), 1_000_000);
            assert!(most <= 20_000 + 3_000 + 500, "{most} bytes waited");
            assert!(count(&calls.resumed) > 1);
            assert_eq!(count(&calls.stopped), 0, "it was done before the end");
            if streaming == Streaming::Pull {
                assert_eq!((count(&calls.paused), count(&calls.resumed)), (0, 334));
            } else {
                assert!(count(&calls.resumed).abs_diff(count(&calls.paused)) <= 1, "in turns");
            }
            assert!(dialogue.left_reason().unwrap().is_closed());
        });
    }
}

/// Counts what it receives.
fn sink(received: &Arc<AtomicUsize>) -> Recorder {
    let received = Arc::clone(received);
    Recorder::reacting(move |transport: &mut Transport<'_>, callback: &Callback, log: &Log| match callback {
        Callback::Data => {
            let count = transport.input().len();
            received.fetch_add(count, Ordering::Relaxed);
            transport.consume(count);
            Ok(())
        }
        _ => by_default(transport, callback, log),
    })
}

#[test]
fn a_gibibyte_to_a_slow_reader_at_depth_three_never_holds_two_mebibytes() {
    const GIBIBYTE: usize = 1 << 30;
    each_version(3, |case| {
        // The one version is enough for so much; the other moves a sixteenth of it.
        let total = if case.version == onionskin::tls::Version::Tls13 { GIBIBYTE } else { GIBIBYTE / 16 };
        let received = Arc::new(AtomicUsize::new(0));
        let (mut dialogue, _, _) = dialogue(case, Recorder::new(), sink(&received));
        let (source, _) = Source::new(Streaming::Pull, total, 64 * 1024);
        dialogue.with_left(|_, transport| {
            transport.register_producer(source, Streaming::Pull).unwrap();
            transport.close();
        });
        let (mut most, mut turn) = (0_usize, 0_usize);
        loop {
            // The reader reads in one turn of four.
            turn += 1;
            dialogue.with_right(|_, transport| match turn % 4 {
                0 => transport.resume_producing(),
                _ => transport.pause_producing(),
            });
            let moved = dialogue.step();
            let held = [&dialogue.pair.left, &dialogue.pair.right]
                .map(|peer| peer.stack.outbound_len() + peer.stack.inbound_len());
            most = most.max(held[0]).max(held[1]);
            if !moved && turn % 4 == 0 {
                break;
            }
        }
        assert_eq!(count(&received), total);
        assert!(most < 2 << 20, "{most} bytes were held");
        assert!(dialogue.left_reason().unwrap().is_closed());
    });
}

#[test]
fn a_second_producer_is_refused_and_to_unregister_twice_is_nothing() {
    let mut transport = StringTransport::new(Recorder::new());
    transport.act(|_, transport| {
        let (first, _) = Source::new(Streaming::Push, 0, 1);
        transport.register_producer(first, Streaming::Push).unwrap();
        let (second, _) = Source::new(Streaming::Push, 0, 1);
        assert!(transport.register_producer(second, Streaming::Push).is_err());
        transport.unregister_producer();
        transport.unregister_producer();
        let (third, _) = Source::new(Streaming::Push, 10, 1);
        transport.register_producer(third, Streaming::Push).unwrap();
    });
    assert_eq!(transport.sent(), b"xxxxxxxxxx");
}

#[test]
fn a_producer_is_told_to_stop_when_the_connection_is_over_and_at_once_after_that() {
    let mut transport = StringTransport::new(Recorder::new());
    let (source, calls) = Source::new(Streaming::Pull, usize::MAX, 1000);
    transport.hold(true);
    transport.act(|_, transport| transport.register_producer(source, Streaming::Pull)).unwrap();
    assert_eq!(count(&calls.stopped), 0);
    transport.act(|_, transport| transport.abort());
    assert_eq!(count(&calls.stopped), 1);
    let (late, calls) = Source::new(Streaming::Pull, usize::MAX, 1000);
    transport.act(|_, transport| transport.register_producer(late, Streaming::Pull)).unwrap();
    assert_eq!((count(&calls.stopped), count(&calls.resumed)), (1, 0));
}

#[test]
fn a_pull_producer_that_has_nothing_is_asked_again_when_something_has_happened() {
    struct Waiting(Arc<AtomicUsize>);
    impl Producer for Waiting {
        fn resume_producing(&mut self, _: &mut Transport<'_>) -> Result {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let mut transport = StringTransport::new(Recorder::new());
    transport.act(|_, transport| transport.register_producer(Waiting(Arc::clone(&asked)), Streaming::Pull)).unwrap();
    let before = count(&asked);
    transport.run();
    assert_eq!(count(&asked), before, "nothing happened");
    transport.receive(b"something");
    assert!(count(&asked) > before);
}

#[test]
fn an_error_of_a_producer_closes_the_connection() {
    struct Fails;
    impl Producer for Fails {
        fn resume_producing(&mut self, transport: &mut Transport<'_>) -> Result {
            transport.unregister_producer();
            Err("the file is gone".into())
        }
    }
    let mut transport = StringTransport::new(Recorder::new());
    transport.act(|_, transport| transport.register_producer(Fails, Streaming::Pull)).unwrap();
    transport.end_of_input();
    assert_eq!(transport.reason().unwrap().to_string(), "the file is gone");
}

#[test]
fn a_paused_protocol_is_told_nothing_while_handshakes_go_on() {
    each(1..=3, |case| {
        let link = Link::outer(case);
        let (client, server) = (link.client.clone(), link.server.clone());
        let left = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => {
                transport.start_tls(client.to(NAME)?)?;
                transport.write(b"hello")
            }
            _ => by_default(transport, callback, log),
        });
        let right = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => {
                transport.pause_producing();
                transport.start_tls(server.accept()?).map(|_| ()).map_err(Into::into)
            }
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, left, right) = over(link, left, right);
        assert_eq!((left.count("ready"), right.count("ready"), right.count("data")), (1, 1, 0));
        dialogue.with_right(|_, transport| transport.resume_producing());
        dialogue.run();
        assert_eq!(right.all().last().unwrap(), "data hello");
    });
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_asked_no_more() {
    let echoes = |reads_while_full: bool| {
        Recorder::reacting(move |transport: &mut Transport<'_>, callback: &Callback, log: &Log| match callback {
            Callback::Made => {
                transport.read_while_full(reads_while_full);
                Ok(())
            }
            Callback::Data => {
                let bytes = transport.take_all();
                transport.write(&bytes)
            }
            _ => by_default(transport, callback, log),
        })
    };
    let mut transport = StringTransport::new(echoes(false));
    transport.hold(true);
    transport.receive(&pattern(4_000_000));
    let held = transport.stack().outbound_len();
    assert!(held <= 64 * 1024 + 128 * 1024, "{held} bytes wait");
    transport.hold(false);
    assert_eq!(transport.sent(), pattern(4_000_000), "and nothing is lost");

    let mut transport = StringTransport::new(echoes(true));
    transport.hold(true);
    transport.receive(&pattern(4_000_000));
    assert_eq!(transport.stack().outbound_len(), 4_000_000, "unless the protocol wants it otherwise");
    transport.hold(false);
    assert_eq!(transport.sent(), pattern(4_000_000));
}

#[test]
fn late_input_is_read_also_while_much_waits_for_the_stop() {
    each_version(1, |case: Case| {
        let (mut dialogue, left, right) = dialogue(case, Recorder::new(), Recorder::reacting(answer_the_stop));
        dialogue.pair.left.hold(true);
        dialogue.with_right(|_, transport| transport.write(&pattern(150_000)).unwrap());
        dialogue.with_left(|_, transport| {
            transport.stop_tls().unwrap();
            // Waits below the layer, above the high mark, until the peer's close_notify behind all that is read.
            transport.write(&pattern(100_000)).unwrap();
        });
        dialogue.pair.left.hold(false);
        dialogue.run();
        assert_eq!(left.count("stopped"), 1, "{:?}", dialogue.left_reason());
        assert_eq!(right.all().last().unwrap(), &format!("data {}", pattern(100_000).escape_ascii()));
    });
}

fn answer_the_stop(transport: &mut Transport<'_>, callback: &Callback, log: &Log) -> Result {
    match callback {
        Callback::Ended => transport.stop_tls().map(|_| ()).map_err(Into::into),
        _ => by_default(transport, callback, log),
    }
}

#[test]
fn a_write_above_the_limit_aborts_and_one_below_it_does_not() {
    for (limit, fits) in [(1_000_000, true), (999_999, false)] {
        let mut transport = StringTransport::new(Recorder::new());
        transport.hold(true);
        transport.act(|_, transport| {
            transport.set_write_limit(limit);
            let result = transport.write(&pattern(1_000_000));
            assert_eq!(result.is_ok(), fits);
        });
        let reason = transport.reason();
        assert_eq!(reason.is_none(), fits);
        if let Some(reason) = reason {
            assert_eq!(reason.error().unwrap().kind(), ErrorKind::PeerTooSlow, "{reason}");
        }
    }
}

#[test]
fn the_peer_is_held_up_when_a_paused_protocol_is_full() {
    let mut transport = StringTransport::new(Recorder::new());
    transport.act(|_, transport| transport.pause_producing());
    transport.receive(&pattern(1_000_000));
    assert!(transport.stack().inbound_len() <= 128 * 1024);
    transport.act(|_, transport| transport.resume_producing());
    let log = transport.protocol().log();
    assert!(log.all()[1] == format!("data {}", pattern(1_000_000).escape_ascii()), "and nothing is lost");
}

#[test]
fn a_close_that_waits_for_a_producer_does_not_wait_for_a_peer_that_reads_nothing() {
    let (mut stack, mut now) = (Stack::new(Limits::default()), Instant::now());
    let mut session = Session::new(Recorder::new(), Addresses::default());
    let (source, calls) = Source::new(Streaming::Pull, usize::MAX, 1000);
    session.with_transport(&mut stack, now, |_, transport| {
        transport.register_producer(source, Streaming::Pull).unwrap();
        transport.close();
    });
    for _ in 0..10 {
        now += Duration::from_secs(29);
        session.dispatch(&mut stack, now);
        assert!(!session.is_over(), "it reads little, but it reads");
        assert!(matches!(stack.poll_output(), Output::Bytes(_)));
        stack.handle_sent(now, 1);
        session.dispatch(&mut stack, now);
    }
    now += Duration::from_secs(30);
    assert_eq!(session.poll_deadline(), Some(now));
    session.dispatch(&mut stack, now);
    let reason = session.reason().unwrap();
    assert_eq!(reason.error().unwrap().kind(), ErrorKind::PeerTooSlow, "{reason}");
    assert_eq!(count(&calls.stopped), 1);
}

#[test]
fn a_close_waits_for_a_producer_that_has_nothing_for_long() {
    let mut transport = StringTransport::new(Recorder::new());
    struct Waiting;
    impl Producer for Waiting {
        fn resume_producing(&mut self, _: &mut Transport<'_>) -> Result {
            Ok(())
        }
    }
    transport.act(|_, transport| {
        transport.register_producer(Waiting, Streaming::Push).unwrap();
        transport.close();
    });
    transport.advance(Duration::from_secs(3600));
    assert!(transport.reason().is_none());
    transport.act(|_, transport| {
        transport.write(b"at last").unwrap();
        transport.unregister_producer();
    });
    transport.end_of_input();
    assert_eq!(transport.sent(), b"at last");
    assert!(transport.reason().unwrap().is_closed());
}

#[test]
fn an_error_does_not_wait_for_the_producer() {
    struct Fails(Arc<AtomicUsize>);
    impl Producer for Fails {
        fn resume_producing(&mut self, _: &mut Transport<'_>) -> Result {
            Err("the file is gone".into())
        }

        fn stop_producing(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for closed_before in [false, true] {
        for streaming in [Streaming::Pull, Streaming::Push] {
            let mut transport = StringTransport::new(Recorder::new());
            let stopped = Arc::new(AtomicUsize::new(0));
            transport.act(|_, transport| {
                transport.write(b"before").unwrap();
                transport.register_producer(Fails(Arc::clone(&stopped)), streaming).unwrap();
                if closed_before {
                    transport.close();
                }
            });
            assert_eq!(transport.sent(), b"before");
            assert_eq!(count(&stopped), 1);
            transport.end_of_input();
            assert_eq!(transport.reason().unwrap().to_string(), "the file is gone");
            assert_eq!(count(&stopped), 1);
        }
    }
}

#[test]
fn a_producer_on_a_lost_connection_is_stopped_and_not_resumed() {
    // It would write for ever: what is written to a lost connection leaves room.
    let (source, calls) = Source::new(Streaming::Push, usize::MAX, 1000);
    let recorder = Recorder::new();
    let log = recorder.log();
    let mut transport = StringTransport::new(recorder);
    transport.hold(true);
    transport.act(|_, transport| {
        transport.pause_producing();
        transport.register_producer(source, Streaming::Push).unwrap();
    });
    transport.receive(b"before");
    assert_eq!(count(&calls.paused), 1);
    transport.break_with(std::io::ErrorKind::ConnectionReset.into());
    assert_eq!((count(&calls.resumed), count(&calls.stopped)), (1, 1));
    assert_eq!(log.joined(), "made | paused");
    transport.act(|_, transport| transport.resume_producing());
    assert_eq!(log.joined(), "made | paused | data before | lost: the socket failed: connection reset");
    assert_eq!(count(&calls.stopped), 1);
}

#[test]
fn a_producer_registered_when_the_connection_was_closed_is_stopped() {
    let mut transport = StringTransport::new(Recorder::new());
    transport.act(|_, transport| transport.close());
    for over in [false, true] {
        if over {
            transport.end_of_input();
        }
        assert_eq!(transport.reason().is_some(), over);
        let (late, calls) = Source::new(Streaming::Pull, usize::MAX, 1000);
        transport.act(|_, transport| transport.register_producer(late, Streaming::Pull)).unwrap();
        assert_eq!((count(&calls.resumed), count(&calls.stopped)), (0, 1));
    }
}

#[test]
fn a_push_producer_that_saw_no_room_is_resumed_when_the_marks_are_raised() {
    let raises = Recorder::reacting(|transport, callback, log| match callback {
        Callback::WritingPaused => {
            transport.set_water_marks(500_000, 500_000);
            Ok(())
        }
        _ => by_default(transport, callback, log),
    });
    let log = raises.log();
    let mut transport = StringTransport::new(raises);
    let (source, calls) = Source::new(Streaming::Push, 200_000, 1000);
    transport.hold(true);
    transport.act(|_, transport| transport.register_producer(source, Streaming::Push)).unwrap();
    assert_eq!(log.joined(), "made | paused | resumed");
    assert_eq!((count(&calls.resumed), count(&calls.paused)), (2, 1));
    assert_eq!(transport.stack().outbound_len(), 200_000);
}

#[test]
fn the_first_piece_of_a_producer_stands_before_the_answers_to_later_input() {
    for streaming in [Streaming::Pull, Streaming::Push] {
        let answers =
            Recorder::reacting(move |transport: &mut Transport<'_>, callback: &Callback, log: &Log| match callback {
                Callback::Data => {
                    let command = transport.take(1);
                    if command == b"r" {
                        assert!(!transport.has_producer());
                        let (source, _) = Source::new(streaming, 3, 3);
                        transport.register_producer(source, streaming)?;
                        assert!(transport.has_producer());
                        return Ok(());
                    }
                    transport.write(&command)
                }
                _ => by_default(transport, callback, log),
            });
        let mut transport = StringTransport::new(answers);
        transport.receive(b"arb");
        assert_eq!(transport.sent(), b"axxxb");
        assert!(!transport.act(|_, transport| transport.has_producer()), "it is done");
    }
}
