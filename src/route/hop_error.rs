//! Why a proxy on the way has opened no tunnel.

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;

use crate::connection::{Error as ConnectionError, Hop};
use crate::runtime::Address;
use crate::stack::with_chain;
use crate::tunnel::{self, Inside};

/// Why a proxy on the way has opened no tunnel: which of them it is, and what has come of it.
///
/// Prints as `hop 2 of the route: socks5 proxy tcp proxy.example:1080, asked for tcp mail.example:25: ...`.
#[derive(Clone)]
pub struct HopError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    number: usize,
    proxy: Address,
    target: Address,
    cause: Cause,
    again: Option<Again>,
}

#[derive(Clone)]
enum Cause {
    /// The connection that leads to the proxy was lost over it.
    Connection(ConnectionError),
    /// The proxy was not asked, or its connection lives on.
    Tunnel(Inside),
}

/// What there is to be gained by going the whole way again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The proxy wanted to know who asks, and has closed the connection: the next one begins with that.
    WithLogin,
    /// The proxy does in HTTP/2 what our side cannot bear, and may do well in HTTP/1.1.
    InHttp1,
    /// The name has these addresses too.
    To(Vec<SocketAddr>),
}

impl HopError {
    /// Of the proxy that `hop` was to lead through, which is the one behind so many others.
    pub(super) fn new(hop: &Hop, behind: usize, cause: impl Into<HopCause>) -> Self {
        let HopCause(cause) = cause.into();
        let (proxy, target) = (hop.proxy.clone(), hop.target.clone());
        Self(Box::new(Inner { number: behind + 1, proxy, target, cause, again: None }))
    }

    /// The same, where it is worth to go the whole way again.
    pub(super) fn again(mut self, again: Again) -> Self {
        self.0.again = Some(again);
        self
    }

    /// Whether it is worth to go the whole way again, and knowing what.
    pub(crate) fn worth(&self) -> Option<(usize, Again)> {
        Some((self.0.number, self.0.again.clone()?))
    }

    /// Which of the proxies it is, the outermost being 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.0.number
    }

    /// The proxy, by the name that it was asked for as.
    #[must_use]
    pub fn proxy(&self) -> &Address {
        &self.0.proxy
    }

    /// Whom it was asked for.
    #[must_use]
    pub fn target(&self) -> &Address {
        &self.0.target
    }

    /// What the proxy has said, or how it has failed to. `None` if the connection was lost over something else, as over a layer
    /// of TLS that leads there.
    #[must_use]
    pub fn tunnel_error(&self) -> Option<&tunnel::Error> {
        match &self.0.cause {
            Cause::Connection(error) => tunnel::Error::of(error),
            Cause::Tunnel(Inside(error)) => Some(error),
        }
    }

    /// Whether a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        let of_tunnel = self.tunnel_error().is_some_and(tunnel::Error::is_timeout);
        of_tunnel || self.connection_error().is_some_and(ConnectionError::is_timeout)
    }

    /// How the connection to the proxy was lost, if it was.
    #[must_use]
    pub fn connection_error(&self) -> Option<&ConnectionError> {
        match &self.0.cause {
            Cause::Connection(error) => Some(error),
            Cause::Tunnel(_) => None,
        }
    }
}

/// What a [`HopError`] can be made of.
pub(super) struct HopCause(Cause);

impl From<ConnectionError> for HopCause {
    fn from(error: ConnectionError) -> Self {
        Self(Cause::Connection(error))
    }
}

impl From<tunnel::Error> for HopCause {
    fn from(error: tunnel::Error) -> Self {
        Self(Cause::Tunnel(Inside(error)))
    }
}

impl fmt::Display for HopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { number, proxy, target, cause, .. } = &*self.0;
        write!(f, "hop {number} of the route")?;
        if self.tunnel_error().is_some_and(|error| error.target().is_none()) {
            // It was not yet asked for anybody.
            write!(f, ", to {target}")?;
        }
        f.write_str(": ")?;
        match (self.tunnel_error(), cause) {
            (Some(error), _) | (None, Cause::Tunnel(Inside(error))) => error.fmt(f),
            (None, Cause::Connection(error)) => write!(f, "proxy {proxy}, asked for {target}: {error}"),
        }
    }
}

impl fmt::Debug for HopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for HopError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.cause {
            Cause::Connection(error) => error.source(),
            Cause::Tunnel(error) => Some(error),
        }
    }
}
