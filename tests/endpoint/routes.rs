//! Steps that lead on to somebody else, and peers that carry others.
//!
//! A switchboard stands for every kind of proxy: it is told a name on a line, says that it is well, and passes on from then on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, Either, join, select};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use onionskin::Connection;
use onionskin::endpoint::{Connector, Endpoint, Listener, OpenError, OpenErrorKind, OwnStep, Server, Step};
use onionskin::protocol::{Addresses, Protocol, Result as Told, Transport};
use onionskin::route::{AcceptLeg, Arrival, DialLeg, Route, RouteError};
use onionskin::runtime::{Accept, Address, ListeningSocket, Runtime, Socket};

use crate::{Files, on_every_runtime};

/// Asks who is at the far end to be put through.
#[derive(Debug)]
struct Switch {
    target: Address,
    /// Whether what comes then is a connection of its own, over the one so far.
    nests: bool,
}

impl Switch {
    fn to(host: &str, nests: bool) -> OwnStep {
        let target = Address::to_host(host, 443).unwrap();
        OwnStep::new("switch").dials(Self { target, nests })
    }
}

impl DialLeg for Switch {
    fn dial(&self, mut route: Route) -> BoxFuture<'_, Result<Route, RouteError>> {
        async move {
            let connection = route.connection_mut();
            connection.write_line(self.target.to_string()).await?;
            let answer = connection.read_line().await?;
            assert_eq!(answer.as_deref(), Some(&b"well"[..]));
            Ok(match self.nests {
                false => route.through_to(self.target.clone()),
                true => route.over(|connection| connection.into_socket(self.target.clone())),
            })
        }
        .boxed()
    }

    fn leads_to(&self, _: Option<Address>) -> Result<Option<Address>, RouteError> {
        Ok(Some(self.target.clone()))
    }
}

/// Puts through to whom it knows, for ever. Returns the port.
async fn switchboard(runtime: &'static dyn Runtime, endpoint: &str, known: HashMap<&'static str, SocketAddr>) -> u16 {
    let listener = Listener::new(runtime, &endpoint.parse().unwrap()).await.unwrap();
    let port = listener.local_address().port().unwrap();
    runtime.spawn(Box::pin(async move {
        loop {
            let Ok(mut near) = listener.accept().await.unwrap().ready().await else { continue };
            let line = String::from_utf8(near.read_line().await.unwrap().unwrap()).unwrap();
            let target: Address = line.parse().unwrap();
            let far = runtime.connect_tcp(known[&*target.host().unwrap()]).await.unwrap();
            near.write_line("well").await.unwrap();
            runtime.spawn(near.bridge(far).map(drop).boxed());
        }
    }));
    port
}

/// A server with this certificate, which answers a line, for ever.
async fn origin(runtime: &'static dyn Runtime, files: &Files, name: &str) -> SocketAddr {
    let endpoint = format!("tcp:localhost:0+tls:{}", files.identity(name));
    let listener = Listener::new(runtime, &endpoint.parse().unwrap()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    runtime.spawn(Box::pin(async move {
        loop {
            let Ok(mut conn) = listener.accept().await.unwrap().ready().await else { continue };
            let line = conn.read_line().await.unwrap().unwrap();
            conn.write_line(line).await.unwrap();
            // A client that has heard enough may hang up, and the next one is none the worse for it.
            let _ = conn.leave(Duration::from_secs(5)).await;
        }
    }));
    address
}

fn tls(keys: &str) -> Step {
    let endpoint: Endpoint = format!("stdio+tls:{keys}").parse().unwrap();
    endpoint.steps.into_iter().next().unwrap()
}

async fn connect(runtime: &'static dyn Runtime, endpoint: &Endpoint) -> Result<Connection<Socket>, OpenError> {
    let mut conn = Connector::new(runtime, endpoint)?.connect().await?;
    conn.write_line("hello").await.unwrap();
    assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"hello"[..]));
    Ok(conn)
}

#[track_caller]
fn is_another_name(result: Result<Connection<Socket>, OpenError>) {
    let error = result.unwrap_err();
    let error = error.connection_error().unwrap();
    assert!(error.is_certificate() && error.to_string().contains("does not stand for"), "{error}");
}

