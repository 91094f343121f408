//! Every way through two proxies to every kind of origin: each language below each other one, with TLS at each of the three places
//! or without.
//!
//! ```text
//! client ── proxy 1 ── proxy 2 ── origin        six kinds of proxies, twice, and six kinds of origins
//! ```
//!
//! All of it are endpoint strings, an acceptor on one port and plain origins, over sockets of the loopback. The names are those of
//! the three kinds: `http_socks5tls_h2`.
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../connection/executor.rs"]
#[allow(dead_code, reason = "shared with another test binary, which uses all of it")]
mod executor;

mod memory;
mod origin;
mod proxy;

use std::collections::HashMap;
use std::path::PathBuf;

use futures::future::{Either, select};
use onionskin::connection::Hop;
use onionskin::endpoint::Connector;
use onionskin::runtime::{self, Address, Runtime};
use onionskin::tls::Version;
use onionskin::tunnel::{Answer, TunnelProtocol};

use crate::common::Authority;
use crate::proxy::{LOGIN, Proxy};

/// One who is spoken to: what it is called, what it speaks, and whether it does so in TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind<Speaks> {
    name: &'static str,
    speaks: Speaks,
    tls: Option<Tls>,
}

/// What TLS is to agree on, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tls {
    alpn: Option<&'static str>,
}

/// How a proxy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Http1,
    /// It wants a user and a password, which it says with 407.
    Http1WithLogin,
    Http2,
    Socks5,
    Socks4a,
}

/// What an origin speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Http1,
    Http2,
    Echo,
}

const fn clear<Speaks>(name: &'static str, speaks: Speaks) -> Kind<Speaks> {
    Kind { name, speaks, tls: None }
}

const fn in_tls<Speaks>(name: &'static str, speaks: Speaks, alpn: Option<&'static str>) -> Kind<Speaks> {
    Kind { name, speaks, tls: Some(Tls { alpn }) }
}

/// Both proxies are each of these.
const PROXIES: &[Kind<Asked>] = &[
    clear("http", Asked::Http1),
    in_tls("https", Asked::Http1, Some("http/1.1")),
    clear("h2c", Asked::Http2),
    in_tls("h2", Asked::Http2, Some("h2")),
    clear("socks5", Asked::Socks5),
    in_tls("socks5tls", Asked::Socks5, None),
];

/// One of the proxies is one of these, and the other each of those above and of these.
const MORE_PROXIES: &[Kind<Asked>] = &[clear("socks4a", Asked::Socks4a), clear("http407", Asked::Http1WithLogin)];

const ORIGINS: &[Kind<Origin>] = &[
    clear("http", Origin::Http1),
    in_tls("https", Origin::Http1, Some("http/1.1")),
    clear("h2c", Origin::Http2),
    in_tls("h2", Origin::Http2, Some("h2")),
    clear("raw", Origin::Echo),
    in_tls("rawtls", Origin::Echo, None),
];

impl Asked {
    fn protocol(self) -> TunnelProtocol {
        match self {
            Self::Http1 | Self::Http1WithLogin => TunnelProtocol::Http1,
            Self::Http2 => TunnelProtocol::Http2,
            Self::Socks5 => TunnelProtocol::Socks5,
            Self::Socks4a => TunnelProtocol::Socks4a,
        }
    }

    /// The step that asks it for whoever is at this port of this host.
    fn step(self, world: &World, port: u16) -> String {
        match self {
            Self::Http1 => format!("+connect:localhost:{port}:version=1"),
            Self::Http1WithLogin => {
                let file = world.path("password");
                format!("+connect:localhost:{port}:version=1:user={}:password-file={file}", LOGIN.0)
            }
            Self::Http2 => format!("+connect:localhost:{port}:version=2"),
            Self::Socks5 => format!("+socks5:localhost:{port}"),
            Self::Socks4a => format!("+socks4a:localhost:{port}"),
        }
    }
}

