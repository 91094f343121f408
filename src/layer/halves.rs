//! How a layer ends that takes leave of its peer: what TLS and deflate have in common.
//!
//! ```text
//!   read        Open ──► PeerClosed          the peer's end: a close_notify, a final block
//!                ├─────► Eof                 the peer left it out, and that was allowed
//!                └─────► Truncated           the stream below ended before it; our own direction goes on
//!
//!   stop        NotAsked ──► Ordered ──► Met ──► (peeled)
//! ```
//!
//! Each direction is closed by itself, so the write half is a state of its own, and each layer has its own.

use std::time::Duration;

use crate::stack::{Patience, PeerAnswer, Stop};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadHalf {
    Open,
    PeerClosed,
    Eof,
    Truncated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    NotAsked,
    /// The command was given; what was written before it is still on its way through this layer.
    Ordered(Stop),
    /// Everything written before has gone through this layer.
    Met(Stop, Grace),
}

/// The time in which the peer may go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grace {
    None,
    Running(Duration),
    /// It was so long, and is a part of the time for the answer.
    Over(Duration),
}

impl Stopping {
    pub(crate) fn order(stop: Stop) -> Self {
        Self::Ordered(stop)
    }

    pub(crate) fn meet(&mut self) {
        if let Self::Ordered(stop) = *self {
            *self = Self::Met(stop, Grace::None);
        }
    }

    /// Lets the peer go first, no longer than the whole stop may take.
    pub(crate) fn begin_grace(&mut self, grace: Duration) {
        if let Self::Met(stop, state) = self {
            *state = Grace::Running(stop.answer_limit().map_or(grace, |timeout| grace.min(timeout)));
        }
    }

    /// Whether the grace was running, and is over now.
    pub(crate) fn end_grace(&mut self) -> bool {
        let Self::Met(_, state @ Grace::Running(_)) = self else { return false };
        if let Grace::Running(grace) = *state {
            *state = Grace::Over(grace);
        }
        true
    }

    pub(crate) fn stop(&self) -> Option<&Stop> {
        match self {
            Self::NotAsked => None,
            Self::Ordered(stop) | Self::Met(stop, _) => Some(stop),
        }
    }

    /// The options of a stop that has been met: all that is left is to take leave.
    pub(crate) fn met(&self) -> Option<&Stop> {
        match self {
            Self::Met(stop, _) => Some(stop),
            _ => None,
        }
    }

    /// How long the peer may take for its part. The time of the grace is not given twice.
    pub(crate) fn awaits(&self) -> Option<Patience> {
        let answer = |limit| Patience::new("the peer's end of the layer", limit).behind_stop();
        match *self {
            Self::NotAsked => None,
            Self::Ordered(stop) | Self::Met(stop, Grace::None) => stop.answer_limit().map(answer),
            Self::Met(_, Grace::Running(grace)) => Some(Patience::new("the peer to go first", grace)),
            Self::Met(stop, Grace::Over(grace)) => {
                stop.answer_limit().map(|timeout| answer(timeout.saturating_sub(grace)))
            }
        }
    }

    /// Whether nothing is left of the time for the answer, the grace having taken all of it.
    pub(crate) fn is_spent(&self) -> bool {
        self.awaits().is_some_and(|patience| patience.limit().is_zero())
    }
}

impl ReadHalf {
    /// How the peer took its part, if its half is closed.
    pub(crate) fn answer(self) -> Option<PeerAnswer> {
        match self {
            Self::Open | Self::Truncated => None,
            Self::PeerClosed => Some(PeerAnswer::CloseNotify),
            Self::Eof => Some(PeerAnswer::Missing),
        }
    }
}
