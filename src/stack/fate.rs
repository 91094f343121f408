//! What has become of the connection, of both directions or of one: a state machine with three states.
//!
//! ```text
//!   Whole ──► Truncated ──► Lost
//!     └───────────────────────▲
//! ```
//!
//! The two directions of a connection end apart from each other, and so they are lost. A peer that ends TCP without a
//! close_notify has sent a FIN: nothing more comes from it, and nobody can tell whether that was all. But it may well read
//! on, as most clients do that end so behind their request. Thus its direction is *truncated*, and ours is open: what is
//! written leaves, layers can send their ends, and the connection can be closed gracefully. Whatever proves more than that (a
//! reset, damage, a deadline that passed, an answer that a layer cannot do without) is the loss of both.
//!
//! A loss that a layer has found is told to the peer where that is possible: an alert, and behind it the ends of the layers
//! below. They *linger* in the stack until the wire has taken them, or for some seconds in which it takes nothing.

use std::time::{Duration, Instant};

use super::{LayerId, Reason};

#[derive(Debug)]
pub(super) enum Fate {
    Whole,
    /// The peer's direction ended before its layers did; ours is open.
    Truncated(Reason),
    /// Both directions.
    Lost(Loss),
}

#[derive(Debug)]
pub(super) struct Loss {
    reason: Reason,
    /// What was truncated before still ends in that for its reader.
    truncated: Option<Reason>,
    sent: Sent,
    /// Until when some of what is left to send, an alert, has to leave.
    linger: Option<Instant>,
}

/// What had become of what we had written when the connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It had left, and our close behind it.
    Closed,
    /// It had left.
    All,
    /// Bytes or orders of it were still on their way down, and never left.
    NotAll,
}

impl Fate {
    /// Why nothing more can be sent or received.
    pub(super) fn lost(&self) -> Option<&Reason> {
        self.loss().map(|loss| &loss.reason)
    }

    /// Why nothing more can be received.
    pub(super) fn truncated(&self) -> Option<&Reason> {
        match self {
            Self::Whole => None,
            Self::Truncated(reason) => Some(reason),
            Self::Lost(loss) => loss.truncated.as_ref(),
        }
    }

    /// What had become of what we had written, if the connection is lost.
    pub(super) fn sent(&self) -> Option<Sent> {
        self.loss().map(|loss| loss.sent)
    }

    /// Until when some of what is left to send after a loss has to leave.
    pub(super) fn linger(&self) -> Option<Instant> {
        self.loss()?.linger
    }

    /// The peer's direction is cut off: its stream ended before that of one more layer, or what the wire runs over is cut off.
    pub(super) fn truncate(&mut self, cut: Reason) {
        match self {
            Self::Whole => *self = Self::Truncated(cut.of_inbound_only()),
            Self::Truncated(reason) => *reason = reason.clone().and(&cut),
            Self::Lost(Loss { reason, truncated, .. }) => {
                *reason = reason.clone().and(&cut);
                // The first of them may stand behind bytes that had no room yet when all was lost.
                *truncated = Some(match truncated.take() {
                    Some(earlier) => earlier.and(&cut),
                    None => cut.of_inbound_only(),
                });
            }
        }
    }

    /// One more layer has failed, with our direction closed by then or not; whether nothing was lost before.
    pub(super) fn fail(&mut self, layer: LayerId, failure: Reason, was_closed: bool, now: Instant) -> bool {
        let reason = match self {
            Self::Whole => failure,
            // What was reported of a layer is not reported twice.
            Self::Truncated(reason) if reason.names(layer) => reason.clone(),
            Self::Truncated(reason) => reason.clone().and(&failure),
            Self::Lost(Loss { reason, .. }) => {
                // What takes too long after the loss is no news.
                if !failure.is_timeout() {
                    *reason = reason.clone().and(&failure);
                }
                return false;
            }
        };
        self.lose(reason, was_closed, Some(now + LINGER));
        true
    }

    /// The wire is lost, or we have given up, with our direction closed by then or not; whether nothing was lost before.
    pub(super) fn lose_wire(&mut self, reason: Reason, was_closed: bool) -> bool {
        let reason = match self {
            Self::Whole => reason,
            Self::Truncated(earlier) => reason.and(earlier),
            Self::Lost(_) => return false,
        };
        self.lose(reason, was_closed, None);
        true
    }

    /// Some of what we had written is dropped.
    pub(super) fn drop_unsent(&mut self) {
        if let Self::Lost(Loss { sent: sent @ Sent::All, .. }) = self {
            *sent = Sent::NotAll;
        }
    }

    /// The wire has taken some of what is left to send: a peer that takes something is not the one that the linger is there
    /// for.
    pub(super) fn linger_on(&mut self, now: Instant) {
        if let Self::Lost(Loss { linger: Some(linger), .. }) = self {
            *linger = now + LINGER;
        }
    }

    fn loss(&self) -> Option<&Loss> {
        match self {
            Self::Lost(loss) => Some(loss),
            Self::Whole | Self::Truncated(_) => None,
        }
    }

    fn lose(&mut self, reason: Reason, was_closed: bool, linger: Option<Instant>) {
        let truncated = self.truncated().cloned();
        let sent = if was_closed { Sent::Closed } else { Sent::All };
        *self = Self::Lost(Loss { reason: reason.of_both_directions(), truncated, sent, linger });
    }
}

/// After a loss, how long the peer may take nothing of what is still to be sent (an alert).
const LINGER: Duration = Duration::from_secs(5);
