//! Async code is asked, and drives the connection while it finds out what to answer.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::pending;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::{Error, ErrorKind};
use onionskin::layer::opening::{Advance, Exchange, Negotiation, Opening};
use onionskin::layer::{Counter, Counts};
use onionskin::protocol::{LayerView, Protocol, Result, Transport, run};
use onionskin::stack::{CommandErrorKind, Failure};
use onionskin::testing::{Clock, Cut, WireEnd, wire};

use crate::executor::{Task, both, cancelled_after};
use crate::operator::{Dial, Operator, Target, dial, operator};

const CUTS: [Cut; 5] = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(3), Cut::Random(4)];

fn pair(cut: Cut) -> (Connection<WireEnd>, Connection<WireEnd>, Clock) {
    let clock = Clock::new();
    let (left, right) = wire(cut, 500);
    let [left, right] = [left, right].map(|end| Connection::with_timer(end, Arc::new(clock.clone())));
    (left, right, clock)
}

#[test]
fn it_is_granted_when_the_target_is_reached() {
    for cut in CUTS {
        let (mut left, mut right, clock) = pair(cut);
        let (reached, reaching) = oneshot::channel();
        let client = async {
            let address = left.open(dial("a.example").timeout(None)).await.unwrap();
            left.write_line("behind it").await.unwrap();
            (address, left.read_line().await.unwrap().unwrap())
        };
        let server = async {
            // Whoever only waits is told that somebody has to answer.
            let error = right.open(operator()).await.unwrap_err();
            let layer = right.stack().layers().next().unwrap().0;
            assert!(is_command(&error, |kind| matches!(kind, CommandErrorKind::Asks(id) if *id == layer)), "{error}");
            let mut asked = right.asked::<Operator>(layer).await.unwrap();
            assert_eq!((asked.layer(), asked.question()), (layer, &Target("a.example".to_owned())));
            let address: String = asked.during(reaching).await.unwrap().unwrap();
            asked.grant(address).await.unwrap();
            assert_eq!(right.depth(), 0);
            right.write_line("from there").await.unwrap();
            right.read_line().await.unwrap().unwrap()
        };
        let (mut client, mut server) = (Task::new(client), Task::new(server));
        crate::executor::run(&mut [&mut client, &mut server]);
        assert!(client.output().is_none() && server.output().is_none(), "{cut:?}");
        clock.advance(Duration::from_secs(3600));
        reached.send("10.0.0.1".to_owned()).unwrap();
        crate::executor::run(&mut [&mut client, &mut server]);
        assert_eq!(client.output().unwrap(), ("10.0.0.1".to_owned(), b"from there".to_vec()), "{cut:?}");
        assert_eq!(server.output().unwrap(), b"behind it", "{cut:?}");
    }
}

#[test]
fn it_is_refused_and_the_connection_is_what_the_protocol_makes_of_it() {
    for cut in CUTS {
        let (mut left, mut right, _clock) = pair(cut);
        let client = async {
            left.send_all(b"DIAL a.example\nDIAL b.example\n").await.unwrap();
            let mut heard = String::new();
            left.read_to_string(&mut heard).await.unwrap();
            heard
        };
        let server = async {
            let layer = right.splice(operator()).unwrap();
            right.asked::<Operator>(layer).await.unwrap().refuse(404).await.unwrap();
            let asked = right.asked::<Operator>(layer).await.unwrap();
            assert_eq!(asked.question(), &Target("b.example".to_owned()));
            asked.refuse(502).await.unwrap();
            right.read_line().await.unwrap_err()
        };
        let (heard, error) = both(client, server);
        assert_eq!(heard, "HELLO\nNO 404\nNO 502\n", "{cut:?}");
        assert!(error.is_refused(), "{error}");
    }
}

#[test]
fn whoever_is_dropped_with_the_question_has_said_no() {
    for cut in CUTS {
        for polls in 0.. {
            let (mut left, mut right, _clock) = pair(cut);
            let layer = right.splice(operator()).unwrap();
            let client = async {
                left.send_all(b"DIAL a.example\nbehind").await.unwrap();
                let mut heard = String::new();
                left.read_to_string(&mut heard).await.unwrap();
                left.close().await.unwrap();
                heard
            };
            let server = async {
                let answers = async {
                    let mut asked = right.asked::<Operator>(layer).await.unwrap();
                    asked.during(async { futures::future::ready(()).await }).await.unwrap();
                    asked.grant("10.0.0.1".to_owned()).await.unwrap();
                };
                let was_dropped = cancelled_after(polls, answers).await.is_none();
                let mut read = Vec::new();
                let _ = right.close().await;
                let _ = right.read_to_end(&mut read).await;
                drop(right);
                (was_dropped, read)
            };
            let (heard, (was_dropped, read)) = both(client, server);
            match &heard[..] {
                // Granted, whole or not at all.
                "HELLO\nOK 10.0.0.1\n" => assert!(read == b"behind" || was_dropped, "{cut:?} {polls}"),
                "HELLO\nNO 503\n" | "HELLO\n" => assert!(was_dropped && read.is_empty(), "{cut:?} {polls}"),
                other => panic!("{cut:?} {polls}: {other}"),
            }
            if !was_dropped {
                assert!(heard.contains("OK"));
                break;
            }
        }
    }
}