/// Two proxies of each kind, an origin of each kind, and who vouches for them.
struct World {
    runtime: &'static dyn Runtime,
    directory: PathBuf,
    /// The first and the second, by name.
    proxies: [HashMap<&'static str, Proxy>; 2],
    origins: HashMap<&'static str, u16>,
}

impl World {
    async fn new(runtime: &'static dyn Runtime, test: &str, kinds: &[Kind<Asked>]) -> Self {
        let directory = std::env::temp_dir().join(format!("onionskin-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let authority = Authority::new();
        let (chain, key) = authority.pem_identity("localhost");
        for (name, text) in [("ca.pem", &authority.pem()), ("cert.pem", &chain), ("key.pem", &key)] {
            std::fs::write(directory.join(name), text).unwrap();
        }
        std::fs::write(directory.join("password"), LOGIN.1).unwrap();
        let mut world = Self { runtime, directory, proxies: Default::default(), origins: HashMap::new() };
        for place in 0..2 {
            for kind in kinds {
                let proxy = Proxy::open(&world, kind).await;
                world.proxies[place].insert(kind.name, proxy);
            }
        }
        for kind in ORIGINS {
            let port = origin::open(&world, kind).await;
            world.origins.insert(kind.name, port);
        }
        world
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Where somebody of this kind listens.
    fn listens<Speaks>(&self, kind: &Kind<Speaks>) -> String {
        let keys = format!("cert={}:key={}", self.path("cert.pem"), self.path("key.pem"));
        let tls = kind.tls.map_or_else(String::new, |tls| {
            let alpn = tls.alpn.map_or_else(String::new, |alpn| format!(":alpn={alpn}"));
            format!("+tls:{keys}{alpn}")
        });
        format!("tcp:localhost:0{tls}")
    }

    /// What a client puts between itself and somebody of this kind.
    fn step<Speaks>(&self, kind: &Kind<Speaks>, version: Version) -> String {
        kind.tls.map_or_else(String::new, |tls| {
            let version = if version == Version::Tls13 { "min=1.3" } else { "max=1.2" };
            let alpn = tls.alpn.map_or_else(String::new, |alpn| format!(":alpn={alpn}"));
            format!("+tls:ca={}:{version}{alpn}", self.path("ca.pem"))
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// One way to an origin.
#[derive(Clone, Copy)]
struct Way<'a> {
    proxies: [&'a Kind<Asked>; 2],
    origin: &'a Kind<Origin>,
    version: Version,
}

impl Way<'_> {
    fn name(&self) -> String {
        format!("{}_{}_{}", self.proxies[0].name, self.proxies[1].name, self.origin.name)
    }

    /// How many layers of TLS a client has at the end of this way, whatever they run over.
    fn tls_layers(&self) -> usize {
        let [first, second] = self.proxies.map(|proxy| proxy.tls);
        [first, second, self.origin.tls].into_iter().flatten().count()
    }
}

/// How many there are in the connection itself, and not in one of HTTP/2 that carries it.
fn own_tls_layers(way: Way<'_>) -> usize {
    let [first, second] = way.proxies;
    let behind = |kind: &Kind<Asked>, before: usize| match kind.speaks {
        Asked::Http2 => 0,
        _ => before + kind.tls.iter().len(),
    };
    behind(second, behind(first, 0)) + way.origin.tls.iter().len()
}

/// Those through two of `firsts` and `seconds`, in the order of the three loops, with the versions of TLS in turn.
fn ways<'a>(firsts: &'a [Kind<Asked>], seconds: &'a [Kind<Asked>]) -> Vec<Way<'a>> {
    let mut ways = Vec::new();
    for first in firsts {
        for second in seconds {
            for origin in ORIGINS {
                let version = if ways.len() % 2 == 0 { Version::Tls13 } else { Version::Tls12 };
                ways.push(Way { proxies: [first, second], origin, version });
            }
        }
    }
    ways
}

/// Goes this way, and says what there is to be said at its end.
async fn go(world: &World, way: Way<'_>) {
    let [first, second] = [0, 1].map(|place| &world.proxies[place][way.proxies[place].name]);
    let ports = [first.port, second.port, world.origins[way.origin.name]];
    let before = [first, second].map(|proxy| proxy.asked().len());
    let steps = [
        world.step(way.proxies[0], way.version),
        way.proxies[0].speaks.step(world, ports[1]),
        world.step(way.proxies[1], way.version),
        way.proxies[1].speaks.step(world, ports[2]),
        world.step(way.origin, way.version),
    ]
    .concat();
    let endpoint = format!("tcp:localhost:{}{steps}", ports[0]);
    let connector = Connector::new(world.runtime, &endpoint.parse().unwrap()).unwrap();
    let mut connection = connector.connect().await.unwrap_or_else(|error| panic!("{endpoint}: {error:?}"));

    let hops = connection.route();
    let at = |port| Address::to_host("localhost", port).unwrap();
    assert_eq!(hops.len(), 2, "{endpoint}");
    for (place, hop) in hops.iter().enumerate() {
        let kind = way.proxies[place];
        assert_eq!((&hop.proxy, &hop.target), (&at(ports[place]), &at(ports[place + 1])));
        assert_eq!(hop.protocol, Some(kind.speaks.protocol()));
        // The first stream of a client (RFC 9113, section 5.1.1).
        assert_eq!(hop.stream, (kind.speaks == Asked::Http2).then_some(1));
        assert_eq!(hop.tls.len(), kind.tls.iter().len());
        for facts in &hop.tls {
            assert_eq!(facts.version, Some(way.version));
            let agreed = kind.tls.unwrap().alpn.map(|alpn| alpn.as_bytes().to_vec());
            assert_eq!(facts.alpn, agreed);
        }
        assert!(hop.took.is_some() && answer_is_right(hop), "{hop:?}");
    }
    assert_eq!(connection.addresses().target, Some(at(ports[2])));
    let layers = connection.layers();
    assert_eq!(layers.tls().count(), own_tls_layers(way));
    let innermost = layers.tls().last().filter(|_| way.origin.tls.is_some());
    let agreed = way.origin.tls.and_then(|tls| tls.alpn).map(|alpn| alpn.as_bytes().to_vec());
    assert_eq!(innermost.and_then(|facts| facts.alpn.clone()), agreed);

    origin::talk(&mut connection, way.origin).await;

    // Each proxy was asked in its language, for the name and not for what it stands for. A server of ours ends the connection behind
    // its 407, so whoever stands before it is asked for it twice.
    for (place, proxy) in [first, second].into_iter().enumerate() {
        let (kind, behind) = (way.proxies[place], way.proxies.get(place + 1));
        let times = if behind.is_some_and(|behind| behind.speaks == Asked::Http1WithLogin) { 2 } else { 1 };
        let asked = proxy.asked().split_off(before[place]);
        assert_eq!(asked.len(), times);
        for request in asked {
            assert_eq!((request.protocol, request.target), (kind.speaks.protocol(), at(ports[place + 1])));
            assert_eq!(request.user.is_some(), kind.speaks == Asked::Http1WithLogin);
        }
    }
}

fn answer_is_right(hop: &Hop) -> bool {
    match hop.answer.as_ref() {
        Some(Answer::Http { status, .. }) => *status == 200,
        Some(Answer::Socks { bound, .. }) => bound.as_ref().is_some_and(|bound| bound.port() != Some(0)),
        _ => false,
    }
}

/// A panic is followed by the name of the way.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was on the way {}", self.0);
        }
    }
}

/// Goes all of these ways, one after the other.
fn go_all(test: &str, kinds: &[Kind<Asked>], ways: &[Way<'_>]) {
    for &runtime in runtime::all() {
        eprintln!("with {}", runtime.name());
        runtime::block_on(runtime, async {
            let world = World::new(runtime, &format!("{test}-{}", runtime.name()), kinds).await;
            for way in ways {
                let _named = Named(way.name());
                let (went, timer) = (go(&world, *way), runtime);
                // Nobody waits for ever.
                let patience = timer.sleep_until(timer.now() + PATIENCE);
                match select(std::pin::pin!(went), patience).await {
                    Either::Left(_) => {}
                    Either::Right(_) => panic!("it takes more than {PATIENCE:?}"),
                }
            }
        });
    }
}

/// Much more than any way takes, on any machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
fn every_way_through_two_proxies_leads_to_every_origin() {
    let ways = ways(PROXIES, PROXIES);
    let layers = |count| ways.iter().filter(|way| way.tls_layers() == count).count();
    let eighth = PROXIES.len() * PROXIES.len() * ORIGINS.len() / 8;
    assert_eq!([0, 1, 2, 3].map(layers), [eighth, 3 * eighth, 3 * eighth, eighth]);
    assert_eq!(ways.len(), 216);
    assert_eq!(
        (ways[0].name(), ways.last().unwrap().name()),
        ("http_http_http".into(), "socks5tls_socks5tls_rawtls".into())
    );
    go_all("combinations", PROXIES, &ways);
}

#[test]
fn a_proxy_of_socks4a_and_one_that_wants_a_password_stand_at_either_place() {
    let all: Vec<_> = [PROXIES, MORE_PROXIES].concat();
    let ways: Vec<_> = ways(MORE_PROXIES, &all).into_iter().chain(ways(PROXIES, MORE_PROXIES)).collect();
    go_all("more-combinations", &all, &ways);
}
