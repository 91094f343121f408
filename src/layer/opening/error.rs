//! What ends any negotiation, whatever it is about.

use std::error::Error as StdError;
use std::fmt;

use crate::stack::{Failure, LayerError, LayerErrorKind, with_chain};

/// What an [`Opening`](super::Opening) or an [`Exchange`](super::Exchange) finds wrong by itself. What the words of a protocol
/// mean, its [`Negotiation`](super::Negotiation) knows, which has errors of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The peer sends a line of more than so many bytes.
    LineTooLong(usize),
    /// The peer sends or announces more than so many bytes, all in all.
    TooMuch(usize),
    /// The peer answered before it was asked.
    OutOfTurn,
    /// The peer was refused as often as it may be ([`Opening::refusals`](super::Opening::refusals)), and went on.
    TurnedAway,
    /// The connection ended before this came, which the peer owed.
    Ended(&'static str),
    /// This did not come in time, which the peer owes.
    TimedOut(&'static str),
    /// The peer takes nothing of what is said to it.
    NotRead,
    /// The application was asked, and did not answer.
    Unanswered,
}

impl Error {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind }
    }
}

impl From<Error> for LayerError {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::LineTooLong(_) | ErrorKind::TooMuch(_) | ErrorKind::TurnedAway => LayerErrorKind::Limit,
            ErrorKind::OutOfTurn => LayerErrorKind::Protocol,
            ErrorKind::Ended(_) => LayerErrorKind::Truncated,
            ErrorKind::TimedOut(_) | ErrorKind::NotRead => LayerErrorKind::HandshakeTimeout,
            ErrorKind::Unanswered => LayerErrorKind::Unsupported,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::lose(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::LineTooLong(limit) => {
                write!(f, "the peer sends a line of more than the {limit} bytes that are accepted")
            }
            ErrorKind::TooMuch(limit) => {
                write!(f, "the peer sends more than the {limit} bytes that are accepted here, all in all")
            }
            ErrorKind::OutOfTurn => f.write_str("the peer answered before it was asked"),
            ErrorKind::TurnedAway => f.write_str("the peer was refused again and again, and goes on"),
            ErrorKind::Ended(what) => write!(f, "the connection ended before {what}"),
            ErrorKind::TimedOut(what) => write!(f, "no answer in time: the peer owes {what}"),
            ErrorKind::NotRead => f.write_str("the peer takes nothing of what is said to it"),
            ErrorKind::Unanswered => f.write_str("the peer asked for something, and the application did not answer"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for Error {}