#[test]
fn work_for_a_peer_that_is_gone_is_dropped() {
    // The control is an end of file, which is no loss: that may be all that the peer has to say.
    for is_lost in [false, true] {
        let (left, mut right, _clock) = pair(Cut::Whole);
        let mut left = left.into_inner().io;
        send(&mut left, b"DIAL a.example\n");
        let is_dropped = Arc::new(());
        let work = Arc::clone(&is_dropped);
        let server = async {
            let layer = right.splice(operator()).unwrap();
            let mut asked = right.asked::<Operator>(layer).await.unwrap();
            let work = async move {
                let _work = work;
                pending::<()>().await;
            };
            let gone = asked.during(work).await.unwrap_err();
            (gone, asked.grant("10.0.0.1".to_owned()).await.unwrap_err())
        };
        let mut server = Task::new(server);
        assert!(server.run().is_none());
        if is_lost {
            left.fail(io::ErrorKind::ConnectionReset);
        } else {
            left.end();
        }
        let ended = server.run();
        assert_eq!((ended.is_some(), Arc::strong_count(&is_dropped)), if is_lost { (true, 1) } else { (false, 2) });
        for error in ended.into_iter().flat_map(|(gone, granted)| [gone, granted]) {
            assert_eq!(error.reason().unwrap().io_error().unwrap().kind(), io::ErrorKind::ConnectionReset);
        }
    }
}

fn is_command(error: &Error, is_it: impl Fn(&CommandErrorKind) -> bool) -> bool {
    matches!(error.kind(), ErrorKind::Command(error) if is_it(error.kind()))
}

/// What a peer by hand sends.
fn send(end: &mut WireEnd, bytes: &[u8]) {
    let mut write = Task::new(end.write_all(bytes));
    write.run().unwrap().unwrap();
}

#[test]
fn a_question_that_never_comes_is_an_error() {
    let (mut left, mut right, _clock) = pair(Cut::Whole);
    let client = async {
        let layer = left.splice(dial("a.example")).unwrap();
        left.ready(layer).await.unwrap();
        layer
    };
    let server = async {
        let layer = right.splice(operator()).unwrap();
        right.asked::<Operator>(layer).await.unwrap().grant("10.0.0.1".to_owned()).await.unwrap();
        // It has left.
        right.asked::<Operator>(layer).await.err().unwrap()
    };
    let (_, error) = both(client, server);
    assert!(error.is_no_such_layer(), "{error}");
    assert!(right.decline(left.splice(dial("b")).unwrap()).is_err());
    let error = right.splice(operator()).and_then(|layer| right.decline(layer)).unwrap_err();
    assert!(is_command(&error, |kind| matches!(kind, CommandErrorKind::NotAsked(_))), "{error}");
}

/// Takes a line and becomes a counter of what follows.
#[derive(Debug)]
pub(crate) struct ThenCounted;

impl Negotiation for ThenCounted {
    type Question = Infallible;
    type Facts = Counts;

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, Failure> {
        Ok(match exchange.line()? {
            Some(_) => Advance::Become(Box::new(Counter::new())),
            None => Advance::Waiting,
        })
    }

    fn awaits(&self) -> &'static str {
        "a line"
    }

    fn facts(&self) -> Option<Counts> {
        None
    }
}

#[test]
fn one_that_becomes_another_layer_has_its_facts() {
    for cut in CUTS {
        let (left, mut right, _clock) = pair(cut);
        let mut left = left.into_inner().io;
        let opens = async {
            let counts = right.open(Opening::of(ThenCounted)).await.unwrap();
            assert_eq!(right.read_line().await.unwrap().unwrap(), b"counted");
            assert_eq!((right.depth(), right.layers().iter().next().unwrap().name), (1, "counter"));
            counts.inbound()
        };
        let mut opens = Task::new(opens);
        assert!(opens.run().is_none());
        send(&mut left, b"not\ncounted\n");
        assert_eq!(opens.run(), Some(8), "{cut:?}");
    }
}

