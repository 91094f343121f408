//! The hosts on the way to the target, and what each of them has said.

use std::fmt;
use std::time::Duration;

use super::{Addresses, Connection};
use crate::layer::tls::TlsFacts;
use crate::runtime::Address;

/// One host between this end and the target, which passes on what comes: a proxy.
///
/// ```text
///   us ──── tls ────► proxy ─────────────► target
///            │          └ answer, took
///            └ tls: whoever is at the other end of these layers is the proxy
/// ```
///
/// [`Connection::route`] has those of a connection, the outermost first, however they were asked: in SOCKS and HTTP/1.1, where
/// the whole connection becomes the tunnel, and in HTTP/2, where it is one stream of a connection that carries many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hop {
    /// Who passes on, by the name that it was asked for as.
    pub proxy: Address,
    /// Whom it was asked for.
    pub target: Address,
    /// The language in which it was asked; `None` for one that this crate does not know.
    pub protocol: Option<TunnelProtocol>,
    /// The layers of TLS that end at this proxy, the outermost first, as they were when it was asked.
    pub tls: Vec<TlsFacts>,
    /// What it has said.
    pub answer: Option<Answer>,
    /// How long it took from the question to the answer.
    pub took: Option<Duration>,
    /// In HTTP/2, the number of the stream (RFC 9113, section 5.1.1).
    pub stream: Option<u32>,
}

impl Hop {
    /// What tells this tunnel from others on the way, as names and logs have it: `socks5`, `http2#3`.
    #[must_use]
    pub fn reference(&self) -> String {
        let name = self.protocol.map_or("tunnel", TunnelProtocol::name);
        self.stream.map_or_else(|| name.to_owned(), |stream| format!("{name}#{stream}"))
    }
}

impl fmt::Display for Hop {
    /// The reference, the proxy and the target, and what the proxy has said:
    /// `http1 at tcp proxy.example:3128 to tcp mail.example:25  status 200  0.4 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} to {}", self.reference(), self.proxy, self.target)?;
        match &self.answer {
            Some(Answer::Http { status, .. }) => write!(f, "  status {status}")?,
            Some(Answer::Socks { bound: Some(bound) }) => write!(f, "  from {bound}")?,
            Some(Answer::Socks { bound: None }) | None => {}
        }
        self.took.map_or(Ok(()), |took| write!(f, "  {:.1} ms", took.as_secs_f64() * 1000.0))
    }
}

/// As much of a line as a drawing has room for.
fn shortened(line: String) -> String {
    match line.chars().count() > MAX_COLUMNS {
        true => line.chars().take(MAX_COLUMNS - 1).chain(['…']).collect(),
        false => line,
    }
}

impl<IO> Connection<IO> {
    /// The hosts between this end and the target, the outermost first. Empty where the socket itself leads to the target.
    pub fn route(&self) -> &[Hop] {
        &self.route
    }

    /// The hop that there will be if who is the target now passes on to `target`: with the layers of TLS that lead to it, and
    /// nothing said yet.
    pub fn next_hop(&self, target: Address) -> Hop {
        let Addresses { target: proxy, peer, .. } = &self.addresses;
        let layers = self.layers();
        // Those of the hops before stand further out in the same list.
        let known = layers.iter().position(|layer| Some(layer.id) == self.innermost_known).map_or(0, |index| index + 1);
        Hop {
            proxy: proxy.clone().or_else(|| peer.clone()).unwrap_or(Address::Unix(None)),
            target,
            protocol: None,
            tls: layers.iter().skip(known).filter_map(|layer| layer.tls.clone()).collect(),
            answer: None,
            took: None,
            stream: None,
        }
    }

    /// Who was the target has agreed to pass on whatever comes over this connection from now on: the route is longer by this hop,
    /// whose target is that of the connection.
    pub fn led_on(&mut self, hop: Hop) {
        self.innermost_known = self.stack.layers().last().map(|(id, _)| id);
        self.addresses = self.addresses.clone().through_to(hop.target.clone());
        self.route.push(hop);
        self.rename();
    }

    /// The route of a connection that is carried by another: the last hop is the one by which it is, the others are the other's.
    pub(crate) fn set_route(&mut self, route: Vec<Hop>) {
        self.hops_of_carrier = route.len().saturating_sub(1);
        self.route = route;
        self.rename();
    }

    /// It is carried by connections that have so many layers.
    #[cfg(feature = "http2")]
    pub(crate) fn lie_inside(&mut self, layers: usize) {
        self.stack.lie_inside(layers);
    }

    /// The hops by which this connection leads on, as lines below its drawing. Those of what carries it show below that.
    pub(super) fn draw_route(&self) -> String {
        self.draw_route_from(self.hops_of_carrier)
    }

    /// All hops behind so many, as lines.
    pub(super) fn draw_route_from(&self, first: usize) -> String {
        let own = self.route.iter().enumerate().skip(first).filter(|(_, hop)| hop.protocol.is_some());
        own.fold(String::new(), |drawing, (index, hop)| {
            let line = format!("{:14}{hop}", format!("hop {}", index + 1));
            drawing + "\n" + &shortened(line)
        })
    }

    /// Names the wire after whom the connection leads to, and through which tunnels.
    pub(super) fn rename(&mut self) {
        let mut name = self.addresses.to_string();
        if self.route.iter().any(|hop| hop.protocol.is_some()) {
            let references: Vec<_> = self.route.iter().map(Hop::reference).collect();
            name += &format!(" [{}]", references.join(", "));
        }
        self.stack.name_wire(name);
    }
}

/// How a proxy is asked for a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TunnelProtocol {
    /// CONNECT of HTTP/1.1 (RFC 9110, section 9.3.6).
    Http1,
    /// CONNECT of HTTP/2 (RFC 9113, section 8.5).
    Http2,
    /// SOCKS5 (RFC 1928).
    Socks5,
    /// SOCKS4a, which has the proxy resolve the name.
    Socks4a,
}

impl TunnelProtocol {
    /// As it is written in errors, logs and drawings: `http1`, `http2`, `socks5`, `socks4a`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Socks5 => "socks5",
            Self::Socks4a => "socks4a",
        }
    }
}

impl fmt::Display for TunnelProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a proxy has said when it opened a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// An answer of HTTP, with a status from 200 to 299.
    #[non_exhaustive]
    Http {
        /// The status.
        status: u16,
        /// The fields, in the order in which they came, their names in lower case. `content-length` and `transfer-encoding`
        /// mean nothing here (RFC 9110, section 9.3.6); they are listed as they came.
        fields: Vec<(String, Vec<u8>)>,
        /// The statuses of the answers before it, from 100 to 199.
        informational: Vec<u16>,
    },
    /// A reply of SOCKS.
    #[non_exhaustive]
    Socks {
        /// The end of the proxy's connection to the target, as the proxy says it: many say zeros, and some a name. `None` if
        /// what they say is no address.
        bound: Option<Address>,
    },
}

impl Answer {
    /// The first field of this name, which is in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        match self {
            Self::Http { fields, .. } => {
                fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
            }
            Self::Socks { .. } => None,
        }
    }

    /// The address that the proxy has its connection to the target from, if it says so.
    #[must_use]
    pub fn bound(&self) -> Option<&Address> {
        match self {
            Self::Http { .. } => None,
            Self::Socks { bound } => bound.as_ref(),
        }
    }
}

const MAX_COLUMNS: usize = 100;
