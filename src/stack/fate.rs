//! What has become of the connection: of both directions, or of one.
//!
//! ```text
//!   Whole ──► Truncated ──► Lost
//!     └───────────────────────▲
//! ```
//!
//! The two directions of a connection end apart from each other, and so they are lost. A peer that ends TCP without a
//! close_notify has sent a FIN: nothing more comes from it, and nobody can tell whether that was all. But it may well read
//! on, as most clients do that end so behind their request. Thus its direction is *truncated*, and ours is open: what is
//! written leaves, layers can take leave, and the connection can be closed in order. Whatever proves more than that (a
//! reset, damage, a deadline that passed, an answer that a layer cannot do without) is the loss of both.

use super::{LayerLoss, Reason};

#[derive(Debug)]
pub(super) enum Fate {
    Whole,
    /// The peer's direction ended before its layers did; ours is open.
    Truncated(Reason),
    /// Both directions. What was truncated before still ends in that for its reader.
    Lost {
        reason: Reason,
        truncated: Option<Reason>,
    },
}

impl Fate {
    /// Why nothing more can be sent or received.
    pub(super) fn lost(&self) -> Option<&Reason> {
        match self {
            Self::Lost { reason, .. } => Some(reason),
            Self::Whole | Self::Truncated(_) => None,
        }
    }

    /// Why nothing more can be received.
    pub(super) fn truncated(&self) -> Option<&Reason> {
        match self {
            Self::Truncated(reason) => Some(reason),
            Self::Lost { truncated, .. } => truncated.as_ref(),
            Self::Whole => None,
        }
    }

    /// The stream below one more layer has ended before the layer's own.
    pub(super) fn truncate(&mut self, loss: LayerLoss) {
        match self {
            Self::Whole => *self = Self::Truncated(Reason::layer(loss)),
            Self::Truncated(reason) => *reason = reason.and(loss),
            Self::Lost { reason, truncated } => {
                *reason = reason.and(loss.clone());
                // The first of them may stand behind bytes that had no room yet when all was lost.
                *truncated = Some(match truncated.take() {
                    Some(earlier) => earlier.and(loss),
                    None => Reason::layer(loss),
                });
            }
        }
    }

    /// One more layer has failed; whether nothing was lost before.
    pub(super) fn fail(&mut self, loss: LayerLoss) -> bool {
        let reason = match self {
            Self::Whole => Reason::layer(loss),
            // What was told of a layer is not told twice.
            Self::Truncated(reason) if reason.names(loss.layer) => reason.clone(),
            Self::Truncated(reason) => reason.and(loss),
            Self::Lost { reason, .. } => {
                // What takes too long after the loss is no news.
                if !loss.error.is_timeout() {
                    *reason = reason.and(loss);
                }
                return false;
            }
        };
        self.lose(reason);
        true
    }

    /// The socket has failed, or we have given up; whether nothing was lost before.
    pub(super) fn lose_wire(&mut self, reason: Reason) -> bool {
        let reason = match self {
            Self::Whole => reason,
            Self::Truncated(earlier) => reason.with_layers_of(earlier),
            Self::Lost { .. } => return false,
        };
        self.lose(reason);
        true
    }

    fn lose(&mut self, reason: Reason) {
        let truncated = self.truncated().cloned();
        *self = Self::Lost { reason, truncated };
    }
}
