//! What can go wrong on the control connection of a client.

use std::fmt;

use super::Reply;
use crate::connection;
use crate::printable::Printable;
use crate::stack::with_chain;

/// An error of the functions for clients.
#[derive(Clone)]
pub struct Error(Box<ErrorKind>);

/// The kinds of [`Error`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server said no.
    Refused {
        /// The command, without its arguments.
        command: &'static str,
        /// What it said.
        reply: Reply,
    },
    /// There is no TLS on the control connection, and the command was not sent.
    InClear,
    /// The server has closed the connection, or stopped TLS, where a reply was to come.
    Ended,
    /// The server sent something that is no reply, or not a reply to this.
    Malformed(String),
    /// A reply is longer than 65,536 bytes.
    TooLong,
    /// The connection failed.
    Connection(connection::Error),
}

impl Error {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// The reply, if the server refused a command.
    #[must_use]
    pub fn refusal(&self) -> Option<&Reply> {
        match self.kind() {
            ErrorKind::Refused { reply, .. } => Some(reply),
            _ => None,
        }
    }

    /// Whether the server said no. The connection lives, at the depth it had.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refusal().is_some()
    }

    pub(super) fn malformed(awaited: &str, line: &[u8]) -> Self {
        let shown = Printable::new(line).limit(MAX_SHOWN).quoted();
        ErrorKind::Malformed(format!("the server was to send {awaited} and sent {shown}")).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            ErrorKind::Refused { command, reply } => {
                let shown = Printable::new(reply.text()).limit(MAX_SHOWN);
                write!(f, "the server refused {command}: {} {shown}", reply.code)
            }
            ErrorKind::InClear => f.write_str("there is no TLS on the control connection: start it first"),
            ErrorKind::Ended => f.write_str("the server ended the connection or its TLS in place of a reply"),
            ErrorKind::Malformed(message) => Printable::new(message).fmt(f),
            ErrorKind::TooLong => f.write_str("the server's reply is longer than 65,536 bytes"),
            ErrorKind::Connection(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::Connection(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<connection::Error> for Error {
    fn from(error: connection::Error) -> Self {
        ErrorKind::Connection(error).into()
    }
}

const MAX_SHOWN: usize = 100;
