//! The way down: plaintext becomes records, and orders take effect between them.

use super::{TLS12_OVERHEAD, TlsLayer};
use crate::layer::ending::{Ending, ReadHalf, WriteHalf};
use crate::layer::tls::failure::explain;
use crate::layer::tls::record::{Front, Onwards};
use crate::stack::{Ends, Failure, GoesFirst, Layer, LayerError, LayerErrorKind, Order, Way, Ways};

impl TlsLayer {
    pub(super) fn send(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.handshake.is_handshaking() {
            return self.check_closed_early(ends);
        }
        if self.key_updates.is_wanted() && (self.key_updates.may_go_alone() || will_send_data(ends)) {
            self.update_keys(ends)?;
        }
        let (id, onwards) = (ends.id(), Onwards::to(ends.layer_below()));
        while self.halves.write() == WriteHalf::Open {
            let whole = ends.unit().saturating_sub(self.framing().overhead).max(MIN_FRAGMENT);
            let paced = if ends.layer_above() { usize::MAX } else { self.pace.record(ends.now()) };
            let largest = whole.min(self.engine.largest()).min(paced);
            let Ways { inbound: Way { from: input, .. }, outbound: Way { from: plain, to: output } } = ends.all();
            let fragment = plain.front().len().min(largest);
            if fragment > 0 {
                if !output.is_empty() && output.room() < fragment + TLS12_OVERHEAD {
                    return Ok(());
                }
                let sent = self.engine.send(input, &plain.front()[..fragment], output, onwards);
                sent.map_err(|error| self.fail(explain(error, &[], self.role)))?;
                plain.consume(fragment);
                self.traffic.bytes_out += fragment as u64;
                self.traffic.records_out += 1;
                self.key_updates.data_sent();
                self.pace.sent(fragment, ends.now());
                if onwards == Onwards::ToLayer {
                    return Ok(());
                }
                continue;
            }
            if plain.mark() == Some(&Order::Stop(id)) && self.is_abandoning() && !self.is_between_records(ends) {
                // A part of a record came after the order was given. The order waits in its place for the rest.
                return Ok(());
            }
            match ends.outbound_above().take_mark() {
                Some(order) => self.obey(order, ends)?,
                None => return Ok(()),
            }
        }
        self.obey_behind_end(ends)
    }

    /// Sends the KeyUpdate that was asked for, unless the keys that we have are as good as new ones.
    fn update_keys(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if !self.key_updates.take_wanted(&self.traffic) || self.halves.write() != WriteHalf::Open {
            return Ok(());
        }
        let Ways { inbound: Way { from: input, .. }, outbound: Way { to: output, .. } } = ends.all();
        let refreshed = self.engine.refresh(input, output);
        refreshed.map_err(|error| self.fail(explain(error, &[], self.role)))?;
        self.key_updates.sent(&self.traffic);
        Ok(())
    }

    /// A connection that is closed before anything was to go through the handshake does not wait for it.
    fn check_closed_early(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        match ends.outbound_above().mark() {
            Some(Order::Close | Order::CloseWire) => {
                let message = "the connection was closed during the handshake";
                Err(self.fail(LayerError::new(LayerErrorKind::Unsupported, message)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_abandon(&self, ends: &mut Ends<'_>) -> Result<(), LayerError> {
        let refuse = |message| Err(LayerError::new(LayerErrorKind::Unsupported, message));
        if !self.handshake.is_done() {
            return refuse("a layer can be abandoned only when its handshake is done");
        }
        if !self.is_between_records(ends) {
            return refuse("a record has been half received; a layer can be abandoned only between records");
        }
        Ok(())
    }

    fn is_abandoning(&self) -> bool {
        self.halves.ordered().is_some_and(|stop| stop.goes_first() == GoesFirst::Nobody)
    }

    fn is_between_records(&self, ends: &mut Ends<'_>) -> bool {
        if self.halves.read() != ReadHalf::Open {
            // Whatever stands there is the layer below's.
            return true;
        }
        let front = ends.inbound_below().front();
        self.engine.is_at_record_boundary() && (front.is_empty() || Front::of(front) == Front::NotTls)
    }
}

/// Whether there is data, and certainly room for a record of it.
fn will_send_data(ends: &mut Ends<'_>) -> bool {
    let Way { from: plain, to: output } = ends.all().outbound;
    !plain.front().is_empty() && output.is_empty()
}

/// However deep the stack is, records are not cut smaller than this.
const MIN_FRAGMENT: usize = 1024;
