//! Servers and clients with protocols, over real sockets, with every runtime.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{join, join_all};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::stream::StreamExt;
use onionskin::Connection;
use onionskin::endpoint::{Connector, Listener, Server};
use onionskin::protocol::{
    Addresses, EndReason, Factory, LayerView, LimitConnections, LineReceiver, Lines, Protocol, Result, Stop, Transport,
};
use onionskin::runtime::{self, Runtime};
use onionskin::testing::{Clock, Cut, Dialogue, wire};
use onionskin::tls::{TlsClient, TlsServer};

use crate::common::link::NAME;
use crate::common::{Authority, BOTH};

/// The server of the tests below, from one source for every driver: it answers lines in capitals, starts TLS as often as
/// it is asked to, and stops it again.
struct Shouting {
    lines: Lines,
    tls: TlsServer,
}

impl Protocol for Shouting {
    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.receive_lines(transport)
    }

    fn stop_requested(&mut self, transport: &mut Transport<'_>) -> Result {
        self.send_line(transport, b"GOODBYE")?;
        transport.close();
        Ok(())
    }
}

impl LineReceiver for Shouting {
    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
        match line {
            b"starttls" => {
                transport.start_tls(self.tls.accept()?)?;
            }
            b"stoptls" => {
                self.send_line(transport, b"STOPPING")?;
                transport.stop_tls()?;
            }
            b"depth" => {
                let depth = transport.depth().to_string();
                self.send_line(transport, depth.as_bytes())?;
            }
            b"panic" => panic!("as the test wants it"),
            b"quit" => transport.close(),
            line => self.send_line(transport, line.to_ascii_uppercase())?,
        }
        Ok(())
    }
}

/// Goes one layer deeper, says a word, and comes out again, so many times; notes what it heard.
struct Diver {
    lines: Lines,
    tls: TlsClient,
    depth: usize,
    heard: Vec<String>,
    reason: Option<String>,
}

impl Protocol for Diver {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.down(transport)
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.receive_lines(transport)
    }

    fn layer_ready(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        self.heard.push(layer.tls.as_ref().unwrap().version_name().to_owned());
        match transport.depth() {
            depth if depth < self.depth => self.down(transport),
            _ => self.send_line(transport, b"stoptls"),
        }
    }

    fn layer_ended(&mut self, transport: &mut Transport<'_>, _: onionskin::protocol::LayerId) -> Result {
        transport.stop_tls()?;
        Ok(())
    }

    fn layer_stopped(
        &mut self,
        transport: &mut Transport<'_>,
        _: onionskin::protocol::LayerId,
        _: onionskin::protocol::PeerAnswer,
    ) -> Result {
        self.send_line(transport, b"depth")
    }

    fn connection_ended(&mut self, reason: &EndReason) {
        self.reason = Some(reason.to_string());
    }
}

impl LineReceiver for Diver {
    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
        self.heard.push(String::from_utf8_lossy(line).into_owned());
        match line {
            b"0" => self.send_line(transport, b"quit"),
            b"STOPPING" => Ok(()),
            _ => self.send_line(transport, b"stoptls"),
        }
    }
}

impl Diver {
    fn new(tls: TlsClient, depth: usize) -> Self {
        Self { lines: Lines::new(), tls, depth, heard: Vec::new(), reason: None }
    }

    fn down(&mut self, transport: &mut Transport<'_>) -> Result {
        self.send_line(transport, b"starttls")?;
        transport.start_tls(self.tls.to(NAME)?)?;
        Ok(())
    }

    /// What it has heard after a dive to the depth of three.
    const HEARD: [&str; 9] = ["TLSv1.3", "TLSv1.3", "TLSv1.3", "STOPPING", "2", "STOPPING", "1", "STOPPING", "0"];
}

fn tls() -> (TlsClient, TlsServer) {
    let authority = Authority::new();
    (authority.client(BOTH), authority.server(NAME, BOTH))
}

fn shouting(tls: &TlsServer) -> impl Factory<Protocol = Shouting> + use<> {
    let tls = tls.clone();
    move |_: &Addresses| Shouting { lines: Lines::new(), tls: tls.clone() }
}

async fn serve(runtime: &'static dyn Runtime, factory: impl Factory) -> (Server, Connector) {
    let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
    let server = Server::new(listener, factory);
    let port = server.local_address().as_tcp().unwrap().port();
    let connector = Connector::new(runtime, &format!("tcp:127.0.0.1:{port}").parse().unwrap()).unwrap();
    (server, connector)
}

