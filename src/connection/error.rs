//! What can go wrong with a connection.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::stack::{CommandError, CommandErrorKind, LayerError, LayerErrorKind, LayerId, Reason, with_chain};
use crate::tls::ConfigError;

/// An error of a [`Connection`](super::Connection).
///
/// Read and write calls wrap it into an [`io::Error`], from which [`Error::of`] takes it again. `?` does the same, also
/// for a [`ConfigError`] and an [`OpenError`](crate::endpoint::OpenError): a function that uses all of them can return
/// [`io::Result`].
///
/// ```
/// use onionskin::connection::Error;
/// use onionskin::rustls::{self, CertificateError::NotValidForNameContext};
///
/// fn explain(error: &Error) -> &'static str {
///     match error.tls_error() {
///         _ if error.is_not_spoken() => "it speaks plaintext",
///         Some(rustls::Error::InvalidCertificate(NotValidForNameContext { .. })) => "it has another name",
///         _ if error.is_certificate() => "it is not to be trusted",
///         _ if error.is_refused() => "it refused us",
///         _ => "something else",
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Error(Box<ErrorKind>);

/// The kinds of [`Error`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connection is lost.
    Lost(Reason),
    /// The stack did not carry out the command; nothing was changed.
    Command(CommandError),
    /// The layer failed and was peeled, as its options asked. The connection lives.
    Peeled(LayerId, LayerError),
    /// The layer of this name is ready, and has become one whose facts are of another type than those of the layer that was
    /// opened. The connection lives.
    OtherFacts(LayerId, &'static str),
    /// More arrived during a stop than the limit on late bytes allows. Nothing is lost: read them, then stop again.
    TooMuchLate(usize),
    /// A line is longer than the limit. Nothing of it was consumed.
    LineTooLong(usize),
    /// The stream ended in the middle of a line. Nothing of it was consumed.
    UnfinishedLine,
    /// A line that was to be written has a line feed in it. Nothing of it was written.
    LineBreak,
    /// A client or server could not be configured.
    Config(ConfigError),
}

impl Error {
    /// The error of this module inside an [`io::Error`] that a read or write returned.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Why the connection is lost whose read or write returned this.
    pub(crate) fn loss_in(error: &io::Error) -> Option<Reason> {
        Self::of(error)?.reason().cloned()
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// Why the connection is lost, if it is.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match self.kind() {
            ErrorKind::Lost(reason) => Some(reason),
            ErrorKind::Command(error) => error.reason(),
            _ => None,
        }
    }

    /// The error of the layer that is the cause, if a layer is. It may be one of a connection below, where this one runs over
    /// another ([`Reason::below`]); all questions here are answered so.
    #[must_use]
    pub fn layer_error(&self) -> Option<&LayerError> {
        match self.kind() {
            ErrorKind::Peeled(_, error) => Some(error),
            ErrorKind::Command(error) => match error.kind() {
                CommandErrorKind::Refused(_, error) => Some(error),
                _ => error.reason()?.layer_error(),
            },
            _ => self.reason()?.layer_error(),
        }
    }

    /// The error of rustls that is the cause, if one is: what is wrong with a certificate, or which alert came.
    #[must_use]
    pub fn tls_error(&self) -> Option<&rustls::Error> {
        self.layer_error()?.source()?.downcast_ref()
    }

    /// Whether the peer does not speak TLS where it should.
    #[must_use]
    pub fn is_not_spoken(&self) -> bool {
        self.is_layer(LayerError::is_not_spoken)
    }

    /// Whether the peer's certificate was not accepted.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        self.is_layer(LayerError::is_certificate)
    }

    /// Whether the peer refused us, for whatever reason.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.is_layer(LayerError::is_refused)
    }

    /// Whether the peer refused the certificate that we have shown as its client, or our having none. In TLS 1.3 the handshake
    /// is done for us by then, so it is what comes in place of the first bytes to be read.
    #[must_use]
    pub fn is_client_certificate(&self) -> bool {
        self.is_layer(LayerError::is_client_certificate)
    }

    /// Whether the stream below a layer ended before the layer did.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_layer(LayerError::is_truncated)
    }

    /// Whether a handshake or a stop passed its deadline, or nothing came or went for too long.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.is_layer(LayerError::is_timeout)
    }

    /// Whether there is no layer to stop.
    #[must_use]
    pub fn is_no_such_layer(&self) -> bool {
        matches!(self.kind(), ErrorKind::Command(error) if error.is_no_such_layer())
    }

    fn is_layer(&self, question: impl Fn(&LayerError) -> bool) -> bool {
        self.layer_error().is_some_and(question)
    }

    fn io_kind(&self) -> io::ErrorKind {
        if let Some(error) = self.reason().and_then(Reason::io_error) {
            return error.kind();
        }
        match self.layer_error().map(LayerError::kind) {
            Some(LayerErrorKind::Truncated) => io::ErrorKind::UnexpectedEof,
            Some(LayerErrorKind::HandshakeTimeout | LayerErrorKind::StopTimeout | LayerErrorKind::Idle) => {
                io::ErrorKind::TimedOut
            }
            Some(LayerErrorKind::Unsupported) => io::ErrorKind::Unsupported,
            Some(_) => io::ErrorKind::InvalidData,
            None => match self.kind() {
                ErrorKind::Lost(_) => io::ErrorKind::ConnectionAborted,
                ErrorKind::Command(_) => io::ErrorKind::BrokenPipe,
                ErrorKind::UnfinishedLine => io::ErrorKind::UnexpectedEof,
                ErrorKind::LineTooLong(_) | ErrorKind::TooMuchLate(_) => io::ErrorKind::InvalidData,
                ErrorKind::LineBreak => io::ErrorKind::InvalidInput,
                ErrorKind::Peeled(..) | ErrorKind::OtherFacts(..) | ErrorKind::Config(_) => io::ErrorKind::Other,
            },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            ErrorKind::Lost(reason) => reason.fmt(f),
            ErrorKind::Command(error) => error.fmt(f),
            ErrorKind::Peeled(id, error) => write!(f, "layer {id}: {error}"),
            ErrorKind::OtherFacts(id, name) => {
                write!(f, "layer {id} ({name}) has facts of another type than the layer that was opened")
            }
            ErrorKind::TooMuchLate(limit) => write!(f, "more than {limit} bytes arrived while the layer was stopped"),
            ErrorKind::LineTooLong(limit) => write!(f, "a line is longer than {limit} bytes"),
            ErrorKind::UnfinishedLine => f.write_str("the stream ended in the middle of a line"),
            ErrorKind::LineBreak => f.write_str("a line that is to be written has a line feed in it"),
            ErrorKind::Config(error) => error.fmt(f),
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
            ErrorKind::Lost(reason) => reason.source(),
            ErrorKind::Command(error) => error.source(),
            ErrorKind::Peeled(_, error) => error.source(),
            ErrorKind::Config(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error.kind() {
            CommandErrorKind::Lost(reason) => ErrorKind::Lost(reason.clone()).into(),
            _ => ErrorKind::Command(error).into(),
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        ErrorKind::Config(error).into()
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}

impl From<ConfigError> for io::Error {
    fn from(error: ConfigError) -> Self {
        Error::from(error).into()
    }
}
