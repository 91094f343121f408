//! How a connection ended, and which side was to blame for it if one was.

use std::fmt;

use super::Loss;
use super::tally::Outcome;

/// How a connection ended, and which side was to blame for it if one was.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) loss: Option<Loss>,
}

impl End {
    pub(crate) fn of(outcome: Outcome, loss: Loss) -> Self {
        Self { outcome, loss: Some(loss) }
    }
}

impl From<Outcome> for End {
    /// One that no side is to blame for.
    fn from(outcome: Outcome) -> Self {
        Self { outcome, loss: None }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.loss {
            Some(loss) => write!(f, "{}, {loss}", self.outcome),
            None => self.outcome.fmt(f),
        }
    }
}
