//! Connection attempts on a clock that moves when everybody waits, over a network that follows a script.

use std::collections::HashMap;
use std::fmt::Write;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, LocalBoxFuture};
use futures::task::noop_waker;

use crate::endpoint::{Connector, Endpoint, happy_eyeballs};
use crate::runtime::{ListeningSocket, Runtime, Socket, TcpOptions, Timer};
use crate::testing::{Clock, Cut, WireEnd, wire};

/// As a transport does it.
async fn connect(runtime: &dyn Runtime, host: &str, port: u16) -> io::Result<Socket> {
    happy_eyeballs::connect_to_one(runtime, runtime.resolve(host, port).await?, &TcpOptions::default()).await
}

const V6: [&str; 3] = ["[2001:db8::1]:25", "[2001:db8::2]:25", "[2001:db8::3]:25"];
const V4: [&str; 2] = ["192.0.2.1:25", "192.0.2.2:25"];

#[test]
fn the_families_take_turns_and_each_attempt_has_its_head_start() {
    let network = Network::new(&[V6[0], V6[1], V6[2], V4[0], V4[1]]);
    let error = network.connect_within(Duration::from_secs(2)).unwrap();
    assert!(error.is_none(), "it ended: {error:?}");
    assert_eq!(
        network.begun(),
        "0 begin [2001:db8::1]:25\n250 begin 192.0.2.1:25\n500 begin [2001:db8::2]:25\n\
         750 begin 192.0.2.2:25\n1000 begin [2001:db8::3]:25\n",
    );
}

#[test]
fn the_family_that_the_system_prefers_comes_first() {
    let network = Network::new(&[V4[0], V4[1], V6[0]]);
    network.connect_within(Duration::from_secs(2)).unwrap();
    assert_eq!(network.begun(), "0 begin 192.0.2.1:25\n250 begin [2001:db8::1]:25\n500 begin 192.0.2.2:25\n");
}

#[test]
fn a_quick_answer_begins_no_other_attempt() {
    let network = Network::new(&[V6[0], V4[0]]).answers(V6[0], 249).answers(V4[0], 0);
    assert_eq!(network.connect().unwrap(), V6[0]);
    assert_eq!(network.events(), "0 begin [2001:db8::1]:25\n249 connected [2001:db8::1]:25\n");
}

#[test]
fn the_first_to_answer_wins_and_the_others_are_dropped() {
    let network = Network::new(&[V6[0], V4[0], V6[1]]).answers(V6[0], 1000).answers(V4[0], 100);
    assert_eq!(network.connect().unwrap(), V4[0]);
    assert_eq!(
        network.events(),
        "0 begin [2001:db8::1]:25\n250 begin 192.0.2.1:25\n350 connected 192.0.2.1:25\n\
         350 dropped [2001:db8::1]:25\n",
    );
}

#[test]
fn a_slow_first_attempt_may_still_win() {
    let network = Network::new(&[V6[0], V4[0]]).answers(V6[0], 300).answers(V4[0], 100);
    assert_eq!(network.connect().unwrap(), V6[0]);
    assert!(network.events().ends_with("300 connected [2001:db8::1]:25\n300 dropped 192.0.2.1:25\n"));
}

#[test]
fn a_failure_lets_the_next_attempt_begin_at_once() {
    let network = Network::new(&[V6[0], V4[0], V6[1]]).refuses(V6[0], 10).refuses(V4[0], 5).answers(V6[1], 1);
    assert_eq!(network.connect().unwrap(), V6[1]);
    assert_eq!(
        network.events(),
        "0 begin [2001:db8::1]:25\n10 refused [2001:db8::1]:25\n10 begin 192.0.2.1:25\n\
         15 refused 192.0.2.1:25\n15 begin [2001:db8::2]:25\n16 connected [2001:db8::2]:25\n",
    );
}

#[test]
fn the_last_attempts_have_all_the_time_they_want() {
    let network = Network::new(&[V6[0], V4[0]]).answers(V6[0], 60_000).refuses(V4[0], 90_000);
    assert_eq!(network.connect().unwrap(), V6[0]);
}

