//! Why a protocol gives up on its connection.

use std::error::Error as StdError;
use std::fmt;
use std::str::Utf8Error;
use std::sync::Arc;

use super::{HandleError, ProducerError};
use crate::stack::{CommandError, LayerError, with_chain};
use crate::tls::ConfigError;

/// What the methods of a [`Protocol`](super::Protocol) return.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// An error of a protocol: what its callbacks return to close the connection.
///
/// `?` makes one of whatever went wrong, and a `&str` or a `String` makes one too:
///
/// ```
/// use onionskin::protocol::Result;
///
/// fn number(line: &[u8]) -> Result<u32> {
///     let line = std::str::from_utf8(line)?;
///     line.parse().map_err(|error| format!("{line:?} is no number: {error}").into())
/// }
///
/// assert_eq!(number(b"five").unwrap_err().to_string(), "\"five\" is no number: invalid digit found in string");
/// ```
///
/// Cheap to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    /// What it was made of, and whose text the message is.
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the application said with a text of its own.
    Application,
    /// A message is longer than the limit.
    TooLong,
    /// A message breaks the rules of its protocol.
    Malformed,
    /// A layer ended in the middle of a message.
    Unfinished,
    /// The time that the protocol had set is over.
    TimedOut,
    /// More waits to be sent than the limit allows, or does not leave: the peer does not read.
    PeerTooSlow,
    /// The transport did not carry out a command.
    Command,
    /// A layer failed and was peeled.
    Layer,
    /// TLS could not be configured.
    Config,
}

impl Error {
    /// An error of `kind`, explained by `message`: one phrase, no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), cause: None }))
    }

    fn caused(kind: ErrorKind, source: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { kind, message: source.to_string(), cause: Some(Arc::new(source)) }))
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the peer sent a message that is too long.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.kind() == ErrorKind::TooLong
    }

    /// Whether a time that the protocol had set is over.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::TimedOut
    }

    /// The error that this one was made of, if it was one of a known type: a [`CommandError`], a [`LayerError`] or a
    /// [`ConfigError`].
    #[must_use]
    pub fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.cause.as_deref()?.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for Error {
    /// What stands behind the [`cause`](Self::cause), whose text is that of this error.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref()?.source()
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::new(ErrorKind::Application, message)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(ErrorKind::Application, message)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::caused(ErrorKind::Application, error)
    }
}

impl From<Utf8Error> for Error {
    fn from(error: Utf8Error) -> Self {
        Self::caused(ErrorKind::Malformed, error)
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        Self::caused(ErrorKind::Command, error)
    }
}

impl From<LayerError> for Error {
    fn from(error: LayerError) -> Self {
        Self::caused(ErrorKind::Layer, error)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::caused(ErrorKind::Config, error)
    }
}

impl From<ProducerError> for Error {
    fn from(error: ProducerError) -> Self {
        Self::caused(ErrorKind::Command, error)
    }
}

impl From<HandleError> for Error {
    fn from(error: HandleError) -> Self {
        Self::caused(ErrorKind::Command, error)
    }
}