#[test]
fn a_question_that_is_dropped_is_declined_when_anything_is_polled() {
    for cut in CUTS {
        let (mut left, mut right, _clock) = pair(cut);
        let client = async {
            left.send_all(b"DIAL a.example\n").await.unwrap();
            let mut heard = String::new();
            left.read_to_string(&mut heard).await.unwrap();
            heard
        };
        let server = async {
            let layer = right.splice(operator()).unwrap();
            drop(right.asked::<Operator>(layer).await.unwrap());
            let error = right.read_line().await.unwrap_err();
            // Its last words have left, or leave now.
            let _ = right.close().await;
            error
        };
        let (heard, error) = both(client, server);
        assert_eq!(heard, "HELLO\nNO 503\n", "{cut:?}");
        assert!(error.to_string().ends_with("nobody knows"), "{error}");
    }
}

#[test]
fn a_protocol_that_takes_over_is_asked_what_nobody_has_answered() {
    struct Grants;

    impl Protocol for Grants {
        fn layer_asked(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
            transport.grant::<Operator>(layer.id, "10.0.0.1".to_owned())?;
            transport.close();
            Ok(())
        }
    }

    let (mut left, mut right, _clock) = pair(Cut::Whole);
    let client = async {
        left.send_all(b"DIAL a.example\n").await.unwrap();
        let mut heard = String::new();
        left.read_to_string(&mut heard).await.unwrap();
        left.close().await.unwrap();
        heard
    };
    let server = async move {
        right.open(operator()).await.unwrap_err();
        run(right, Grants).await.reason
    };
    let (heard, reason) = both(client, server);
    assert_eq!(heard, "HELLO\nOK 10.0.0.1\n");
    assert!(reason.is_closed(), "{reason}");
}

#[test]
fn one_that_fails_is_not_open_whatever_its_negotiation_knows() {
    // The control is a peer that says it, of whom as much is known.
    for (said, is_opened) in [(&b"DIAL a.example"[..], false), (b"", false), (b"\n", true)] {
        for is_late in [false, true] {
            let (left, mut right, clock) = pair(Cut::Whole);
            let mut left = left.into_inner().io;
            send(&mut left, said);
            let mut opens = Task::new(right.open(Opening::of(Knowing)));
            let at_once = opens.run();
            assert_eq!(at_once.is_some(), is_opened);
            if is_late {
                clock.advance(Duration::from_secs(31));
            } else {
                left.end();
            }
            match at_once.or_else(|| opens.run()).unwrap() {
                Ok(()) => assert!(is_opened, "{said:?} {is_late}"),
                Err(error) => assert!(!is_opened && error.reason().is_some(), "{error}"),
            }
        }
    }
}

/// Takes a line. What it has to say is nothing, and that it has at any time.
#[derive(Debug)]
struct Knowing;

impl Negotiation for Knowing {
    type Question = Infallible;
    type Facts = ();

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, Failure> {
        Ok(exchange.line()?.map_or(Advance::Waiting, |_| Advance::Leave))
    }

    fn awaits(&self) -> &'static str {
        "a line"
    }

    fn facts(&self) -> Option<()> {
        Some(())
    }
}

#[test]
fn two_openings_one_in_the_other_are_dropped_at_every_await_and_go_on() {
    for cut in CUTS {
        for polls in 0.. {
            let (mut left, mut right, _clock) = pair(cut);
            let client = async {
                let opened = cancelled_after(polls, left.open(dial("outer.example"))).await;
                let is_dropped = opened.is_none();
                if polls == 0 {
                    left.open(dial("outer.example")).await.unwrap();
                }
                // Over one that is not done, or is.
                let outer = left.layers().iter().next().map(|layer| layer.id);
                let inner = left.splice(dial("inner.example")).unwrap();
                if let Some(outer) = outer {
                    assert_eq!(left.ready(outer).await.unwrap().facts::<Opening<Dial>>().unwrap(), "outer.example");
                }
                assert_eq!(left.ready(inner).await.unwrap().facts::<Opening<Dial>>().unwrap(), "inner.example");
                left.write_line("behind").await.unwrap();
                (is_dropped, left.read_line().await.unwrap().unwrap(), left.depth())
            };
            let server = async {
                for _ in 0..2 {
                    let layer = right.splice(operator()).unwrap();
                    // Whoever is dropped before it is asked loses no question.
                    drop(cancelled_after(polls, right.ready(layer)).await);
                    let asked = right.asked::<Operator>(layer).await.unwrap();
                    let target = asked.question().0.clone();
                    asked.grant(target).await.unwrap();
                }
                let line = right.read_line().await.unwrap().unwrap();
                right.write_line(line).await.unwrap();
            };
            let ((is_dropped, heard, depth), ()) = both(client, server);
            assert_eq!((&heard[..], depth), (&b"behind"[..], 0), "{cut:?} {polls}");
            if !is_dropped {
                break;
            }
        }
    }
}
