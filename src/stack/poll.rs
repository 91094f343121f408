//! The `poll_*` family: what the driver is to do next. It drains them after every other call.

use std::time::Instant;

use super::list::WIRE;
use super::{End, Event, LayerId, Order, Output, Readable, Side, Stack};

impl Stack {
    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let events = &self.events;
        let is_to_come = |id: LayerId| events.iter().any(|event| matches!(event, Event::Ready(ready) if *ready == id));
        // The one of the last event is no longer asked for.
        self.departed.forget_told(is_to_come);
        self.events.pop_front()
    }

    /// Tells anew which layers wait for an answer, for whoever takes the stack over from one that was told already.
    pub(crate) fn tell_who_asks(&mut self) {
        let asking = self.layers().filter(|(_, layer)| layer.asks()).map(|(id, _)| Event::Asked(id));
        let asking: Vec<Event> = asking.collect();
        self.events.retain(|event| !matches!(event, Event::Asked(_)));
        self.events.extend(asking);
    }

    /// What the application can read, without taking it.
    #[must_use]
    pub fn readable(&self) -> Readable<'_> {
        let inbound = &self.list.node(self.list.innermost()).above.inbound;
        if !inbound.front().is_empty() {
            return Readable::Bytes(inbound.front());
        }
        match inbound.mark() {
            Some(&End::Layer(id)) => Readable::Ended(id),
            Some(End::Wire) => Readable::EndOfInput,
            Some(End::Truncated | End::Lost) => self.loss_ahead().map_or(Readable::Nothing, Readable::Lost),
            None => Readable::Nothing,
        }
    }

    /// What is to be done to the socket.
    pub fn poll_output(&mut self) -> Output<'_> {
        let closing = {
            let outbound = &mut self.wire().outbound;
            let mut closing = false;
            while let Some(order) = outbound.take_mark() {
                // Orders to layers that are gone end here.
                closing |= matches!(order, Order::Close | Order::CloseWire);
            }
            closing
        };
        if closing && self.wire_output == Side::Open {
            self.wire_output = Side::Closing;
        }
        let output = self.list.node(WIRE).above.outbound.front();
        match self.wire_output {
            Side::Closed => Output::Nothing,
            _ if !output.is_empty() => Output::Bytes(output),
            Side::Closing => Output::Shutdown,
            Side::Open => Output::Nothing,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        let layers = self.list.outer_to_inner().filter_map(|index| self.deadline(index));
        let unfinished = self.unfinished.map(|unfinished| unfinished.since);
        layers.chain(self.fate.linger().filter(|_| !self.is_flushed())).chain(unfinished).min()
    }

    /// Whether layers still have work that was put off, so that a little input cannot keep a thread for long.
    /// [`poll_deadline`](Self::poll_deadline) is then past, and [`handle_timeout`](Self::handle_timeout) goes on with it; a
    /// driver lets others have their turn in between.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }
}
