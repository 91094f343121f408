//! A program with one stream, on a clock that stands still, and what happens to it as words.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::executor::block_on;
use onionskin::runtime::{self, Runtime};
use onionskin::streams::policy::Policy;
use onionskin::streams::{Delivery, Event, Events, Stream, Streams};
use onionskin::testing::Clock;
use rustix::net::{AddressFamily, SocketType};

pub(crate) fn runtime() -> &'static dyn Runtime {
    runtime::preferred().expect("these tests are compiled with a runtime only")
}

/// One stream of a policy, on a virtual clock, without jitter.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) streams: Streams,
    pub(crate) stream: Stream,
    pub(crate) events: Events,
}

impl World {
    /// With a table of delays, and what the stream is.
    pub(crate) fn new(retry: &str, stream: &str) -> Self {
        Self::of(&format!(r#"{{ "retry": {{ "r": {{ {retry} }} }}, "s": {{ "it": {{ {stream}, "retry": "r" }} }} }}"#))
    }

    /// The stream `it` of this policy.
    pub(crate) fn of(policy: &str) -> Self {
        let clock = Clock::new();
        let policy = Policy::read(policy).unwrap_or_else(|error| panic!("{policy}: {error}"));
        let streams = Streams::with_timer(policy, runtime(), Arc::new(clock.clone()), || 0).unwrap();
        let stream = streams.open("it").unwrap();
        let events = stream.events();
        Self { clock, streams, stream, events }
    }

    pub(crate) fn event(&mut self) -> Option<Event> {
        block_on(self.events.next())
    }

    /// The next events, in this order.
    pub(crate) fn expect(&mut self, expected: &[&str]) {
        for (number, expected) in expected.iter().enumerate() {
            let event = self.event().unwrap_or_else(|| panic!("event {number}, {expected:?}, and there is none"));
            assert!(words(&event).starts_with(expected), "event {number}: {event:?}, and not {expected:?}");
        }
    }

    /// Lets as much time pass as the stream waits for, which has to be this.
    pub(crate) fn wait(&self, expected: Duration) {
        self.until_alarm_is(expected);
        self.clock.advance(expected);
    }

    /// Lets this time pass, from one time that the stream waits for to the next.
    pub(crate) fn pass(&self, mut time: Duration) {
        while !time.is_zero() {
            let Some(next) = self.clock.until_next_alarm() else {
                std::thread::yield_now();
                continue;
            };
            let step = next.min(time);
            self.clock.advance(step);
            time -= step;
        }
    }

    /// Waits until the stream wants to be woken in this time.
    pub(crate) fn until_alarm_is(&self, expected: Duration) {
        let patience = Instant::now() + Duration::from_secs(60);
        while self.clock.until_next_alarm() != Some(expected) {
            let found = self.clock.until_next_alarm();
            assert!(Instant::now() < patience, "it waits for {found:?}, and not for {expected:?}");
            std::thread::yield_now();
        }
    }
}

/// A port of the test's own where nobody listens, until somebody does. No other test gets it meanwhile.
pub(crate) struct Deaf(TcpListener);

impl Deaf {
    pub(crate) fn new() -> Self {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self(socket.into())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub(crate) fn listen(self) -> TcpListener {
        rustix::net::listen(&self.0, 128).unwrap();
        self.0
    }
}

/// An event in short.
pub(crate) fn words(event: &Event) -> String {
    match event {
        Event::Connecting(attempt) => format!("connecting {attempt}"),
        Event::Backoff(delay) => format!("backoff {}", delay.as_millis()),
        Event::Delivered(id, Delivery::Sent) => format!("sent {id}"),
        Event::Delivered(id, Delivery::Acknowledged) => format!("acknowledged {id}"),
        Event::Undelivered(id, error) => format!("undelivered {id}: {error}"),
        Event::AllRetriesFailed(_) => "all retries failed".to_owned(),
        other => other.to_string(),
    }
}
