//! Who talks to whom, and through whom.

use std::fmt;

use crate::layer::proxy_header::ProxyHeader;
use crate::runtime::{Address, Socket};

/// The addresses of a connection, as far as they are known.
///
/// ```text
/// local              peer
///   └── the socket ────┘                            target
///   us            via[0]           via[1]             │
///   └──────────────►┴───────────────►┴───────────────►┘
/// ```
///
/// `local` and `peer` are the two ends of the socket; behind a proxy that says so in a PROXY header, those of the connection
/// to the proxy's outside. `target` is whom a client wants to reach. Where it goes there through others, `via` has these, and
/// the peer is the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Addresses {
    /// The address of this end.
    pub local: Option<Address>,
    /// The address of the other end.
    pub peer: Option<Address>,
    /// Whom this side has asked for, by the name that it has asked with. `None` where it was asked itself.
    pub target: Option<Address>,
    /// The hosts between this end and the target, each by what it was asked for as, the first from here first.
    pub via: Vec<Address>,
    /// What a proxy in front said of the connection, with its further information.
    pub proxy_header: Option<ProxyHeader>,
}

impl Addresses {
    /// Those of two ends.
    #[must_use]
    pub fn new(local: impl Into<Option<Address>>, peer: impl Into<Option<Address>>) -> Self {
        Self { local: local.into(), peer: peer.into(), ..Self::default() }
    }

    /// The same, where `target` was asked for.
    #[must_use]
    pub fn towards(mut self, target: Address) -> Self {
        self.target = Some(target);
        self
    }

    /// Those of a tunnel that leads on to `target`: who was the target so far is on the way to it.
    #[must_use]
    pub fn through_to(mut self, target: Address) -> Self {
        self.via.extend(self.target.replace(target).or_else(|| self.peer.clone()));
        self
    }
}

impl From<&Socket> for Addresses {
    fn from(socket: &Socket) -> Self {
        Self {
            target: socket.target().cloned(),
            via: socket.via().to_vec(),
            ..Self::new(socket.local_address().clone(), socket.peer_address().clone())
        }
    }
}

impl fmt::Display for Addresses {
    /// The peer, or else this end: what tells one connection from another in a log. Behind a tunnel it is the target, and
    /// through whom: `tcp mail.example:25 via tcp proxy.example:1080`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(target), [first, rest @ ..]) = (&self.target, &self.via[..]) {
            write!(f, "{target} via {first}")?;
            return rest.iter().try_for_each(|host| write!(f, ", {host}"));
        }
        match (&self.peer, &self.local) {
            // What carries a tunnel may have no addresses at all.
            (Some(Address::Unix(None)) | None, Some(Address::Unix(None)) | None) if self.target.is_some() => {
                self.target.iter().try_for_each(|target| target.fmt(f))
            }
            // A client of a Unix socket has no address; the server's is the one that tells.
            (Some(Address::Unix(None)) | None, Some(local)) => local.fmt(f),
            (Some(peer), _) => peer.fmt(f),
            (None, None) => f.write_str("wire"),
        }
    }
}
