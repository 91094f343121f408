//! How long it took to reach the server, phase by phase.

use std::fmt::{self, Display};
use std::time::Duration;

use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::tls::TlsFacts;
use onionskin::tunnel::TunnelProtocol;
use serde::Serialize;

/// In milliseconds, each of them; `None` for a phase that there was not, or that did not come to its end. All but the handshake
/// are those of the first connection.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Times {
    /// To find the addresses of the name.
    resolve_ms: Option<f64>,
    /// To reach one of them.
    connect_ms: Option<f64>,
    /// For each proxy on the way, the outermost first.
    hops: Vec<Hop>,
    /// For the handshake with the server.
    handshake_ms: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
struct Hop {
    proxy: String,
    /// By which protocol it was asked.
    protocol: Option<&'static str>,
    /// For the handshakes with it, the outermost first.
    handshakes_ms: Vec<f64>,
    /// From the question to the answer.
    took_ms: Option<f64>,
}

impl Times {
    /// Those of a connection that has come to the server.
    pub(super) fn of(conn: &Connection<Socket>) -> Self {
        let timing = conn.timing();
        let hops = conn.route().iter().map(|hop| Hop {
            proxy: hop.proxy.to_string(),
            protocol: hop.protocol.map(TunnelProtocol::name),
            handshakes_ms: hop.tls.iter().filter_map(|facts| facts.handshake_time).map(milliseconds).collect(),
            took_ms: hop.took.map(milliseconds),
        });
        Self {
            resolve_ms: timing.resolve.map(milliseconds),
            connect_ms: timing.connect.map(milliseconds),
            hops: hops.collect(),
            handshake_ms: None,
        }
    }

    pub(super) fn with_handshake(self, facts: Option<&TlsFacts>) -> Self {
        Self { handshake_ms: facts.and_then(|facts| facts.handshake_time).map(milliseconds), ..self }
    }
}

impl Display for Times {
    /// One line: `resolved 0.4 ms, connected 1.2 ms, handshake 3.1 ms`. Empty if nothing is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = |word: &str, took: Option<f64>| took.map(|took| format!("{word} {took:.1} ms"));
        let mut phases = vec![phase("resolved", self.resolve_ms), phase("connected", self.connect_ms)];
        for hop in &self.hops {
            phases.extend(hop.handshakes_ms.iter().map(|&took| phase("handshake with the proxy", Some(took))));
            phases.push(phase(&format!("{} at {}", hop.protocol.unwrap_or("tunnel"), hop.proxy), hop.took_ms));
        }
        phases.push(phase("handshake", self.handshake_ms));
        f.write_str(&phases.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
