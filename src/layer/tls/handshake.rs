//! How far the handshake has come. The two halves that follow it are those of every layer with an end:
//! [`crate::layer::Halves`].
//!
//! ```text
//!   Handshaking ──► Done
//!        └────────► Failed
//! ```

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    Handshaking { since: Option<Instant> },
    Done { took: Duration },
    Failed,
}

impl Handshake {
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self::Handshaking { since: Some(now) };
    }

    pub(super) fn complete(&mut self, now: Instant) {
        if let Self::Handshaking { since } = *self {
            *self = Self::Done { took: since.map(|since| now.saturating_duration_since(since)).unwrap_or_default() };
        }
    }

    pub(super) fn is_handshaking(self) -> bool {
        matches!(self, Self::Handshaking { .. })
    }

    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// How long it took, if it is done.
    pub(super) fn time(self) -> Option<Duration> {
        match self {
            Self::Done { took } => Some(took),
            _ => None,
        }
    }
}
