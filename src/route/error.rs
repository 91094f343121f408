//! Why a leg has not come through.

use std::error::Error as StdError;
use std::fmt;

use super::HopError;
use crate::connection::Error as ConnectionError;
use crate::stack::with_chain;
use crate::tls::ConfigError;

/// Why a leg of a [`Route`](super::Route) has not come through.
#[derive(Clone)]
pub struct RouteError(Box<RouteErrorKind>);

/// The kinds of [`RouteError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RouteErrorKind {
    /// TLS has no name to verify: none was given, and the target has none.
    NoName,
    /// TLS cannot be had with this name or this configuration.
    Config(ConfigError),
    /// The peer was reached, and a handshake or a negotiation with it has failed.
    Connection(ConnectionError),
    /// A proxy was reached, and has opened no tunnel.
    Tunnel(HopError),
}

impl RouteError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> &RouteErrorKind {
        &self.0
    }

    pub(crate) fn into_kind(self) -> RouteErrorKind {
        *self.0
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            RouteErrorKind::NoName => {
                f.write_str("no name to verify: neither one that was given nor one of the target")
            }
            RouteErrorKind::Config(error) => error.fmt(f),
            RouteErrorKind::Connection(error) => error.fmt(f),
            RouteErrorKind::Tunnel(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for RouteError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.kind() {
            RouteErrorKind::NoName => None,
            RouteErrorKind::Config(error) => error.source(),
            RouteErrorKind::Connection(error) => error.source(),
            RouteErrorKind::Tunnel(error) => error.source(),
        }
    }
}

impl From<RouteErrorKind> for RouteError {
    fn from(kind: RouteErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<ConfigError> for RouteError {
    fn from(error: ConfigError) -> Self {
        RouteErrorKind::Config(error).into()
    }
}

impl From<HopError> for RouteError {
    fn from(error: HopError) -> Self {
        RouteErrorKind::Tunnel(error).into()
    }
}

impl From<ConnectionError> for RouteError {
    fn from(error: ConnectionError) -> Self {
        RouteErrorKind::Connection(error).into()
    }
}
