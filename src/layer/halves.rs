//! How a layer ends that takes leave of its peer: what TLS and deflate have in common.
//!
//! ```text
//!   read        Open ──► PeerClosed          the peer's end: a close_notify, a final block
//!                └─────► Eof                 the peer left it out, and that was allowed
//!
//!   stop        NotAsked ──► Ordered ──► Met ──► (peeled)
//! ```
//!
//! Each direction is closed by itself, so the write half is a state of its own, and each layer has its own.

use std::time::{Duration, Instant};

use crate::stack::{PeerAnswer, Stop};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadHalf {
    Open,
    PeerClosed,
    Eof,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
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
    pub(crate) fn order(stop: Stop) -> Self {
        Self::Ordered { stop, deadline: None }
    }

    /// Starts the clock: at the command, or when the handshake is done.
    pub(crate) fn start_clock(&mut self, now: Instant) {
        if let Self::Ordered { stop, deadline } | Self::Met { stop, deadline } = self {
            *deadline = after(now, stop.timeout);
        }
    }

    pub(crate) fn meet(&mut self) {
        if let Self::Ordered { stop, deadline } = *self {
            *self = Self::Met { stop, deadline };
        }
    }

    pub(crate) fn stop(&self) -> Option<&Stop> {
        match self {
            Self::NotAsked => None,
            Self::Ordered { stop, .. } | Self::Met { stop, .. } => Some(stop),
        }
    }

    /// The options of a stop that has been met: all that is left is to take leave.
    pub(crate) fn met(&self) -> Option<&Stop> {
        match self {
            Self::Met { stop, .. } => Some(stop),
            _ => None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::NotAsked => None,
            Self::Ordered { deadline, .. } | Self::Met { deadline, .. } => deadline,
        }
    }
}

impl ReadHalf {
    /// How the peer took its part, if its half is closed.
    pub(crate) fn answer(self) -> Option<PeerAnswer> {
        match self {
            Self::Open => None,
            Self::PeerClosed => Some(PeerAnswer::CloseNotify),
            Self::Eof => Some(PeerAnswer::Missing),
        }
    }
}

/// The moment so long after `now`; none if that is beyond all time.
pub(crate) fn after(now: Instant, wait: Option<Duration>) -> Option<Instant> {
    now.checked_add(wait?)
}
