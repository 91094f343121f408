//! Wrappers around protocols.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use onionskin::protocol::{Protocol, Result, Transport};
use onionskin::testing::Dialogue;

use crate::common::link::{Link, NAME, each};
use crate::record::{Callback, Recorder, by_default};

/// Overrides nothing.
struct Plain<P>(P);

impl<P: Protocol> Protocol for Plain<P> {
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        Some(&mut self.0)
    }
}

/// Looks at one kind of callback and hands it on.
struct Counting<P>(P, Arc<AtomicUsize>);

impl<P: Protocol> Protocol for Counting<P> {
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        Some(&mut self.0)
    }

    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.connection_made(transport)
    }
}

/// Meets every callback there is.
fn busy(link: &Link) -> Recorder {
    let client = link.client.clone();
    Recorder::reacting(move |transport, callback, log| match callback {
        Callback::Made => {
            transport.start_tls(client.to(NAME)?)?;
            transport.set_timeout(Some(std::time::Duration::from_secs(60)));
            transport.write(&[b'x'; 200_000])
        }
        Callback::Ended => transport.stop_tls().map(|_| ()).map_err(Into::into),
        Callback::TimedOut => Ok(()),
        _ => by_default(transport, callback, log),
    })
}

/// Starts TLS as a server, stops it once much was read, and says goodbye when the peer's time is over.
fn answering(link: &Link) -> Recorder {
    let server = link.server.clone();
    let mut read = 0;
    Recorder::reacting(move |transport, callback, _| match callback {
        Callback::Made => transport.start_tls(server.accept()?).map(|_| ()).map_err(Into::into),
        Callback::Data => {
            let count = transport.input().len();
            read += count;
            transport.consume(count);
            if read == 200_000 {
                transport.stop_tls()?;
                transport.set_timeout(Some(std::time::Duration::from_secs(90)));
            }
            Ok(())
        }
        Callback::TimedOut => {
            transport.close();
            Ok(())
        }
        Callback::Ended => transport.stop_tls().map(|_| ()).map_err(Into::into),
        _ => Ok(()),
    })
}

#[test]
fn wrappers_that_override_nothing_change_nothing() {
    each(1..=2, |case| {
        let bare = {
            let link = Link::outer(case);
            let (left, right) = (busy(&link), answering(&link));
            let logs = (left.log(), right.log());
            play(Dialogue::over(link.pair, left, right));
            (logs.0.joined(), logs.1.joined())
        };
        let wrapped = {
            let link = Link::outer(case);
            let (left, right) = (busy(&link), answering(&link));
            let logs = (left.log(), right.log());
            let boxed: Box<dyn Protocol> = Box::new(Plain(right));
            play(Dialogue::over(link.pair, Plain(Plain(left)), boxed));
            (logs.0.joined(), logs.1.joined())
        };
        assert_eq!(bare, wrapped);
        for callback in ["made", "ready", "paused", "resumed", "ended", "stopped", "timed out", "lost"] {
            assert!(bare.0.contains(callback), "{callback} is not in {}", bare.0);
        }
    });
}

#[test]
fn a_wrapper_sees_what_it_wants_to_and_hands_it_on() {
    each(1..=1, |case| {
        let link = Link::outer(case);
        let (left, right) = (busy(&link), answering(&link));
        let (log, seen) = (left.log(), Arc::default());
        play(Dialogue::over(link.pair, Counting(left, Arc::clone(&seen)), right));
        assert_eq!(seen.load(Ordering::Relaxed), 1);
        assert_eq!(log.count("made"), 1);
        assert_eq!(log.count("lost"), 1);
    });
}

fn play<L: Protocol, R: Protocol>(mut dialogue: Dialogue<L, R>) {
    dialogue.run();
    dialogue.advance(std::time::Duration::from_secs(120));
    assert!(dialogue.left_reason().unwrap().is_closed(), "{:?}", dialogue.left_reason());
    assert!(dialogue.right_reason().unwrap().is_closed());
}
