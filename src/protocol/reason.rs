//! Why a connection is over.

use std::error::Error as StdError;
use std::fmt;

use super::Error;
use crate::stack::{self, with_chain};

/// Why a connection is over. Cheap to clone.
#[derive(Clone)]
pub struct EndReason(EndReasonKind);

/// The kinds of [`EndReason`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EndReasonKind {
    /// It was closed gracefully, and what was written before has left.
    Closed,
    /// A callback of the protocol failed, and the connection was closed because of that.
    Failed(Error),
    /// It was lost: the socket or a layer failed, or it was aborted.
    Lost(stack::Reason),
}

impl EndReason {
    /// What kind of reason this is.
    #[must_use]
    pub fn kind(&self) -> &EndReasonKind {
        &self.0
    }

    /// Whether the connection was closed gracefully.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.0, EndReasonKind::Closed)
    }

    /// Whether we aborted the connection ourselves.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.loss().is_some_and(stack::Reason::is_aborted)
    }

    /// The error of the protocol, if one is the reason.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match &self.0 {
            EndReasonKind::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// How the connection was lost, if it was.
    #[must_use]
    pub fn loss(&self) -> Option<&stack::Reason> {
        match &self.0 {
            EndReasonKind::Lost(reason) => Some(reason),
            _ => None,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            EndReasonKind::Closed => f.write_str("the connection was closed"),
            EndReasonKind::Failed(error) => error.fmt(f),
            EndReasonKind::Lost(reason) => reason.fmt(f),
        }
    }
}

impl fmt::Debug for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for EndReason {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            EndReasonKind::Closed => None,
            EndReasonKind::Failed(error) => error.source(),
            EndReasonKind::Lost(reason) => reason.source(),
        }
    }
}

impl From<EndReasonKind> for EndReason {
    fn from(kind: EndReasonKind) -> Self {
        Self(kind)
    }
}
