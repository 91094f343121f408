//! Why a pool gives no connection.

use std::error::Error as StdError;
use std::fmt;

use crate::endpoint::OpenError;
use crate::peer::Class;
use crate::stack::with_chain;

/// Why a [`Pool`](super::Pool) gives no connection.
#[derive(Clone)]
pub struct PoolError(PoolErrorKind);

/// The kinds of [`PoolError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PoolErrorKind {
    /// None was idle, and a new one could not be opened.
    Open(OpenError),
    /// As many as there may be are open, and so many wait for one of them already.
    TooManyWaiting(usize),
    /// The pool was closed.
    Closed,
}

impl PoolError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> &PoolErrorKind {
        &self.0
    }

    /// Why a new connection could not be opened, if that was it.
    #[must_use]
    pub fn open_error(&self) -> Option<&OpenError> {
        match self.kind() {
            PoolErrorKind::Open(error) => Some(error),
            _ => None,
        }
    }

    /// What the failure is about, and whether it is safe to try again. `None` if it is the pool that says no.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.open_error().map(OpenError::class)
    }

    /// Whether too many wait already.
    #[must_use]
    pub fn is_too_many_waiting(&self) -> bool {
        matches!(self.kind(), PoolErrorKind::TooManyWaiting(_))
    }

    /// Whether the pool was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.kind(), PoolErrorKind::Closed)
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            PoolErrorKind::Open(error) => error.fmt(f),
            PoolErrorKind::TooManyWaiting(waiting) => {
                write!(f, "no connection is free, and {waiting} wait for one already: allow more, or ask later")
            }
            PoolErrorKind::Closed => f.write_str("the pool is closed"),
        }
    }
}

impl fmt::Debug for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for PoolError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.open_error()?.source()
    }
}

impl From<PoolErrorKind> for PoolError {
    fn from(kind: PoolErrorKind) -> Self {
        Self(kind)
    }
}

impl From<OpenError> for PoolError {
    fn from(error: OpenError) -> Self {
        PoolErrorKind::Open(error).into()
    }
}