/// And not that of the host that it connects to, which is what it verifies where nothing leads on.
#[test]
fn behind_a_tunnel_tls_verifies_whom_it_leads_to() {
    let files = Files::new("routes");
    let (here, ca) = (files.identity("localhost"), files.ca());
    on_every_runtime(async |runtime| {
        let inner = origin(runtime, &files, "inner.example").await;
        let local = origin(runtime, &files, "localhost").await;
        for encrypted in [false, true] {
            let known = HashMap::from([("inner.example", inner), ("outer.example", local)]);
            let step = if encrypted { format!("+tls:{here}") } else { String::new() };
            let port = switchboard(runtime, &format!("tcp:localhost:0{step}"), known).await;
            let mut proxy: Endpoint = format!("tcp:localhost:{port}").parse().unwrap();
            if encrypted {
                proxy = proxy.then(tls(&ca));
            }
            for nests in [false, true] {
                let through = |host: &str, keys: &str| proxy.clone().then(Switch::to(host, nests)).then(tls(keys));
                let conn = connect(runtime, &through("inner.example", &ca)).await.unwrap();
                let facts = conn.layers();
                assert_eq!(facts.tls().last().unwrap().server_name.as_deref(), Some("inner.example"));
                assert_eq!(facts.len(), if nests || !encrypted { 1 } else { 2 });
                let addresses = conn.addresses();
                assert_eq!(addresses.target, Some(Address::to_host("inner.example", 443).unwrap()));
                assert_eq!(addresses.via, [Address::to_host("localhost", port).unwrap()]);
                let [hop] = conn.route() else { panic!("{:?}", conn.route()) };
                assert_eq!((&hop.proxy, Some(&hop.target)), (&addresses.via[0], addresses.target.as_ref()));
                let to_the_proxy: Vec<_> = hop.tls.iter().map(|tls| tls.server_name.as_deref()).collect();
                assert_eq!(to_the_proxy, if encrypted { vec![Some("localhost")] } else { vec![] });
                assert_eq!(addresses.peer.as_ref().unwrap().port(), Some(port));
                let label = format!("tcp inner.example:443 via tcp localhost:{port}");
                assert!(conn.to_string().starts_with(&label), "{conn}");
                // The host of the socket is not whom it is to be.
                is_another_name(connect(runtime, &through("outer.example", &ca)).await);
                // A name that is given comes before any.
                connect(runtime, &through("outer.example", &format!("sni=localhost:{ca}"))).await.unwrap();
            }
        }
        // Without a tunnel it is the other way round.
        let direct = |origin: SocketAddr| {
            let endpoint: Endpoint = format!("tcp:localhost:{}", origin.port()).parse().unwrap();
            endpoint.then(tls(&ca))
        };
        let conn = connect(runtime, &direct(local)).await.unwrap();
        assert_eq!(conn.addresses().target, Some(Address::to_host("localhost", local.port()).unwrap()));
        assert!(conn.addresses().via.is_empty());
        is_another_name(connect(runtime, &direct(inner)).await);
    });
}

#[test]
fn tunnels_lead_through_each_other() {
    let files = Files::new("chain");
    let ca = files.ca();
    on_every_runtime(async |runtime| {
        let inner = origin(runtime, &files, "inner.example").await;
        let second = format!("tcp:localhost:0+tls:{}", files.identity("outer.example"));
        let second = switchboard(runtime, &second, HashMap::from([("inner.example", inner)])).await;
        let known = HashMap::from([("outer.example", SocketAddr::new(inner.ip(), second))]);
        let first = switchboard(runtime, "tcp:localhost:0", known).await;
        for nests in [[false, false], [false, true], [true, false], [true, true]] {
            let endpoint: Endpoint = format!("tcp:localhost:{first}").parse().unwrap();
            let endpoint = endpoint.then(Switch::to("outer.example", nests[0])).then(tls(&ca));
            let endpoint = endpoint.then(Switch::to("inner.example", nests[1])).then(tls(&ca));
            let conn = connect(runtime, &endpoint).await.unwrap();
            let (text, drawing) = (conn.to_string(), format!("{conn:#}"));
            let label = format!("tcp inner.example:443 via tcp localhost:{first}, tcp outer.example:443");
            assert!(text.starts_with(&label), "{text}");
            let names: Vec<_> = conn.route().iter().map(|hop| hop.tls.len()).collect();
            assert_eq!(names, [0, 1], "each layer leads to one of them");
            assert_eq!(conn.route()[1].tls[0].server_name.as_deref(), Some("outer.example"));
            for name in ["\"inner.example\"", "\"outer.example\""] {
                assert_eq!((text.matches(name).count(), drawing.matches(name).count()), (1, 1), "{drawing}");
            }
        }
    });
}

