//! Tunnels that live long, through proxies with a limit for those in which nothing moves: what keeps one alive, how it ends
//! otherwise, and what becomes of all when the proxy stops softly.
//!
//! Each case has a tunnel in which nothing moves beside those that are kept, as the control. What it waits for are events, with one
//! wait of its own: the pause between two signs of life.

use std::time::Duration;

use futures::future::join_all;
use onionskin::Connection;
use onionskin::connection::End;
use onionskin::runtime::Socket;
use onionskin::tunnel::http2::{Settings, Tunnels};
use onionskin::tunnel::{Error, ErrorKind};

use super::asks::{reach, to_origin};
use super::http2::address;
use super::origin::{GREETING, Origin};
use crate::Case;
use crate::bench::{Bench, run, runtime};
use crate::servers::Server;
use crate::servers::apache::APACHE_IMPATIENT;
use crate::servers::haproxy::HAPROXY;
use crate::servers::place::{Place, Running};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for way in WAYS {
        let pings = if way.version == 1 { "" } else { ", and PING does not" };
        cases.push(way.case(&format!("its own traffic keeps it{pings}"), move |bench| {
            let running = bench.server(way.server);
            run(way.lives_by_its_traffic(running));
        }));
        cases.push(way.case("inside TLS its idle limit is a truncation", move |bench| {
            run(way.is_cut_off(bench, bench.server(way.server)));
        }));
        cases.push(way.case("a soft stop", move |bench| {
            let running = (way.server.start)(Place::new(way.stopped, bench));
            run(way.stops_softly(&running));
        }));
    }
    cases
}

/// A proxy, and which HTTP is spoken to it.
struct Way {
    server: &'static Server,
    service: &'static str,
    version: u8,
    /// The name of one of its own, for the case that stops it.
    stopped: &'static str,
    /// The signal that has it stop softly.
    signal: &'static str,
}

impl Way {
    fn case(&'static self, what: &str, run: impl FnOnce(&Bench) + Send + 'static) -> Case {
        let name = format!("a long tunnel through {}: HTTP/{}, {what}", self.server.name, self.version);
        Case::new(name, run).talks_to(&[self.server])
    }

    fn endpoint(&self, running: &Running, origin: &Origin) -> String {
        let Self { service, version, .. } = self;
        format!("tcp:{}+connect:{}:version={version}", running.address(service), origin.by_name())
    }

    /// A tunnel that has greeted.
    async fn open(&self, running: &Running, origin: &Origin) -> Connection<Socket> {
        let mut opened = reach(&self.endpoint(running, origin)).await.unwrap_or_else(|error| panic!("{error}"));
        greets(&mut opened).await;
        opened
    }

    async fn lives_by_its_traffic(&self, running: &Running) {
        let origin = Origin::greeting();
        let mut kept = self.open(running, &origin).await;
        let mut idle = self.open(running, &origin).await;
        let mut pinged = None;
        if self.version == 2 {
            let carrier = reach(&format!("tcp:{}", running.address(self.service))).await.unwrap();
            let settings = Settings::new().ping_after(Some(PAUSE));
            let tunnels = Tunnels::with(carrier, settings).await.unwrap_or_else(|error| panic!("{error}"));
            let opened = tunnels.open(address(&origin.by_name())).await.unwrap_or_else(|error| panic!("{error}"));
            greets(pinged.insert(opened)).await;
        }
        let ended = async |idle: &mut Connection<Socket>| {
            match idle.read_line().await {
                // As if the target had said all: in clear nothing tells that it has not.
                Ok(line) => assert_eq!((line, idle.end()), (None, Some(End::Wire))),
                // Apache has the same limit for the connection of HTTP/2, which is first at times. The code is APR_TIMEUP.
                Err(error) => assert!(error.to_string().ends_with("given up the connection: code 70007"), "{error}"),
            }
        };
        speaks_until(&mut kept, join_all([Some(&mut idle), pinged.as_mut()].into_iter().flatten().map(ended))).await;
    }

