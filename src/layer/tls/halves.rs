//! The states of a TLS layer: the handshake, and then two halves that end independently. What all layers with an end have
//! in common is in [`crate::layer::halves`].
//!
//! ```text
//!   handshake   Handshaking ──► Done
//!                    └────────► Failed
//!
//!   write       Open ──► CloseNotifyQueued ──► CloseNotifySent        finish(), stop() or close
//!                └──────────────────▲ (at once, unless the peer is given a grace)
//!
//!   read        Open ──► PeerClosed, Eof, Truncated
//!   stop        NotAsked ──► Ordered ──► Met ──► (peeled)
//! ```
//!
//! There is no combined enum: RFC 8446 section 6.1 closes each direction by itself, and TLS 1.2 peers do as well.

use std::time::{Duration, Instant};

use crate::layer::halves::ReadHalf;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteHalf {
    Open,
    /// Nothing more is encrypted; our close_notify waits for the peer's, for as long as its grace is.
    CloseNotifyQueued,
    CloseNotifySent,
}

impl WriteHalf {
    /// What is to be said of it, if anything is.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::CloseNotifyQueued => Some("close_notify waits for the peer's"),
            Self::CloseNotifySent => Some("close_notify sent"),
        }
    }
}

/// What is to be said of a read half, if anything is.
pub(super) fn word(read: ReadHalf) -> Option<&'static str> {
    match read {
        ReadHalf::Open => None,
        ReadHalf::PeerClosed => Some("close_notify received"),
        ReadHalf::Eof => Some("no close_notify received"),
        ReadHalf::Truncated => Some("cut off without a close_notify"),
    }
}