#[test]
fn when_all_fail_the_error_has_each_of_them() {
    let network = Network::new(&[V6[0], V4[0]]).refuses(V6[0], 400).refuses(V4[0], 50);
    let error = network.connect().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(error.to_string(), "192.0.2.1:25: connection refused; [2001:db8::1]:25: connection refused");
    assert_eq!(network.clock.now() - network.start, Duration::from_millis(400));
    // Of one address there is no more to say than what the system says.
    let network = Network::new(&[V4[0]]).refuses(V4[0], 1);
    assert_eq!(network.connect().unwrap_err().to_string(), "connection refused");
}

#[test]
fn a_connector_gives_up_in_time() {
    let seconds = |text: &str, set: Option<Option<u64>>| {
        let network: &'static Network = Box::leak(Box::new(Network::new(&[V6[0], V4[0]])));
        let connector = Connector::new(network, &text.parse::<Endpoint>().unwrap()).unwrap();
        let connector = match set {
            Some(limit) => connector.connect_timeout(limit.map(Duration::from_secs)),
            None => connector,
        };
        let error = network.run(connector.connect(), Duration::from_secs(3600))?.unwrap_err();
        assert!(error.is_io(), "{error}");
        assert!(error.to_string().contains("no answer within"), "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
        assert!(network.events().contains("dropped [2001:db8::1]:25"), "{}", network.events());
        Some((network.clock.now() - network.start).as_secs())
    };
    assert_eq!(seconds("tcp:a:25", None), Some(30));
    assert_eq!(seconds("tcp:a:25:timeout=7", None), Some(7));
    assert_eq!(seconds("tcp:a:25:timeout=7", Some(Some(9))), Some(9));
    assert_eq!(seconds("tcp:a:25:timeout=none", None), None);
    assert_eq!(seconds("tcp:a:25", Some(None)), None);
}

/// Over real sockets: the first address is dead, the second is alive.
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
#[test]
fn a_dead_address_does_not_keep_from_one_that_is_alive() {
    for &runtime in crate::runtime::all() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = listener.local_addr().unwrap();
        let dead = SocketAddr::new("::1".parse().unwrap(), alive.port());
        let real = |addresses: &[SocketAddr]| Network {
            addresses: addresses.into(),
            real: Some(runtime),
            ..Network::new(&[])
        };
        let both = real(&[dead, alive]);
        let socket = crate::runtime::block_on(runtime, connect(&both, "both", 0)).unwrap();
        assert_eq!(socket.peer_address().as_tcp(), Some(alive), "{runtime:?}");
        let none = real(&[dead]);
        assert!(crate::runtime::block_on(runtime, connect(&none, "none", 0)).is_err());
    }
}

/// A network on which every attempt hangs, unless the script says otherwise.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) clock: Clock,
    pub(super) start: Instant,
    addresses: Vec<SocketAddr>,
    script: HashMap<SocketAddr, (Duration, Answer)>,
    events: Arc<Mutex<String>>,
    /// How long a name takes.
    pub(super) resolving: Duration,
    /// The far ends of what was connected: they say nothing.
    silent: Arc<Mutex<Vec<WireEnd>>>,
    /// Where the script is not asked.
    real: Option<&'static dyn Runtime>,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Connected,
    Refused,
}

impl Network {
    pub(super) fn new(addresses: &[&str]) -> Self {
        let clock = Clock::new();
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Self {
            start: clock.now(),
            clock,
            addresses,
            script: HashMap::new(),
            events: Arc::default(),
            resolving: Duration::ZERO,
            silent: Arc::default(),
            real: None,
        }
    }

    pub(super) fn answers(mut self, address: &str, after: u64) -> Self {
        self.script.insert(address.parse().unwrap(), (Duration::from_millis(after), Answer::Connected));
        self
    }

    fn refuses(mut self, address: &str, after: u64) -> Self {
        self.script.insert(address.parse().unwrap(), (Duration::from_millis(after), Answer::Refused));
        self
    }

    /// Each with its time in milliseconds.
    fn events(&self) -> String {
        self.events.lock().unwrap().clone()
    }

    /// The attempts alone.
    fn begun(&self) -> String {
        self.events().split_inclusive('\n').filter(|line| line.contains(" begin ")).collect()
    }

    /// Where the connection went.
    fn connect(&self) -> io::Result<String> {
        let connected = self.run(connect(self, "a", 25), Duration::from_secs(3600));
        Ok(connected.expect("it ends")?.peer_address().as_tcp().unwrap().to_string())
    }

