//! Thirty-seven servers and what a client says of each, alone, inside other layers of TLS, and behind proxies.
//!
//! `cases.tsv` has them, one a line: whom to connect to, with which keys, and what comes of it. The page on peers has the same
//! table, and is held to this one.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

mod certificates;

use std::net::SocketAddr;

use futures::FutureExt;
use onionskin::endpoint::{Connector, Endpoint, Listener, OpenError};
use onionskin::peer::Class;
use onionskin::runtime::{self, Runtime};
use onionskin::stack::LayerId;
use onionskin::tunnel::{Accepted, Acceptor, Grant, Reason};

pub(crate) use self::certificates::World;

/// One line of the table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) peer: &'static str,
    keys: &'static str,
    expected: &'static str,
}

pub(crate) fn cases() -> Vec<Case> {
    let lines = TABLE.lines().skip(1);
    let case = |line: &'static str| {
        let [name, peer, keys, _, _, expected] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        Case { name, peer, keys, expected }
    };
    lines.map(case).collect()
}

/// How the client comes to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Inside so many layers of TLS.
    Inside(usize),
    Socks5,
    Connect,
}

impl Way {
    /// How many layers there are around the one that is looked at.
    fn layers(self) -> usize {
        match self {
            Self::Inside(depth) => depth,
            Self::Socks5 | Self::Connect => 0,
        }
    }
}

/// All cases that way. What does not come to be as the table says is told of all of them.
///
/// `open` starts the server of a name inside so many layers of TLS, and says where it is. One that is let in says `answer` to a
/// line with `hello`.
pub(crate) fn the_same(
    runtime: &'static dyn Runtime,
    way: Way,
    world: &World,
    answer: &str,
    open: impl AsyncFn(&'static str, usize) -> SocketAddr,
) {
    let cases = cases();
    assert_eq!(cases.len(), 37);
    let outcome = async |runtime, way: Way, case: &Case| {
        let server = open(case.peer, way.layers()).await;
        outcome(runtime, world, way, case, server, answer).await
    };
    let wrong = runtime::block_on(runtime, async {
        // The innermost layer has the same id in each connection of the same way.
        let (_, innermost) = outcome(runtime, way, &cases[0]).await;
        let innermost = innermost.expect("the first case is a good one");
        let mut wrong = Vec::new();
        for case in &cases {
            let expected = match (way, case.expected) {
                // The proxy says so.
                (Way::Socks5 | Way::Connect, "connect_refused") => "tunnel",
                (_, expected) => expected,
            };
            let (found, layer) = outcome(runtime, way, case).await;
            let has_layer = !matches!(expected, "configuration" | "connect_refused" | "tunnel");
            if found != expected || layer.is_some() != has_layer || layer.is_some_and(|layer| layer != innermost) {
                wrong.push(format!("{}: {found} of {layer:?}, not {expected} of {innermost:?}", case.name));
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "{way:?}:\n{}", wrong.join("\n"));
}

/// What comes of a case, and the layer that it is of: the one that has failed, or else the innermost.
async fn outcome(
    runtime: &'static dyn Runtime,
    world: &World,
    way: Way,
    case: &Case,
    server: SocketAddr,
    answer: &str,
) -> (String, Option<LayerId>) {
    let endpoint = match way {
        Way::Inside(depth) => {
            let outer = format!("+tls:sni=outer.test:ca={}", world.path("outer.pem"));
            format!("tcp:{server}{}", outer.repeat(depth))
        }
        Way::Socks5 => format!("tcp:{}+socks5:{server}", proxy(runtime).await),
        Way::Connect => format!("tcp:{}+connect:{server}", proxy(runtime).await),
    };
    let keys = case.keys.replace("ca=", &format!("ca={}/", world.path("").trim_end_matches('/')));
    let Ok(endpoint) = format!("{endpoint}+tls:{keys}").parse::<Endpoint>() else {
        return ("configuration".to_owned(), None);
    };
    let failed = |error: OpenError| {
        let class = Class::of(&error).unwrap();
        (class.kind().name().to_owned(), class.layer())
    };
    let connector = match Connector::new(runtime, &endpoint) {
        Ok(connector) => connector,
        Err(error) => return failed(error),
    };
    let mut conn = match connector.connect().await {
        Ok(conn) => conn,
        Err(error) => return failed(error),
    };
    let innermost = conn.layers().tls().last().map(|facts| facts.layer);
    if case.keys.contains("alpn=") {
        assert_eq!(conn.layers().tls().last().unwrap().alpn.as_deref(), Some(&b"h2"[..]));
    }
    // What cannot be written shows when it is read.
    let _ = conn.write_line("hello").await;
    match conn.read_line().await {
        Ok(line) => {
            assert_eq!(line.as_deref(), Some(answer.as_bytes()), "{}", case.name);
            ("ok".to_owned(), innermost)
        }
        Err(error) => {
            let class = Class::of(&error).unwrap();
            (format!("ok, then {}", class.kind().name()), class.layer())
        }
    }
}

/// A proxy that leads one client anywhere.
async fn proxy(runtime: &'static dyn Runtime) -> SocketAddr {
    let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    let serving = async move {
        let near = listener.accept().await.unwrap().ready().await.unwrap();
        let Ok(Accepted::One(pending)) = Acceptor::new().accept(near).await else { return };
        let far = pending.request().target.as_tcp().unwrap();
        match runtime.connect_tcp(far).await {
            Ok(far) => {
                let bound = far.local_address().clone();
                if let Ok(near) = pending.grant(Grant::bound_to(bound)).await {
                    drop(near.bridge(far).await);
                }
            }
            Err(_) => drop(pending.refuse(Reason::ConnectionRefused).await),
        }
    };
    runtime.spawn(serving.boxed());
    address
}

pub(crate) const TABLE: &str = include_str!("cases.tsv");
