//! The way up: records are opened, and where they end, the peer has ended.

use super::{TLS13_OVERHEAD, TlsLayer};
use crate::layer::ending::{Ending, ReadHalf, WriteHalf};
use crate::layer::tls::Version;
use crate::layer::tls::facts::Traffic;
use crate::layer::tls::failure::explain;
use crate::layer::tls::handshake::Handshake;
use crate::layer::tls::options::OnPeerClose;
use crate::layer::tls::record::{Front, MAX_PLAINTEXT, Onwards, Received};
use crate::stack::{End, Ends, Failure, LayerError, LayerErrorKind, PeerAnswer, Report, Stop, Way, Ways};

impl TlsLayer {
    pub(super) fn receive(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let onwards = Onwards::to(ends.layer_above());
        while self.halves.read() == ReadHalf::Open && self.handshake != Handshake::Failed {
            let Ways { inbound: Way { from: input, to: plain }, outbound: Way { to: output, .. } } = ends.all();
            match Front::of(input.front()) {
                // The engine is asked even so while it handshakes: a client speaks first.
                Front::Incomplete if !self.handshake.is_handshaking() => return self.check_end(ends),
                Front::Record(body)
                    if self.handshake.is_done() && !plain.is_empty() && plain.room() < body.min(MAX_PLAINTEXT) =>
                {
                    return Ok(());
                }
                Front::NotTls if self.may_leave_out_close_notify() => {
                    self.end_alone(PeerAnswer::Missing, ends);
                    return Ok(());
                }
                Front::NotTls if self.engine.is_at_record_boundary() => {
                    let error = self.engine.reject(input.front()[0]);
                    return Err(self.fail_over_input(error, ends));
                }
                _ => {}
            }
            let before = (input.len(), plain.len());
            let received = self.engine.receive(input, plain, output, onwards);
            self.traffic.wire_bytes_in += (before.0 - input.len()) as u64;
            self.traffic.bytes_in += (plain.len() - before.1) as u64;
            // Before its error is looked at: what is wrong behind the last flight is no failure of the handshake.
            if let Some(agreed) = self.engine.complete_handshake() {
                self.handshake.complete(ends.now());
                self.agreed = agreed;
                ends.report(Report::Ready);
            }
            let received = match received {
                Ok(received) => received,
                Err(error) => return Err(self.fail_over_input(error, ends)),
            };
            match received {
                Received::Plaintext => {
                    self.traffic.records_in += 1;
                    if onwards == Onwards::ToLayer {
                        return Ok(());
                    }
                }
                Received::Message => {}
                Received::Blocked => return self.check_end(ends),
                Received::PeerClosed => self.peer_ended(ends)?,
            }
        }
        Ok(())
    }

    /// The failure over what stands at the front of the input. The peer is sent the alert for it.
    fn fail_over_input(&mut self, error: rustls::Error, ends: &mut Ends<'_>) -> Failure {
        let Ways { inbound: Way { from: input, .. }, outbound: Way { to: output, .. } } = ends.all();
        let error = explain(error, input.front(), self.role);
        self.engine.alert(input, output);
        self.fail(error)
    }

    /// The input is used up as far as it goes: is there an end behind it?
    fn check_end(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let input = ends.inbound_below();
        if input.next_mark().is_none() {
            // A message that fills the whole buffer without being complete would wait for ever.
            if !input.front().is_empty() && input.front().len() == input.len() && input.room() == 0 {
                let message = "a handshake message is larger than the buffer";
                return Err(self.fail(LayerError::new(LayerErrorKind::Limit, message)));
            }
            return Ok(());
        }
        let end = input.next_mark().copied();
        let is_between_records = input.front().is_empty() && self.engine.is_at_record_boundary();
        // A loss is no end, and neither is a truncation: then the peer has not gone on, and nothing behind it can be read.
        if is_between_records && matches!(end, Some(End::Wire | End::Layer(_))) {
            if self.may_leave_out_close_notify() {
                self.end_alone(PeerAnswer::Missing, ends);
                return Ok(());
            }
            if self.halves.ordered().is_some_and(Stop::is_lenient) && self.handshake.is_done() {
                // The order is on its way down behind what was written, and will allow it.
                return Ok(());
            }
        }
        let message = if self.handshake.is_handshaking() {
            "the stream below ended during the handshake"
        } else if !is_between_records {
            "the stream below ended in the middle of a record"
        } else if self.halves.write() == WriteHalf::Open {
            "the stream below ended without a close_notify"
        } else {
            "the stream below ended instead of the peer's close_notify"
        };
        let more = if self.handshake.is_handshaking() { self.unheard() } else { String::new() };
        let error = LayerError::new(LayerErrorKind::Truncated, format!("{message}{more}"));
        if self.handshake.is_handshaking() || end == Some(End::Lost) {
            return Err(self.fail(error));
        }
        // What is left of a record stays where it is: the engine may count on what it has seen of it.
        self.cut_off(error, ends)
    }

    /// Reported on every call until the stack orders the stop, as a layer above may have to be peeled first.
    pub(super) fn wants_to_stop(&self) -> bool {
        self.halves.read() == ReadHalf::Ended
            && self.halves.ordered().is_none()
            && self.options.on_peer_close == OnPeerClose::Peel
    }

    /// Whether what came since `before` may have been a KeyUpdate, which the peer wants answered: more than records of
    /// data, on a layer that can answer.
    pub(super) fn may_owe_key_update(&self, before: &Traffic) -> bool {
        let taken = self.traffic.wire_bytes_in - before.wire_bytes_in;
        let records = self.traffic.records_in - before.records_in;
        let data = self.traffic.bytes_in - before.bytes_in + records * TLS13_OVERHEAD as u64;
        taken != data
            && self.handshake.is_done()
            && self.halves.write() == WriteHalf::Open
            && self.agreed.version == Some(Version::Tls13)
            && self.key_updates.may_go_alone()
    }

    /// A KeyUpdate that asks for one in return is answered before the next record of ours (RFC 8446 section 4.6.3).
    /// On an idle connection there may be none for long, and the peer waits. While we say nothing else, several may be
    /// answered with one, and must: peers count them between data.
    pub(super) fn answer_key_update(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Ways { inbound: Way { from: input, .. }, outbound: Way { to: output, .. } } = ends.all();
        let before = output.len();
        let flushed = self.engine.flush(input, output);
        if output.len() > before {
            self.key_updates.sent(&self.traffic);
        }
        flushed.map_err(|error| self.fail(explain(error, &[], self.role)))
    }

    /// Whether bytes that are no TLS may stand where the peer's close_notify should.
    fn may_leave_out_close_notify(&self) -> bool {
        self.halves.write() != WriteHalf::Open
            && self.engine.is_at_record_boundary()
            && self.halves.met().is_some_and(Stop::is_lenient)
    }
}