    /// `None` if there is no outcome by then.
    fn connect_within(&self, limit: Duration) -> io::Result<Option<Socket>> {
        self.run(connect(self, "a", 25), limit).transpose()
    }

    /// Polls, and lets time pass when there is nothing else to do.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>, limit: Duration) -> Option<T> {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&noop_waker())) {
                return Some(output);
            }
            match self.clock.until_next_alarm() {
                Some(step) if self.clock.now() + step <= self.start + limit => self.clock.advance(step),
                _ => return None,
            }
        }
    }
}

/// Notes what becomes of an attempt.
struct Attempt {
    clock: Clock,
    start: Instant,
    to: SocketAddr,
    events: Arc<Mutex<String>>,
    is_over: bool,
}

impl Attempt {
    fn note(&self, what: &str) {
        let time = (self.clock.now() - self.start).as_millis();
        writeln!(self.events.lock().unwrap(), "{time} {what} {}", self.to).unwrap();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_over {
            self.note("dropped");
        }
    }
}

impl Timer for Network {
    fn now(&self) -> Instant {
        self.real.map_or_else(|| self.clock.now(), Timer::now)
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        match self.real {
            Some(runtime) => runtime.sleep_until(deadline),
            None => self.clock.sleep_until(deadline),
        }
    }
}

impl crate::runtime::sealed::Sealed for Network {}

impl Runtime for Network {
    fn name(&self) -> &'static str {
        "script"
    }

    fn connect_tcp_with(&self, to: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<Socket>> {
        if let Some(runtime) = self.real {
            return runtime.connect_tcp_with(to, options);
        }
        let (clock, start, events) = (self.clock.clone(), self.start, Arc::clone(&self.events));
        let mut attempt = Attempt { clock, start, to, events, is_over: false };
        attempt.note("begin");
        let plan = self.script.get(&to).copied();
        let begun = self.clock.now();
        let silent = Arc::clone(&self.silent);
        async move {
            let Some((after, answer)) = plan else {
                return futures::future::pending().await;
            };
            attempt.clock.sleep_until(begun + after).await;
            attempt.is_over = true;
            match answer {
                Answer::Connected => {
                    attempt.note("connected");
                    let (near, far) = wire(Cut::Whole, 8192);
                    silent.lock().unwrap().push(far);
                    Ok(Socket::new(near, to.into(), to.into()))
                }
                Answer::Refused => {
                    attempt.note("refused");
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
            }
        }
        .boxed()
    }

    fn resolve(&self, _host: &str, _port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let addresses = Ok(self.addresses.clone());
        match self.resolving {
            Duration::ZERO => futures::future::ready(addresses).boxed(),
            time => self.clock.sleep_until(self.clock.now() + time).map(|()| addresses).boxed(),
        }
    }

    fn listen_tcp_with(&self, _at: SocketAddr, _: TcpOptions) -> BoxFuture<'static, io::Result<ListeningSocket>> {
        unreachable!("the network has clients only")
    }

    #[cfg(unix)]
    fn connect_unix(&self, _to: std::path::PathBuf) -> BoxFuture<'static, io::Result<Socket>> {
        unreachable!("the network has TCP only")
    }

    #[cfg(unix)]
    fn listen_unix(&self, _at: std::path::PathBuf) -> BoxFuture<'static, io::Result<ListeningSocket>> {
        unreachable!("the network has TCP only")
    }

    fn adopt_tcp(&self, _stream: TcpStream) -> io::Result<Socket> {
        unreachable!("the network has no sockets")
    }

    fn adopt_tcp_listener(&self, _listener: TcpListener) -> io::Result<ListeningSocket> {
        unreachable!("the network has no sockets")
    }

    #[cfg(unix)]
    fn adopt_unix(&self, _stream: std::os::unix::net::UnixStream) -> io::Result<Socket> {
        unreachable!("the network has no sockets")
    }

    #[cfg(unix)]
    fn adopt_unix_listener(&self, _listener: std::os::unix::net::UnixListener) -> io::Result<ListeningSocket> {
        unreachable!("the network has no sockets")
    }

    fn spawn(&self, _task: BoxFuture<'static, ()>) {
        unreachable!("attempts are no tasks")
    }

    fn block_on(&self, _future: LocalBoxFuture<'_, ()>) {
        unreachable!("the test polls")
    }
}
