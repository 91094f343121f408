//! What a server is asked.

use super::{Credentials, TunnelProtocol};
use crate::runtime::Address;

/// What a server asks its application, on behalf of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// Whether the user may come in with this password. Only a server that wants to know who asks has this question, and it
    /// comes before the other.
    Login(Credentials),
    /// Whether there is a tunnel.
    Tunnel(Request),
}

/// A tunnel that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The language in which it asks.
    pub protocol: TunnelProtocol,
    /// Whom it wants to reach.
    pub target: Address,
    /// Who asks: the user that has logged in, or what a client of SOCKS4 calls its user, which nobody has checked.
    pub user: Option<String>,
    /// The fields of a request of HTTP, their names in lower case, without `proxy-authorization`.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// What a server grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The end of the server's connection to the target. SOCKS says it; of anything but an address of TCP it says zeros.
    pub bound: Option<Address>,
}

impl Grant {
    /// A tunnel whose connection to the target has this address here.
    #[must_use]
    pub fn bound_to(bound: Address) -> Self {
        Self { bound: Some(bound) }
    }
}