/// The other end of the socket is the proxy, of which nobody behind it wants to hear.
#[test]
fn a_proxy_header_behind_a_tunnel_tells_of_whom_it_leads_to() {
    on_every_runtime(async |runtime| {
        let listener = Listener::new(runtime, &"tcp:127.0.0.1:0+proxy-header".parse().unwrap()).await.unwrap();
        let far = listener.local_address().as_tcp().unwrap();
        let known = HashMap::from([("inner.example", far), ("192.0.2.9", far)]);
        let port = switchboard(runtime, "tcp:127.0.0.1:0", known).await;
        let step: Endpoint = "stdio+proxy-header".parse().unwrap();
        for nests in [false, true] {
            for (host, told) in [("192.0.2.9", Some("tcp 192.0.2.9:443")), ("inner.example", None)] {
                let endpoint: Endpoint = format!("tcp:127.0.0.1:{port}").parse().unwrap();
                let endpoint = endpoint.then(Switch::to(host, nests)).then(step.steps[0].clone());
                let connector = Connector::new(runtime, &endpoint).unwrap();
                let accepting = async { listener.accept().await.unwrap().identify().await.unwrap() };
                let (client, incoming) = join(connector.connect(), accepting).await;
                let client = client.unwrap();
                let addresses = incoming.addresses();
                assert_eq!(addresses.proxy_header.as_ref().unwrap().source().is_some(), told.is_some());
                match told {
                    Some(told) => {
                        assert_eq!(addresses.local.as_ref().unwrap().to_string(), told);
                        assert_eq!(&addresses.peer, &client.addresses().local);
                    }
                    None => assert_eq!(addresses.local, Some(far.into())),
                }
            }
        }
    });
}

#[test]
fn where_a_step_leads_on_its_target_is_the_name_that_was_missing() {
    let files = Files::new("no-name");
    on_every_runtime(async |runtime| {
        let unix: Endpoint = "unix:/run/proxy".parse().unwrap();
        let error = Connector::new(runtime, &unix.clone().then(tls(&files.ca()))).unwrap_err();
        assert!(matches!(error.kind(), OpenErrorKind::NoName), "{error}");
        let through = unix.then(Switch::to("inner.example", false)).then(tls(&files.ca()));
        assert!(Connector::new(runtime, &through).is_ok());
        assert_eq!(through.to_string(), format!("unix:/run/proxy+switch+tls:{}", files.ca()));
        assert_eq!(through, through.clone());
        // It has nothing to do for a server.
        let error = Listener::check(&through).unwrap_err();
        assert!(error.is_usage() && error.to_string() == "`switch` is for clients", "{error}");
    });
}

