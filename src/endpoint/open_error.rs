//! Why an endpoint could not be opened.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{BaseTransport, ParseError};
use crate::connection::Error as ConnectionError;
use crate::route::{Again, HopError, RouteError, RouteErrorKind};
use crate::stack::with_chain;
use crate::tls::ConfigError;

/// Why an endpoint could not be opened.
#[derive(Clone)]
pub struct OpenError(Box<OpenErrorKind>);

/// The kinds of [`OpenError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The string is no endpoint.
    Parse(ParseError),
    /// A `tls` step cannot be configured.
    Config(ConfigError),
    /// A step that starts TLS has no name to verify: neither `sni`, nor a host in the transport or in a step before it.
    NoName,
    /// Something in the endpoint is for the other side, or contradicts itself.
    Misused(String),
    /// The name of the peer has no address.
    Resolve(BaseTransport, Arc<io::Error>),
    /// The peer cannot be reached.
    Connect(BaseTransport, Arc<io::Error>),
    /// The limit for all of it was over: the `total-timeout` of the endpoint.
    #[non_exhaustive]
    OutOfTime {
        /// The limit.
        after: Duration,
        /// What was under way then: a phase, or a step with its number.
        during: String,
    },
    /// The address cannot be listened at.
    Listen(BaseTransport, Arc<io::Error>),
    /// A handshake failed.
    Connection(ConnectionError),
    /// A proxy on the way has opened no tunnel.
    Tunnel(HopError),
    /// The peer carries others, and is no connection itself: [`Incoming::into_carrier`](super::Incoming::into_carrier).
    Carrier,
    /// The crate was built without a runtime.
    NoRuntime,
}

impl OpenError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> &OpenErrorKind {
        &self.0
    }

    /// The error of the connection, if the peer was reached and a handshake failed; if a proxy on the way was, that of the
    /// connection to it.
    #[must_use]
    pub fn connection_error(&self) -> Option<&ConnectionError> {
        match self.kind() {
            OpenErrorKind::Connection(error) => Some(error),
            OpenErrorKind::Tunnel(error) => error.connection_error(),
            _ => None,
        }
    }

    /// Whether it is worth to go the whole way again, and knowing what.
    pub(super) fn worth_another_way(&self) -> Option<(usize, Again)> {
        match self.kind() {
            OpenErrorKind::Tunnel(error) => error.worth(),
            _ => None,
        }
    }

    /// Whether the string, or the configuration it stands for, is wrong, so that trying again will not help.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        use OpenErrorKind::{Config, Misused, NoName, Parse};
        matches!(*self.0, Parse(_) | Config(_) | NoName | Misused(_))
    }

    /// Whether the socket could not be had.
    #[must_use]
    pub fn is_io(&self) -> bool {
        matches!(*self.0, OpenErrorKind::Resolve(..) | OpenErrorKind::Connect(..) | OpenErrorKind::Listen(..))
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            OpenErrorKind::Parse(error) => error.fmt(f),
            OpenErrorKind::Config(error) => error.fmt(f),
            OpenErrorKind::Misused(mistake) => f.write_str(mistake),
            OpenErrorKind::NoName => {
                f.write_str("no name to verify: write sni=NAME in the step that starts TLS, as in tls:sni=NAME")
            }
            OpenErrorKind::Resolve(transport, error) => write!(f, "cannot resolve the name in {transport}: {error}"),
            OpenErrorKind::Connect(transport, error) => write!(f, "cannot connect to {transport}: {error}"),
            OpenErrorKind::OutOfTime { after, during } => {
                write!(f, "not done within {after:?}, all in all (total-timeout): {during} was under way")
            }
            OpenErrorKind::Listen(transport, error) => write!(f, "cannot listen at {transport}: {error}"),
            OpenErrorKind::Connection(error) => error.fmt(f),
            OpenErrorKind::Tunnel(error) => error.fmt(f),
            OpenErrorKind::Carrier => f.write_str("the peer carries others: accept them"),
            OpenErrorKind::NoRuntime => f.write_str("built without a runtime: enable async-std, smol or tokio"),
        }
    }
}

impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for OpenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.kind() {
            OpenErrorKind::Resolve(_, error) | OpenErrorKind::Connect(_, error) | OpenErrorKind::Listen(_, error) => {
                error.source()
            }
            OpenErrorKind::Connection(error) => error.source(),
            OpenErrorKind::Tunnel(error) => error.source(),
            OpenErrorKind::Config(error) => error.source(),
            _ => None,
        }
    }
}

impl From<OpenErrorKind> for OpenError {
    fn from(kind: OpenErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<ParseError> for OpenError {
    fn from(error: ParseError) -> Self {
        OpenErrorKind::Parse(error).into()
    }
}

impl From<ConfigError> for OpenError {
    fn from(error: ConfigError) -> Self {
        OpenErrorKind::Config(error).into()
    }
}

impl From<ConnectionError> for OpenError {
    fn from(error: ConnectionError) -> Self {
        OpenErrorKind::Connection(error).into()
    }
}

impl From<RouteError> for OpenError {
    fn from(error: RouteError) -> Self {
        match error.into_kind() {
            RouteErrorKind::NoName => OpenErrorKind::NoName,
            RouteErrorKind::Config(error) => OpenErrorKind::Config(error),
            RouteErrorKind::Connection(error) => OpenErrorKind::Connection(error),
            RouteErrorKind::Tunnel(error) => OpenErrorKind::Tunnel(error),
        }
        .into()
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        let kind = match *error.0 {
            OpenErrorKind::Connection(error) => return error.into(),
            OpenErrorKind::Config(error) => return error.into(),
            OpenErrorKind::Resolve(_, ref cause)
            | OpenErrorKind::Connect(_, ref cause)
            | OpenErrorKind::Listen(_, ref cause) => cause.kind(),
            OpenErrorKind::OutOfTime { .. } => io::ErrorKind::TimedOut,
            OpenErrorKind::Parse(_) | OpenErrorKind::NoName | OpenErrorKind::Misused(_) => io::ErrorKind::InvalidInput,
            OpenErrorKind::Tunnel(ref error) => match error.connection_error() {
                Some(cause) => io::Error::from(cause.clone()).kind(),
                None => io::ErrorKind::Other,
            },
            OpenErrorKind::NoRuntime | OpenErrorKind::Carrier => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}
