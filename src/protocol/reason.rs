//! Why a connection is over.

use std::error::Error as StdError;
use std::fmt;

use super::Error;
use crate::stack::{self, with_chain};

/// Why a connection is over. Cheap to clone.
#[derive(Clone)]
pub struct Reason(ReasonKind);

/// The kinds of [`Reason`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReasonKind {
    /// It was closed in order, and what was written before has left.
    Closed,
    /// A callback of the protocol failed, and the connection was closed because of that.
    Failed(Error),
    /// It was lost: the socket or a layer failed, or it was aborted.
    Lost(stack::Reason),
}

impl Reason {
    /// What kind of reason this is.
    #[must_use]
    pub fn kind(&self) -> &ReasonKind {
        &self.0
    }

    /// Whether the connection was closed in order.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.0, ReasonKind::Closed)
    }

    /// Whether we ended the connection ourselves, without ceremony.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.loss().is_some_and(stack::Reason::is_aborted)
    }

    /// The error of the protocol, if one is the reason.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match &self.0 {
            ReasonKind::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// How the connection was lost, if it was.
    #[must_use]
    pub fn loss(&self) -> Option<&stack::Reason> {
        match &self.0 {
            ReasonKind::Lost(reason) => Some(reason),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ReasonKind::Closed => f.write_str("the connection was closed"),
            ReasonKind::Failed(error) => error.fmt(f),
            ReasonKind::Lost(reason) => reason.fmt(f),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for Reason {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            ReasonKind::Closed => None,
            ReasonKind::Failed(error) => error.source(),
            ReasonKind::Lost(reason) => reason.source(),
        }
    }
}

impl From<ReasonKind> for Reason {
    fn from(kind: ReasonKind) -> Self {
        Self(kind)
    }
}
