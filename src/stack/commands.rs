//! Commands: what the application wants. Each is carried out at once, as far as what was written before allows, or refused
//! with nothing changed.

use std::io;
use std::time::Instant;

use bytes::BytesMut;

use super::list::{NodeState, WIRE};
use super::{CommandError, CommandErrorKind, End, Layer, LayerId, Order, Reason, Side, Stack, Stop};

impl Stack {
    /// Puts a layer between the innermost one and the application.
    ///
    /// No byte moves: what the application has not consumed, and what it has written, is below the new layer from
    /// now on.
    ///
    /// # Errors
    ///
    /// When the stack is too deep, closed or lost; and while a layer is finished, stopping, or has ended without
    /// the application having continued below it ([`pass_end`](Self::pass_end)).
    pub fn splice(&mut self, now: Instant, layer: Box<dyn Layer>) -> Result<LayerId, CommandError> {
        let innermost = self.check_writable()?;
        self.check_depth()?;
        if let Some(id) = self.layer_end_ahead() {
            return Err(CommandErrorKind::Ended(id).into());
        }
        if let Some((id, NodeState::Stopping)) = innermost {
            return Err(CommandErrorKind::Stopping(id).into());
        }
        let index = self.list.splice(layer, self.limits.buffer);
        (self.looked_at, self.has_changed) = (0, true);
        let limit = self.limits.buffer;
        let below = self.list.below(index);
        // Room lent to the application is not the new layer's.
        let boundary = &mut self.list.node_mut(below).above;
        boundary.inbound.set_limit(limit);
        boundary.outbound.set_limit(limit);
        let write_limit = self.write_limit;
        self.app().outbound.set_limit(write_limit);
        let id = self.list.id(index);
        self.begin(index, now);
        self.settle(now);
        Ok(id)
    }

    /// Stops the innermost stoppable layer: what was written before leaves through it, then it sends its end (a close_notify)
    /// and waits for the peer's, then it is peeled ([`Event::Stopped`](super::Event::Stopped)). Idempotent: stopping a layer twice joins the first
    /// stop.
    ///
    /// # Errors
    ///
    /// When the layer is gone, is not of a kind that stops, or has another stoppable one above it.
    pub fn stop(&mut self, now: Instant, id: LayerId, stop: Stop) -> Result<(), CommandError> {
        let index = self.find_innermost(id)?;
        if self.list.node(index).state == NodeState::Stopping {
            return Ok(());
        }
        self.order_stop(index, now, stop)?;
        self.settle(now);
        Ok(())
    }

