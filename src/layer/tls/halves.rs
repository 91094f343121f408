//! The states of a TLS layer: the handshake, and then two halves that end independently.
//!
//! ```text
//!   handshake   Handshaking ──► Done
//!                    └────────► Failed
//!
//!   write       Open ──► CloseNotifyQueued ──► CloseNotifySent        finish(), stop() or close
//!                └──────────────────▲ (at once, unless the peer is given a grace)
//!
//!   read        Open ──► PeerClosed          the peer's close_notify
//!                └─────► Eof                 the peer left it out, and that was allowed
//!
//!   stop        NotAsked ──► Ordered ──► Met ──► (peeled)
//! ```
//!
//! There is no combined enum: RFC 8446 section 6.1 closes each direction by itself, and TLS 1.2 peers do as well.

use std::time::{Duration, Instant};

use crate::stack::{PeerAnswer, Stop};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    Handshaking { since: Option<Instant>, deadline: Option<Instant> },
    Done { took: Duration },
    Failed,
}

impl Handshake {
    pub(super) fn begin(&mut self, now: Instant, timeout: Option<Duration>) {
        *self = Self::Handshaking { since: Some(now), deadline: after(now, timeout) };
    }

    pub(super) fn complete(&mut self, now: Instant) {
        if let Self::Handshaking { since, .. } = *self {
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

    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Handshaking { deadline, .. } => deadline,
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteHalf {
    Open,
    /// Nothing more is encrypted; our close_notify waits for the peer's, at most until then if there is a limit.
    CloseNotifyQueued {
        until: Option<Instant>,
    },
    CloseNotifySent,
}

impl WriteHalf {
    /// What is to be said of it, if anything is.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::CloseNotifyQueued { .. } => Some("close_notify waits for the peer's"),
            Self::CloseNotifySent => Some("close_notify sent"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadHalf {
    Open,
    PeerClosed,
    Eof,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    NotAsked,
    /// The command was given; what was written before it is still on its way through this layer.
    Ordered {
        stop: Stop,
        deadline: Option<Instant>,
    },
    /// Everything written before has left.
    Met {
        stop: Stop,
        deadline: Option<Instant>,
    },
}

impl Stopping {
    pub(super) fn order(stop: Stop) -> Self {
        Self::Ordered { stop, deadline: None }
    }

    /// Starts the clock: at the command, or when the handshake is done.
    pub(super) fn start_clock(&mut self, now: Instant) {
        if let Self::Ordered { stop, deadline } | Self::Met { stop, deadline } = self {
            *deadline = after(now, stop.timeout);
        }
    }

    pub(super) fn meet(&mut self) {
        if let Self::Ordered { stop, deadline } = *self {
            *self = Self::Met { stop, deadline };
        }
    }

    pub(super) fn stop(&self) -> Option<&Stop> {
        match self {
            Self::NotAsked => None,
            Self::Ordered { stop, .. } | Self::Met { stop, .. } => Some(stop),
        }
    }

    /// The options of a stop that has been met: all that is left is the exchange of close_notify.
    pub(super) fn met(&self) -> Option<&Stop> {
        match self {
            Self::Met { stop, .. } => Some(stop),
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::NotAsked => None,
            Self::Ordered { deadline, .. } | Self::Met { deadline, .. } => deadline,
        }
    }
}

impl ReadHalf {
    /// What is to be said of it, if anything is.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::PeerClosed => Some("close_notify received"),
            Self::Eof => Some("no close_notify received"),
        }
    }

    /// How the peer took its part, if its half is closed.
    pub(super) fn answer(self) -> Option<PeerAnswer> {
        match self {
            Self::Open => None,
            Self::PeerClosed => Some(PeerAnswer::CloseNotify),
            Self::Eof => Some(PeerAnswer::Missing),
        }
    }
}

/// The moment so long after `now`; none if that is beyond all time.
pub(super) fn after(now: Instant, wait: Option<Duration>) -> Option<Instant> {
    now.checked_add(wait?)
}
