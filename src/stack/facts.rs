//! Facts: what a stack can say of itself. Nothing here changes anything.

use std::any::Any;

use super::fate::Sent;
use super::list::{NodeState, WIRE};
use super::{Departure, End, Layer, LayerId, Reason, Side, Stack};

impl Stack {
    /// The layers, from the wire inwards.
    pub fn layers(&self) -> impl Iterator<Item = (LayerId, &dyn Layer)> {
        self.list.outer_to_inner().map(|index| (self.list.id(index), &*self.list.node(index).layer))
    }

    /// The number of layers.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.list.len()
    }

    /// The layer with this id, if it is still there.
    #[must_use]
    pub fn layer(&self, id: LayerId) -> Option<&dyn Layer> {
        let index = self.list.find(id).ok()?;
        Some(&*self.list.node(index).layer)
    }

    /// The layer with this id, if it is still there and of this kind.
    #[must_use]
    pub fn layer_as<L: Layer>(&self, id: LayerId) -> Option<&L> {
        let layer: &dyn Any = self.layer(id)?;
        layer.downcast_ref()
    }

    /// The layer of the last [`Event::Ready`]. It may have been peeled already: a handshake, bytes and the end
    /// can come in one segment.
    pub(crate) fn layer_at_ready(&self, id: LayerId) -> Option<&dyn Layer> {
        self.layer(id).or_else(|| self.departed.layer(id))
    }

    /// How a layer went that is gone, as long as its end is still to be read ([`pass_end`](Self::pass_end)).
    #[must_use]
    pub fn departure(&self, id: LayerId) -> Option<&Departure> {
        self.departed.end(id)
    }

    /// The innermost layer that can be stopped.
    #[must_use]
    pub fn innermost_stoppable(&self) -> Option<LayerId> {
        self.stoppable_above(WIRE).map(|index| self.list.id(index))
    }

    /// Why the connection is lost, if it is: nothing more can be sent or received. What was received before the loss may
    /// still be readable.
    #[must_use]
    pub fn lost(&self) -> Option<&Reason> {
        self.fate.lost()
    }

    /// Why nothing more can be received, if what the peer sends was cut off: it ended TCP without a close_notify, or an outer
    /// layer while inner ones live. All layers that miss their end are in the reason. It is read behind all that came before
    /// ([`Readable::Lost`](super::Readable::Lost)).
    ///
    /// After such an end our own direction is still open, unless the connection is [`lost`](Self::lost) as well: what is
    /// written leaves, layers can be finished, and the connection can be closed gracefully (RFC 8446 section 6.1: each
    /// direction is closed by itself).
    #[must_use]
    pub fn truncated(&self) -> Option<&Reason> {
        self.fate.truncated()
    }

    /// Whether the connection was lost only after we had closed it and everything had left.
    #[must_use]
    pub fn is_lost_after_close(&self) -> bool {
        self.fate.sent() == Some(Sent::Closed)
    }

    /// Whether bytes that were written, or orders, were still on their way down when the connection was lost, and never
    /// left. What the socket had taken by then has left.
    #[must_use]
    pub fn is_lost_unsent(&self) -> bool {
        self.fate.sent() == Some(Sent::NotAll)
    }

    /// The number of bytes on their way down, in all boundaries.
    #[must_use]
    pub fn outbound_len(&self) -> usize {
        self.list.upwards(WIRE).map(|index| self.list.node(index).above.outbound.len()).sum()
    }

    /// The number of bytes on their way up, in all boundaries.
    #[must_use]
    pub fn inbound_len(&self) -> usize {
        self.list.upwards(WIRE).map(|index| self.list.node(index).above.inbound.len()).sum()
    }

    /// Whether everything written has left through the wire, with all orders that stood between; or never will, because
    /// the wire takes no more.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        if self.wire_output == Side::Closed {
            return true;
        }
        let empty = self.list.upwards(WIRE).all(|index| self.list.node(index).above.outbound.is_empty());
        empty && self.wire_output != Side::Closing
    }

    /// The end that stands next in what the application can read, wherever that is, with bytes before it or not.
    #[must_use]
    pub fn end_ahead(&self) -> Option<&End> {
        self.list.node(self.list.innermost()).above.inbound.next_mark()
    }

    /// Why what the application reads comes to no clean end, if that is what stands next in it.
    pub(crate) fn loss_ahead(&self) -> Option<&Reason> {
        match self.end_ahead()? {
            End::Truncated => self.fate.truncated().or(self.fate.lost()),
            End::Lost => self.fate.lost(),
            End::Layer(_) | End::Wire => None,
        }
    }

    /// The peeled layer whose end the application reads next, also if that still waits below a layer that has no room.
    #[must_use]
    pub fn peeled_ahead(&self) -> Option<LayerId> {
        self.layer_end_ahead().filter(|&id| self.layer(id).is_none())
    }

    /// The layer that ended without the application having asked for it, and has not yet acknowledged.
    #[must_use]
    pub fn ended_by_itself(&self) -> Option<LayerId> {
        self.unacknowledged.first().copied()
    }

    /// The innermost layer that is being stopped.
    #[must_use]
    pub fn stopping(&self) -> Option<LayerId> {
        self.innermost_state().filter(|&(_, state)| state == NodeState::Stopping).map(|(id, _)| id)
    }

    /// The layer whose end comes first, in whatever boundary it waits.
    pub(super) fn layer_end_ahead(&self) -> Option<LayerId> {
        let boundaries = self.list.inner_to_outer().chain([WIRE]);
        let mut ends = boundaries.flat_map(|index| self.list.node(index).above.inbound.marks());
        ends.find_map(|end| match *end {
            End::Layer(id) => Some(id),
            _ => None,
        })
    }

    pub(super) fn stoppable_above(&self, index: usize) -> Option<usize> {
        self.list.upwards(index).skip(1).filter(|&index| self.list.node(index).layer.can_stop()).last()
    }
}