/// Says where others are to connect to, who then come as if this peer had brought them, until it goes.
#[derive(Debug)]
struct Brings(&'static dyn Runtime);

impl AcceptLeg for Brings {
    fn accept(&self, mut route: Route) -> BoxFuture<'_, Result<Arrival, RouteError>> {
        async move {
            let sockets = self.0.listen_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
            let place = sockets.local_address().clone();
            route.connection_mut().write_line(place.port().unwrap().to_string()).await?;
            let peer = futures::lock::Mutex::new(route.into_connection());
            Ok(Arrival::Carrier(ListeningSocket::new(
                Brought { sockets, peer, is_gone: AtomicBool::new(false) },
                place,
            )))
        }
        .boxed()
    }

    fn tells_peer(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Brought {
    sockets: ListeningSocket,
    peer: futures::lock::Mutex<Connection<Socket>>,
    is_gone: AtomicBool,
}

impl Accept for Brought {
    fn accept(&self) -> BoxFuture<'_, std::io::Result<Socket>> {
        let gone = async { self.peer.lock().await.read(&mut [0]).await }.boxed();
        select(self.sockets.accept().boxed(), gone)
            .map(|first| match first {
                Either::Left((socket, _)) => socket,
                Either::Right(_) => {
                    self.is_gone.store(true, Ordering::Relaxed);
                    Err(std::io::ErrorKind::NotConnected.into())
                }
            })
            .boxed()
    }

    fn has_ended(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport<'_>) -> Told {
        let bytes = transport.take_all();
        transport.write(&bytes)
    }

    fn stop_requested(&mut self, transport: &mut Transport<'_>) -> Told {
        transport.close();
        Ok(())
    }
}

async fn line(conn: &mut Connection<Socket>) -> Option<String> {
    conn.read_line().await.unwrap().map(|line| String::from_utf8(line).unwrap())
}

/// What has come through the legs so far is a place to accept from, and the legs behind are theirs who come from there.
#[test]
fn a_peer_that_carries_others_is_accepted_from() {
    let files = Files::new("carrier");
    on_every_runtime(async |runtime| {
        let endpoint: Endpoint = "tcp:127.0.0.1:0".parse().unwrap();
        let endpoint = endpoint.then(OwnStep::new("brings").accepts(Brings(runtime)));
        let endpoint = endpoint.then(tls(&files.identity("localhost")));
        let listener = Listener::new(runtime, &endpoint).await.unwrap();
        let carrier: Endpoint = listener.endpoint().transport.to_string().parse().unwrap();
        let server = Server::new(listener, |addresses: &Addresses| {
            assert!(addresses.peer.is_some());
            Echo
        });
        let mut carriers = Vec::new();
        let mut guests = Vec::new();
        for _ in 0..2 {
            let mut carrier = Connector::new(runtime, &carrier).unwrap().connect().await.unwrap();
            let port = line(&mut carrier).await.unwrap();
            let guest: Endpoint = format!("tcp:localhost:{port}+tls:{}", files.ca()).parse().unwrap();
            let guest = Connector::new(runtime, &guest).unwrap();
            for _ in 0..2 {
                guests.push(connect_and_greet(&guest).await);
            }
            carriers.push((carrier, guest));
        }
        assert_eq!(server.connections(), 6, "two that carry, and two in each");

        // One of them goes: nobody comes that way any more, and those that are there stay.
        let (carrier, gone) = carriers.remove(0);
        drop(carrier);
        while server.connections() > 5 {
            runtime.sleep_until(runtime.now() + Duration::from_millis(1)).await;
        }
        assert!(gone.connect().await.is_err());
        for guest in &mut guests {
            guest.write_line("still here").await.unwrap();
            assert_eq!(line(guest).await.as_deref(), Some("still here"));
        }

        // And at the end of the server all of them are told, and none is cut off.
        let ending = async {
            for guest in &mut guests {
                assert_eq!(line(guest).await, None);
                guest.close().await.unwrap();
            }
        };
        let (stopped, ()) = join(server.stop(Duration::from_secs(600)), ending).await;
        assert_eq!(stopped.aborted, 0);
        assert!(carriers[0].1.connect().await.is_err());
    });
}

async fn connect_and_greet(connector: &Connector) -> Connection<Socket> {
    let mut conn = connector.connect().await.unwrap();
    conn.write_line("hello").await.unwrap();
    assert_eq!(line(&mut conn).await.as_deref(), Some("hello"));
    conn
}

/// Who takes peers one by one is told that this is none, and can ask.
#[test]
fn a_peer_that_carries_others_is_no_connection() {
    on_every_runtime(async |runtime| {
        let endpoint: Endpoint = "tcp:127.0.0.1:0".parse().unwrap();
        let endpoint = endpoint.then(OwnStep::new("brings").accepts(Brings(runtime)));
        let listener = Listener::new(runtime, &endpoint).await.unwrap();
        let address = listener.local_address().as_tcp().unwrap();
        let (_first, incoming) = join(runtime.connect_tcp(address), listener.accept()).await;
        let error = incoming.unwrap().ready().await.unwrap_err();
        assert!(matches!(error.kind(), OpenErrorKind::Carrier), "{error}");

        let (second, incoming) = join(runtime.connect_tcp(address), listener.accept()).await;
        let incoming = incoming.unwrap();
        assert!(!incoming.is_carrier());
        let incoming = incoming.identify().await.unwrap();
        assert!(incoming.is_carrier());
        let carried = incoming.into_carrier().unwrap();
        let mut second = Connection::over(second.unwrap(), Arc::new(runtime));
        let port: u16 = line(&mut second).await.unwrap().parse().unwrap();
        let (guest, incoming) = join(runtime.connect_tcp((address.ip(), port).into()), carried.accept()).await;
        drop((guest.unwrap(), incoming.unwrap().ready().await.unwrap()));
        assert!(!carried.has_ended());
        drop(second);
        assert!(carried.accept().await.is_err() && carried.has_ended());
    });
}
