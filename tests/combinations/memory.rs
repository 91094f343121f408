//! The same ways in memory, where each byte arrives by itself: two proxies, an origin and a client in one thread, which takes the
//! same course each time.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::join3;
use onionskin::Connection;
use onionskin::layer::opening::Opening;
use onionskin::runtime::{Address, Socket};
use onionskin::testing::{Clock, Cut, wire};
use onionskin::tls::{Identity, Roots, TlsClient, TlsServer, Version};
use onionskin::tunnel::Credentials;
use onionskin::tunnel::http1::Connect;
use onionskin::tunnel::http2::Tunnels;
use onionskin::tunnel::socks::{Socks4a, Socks5};

use crate::common::Authority;
use crate::executor::{Task, run};
use crate::proxy::{LOGIN, Log};
use crate::{Asked, Kind, MORE_PROXIES, Named, PROXIES, Way, origin, own_tls_layers, proxy, ways};

/// Whoever listens in memory, by port.
#[derive(Clone)]
struct Net {
    cut: Cut,
    clock: Clock,
    doors: Arc<Mutex<HashMap<u16, UnboundedSender<Socket>>>>,
}

impl Net {
    fn new(cut: Cut) -> Self {
        Self { cut, clock: Clock::new(), doors: Arc::default() }
    }

    fn listen(&self, port: u16) -> UnboundedReceiver<Socket> {
        let (door, clients) = unbounded();
        self.doors.lock().unwrap().insert(port, door);
        clients
    }

    /// A socket that leads to whoever listens at this port, and its address here.
    fn dial(&self, port: u16) -> io::Result<(Socket, Address)> {
        let (near, far) = wire(self.cut, 2000);
        let (here, there) = (at([127, 0, 0, 1], 9), at([127, 0, 0, 1], port));
        let doors = self.doors.lock().unwrap();
        let door = doors.get(&port).ok_or(io::ErrorKind::ConnectionRefused)?;
        door.unbounded_send(Socket::new(far, there.clone(), here.clone())).map_err(io::Error::other)?;
        Ok((Socket::new(near, here.clone(), there), here))
    }

    fn over(&self, socket: Socket) -> Connection<Socket> {
        Connection::over(socket, Arc::new(self.clock.clone()))
    }

    /// What has come in at a door, with TLS if this kind has any.
    async fn accepted<Speaks>(&self, socket: Socket, kind: &Kind<Speaks>) -> Option<Connection<Socket>> {
        let mut connection = self.over(socket);
        if let Some(tls) = kind.tls {
            let server = TlsServer::builder(CERTIFIED.1.clone()).alpn(tls.alpn).build().unwrap();
            connection.start_tls(server.accept().unwrap()).await.ok()?;
        }
        Some(connection)
    }

    /// A proxy of this kind, for ever.
    async fn proxy(&self, port: u16, kind: &Kind<Asked>, log: &Log) {
        let serve = async |socket| {
            let Some(client) = self.accepted(socket, kind).await else { return };
            proxy::serve(kind.speaks, client, log, async |target: Address| self.dial(target.port().unwrap())).await;
        };
        self.listen(port).for_each_concurrent(None, serve).await;
    }

    async fn origin(&self, port: u16, kind: &Kind<crate::Origin>) {
        let serve = async |socket| {
            let Some(mut client) = self.accepted(socket, kind).await else { return };
            let _ = origin::serve(&mut client, kind.speaks).await;
        };
        self.listen(port).for_each_concurrent(None, serve).await;
    }

    /// Who is at the far end of this connection is spoken to as one of this kind.
    async fn enter<Speaks>(&self, connection: &mut Connection<Socket>, kind: &Kind<Speaks>, version: Version) {
        let Some(tls) = kind.tls else { return };
        let client = TlsClient::builder(CERTIFIED.0.clone()).versions(&[version]).alpn(tls.alpn).build().unwrap();
        let facts = connection.start_tls(client.to("localhost").unwrap()).await.unwrap();
        assert_eq!(facts.version, Some(version));
        assert_eq!(facts.alpn, tls.alpn.map(|alpn| alpn.as_bytes().to_vec()));
    }
}

