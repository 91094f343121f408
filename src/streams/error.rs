//! Why a stream could not do what it was asked for.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::policy::{DestinationError, Protocol};
use crate::connection;
use crate::endpoint::OpenError;
use crate::peer::Class;
use crate::printable::Printable;
use crate::stack::with_chain;

/// Why a stream was not opened, was lost, or has not delivered a message.
#[derive(Clone)]
pub struct Error(Arc<ErrorKind>);

/// The kinds of [`Error`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The policy says nothing that could be tried with the values that there are: the key is named.
    Policy(DestinationError),
    /// The peer could not be reached, or a layer on the way not be opened.
    Open(OpenError),
    /// The connection was lost.
    Lost(connection::Error),
    /// The peer has ended the connection in order, in the middle of what was asked for.
    Ended,
    /// The peer broke the rules of its protocol, or would have passed a limit.
    Broken {
        /// Of which one.
        protocol: Protocol,
        /// How.
        how: String,
    },
    /// The peer has refused, in words of its protocol: a code of MQTT, a handshake of WebSocket that was answered otherwise.
    Refused {
        /// In which one.
        protocol: Protocol,
        /// What it said.
        said: String,
    },
    /// The answer of HTTP has this status, which asks to come again.
    Status(u16),
    /// The peer was silent for so long.
    Silent(Duration),
    /// What was asked for was not done within this time, all in all.
    OutOfTime(Duration),
    /// There was no room for the message, and the policy drops one then: this one.
    Dropped,
    /// The stream was closed, or told to disconnect.
    Closed,
    /// This version cannot do what the policy asks for.
    Unsupported(String),
}

impl Error {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// What the failure is about, at which hop or layer, and whether it is safe to try again. `None` if no layer had a part in it.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match self.kind() {
            ErrorKind::Open(error) => Some(error.class()),
            ErrorKind::Lost(error) => Some(error.class()),
            _ => None,
        }
    }

    /// Whether the policy or a value is at fault, and not the network.
    #[must_use]
    pub fn is_policy(&self) -> bool {
        matches!(self.kind(), ErrorKind::Policy(_) | ErrorKind::Unsupported(_))
    }

    /// Whether the peer has refused in words of its protocol, or by a status.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.kind(), ErrorKind::Refused { .. } | ErrorKind::Status(_))
    }

    /// Whether a time limit was over.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind(), ErrorKind::Silent(_) | ErrorKind::OutOfTime(_))
    }

    /// Whether it was closed by who has it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.kind(), ErrorKind::Closed)
    }

    /// Whether the policy has dropped the message, for want of room.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        matches!(self.kind(), ErrorKind::Dropped)
    }

    /// That the peer breaks the rules.
    pub(super) fn broken(protocol: Protocol, how: impl Into<String>) -> Self {
        ErrorKind::Broken { protocol, how: how.into() }.into()
    }

    /// That the peer says no.
    pub(super) fn refused(protocol: Protocol, said: impl Into<String>) -> Self {
        ErrorKind::Refused { protocol, said: said.into() }.into()
    }

    /// What a read or write of a connection has returned.
    pub(super) fn lost(error: &std::io::Error) -> Self {
        match connection::Error::of(error) {
            Some(error) => ErrorKind::Lost(error.clone()).into(),
            None => ErrorKind::Ended.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            ErrorKind::Policy(error) => error.fmt(f),
            ErrorKind::Open(error) => error.fmt(f),
            ErrorKind::Lost(error) => error.fmt(f),
            ErrorKind::Ended => f.write_str("the peer has ended the connection before all was done"),
            ErrorKind::Broken { protocol, how } => write!(f, "{}: {}", protocol.name(), Printable::new(how)),
            ErrorKind::Refused { protocol, said } => {
                write!(f, "{}: the peer refuses: {}", protocol.name(), Printable::new(said))
            }
            ErrorKind::Status(status) => write!(f, "the answer is {status}: the server asks to come again"),
            ErrorKind::Silent(time) => write!(f, "nothing came from the peer for {time:?}"),
            ErrorKind::OutOfTime(time) => write!(f, "not done within {time:?}, all in all (timeout_ms)"),
            ErrorKind::Dropped => f.write_str("dropped, because too much waits to be sent already (when_full)"),
            ErrorKind::Closed => f.write_str("the stream is closed"),
            ErrorKind::Unsupported(what) => write!(f, "not done by this version: {what}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.kind() {
            ErrorKind::Open(error) => error.source(),
            ErrorKind::Lost(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Arc::new(kind))
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        ErrorKind::Open(error).into()
    }
}

impl From<DestinationError> for Error {
    fn from(error: DestinationError) -> Self {
        ErrorKind::Policy(error).into()
    }
}

impl From<connection::Error> for Error {
    fn from(error: connection::Error) -> Self {
        ErrorKind::Lost(error).into()
    }
}
