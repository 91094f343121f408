//! Who talks to whom.

use std::fmt;

use crate::layer::proxy_header::ProxyHeader;
use crate::runtime::{Address, Socket};

/// The addresses of a connection, as far as they are known.
///
/// Behind a proxy that says so in a PROXY header, they are those of the connection to the proxy's outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Addresses {
    /// The address of this end.
    pub local: Option<Address>,
    /// The address of the other end.
    pub peer: Option<Address>,
    /// What a proxy in front said of the connection, with its further information.
    pub proxy_header: Option<ProxyHeader>,
}

impl Addresses {
    /// Those of two ends.
    #[must_use]
    pub fn new(local: impl Into<Option<Address>>, peer: impl Into<Option<Address>>) -> Self {
        Self { local: local.into(), peer: peer.into(), proxy_header: None }
    }
}

impl From<&Socket> for Addresses {
    fn from(socket: &Socket) -> Self {
        Self::new(socket.local_address().clone(), socket.peer_address().clone())
    }
}

impl fmt::Display for Addresses {
    /// The peer, or else this end: what tells one connection from another in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.peer, &self.local) {
            // A client of a Unix socket has no address; the server's is the one that tells.
            (Some(Address::Unix(None)) | None, Some(local)) => local.fmt(f),
            (Some(peer), _) => peer.fmt(f),
            (None, None) => f.write_str("wire"),
        }
    }
}