fn at(ip: [u8; 4], port: u16) -> Address {
    Address::Tcp((ip, port).into())
}

/// Has whoever is at the far end pass on to that port of `localhost`.
async fn through(mut connection: Connection<Socket>, speaks: Asked, port: u16) -> Connection<Socket> {
    let target = Address::to_host("localhost", port).unwrap();
    let answer = match speaks {
        Asked::Http1 => connection.open(Opening::of(Connect::new(target.clone()))).await,
        Asked::Http1WithLogin => {
            let credentials = Credentials::new(LOGIN.0, LOGIN.1).unwrap();
            connection.open(Opening::of(Connect::new(target.clone()).credentials(credentials))).await
        }
        Asked::Http2 => return Tunnels::over(connection).await.unwrap().open(target).await.unwrap(),
        Asked::Socks5 => connection.open(Opening::of(Socks5::new(target.clone()))).await,
        Asked::Socks4a => connection.open(Opening::of(Socks4a::new(target.clone()))).await,
    };
    let mut hop = connection.next_hop(target);
    (hop.protocol, hop.answer) = (Some(speaks.protocol()), Some(answer.unwrap()));
    connection.led_on(hop);
    connection
}

/// Goes this way from end to end.
fn go(way: Way<'_>, cut: Cut) {
    let net = Net::new(cut);
    let [first, second] = way.proxies;
    let logs = [Log::default(), Log::default()];
    let servers = join3(net.proxy(1, first, &logs[0]), net.proxy(2, second, &logs[1]), net.origin(3, way.origin));
    let client = async {
        let mut connection = net.over(net.dial(1).unwrap().0);
        net.enter(&mut connection, first, way.version).await;
        let mut connection = through(connection, first.speaks, 2).await;
        net.enter(&mut connection, second, way.version).await;
        let mut connection = through(connection, second.speaks, 3).await;
        net.enter(&mut connection, way.origin, way.version).await;
        origin::talk(&mut connection, way.origin).await;
        let hops = connection.route().iter().map(|hop| (hop.protocol.unwrap(), hop.tls.len())).collect::<Vec<_>>();
        (hops, connection.layers().tls().count())
    };
    let (mut servers, mut client) = (Task::new(servers), Task::new(client));
    run(&mut [&mut servers, &mut client]);
    let (hops, layers) = client.output().expect("the client is not stuck");
    let expected = way.proxies.map(|proxy| (proxy.speaks.protocol(), proxy.tls.iter().len()));
    assert_eq!((&hops[..], layers), (&expected[..], own_tls_layers(way)));
    for (log, port) in logs.iter().zip([2, 3]) {
        let asked: Vec<_> = log.lock().unwrap().iter().map(|request| request.target.clone()).collect();
        assert_eq!(asked, [Address::to_host("localhost", port).unwrap()]);
    }
}

static CERTIFIED: LazyLock<(Roots, Identity)> = LazyLock::new(|| {
    let authority = Authority::new();
    (authority.roots(), authority.identity("localhost"))
});

/// Goes all of these ways. Each takes the same course whatever the others do, so the processors share them.
fn go_all(ways: &[Way<'_>], cut: Cut) {
    let next = AtomicUsize::new(0);
    let go_next = || {
        while let Some(way) = ways.get(next.fetch_add(1, Ordering::Relaxed)) {
            let _named = Named(format!("{}, {cut:?}", way.name()));
            go(*way, cut);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(go_next);
        }
    });
}

#[test]
fn every_way_through_two_proxies_leads_to_every_origin_byte_by_byte() {
    let ways = ways(PROXIES, PROXIES);
    assert_eq!(ways.len(), 216);
    go_all(&ways, Cut::Bytes);
}

#[test]
fn every_way_through_two_proxies_leads_to_every_origin_in_random_pieces() {
    go_all(&ways(PROXIES, PROXIES), Cut::Random(1));
}

#[test]
fn more_proxies_stand_at_either_place_byte_by_byte() {
    let all: Vec<_> = [PROXIES, MORE_PROXIES].concat();
    let ways: Vec<_> = ways(MORE_PROXIES, &all).into_iter().chain(ways(PROXIES, MORE_PROXIES)).collect();
    go_all(&ways, Cut::Bytes);
}