fn with_each_runtime<F: Future<Output = ()>>(test: impl Fn(&'static dyn Runtime) -> F) {
    for &runtime in runtime::all() {
        eprintln!("with {}", runtime.name());
        runtime::block_on(runtime, test(runtime));
    }
}

#[test]
fn the_same_source_runs_in_memory() {
    let (client, server) = tls();
    let factory = shouting(&server);
    for cut in [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(1)] {
        let mut dialogue =
            Dialogue::new(cut, Diver::new(client.clone(), 3), factory.build(&Addresses::default()).unwrap());
        dialogue.run();
        assert_eq!(dialogue.left().heard, Diver::HEARD);
        assert_eq!(dialogue.left().reason.as_deref(), Some("the connection was closed"));
    }
}

#[test]
fn the_same_source_runs_with_every_runtime_and_many_at_once() {
    with_each_runtime(async |runtime| {
        let (client, server) = tls();
        let (server, connector) = serve(runtime, shouting(&server)).await;
        let divers = (0..20).map(|_| connector.connect_with(Diver::new(client.clone(), 3)));
        let tasks = join_all(divers).await;
        for finished in join_all(tasks.into_iter().map(Result::unwrap)).await {
            assert_eq!(finished.protocol.heard, Diver::HEARD);
            assert!(finished.reason.is_closed(), "{}", finished.reason);
        }
        let stopped = server.stop(Duration::from_secs(60)).await;
        assert_eq!(stopped.aborted, 0);
    });
}

#[test]
fn a_server_that_stops_says_so_and_waits_for_those_who_end_in_time() {
    with_each_runtime(async |runtime| {
        let (_, tls) = tls();
        let (server, connector) = serve(runtime, shouting(&tls)).await;
        let mut guest = connector.connect().await.unwrap();
        guest.write_line("hello").await.unwrap();
        assert_eq!(guest.read_line().await.unwrap().unwrap(), b"HELLO");
        let stopping = server.stop(Duration::from_secs(600));
        let leaving = async {
            assert_eq!(guest.read_line().await.unwrap().unwrap(), b"GOODBYE");
            assert_eq!(guest.read_line().await.unwrap(), None);
            assert!(connector.connect().await.unwrap_err().is_io(), "nobody listens any more");
            drop(guest);
        };
        let (stopped, ()) = futures::join!(stopping, leaving);
        assert_eq!(stopped.aborted, 0);
    });
}

#[test]
fn connections_that_do_not_end_in_time_are_aborted() {
    struct Stubborn(mpsc::UnboundedSender<&'static str>);
    impl Protocol for Stubborn {
        fn connection_made(&mut self, _: &mut Transport<'_>) -> Result {
            self.0.unbounded_send("made").unwrap();
            Ok(())
        }

        fn connection_ended(&mut self, reason: &EndReason) {
            assert!(reason.is_aborted(), "{reason}");
            self.0.unbounded_send("aborted").unwrap();
        }
    }
    with_each_runtime(async |runtime| {
        let (tell, mut tale) = mpsc::unbounded();
        let (server, connector) = serve(runtime, move |_: &Addresses| Stubborn(tell.clone())).await;
        let mut guest = connector.connect().await.unwrap();
        assert_eq!(tale.next().await, Some("made"));
        assert_eq!(server.connections(), 1);
        assert_eq!(server.stop(Duration::ZERO).await.aborted, 1);
        assert_eq!(tale.next().await, Some("aborted"));
        assert_eq!(tale.next().await, None, "and its factory is gone");
        assert!(matches!(guest.read(&mut [0]).await, Ok(0) | Err(_)));
    });
}

#[test]
fn a_factory_is_started_and_stopped_once() {
    struct Watched(Arc<Mutex<Vec<&'static str>>>);
    struct Silent;
    impl Protocol for Silent {}
    impl Factory for Watched {
        type Protocol = Silent;

        fn build(&self, addresses: &Addresses) -> Option<Silent> {
            assert!(addresses.peer.as_ref().unwrap().as_tcp().unwrap().ip().is_loopback());
            self.0.lock().unwrap().push("build");
            Some(Silent)
        }

        fn start_factory(&self) {
            self.0.lock().unwrap().push("start");
        }

        fn stop_factory(&self) {
            self.0.lock().unwrap().push("stop");
        }
    }
    with_each_runtime(async |runtime| {
        let log = Arc::default();
        let (server, connector) = serve(runtime, Watched(Arc::clone(&log))).await;
        for _ in 0..2 {
            let mut guest = connector.connect().await.unwrap();
            guest.close().await.unwrap();
            guest.read_to_end(&mut Vec::new()).await.unwrap();
        }
        server.stop(Duration::from_secs(60)).await;
        assert_eq!(*log.lock().unwrap(), ["start", "build", "build", "stop"]);
    });
}

#[test]
fn a_protocol_that_panics_takes_only_its_own_connection_with_it() {
    with_each_runtime(async |runtime| {
        let (_, tls) = tls();
        let (server, connector) = serve(runtime, shouting(&tls)).await;
        let mut unlucky = connector.connect().await.unwrap();
        let mut other = connector.connect().await.unwrap();
        unlucky.write_line("panic").await.unwrap();
        assert!(matches!(unlucky.read_line().await, Ok(None) | Err(_)));
        other.write_line("still there?").await.unwrap();
        assert_eq!(other.read_line().await.unwrap().unwrap(), b"STILL THERE?");
        drop((unlucky, other));
        assert_eq!(server.stop(Duration::from_secs(60)).await.aborted, 0);
    });
}

#[test]
fn limits_in_total_and_for_each_peer_and_the_overflow_protocol() {
    struct Busy;
    impl Protocol for Busy {
        fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
            transport.write(b"BUSY\r\n")?;
            transport.close();
            Ok(())
        }
    }
    for (total, per_peer) in [(2, usize::MAX), (usize::MAX, 2)] {
        with_each_runtime(async |runtime| {
            let (_, tls) = tls();
            let factory = LimitConnections::new(shouting(&tls)).total(total).per_peer(per_peer);
            let (server, connector) = serve(runtime, factory.overflow(|_: &Addresses| Busy)).await;
            let mut inside = Vec::new();
            for _ in 0..2 {
                let mut guest = connector.connect().await.unwrap();
                guest.write_line("let me in").await.unwrap();
                assert_eq!(guest.read_line().await.unwrap().unwrap(), b"LET ME IN");
                inside.push(guest);
            }
            let mut refused = connector.connect().await.unwrap();
            assert_eq!(refused.read_line().await.unwrap().unwrap(), b"BUSY");
            assert_eq!(refused.read_line().await.unwrap(), None);

            let mut leaves = inside.pop().unwrap();
            leaves.write_line("quit").await.unwrap();
            leaves.close().await.unwrap();
            leaves.read_to_end(&mut Vec::new()).await.unwrap();
            // The place is free when the protocol is gone, which may be a moment after the socket is.
            loop {
                let mut next = connector.connect().await.unwrap();
                if next.write_line("and me").await.is_ok()
                    && next.read_line().await.is_ok_and(|line| line.is_some_and(|line| line == b"AND ME"))
                {
                    break;
                }
            }
            server.stop(Duration::ZERO).await;
        });
    }
}

#[test]
fn peers_are_told_apart_by_their_address() {
    let silent = |_: &Addresses| {
        struct Silent;
        impl Protocol for Silent {}
        Silent
    };
    let factory = LimitConnections::new(silent).total(3).per_peer(1);
    let from = |address: &str| {
        let peer: std::net::SocketAddr = address.parse().unwrap();
        factory.build(&Addresses::new(None, runtime::Address::from(peer)))
    };
    let first = from("192.0.2.1:1").unwrap();
    assert!(from("192.0.2.1:2").is_none());
    assert!(from("[::ffff:192.0.2.1]:3").is_none(), "the same address in other clothes");
    let _second = from("192.0.2.2:1").unwrap();
    let _third = from("[2001:db8::1]:1").unwrap();
    assert_eq!(factory.count(), 3);
    assert!(from("192.0.2.3:1").is_none(), "that is all");
    drop(first);
    assert!(from("192.0.2.1:2").is_some());
}

#[test]
fn a_peer_that_makes_no_handshake_counts_and_gets_no_protocol_and_one_that_does_gets_it() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Protocol for Counted {
        fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
            MADE.fetch_add(1, Ordering::Relaxed);
            assert_eq!(transport.depth(), 1, "the layers of the endpoint are ready");
            transport.write(b"welcome\r\n")
        }
    }
    with_each_runtime(async |runtime| {
        MADE.store(0, Ordering::Relaxed);
        let authority = Authority::new();
        let directory = std::env::temp_dir().join(format!("onionskin-servers-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = |name: &str| directory.join(name).display().to_string();
        let (chain, key) = authority.pem_identity("localhost");
        for (name, pem) in [("ca.pem", authority.pem()), ("chain.pem", chain), ("key.pem", key)] {
            std::fs::write(path(name), pem).unwrap();
        }
        let endpoint = format!("tcp:127.0.0.1:0+tls:cert={}:key={}", path("chain.pem"), path("key.pem"));
        let listener = Listener::new(runtime, &endpoint.parse().unwrap()).await.unwrap();
        let server = Server::new(listener, |_: &Addresses| Counted);
        let port = server.local_address().as_tcp().unwrap().port();

        let clear = Connector::new(runtime, &format!("tcp:127.0.0.1:{port}").parse().unwrap()).unwrap();
        let mut clear = clear.connect().await.unwrap();
        clear.write_line("this is no ClientHello").await.unwrap();
        let _ = clear.read_to_end(&mut Vec::new()).await;
        assert_eq!(MADE.load(Ordering::Relaxed), 0);

        let tls = format!("tcp:127.0.0.1:{port}+tls:sni=localhost:ca={}", path("ca.pem"));
        let mut tls = Connector::new(runtime, &tls.parse().unwrap()).unwrap().connect().await.unwrap();
        assert_eq!(tls.read_line().await.unwrap().unwrap(), b"welcome");
        assert_eq!(MADE.load(Ordering::Relaxed), 1);
        drop(tls);
        server.stop(Duration::ZERO).await;
        std::fs::remove_dir_all(directory).unwrap();
    });
}

#[test]
fn a_server_may_be_stopped_with_more_patience_than_there_is_time() {
    with_each_runtime(async |runtime| {
        let (_, tls) = tls();
        let (server, connector) = serve(runtime, shouting(&tls)).await;
        let mut guest = connector.connect().await.unwrap();
        guest.write_line("hello").await.unwrap();
        assert_eq!(guest.read_line().await.unwrap().unwrap(), b"HELLO");
        let leaving = async {
            assert_eq!(guest.read_line().await.unwrap().unwrap(), b"GOODBYE");
            assert_eq!(guest.read_line().await.unwrap(), None);
            drop(guest);
        };
        let (stopped, ()) = futures::join!(server.stop(Duration::MAX), leaving);
        assert_eq!(stopped.aborted, 0);
    });
}

#[test]
fn a_protocol_that_takes_over_is_told_of_an_end_that_was_not_read() {
    struct Notes(Vec<String>);
    impl Protocol for Notes {
        fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
            self.0.push(String::from_utf8_lossy(&transport.take_all()).into_owned());
            Ok(())
        }

        fn layer_stopped(
            &mut self,
            _: &mut Transport<'_>,
            _: onionskin::protocol::LayerId,
            answer: onionskin::protocol::PeerAnswer,
        ) -> Result {
            self.0.push(format!("stopped {answer:?}"));
            Ok(())
        }
    }
    let (client, server) = tls();
    let (here, there) = wire(Cut::Whole, 100_000);
    let clock = Arc::new(Clock::new());
    let (mut here, mut there) =
        (Connection::with_timer(here, clock.clone()), Connection::with_timer(there, clock.clone()));
    futures::executor::block_on(async {
        let (started, accepted) =
            join(here.start_tls(client.to(NAME).unwrap()), there.start_tls(server.accept().unwrap())).await;
        started.unwrap();
        accepted.unwrap();
        here.begin_stop(Stop::new()).unwrap();
        let answer = async {
            there.write_line("inside").await.unwrap();
            there.stop_tls().await.unwrap();
            there.write_line("outside").await.unwrap();
            there.close().await.unwrap();
        };
        let (flushed, ()) = join(here.flush(), answer).await;
        flushed.unwrap();
        here.flush().await.unwrap();
        assert_eq!(here.depth(), 0, "it is gone, and its end is not read");
        let finished = onionskin::protocol::run(here, Notes(Vec::new())).await;
        assert!(finished.reason.is_closed(), "{}", finished.reason);
        assert_eq!(finished.protocol.0, ["inside\r\n", "stopped CloseNotify", "outside\r\n"]);
    });
}