    /// Closes the write half of the innermost stoppable layer, behind the bytes already written: a half-close. Reading goes on;
    /// a later [`stop`](Self::stop) completes the peel.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub fn finish(&mut self, now: Instant, id: LayerId) -> Result<(), CommandError> {
        let index = self.find_innermost(id)?;
        if self.list.node(index).state == NodeState::Live {
            self.list.node_mut(index).state = NodeState::Finished;
            self.app().outbound.push_mark(Order::Finish(id));
            self.wake(self.list.innermost());
            self.settle(now);
        }
        Ok(())
    }

    /// Takes a layer out that has no end of its own, such as a counter, wherever it stands: also below live TLS. What
    /// it had not yet moved belongs to its neighbours, and nothing is lost. It is gone when this returns
    /// ([`Event::Stopped`](super::Event::Stopped) with [`PeerAnswer::NotNeeded`](super::PeerAnswer::NotNeeded)); no end shows in what is read.
    ///
    /// # Errors
    ///
    /// When the layer is gone, is of a kind that is to be stopped, or refuses ([`Layer::detach`]); and when the
    /// connection is lost.
    pub fn remove(&mut self, now: Instant, id: LayerId) -> Result<(), CommandError> {
        let index = self.list.find(id)?;
        if let Some(reason) = self.fate.lost() {
            return Err(CommandErrorKind::Lost(reason.clone()).into());
        }
        if self.list.node(index).layer.can_stop() {
            return Err(CommandErrorKind::CannotRemove(id).into());
        }
        self.order_detach(index, now)?;
        self.settle(now);
        Ok(())
    }

    /// Takes bytes to be sent through all layers, as many as there is room for, and returns how many. Bytes
    /// written while a layer stops wait below it.
    ///
    /// # Errors
    ///
    /// When the connection is closed or lost, the innermost layer is finished, or a layer ended by itself and the
    /// application has not yet continued below it.
    pub fn write(&mut self, now: Instant, bytes: &[u8]) -> Result<usize, CommandError> {
        self.check_writable()?;
        let app = self.app();
        let count = bytes.len().min(app.outbound.room());
        app.outbound.push(&bytes[..count]);
        self.wake(self.list.innermost());
        self.settle(now);
        Ok(count)
    }

    /// How many bytes [`write`](Self::write) takes now.
    pub(crate) fn write_room(&mut self) -> Result<usize, CommandError> {
        self.check_writable()?;
        Ok(self.app().outbound.room())
    }

    /// As [`write`](Self::write), up to `most` bytes off the front of `piece`: their storage (zero-copy), if they are many and
    /// nothing waits before them.
    pub(crate) fn write_piece(
        &mut self,
        now: Instant,
        piece: &mut BytesMut,
        most: usize,
    ) -> Result<usize, CommandError> {
        self.check_writable()?;
        let app = self.app();
        let count = piece.len().min(most).min(app.outbound.room());
        app.outbound.give_of(piece, count);
        self.wake(self.list.innermost());
        self.settle(now);
        Ok(count)
    }

    /// How many bytes a [`write`](Self::write) takes now.
    pub(crate) fn output_room(&mut self) -> usize {
        self.app().outbound.room()
    }

    /// As [`write`](Self::write), from several slices in their order, all of them at once: what has room of them becomes
    /// as many units (records) as if it had been one slice.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_vectored(&mut self, now: Instant, slices: &[io::IoSlice<'_>]) -> Result<usize, CommandError> {
        self.check_writable()?;
        let outbound = &mut self.app().outbound;
        let offered = slices.iter().fold(0, |sum: usize, slice| sum.saturating_add(slice.len()));
        let count = offered.min(outbound.room());
        outbound.reserve(count);
        let mut left = count;
        for slice in slices {
            let part = &slice[..slice.len().min(left)];
            outbound.push(part);
            left -= part.len();
        }
        self.wake(self.list.innermost());
        self.settle(now);
        Ok(count)
    }

    /// Takes `count` bytes off the front of what [`readable`](Self::readable) showed.
    ///
    /// # Panics
    ///
    /// If `count` is more than it would show now.
    pub fn consume(&mut self, now: Instant, count: usize) {
        self.app().inbound.consume(count);
        self.wake(self.list.innermost());
        self.settle(now);
    }

    /// As [`consume`](Self::consume), of bytes that are put behind those of `to`: their storage (zero-copy), if they are many and
    /// nothing is before them.
    pub(crate) fn consume_to(&mut self, now: Instant, to: &mut BytesMut, count: usize) {
        self.app().inbound.take_to(to, count);
        self.wake(self.list.innermost());
        self.settle(now);
    }

    /// Continues below the layer whose end [`readable`](Self::readable) showed, once it is peeled or the connection lost.
    ///
    /// # Errors
    ///
    /// When there is no such end to read, or its layer still has to be stopped.
    pub fn pass_end(&mut self, now: Instant) -> Result<LayerId, CommandError> {
        let Some(&End::Layer(id)) = self.app().inbound.mark() else {
            return Err(CommandErrorKind::NothingToStop.into());
        };
        if let Ok(index) = self.list.find(id) {
            if self.fate.lost().is_none() {
                return Err(CommandErrorKind::Ended(id).into());
            }
            // After a loss it will never be stopped, and the loss is behind it. What was written through it must not
            // leave without it.
            self.clear_outbound(index, |order| matches!(order, Order::Close | Order::CloseWire));
            self.peel(index);
        }
        self.app().inbound.take_mark();
        self.unacknowledged.retain(|&ended| ended != id);
        self.departed.forget_read(|read| read == id);
        let limit = self.limits.buffer;
        self.app().inbound.set_limit(limit);
        self.wake(self.list.innermost());
        self.settle(now);
        Ok(id)
    }

    /// Sets how many unread bytes may wait for the application, until the next layer change.
    pub fn set_read_limit(&mut self, now: Instant, limit: usize) {
        let limit = limit.max(self.limits.buffer);
        self.app().inbound.set_limit(limit);
        self.wake(self.list.innermost());
        self.settle(now);
    }

    /// As [`set_read_limit`](Self::set_read_limit), for an application that has looked at all that can be read and leaves it
    /// there, because the rest of a message is missing: it is the peer who owes that ([`Ends::unread`](super::Ends::unread)).
    pub fn await_more(&mut self, now: Instant, limit: usize) {
        self.looked_at = self.app().inbound.back();
        self.set_read_limit(now, limit);
    }

    /// Sets how many bytes the application may have written that no layer has taken yet. As [`Limits::buffer`](super::Limits::buffer) unless
    /// set, and never less.
    pub fn set_write_limit(&mut self, limit: usize) {
        self.write_limit = limit.max(self.limits.buffer);
        let limit = self.write_limit;
        self.app().outbound.set_limit(limit);
    }

    /// Drops everything that can be read, over all ends, for an application that has closed and only waits until the
    /// peer has closed too ([`is_input_closed`](Self::is_input_closed)). Before [`close`](Self::close) it does nothing.
    pub fn drain(&mut self, now: Instant) {
        if self.application == Side::Open && self.fate.lost().is_none() {
            return;
        }
        let is_last = |end: &End| matches!(end, End::Wire | End::Truncated | End::Lost);
        let inbound = &mut self.app().inbound;
        let marks = inbound.marks().count();
        if inbound.clear(is_last) > 0 || inbound.marks().count() < marks {
            self.forget_ends();
            self.wake(self.list.innermost());
            self.settle(now);
        }
    }

    /// Closes every layer from the inside out, then the write side of the wire, behind the bytes already
    /// written: a graceful close of our direction. Reading goes on. Idempotent.
    pub fn close(&mut self, now: Instant) {
        self.end_output(now, Order::Close);
    }

    /// Closes the write side of the wire behind the bytes already written, and no layer sends its end: to the peer, all of
    /// them are truncated. For whoever passes a truncation on and must not make an end of it. Reading goes on.
    pub fn close_wire(&mut self, now: Instant) {
        self.end_output(now, Order::CloseWire);
    }

    /// Ends the connection at once. Nothing more is sent. Idempotent.
    pub fn abort(&mut self, now: Instant) {
        self.lose_wire(now, Reason::aborted());
    }

    /// Answers nothing to what a layer has asked ([`Event::Asked`](super::Event::Asked)): its peer is told no, in whatever words
    /// the layer's protocol has for it.
    ///
    /// # Errors
    ///
    /// When the layer is gone, or has asked nothing that is still to be answered; and when the connection is lost.
    pub fn decline(&mut self, now: Instant, id: LayerId) -> Result<(), CommandError> {
        let index = self.list.find(id)?;
        if let Some(reason) = self.fate.lost() {
            return Err(CommandErrorKind::Lost(reason.clone()).into());
        }
        if !self.list.node_mut(index).layer.decline() {
            return Err(CommandErrorKind::NotAsked(id).into());
        }
        self.ask_awaited(index);
        self.wake(index);
        self.settle(now);
        Ok(())
    }

    /// Changes a layer of a known type, and lets it act on that at once.
    ///
    /// # Errors
    ///
    /// When the layer is gone or not of this type.
    pub fn with_layer<L: Layer, R>(
        &mut self,
        now: Instant,
        id: LayerId,
        change: impl FnOnce(&mut L) -> R,
    ) -> Result<R, CommandError> {
        let index = self.list.find(id)?;
        let layer: &mut dyn std::any::Any = &mut *self.list.node_mut(index).layer;
        let layer = layer.downcast_mut::<L>().ok_or(CommandErrorKind::NoSuchLayer(id))?;
        let result = change(layer);
        self.ask_awaited(index);
        self.wake(index);
        self.settle(now);
        Ok(result)
    }

    /// How layers went whose ends are no longer to be read, nobody will ask.
    pub(super) fn forget_ends(&mut self) {
        let mut departed = std::mem::take(&mut self.departed);
        departed.forget_read(|id| !self.has_end(id));
        self.departed = departed;
    }

    fn end_output(&mut self, now: Instant, order: Order) {
        if self.application == Side::Open && self.fate.lost().is_none() {
            self.application = Side::Closed;
            self.app().outbound.push_mark(order);
            self.wake(self.list.innermost());
            self.settle(now);
        }
    }

    pub(super) fn check_depth(&self) -> Result<(), CommandError> {
        if self.list.len() >= self.limits.depth {
            return Err(CommandErrorKind::TooDeep(self.limits.depth).into());
        }
        Ok(())
    }

    /// Refuses where nothing may be written, and says what the innermost layer that can be stopped is doing.
    pub(crate) fn check_writable(&self) -> Result<Option<(LayerId, NodeState)>, CommandError> {
        if let Some(reason) = self.fate.lost() {
            return Err(CommandErrorKind::Lost(reason.clone()).into());
        }
        if self.application != Side::Open {
            return Err(CommandErrorKind::Closed.into());
        }
        if let Some(&id) = self.unacknowledged.first() {
            return Err(CommandErrorKind::Ended(id).into());
        }
        match self.innermost_state() {
            Some((id, NodeState::Finished)) => Err(CommandErrorKind::Finished(id).into()),
            innermost => Ok(innermost),
        }
    }

    pub(super) fn innermost_state(&self) -> Option<(LayerId, NodeState)> {
        let index = self.stoppable_above(WIRE)?;
        Some((self.list.id(index), self.list.node(index).state))
    }

    fn find_innermost(&self, id: LayerId) -> Result<usize, CommandError> {
        let index = self.list.find(id)?;
        if let Some(reason) = self.fate.lost() {
            return Err(CommandErrorKind::Lost(reason.clone()).into());
        }
        if self.application != Side::Open {
            return Err(CommandErrorKind::Closed.into());
        }
        if !self.list.node(index).layer.can_stop() {
            return Err(CommandErrorKind::CannotStop(id).into());
        }
        if self.stoppable_above(index).is_some() {
            return Err(CommandErrorKind::NotInnermost(id).into());
        }
        Ok(index)
    }
}