    /// Inside TLS that tells the idle limit from an end.
    async fn is_cut_off(&self, bench: &Bench, running: &Running) {
        let origin = Origin::secret(bench);
        let endpoint = self.endpoint(running, &origin) + &to_origin(bench);
        let open = async || reach(&endpoint).await.unwrap_or_else(|error| panic!("{error}"));
        let (mut kept, mut idle) = (open().await, open().await);
        let read = async {
            let error = idle.read_line().await.expect_err("nobody has said that this is all");
            assert!(error.is_truncated() && !error.is_timeout(), "{error}");
            let reference = if self.version == 1 { "[http1]" } else { "[http2#1]" };
            let way = error.reason().and_then(|reason| reason.wire_name()).unwrap_or_default();
            assert!(way.contains(&origin.by_name()) && way.contains(reference), "it names the way: {way:?}");
        };
        speaks_until(&mut kept, read).await;
    }

    async fn stops_softly(&self, running: &Running) {
        let origin = Origin::greeting();
        let mut live = vec![self.open(running, &origin).await];
        if self.version == 1 {
            running.signal(self.signal);
        } else {
            let carrier = reach(&format!("tcp:{}", running.address(self.service))).await.unwrap();
            let tunnels = Tunnels::over(carrier).await.unwrap_or_else(|error| panic!("{error}"));
            let mut beside = tunnels.open(address(&origin.by_name())).await.unwrap_or_else(|error| panic!("{error}"));
            greets(&mut beside).await;
            running.signal(self.signal);
            while tunnels.is_open() {
                echoes(&mut beside).await;
            }
            let error = tunnels.open(address(&origin.by_name())).await.expect_err("the proxy goes away");
            assert!(matches!(error.kind(), ErrorKind::GoingAway(0)) && error.is_not_processed(), "{error}");
            live.push(beside);
        }
        // Until nobody listens any more; meanwhile the tunnels live.
        loop {
            for tunnel in &mut live {
                echoes(tunnel).await;
            }
            match reach(&self.endpoint(running, &origin)).await {
                Err(error) if Error::of(&error).is_none() => break,
                Ok(_) | Err(_) => {}
            }
        }
        join_all(live.iter_mut().map(|tunnel| speaks_until(tunnel, std::future::ready(())))).await;
    }
}

async fn greets(opened: &mut Connection<Socket>) {
    assert_eq!(opened.read_line().await.unwrap().as_deref(), Some(GREETING.trim_end().as_bytes()));
}

async fn echoes(tunnel: &mut Connection<Socket>) {
    tunnel.write_line("peel me").await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(tunnel.read_line().await.unwrap_or_else(|error| panic!("{error}")).as_deref(), Some(&b"peel me"[..]));
}

/// Speaks now and then until the others are done, and for longer than the limit of the proxy behind that.
async fn speaks_until<T>(kept: &mut Connection<Socket>, others: impl Future<Output = T>) {
    let speaking = async {
        loop {
            echoes(kept).await;
            runtime().sleep_until(runtime().now() + PAUSE).await;
        }
    };
    drop(futures::future::select(Box::pin(others), Box::pin(speaking)).await);
    for _ in 0..ROUNDS {
        runtime().sleep_until(runtime().now() + PAUSE).await;
        echoes(kept).await;
    }
}

const fn way(server: &'static Server, service: &'static str, version: u8, stopped: &'static str) -> Way {
    let signal = match server.name.as_bytes() {
        b"haproxy" => "USR1",
        // As `apachectl graceful-stop` sends it.
        _ => "WINCH",
    };
    Way { server, service, version, stopped, signal }
}

const WAYS: &[Way] = &[
    way(&HAPROXY, "http", 1, "haproxy-stops-1"),
    way(&HAPROXY, "h2c", 2, "haproxy-stops-2"),
    way(&APACHE_IMPATIENT, "http", 1, "apache-stops-1"),
    way(&APACHE_IMPATIENT, "http", 2, "apache-stops-2"),
];

/// Between two signs of life: far less than the limit of each proxy, 2 seconds.
const PAUSE: Duration = Duration::from_millis(250);

/// So many pauses are longer than that limit.
const ROUNDS: usize = 9;
