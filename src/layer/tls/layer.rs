//! The TLS layer: what moves when, and how it starts and stops.

use std::fmt;
use std::time::Duration;

use super::agreed::Agreed;
use super::engine::Engine;
use super::facts::{Outline, Role, TlsFacts, Traffic, version_name};
use super::failure::explain;
use super::halves::{self, Handshake, WriteHalf};
use super::pace::Pace;
use super::record::{Front, MAX_PLAINTEXT, Onwards, Received};
use crate::layer::halves::{ReadHalf, Stopping};
use crate::stack::{
    End, Ends, Facts, Failure, Framing, GoesFirst, Layer, LayerError, LayerErrorKind, LayerId, OnTimeout, Opens, Order,
    Overdue, Patience, PeerAnswer, Report, Stop, Way, Ways,
};

/// TLS as a layer of a [`Stack`](crate::stack::Stack): one side of one TLS connection, in either role.
///
/// Made by [`TlsClient::to`](super::TlsClient::to) and [`TlsServer::accept`](super::TlsServer::accept). The role
/// belongs to the layer and not to who opened the socket; any mix nests.
#[derive(Debug)]
pub struct TlsLayer {
    engine: Engine,
    role: Role,
    /// As a client, whom we want to talk to.
    expected: Option<String>,
    options: Options,
    handshake: Handshake,
    read: ReadHalf,
    write: WriteHalf,
    stopping: Stopping,
    agreed: Agreed,
    traffic: Traffic,
    pace: Pace,
    key_update_wanted: bool,
    /// How many key updates of ours, asked for or answers, have left since our last data.
    idle_key_updates: u8,
    /// How many records of data the two sides had sealed when our last key update left.
    keys_updated_at: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Options {
    handshake_timeout: Option<Duration>,
    on_failure: OnFailure,
    on_peer_close: OnPeerClose,
}

/// What becomes of the connection when a handshake fails. In both cases the alert is sent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The connection is lost.
    #[default]
    Lose,
    /// The layer alone is peeled and the application decides. What the peer said instead of TLS can be read then;
    /// what was written for TLS is dropped.
    Peel,
}

/// What happens when the peer closes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnPeerClose {
    /// The application sees the end and decides: it stops the layer, which answers, or it drops the connection.
    #[default]
    Hold,
    /// The close_notify is answered and the layer is peeled by itself. The application still sees the end, and
    /// must still say that it goes on; until then what it writes is refused.
    ///
    /// So what arrives in one segment with the close_notify can no longer be answered inside the layer. Where the peer may
    /// ask something last and wait for the answer, [`Hold`](Self::Hold) is the one to take.
    Peel,
}

/// Making, and options.
impl TlsLayer {
    pub(super) fn new(engine: Engine, role: Role, expected: Option<String>) -> Self {
        Self {
            engine,
            role,
            expected,
            options: Options {
                handshake_timeout: Some(HANDSHAKE_TIMEOUT),
                on_failure: OnFailure::default(),
                on_peer_close: OnPeerClose::default(),
            },
            handshake: Handshake::Handshaking { since: None },
            read: ReadHalf::Open,
            write: WriteHalf::Open,
            stopping: Stopping::NotAsked,
            agreed: Agreed::default(),
            traffic: Traffic::default(),
            pace: Pace::Paused,
            key_update_wanted: false,
            idle_key_updates: 0,
            keys_updated_at: None,
        }
    }

    /// How long the peer may take for the handshake, all in all; `None` for ever. Ten seconds unless set.
    ///
    /// The time in which our own messages have not yet left the stack, behind what was written before or because of a layer
    /// below, does not count. A peer that takes nothing of them for half a minute fails the handshake all the same.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// What becomes of the connection when the handshake fails.
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.options.on_failure = on_failure;
        self
    }

    /// What happens when the peer closes the layer first.
    #[must_use]
    pub fn on_peer_close(mut self, on_peer_close: OnPeerClose) -> Self {
        self.options.on_peer_close = on_peer_close;
        self
    }

    /// Demands of a client that it offers this application protocol (ALPN), and agrees to it; not for a layer of a client.
    pub(crate) fn require_alpn(&mut self, protocol: &'static str) -> Result<(), LayerError> {
        self.engine.require_alpn(protocol).map_err(|error| explain(error, &[]))
    }

    /// What is known of this layer, `layer`, now.
    #[must_use]
    pub fn facts(&self, layer: LayerId) -> TlsFacts {
        let agreed = self.agreed.clone();
        TlsFacts {
            layer,
            role: self.role,
            version: agreed.version,
            cipher_suite: agreed.cipher_suite,
            key_exchange_group: agreed.key_exchange_group,
            alpn: agreed.alpn,
            peer_certificates: agreed.peer_certificates,
            server_name: self.server_name().map(str::to_owned),
            resumed: agreed.resumed,
            handshake_time: self.handshake.time(),
            traffic: self.traffic,
        }
    }

    /// Which side of the handshake it is on.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the handshake is done.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.handshake.is_done()
    }

    /// Has new keys made for both directions (KeyUpdate, RFC 8446 section 4.6.3). The message leaves when the
    /// stack next calls the layer, which [`Stack::with_layer`](crate::stack::Stack::with_layer) does.
    ///
    /// Peers count the key updates that come with no data between them, and end a connection over too many (33 for rustls and
    /// BoringSSL, 17 for Go). So none is sent while the keys of the last one have sealed nothing on either side; and where
    /// only the peer sends data, the seventeenth and all after it are merged into one that leaves ahead of our next data.
    ///
    /// # Errors
    ///
    /// Unless the layer speaks TLS 1.3, its handshake is done, and its write half is open.
    pub fn request_key_update(&mut self) -> Result<(), LayerError> {
        let possible = self.handshake.is_done()
            && self.write == WriteHalf::Open
            && self.agreed.version == Some(rustls::ProtocolVersion::TLSv1_3);
        if !possible {
            let message = "a key update needs TLS 1.3 with the handshake done and the write half open";
            return Err(LayerError::new(LayerErrorKind::Unsupported, message));
        }
        self.key_update_wanted = true;
        Ok(())
    }

    fn outline(&self) -> Outline<'_> {
        Outline {
            role: self.role,
            server_name: self.server_name(),
            version: self.agreed.version,
            version_name: match (self.agreed.version, self.handshake) {
                (None, Handshake::Failed) => "handshake failed",
                (version, _) => version_name(version),
            },
            cipher_suite: self.agreed.cipher_suite,
            key_exchange_group: self.agreed.key_exchange_group,
            alpn: self.agreed.alpn.as_deref(),
            peer_certificates: self.agreed.peer_certificates.len(),
            resumed: self.agreed.resumed,
            handshake_time: self.handshake.time(),
            traffic: self.traffic,
        }
    }

    fn server_name(&self) -> Option<&str> {
        self.expected.as_deref().or_else(|| self.engine.server_name())
    }
}

impl Opens for TlsLayer {
    type Facts = TlsFacts;
}

impl Layer for TlsLayer {
    fn name(&self) -> &'static str {
        "tls"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outline().describe(f)
    }

    fn details(&self) -> Vec<String> {
        let halves = [self.write.word(), halves::word(self.read)];
        self.outline().details().into_iter().chain(halves.into_iter().flatten().map(str::to_owned)).collect()
    }

    fn opened(&self, layer: LayerId) -> Option<Facts> {
        self.is_ready().then(|| Facts::of::<Self>(self.facts(layer)))
    }

    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.handshake.begin(ends.now());
        Ok(())
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if ends.inbound_below().is_empty() && self.handshake.is_done() && self.read == ReadHalf::Open {
            return Ok(());
        }
        let (sent, received) = (ends.outbound_below().len(), self.traffic);
        let mut result = self.receive(ends);
        if result.is_ok() && self.handshake.is_done() {
            // A side that only receives has no other occasion.
            let Ways { inbound, outbound } = ends.all();
            let taken = self.engine.take_over(inbound.from, outbound.to);
            result = taken.map_err(|error| self.fail(explain(error, &[])));
        }
        if result.is_ok() && self.may_owe_key_update(&received) {
            result = self.answer_key_update(ends);
        }
        self.count_sent(ends, sent);
        if self.wants_to_stop() {
            ends.report(Report::StopWanted);
        }
        result
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if ends.outbound_above().is_empty() && !self.key_update_wanted {
            return Ok(());
        }
        let sent = ends.outbound_below().len();
        let result = self.send(ends);
        self.count_sent(ends, sent);
        result
    }

    fn can_stop(&self) -> bool {
        true
    }

    fn stop(&mut self, stop: &Stop, ends: &mut Ends<'_>) -> Result<(), LayerError> {
        if stop.goes_first() == GoesFirst::Nobody {
            self.check_abandon(ends)?;
        }
        self.stopping = Stopping::order(*stop);
        Ok(())
    }

    fn awaits(&self) -> Option<Patience> {
        match self.handshake {
            Handshake::Handshaking { .. } => {
                self.options.handshake_timeout.map(|limit| Patience::new("the handshake", limit))
            }
            Handshake::Done { .. } => self.stopping.awaits(),
            Handshake::Failed => None,
        }
    }

    fn overdue(&mut self, overdue: Overdue, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.handshake.is_handshaking() {
            let message = match overdue {
                Overdue::Reading => "the handshake was not done: the peer takes nothing of what is sent",
                _ => "the handshake was not done within its deadline",
            };
            return Err(self.fail(LayerError::new(LayerErrorKind::HandshakeTimeout, message)));
        }
        if self.stopping.end_grace() {
            let sent = ends.outbound_below().len();
            self.send_close_notify(ends)?;
            self.count_sent(ends, sent);
            if !self.stopping.is_spent() {
                return Ok(());
            }
        }
        if self.stopping.met().is_none_or(|stop| stop.without_answer() != OnTimeout::Peel) {
            let message = match overdue {
                Overdue::Reading => "the peer takes nothing of what is to be sent before the layer is stopped",
                _ => "the peer did not answer the close_notify within the deadline",
            };
            return Err(self.fail(LayerError::new(LayerErrorKind::StopTimeout, message)));
        }
        self.end_without_close_notify(ends, PeerAnswer::TimedOut);
        Ok(())
    }

    fn framing(&self) -> Framing {
        let overhead = match self.agreed.version {
            Some(rustls::ProtocolVersion::TLSv1_2) => TLS12_OVERHEAD,
            _ => TLS13_OVERHEAD,
        };
        Framing::new(overhead).with_largest(self.engine.largest())
    }
}

/// The read side.
impl TlsLayer {
    fn receive(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let onwards = Onwards::to(ends.layer_above());
        while self.read == ReadHalf::Open && self.handshake != Handshake::Failed {
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
                    self.end_without_close_notify(ends, PeerAnswer::Missing);
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
                Received::PeerClosed => self.peer_closed(ends)?,
            }
        }
        Ok(())
    }

    /// The failure over what stands at the front of the input. The peer is sent the alert for it.
    fn fail_over_input(&mut self, error: rustls::Error, ends: &mut Ends<'_>) -> Failure {
        let Ways { inbound: Way { from: input, .. }, outbound: Way { to: output, .. } } = ends.all();
        let error = explain(error, input.front());
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
                self.end_without_close_notify(ends, PeerAnswer::Missing);
                return Ok(());
            }
            if self.stopping.stop().is_some_and(|stop| stop.is_lenient()) && self.handshake.is_done() {
                // The order is on its way down behind what was written, and will allow it.
                return Ok(());
            }
        }
        let message = if self.handshake.is_handshaking() {
            "the stream below ended during the handshake"
        } else if !is_between_records {
            "the stream below ended in the middle of a record"
        } else if self.write == WriteHalf::Open {
            "the stream below ended without a close_notify"
        } else {
            "the stream below ended instead of the peer's close_notify"
        };
        let error = LayerError::new(LayerErrorKind::Truncated, message);
        if self.handshake.is_handshaking() || end == Some(End::Lost) {
            return Err(self.fail(error));
        }
        self.truncate(error, ends)
    }

    /// The peer has ended its direction, and not this layer. Ours is open (RFC 8446 section 6.1), so what was written leaves
    /// and our close_notify too. What is left of a record stays where it is: the engine may count on what it has seen of it.
    fn truncate(&mut self, error: LayerError, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.inbound_below().take_mark();
        self.read = ReadHalf::Truncated;
        ends.truncate_inbound(error);
        if self.write == WriteHalf::CloseNotifyQueued {
            self.send_close_notify(ends)?;
        }
        self.check_stopped(ends)
    }

    fn peer_closed(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.read = ReadHalf::PeerClosed;
        ends.end_inbound();
        if self.write == WriteHalf::CloseNotifyQueued {
            self.send_close_notify(ends)?;
        }
        self.check_stopped(ends)
    }

    /// Reported on every call until the stack orders the stop, as a layer above may have to be peeled first.
    fn wants_to_stop(&self) -> bool {
        self.read == ReadHalf::PeerClosed
            && self.stopping == Stopping::NotAsked
            && self.options.on_peer_close == OnPeerClose::Peel
    }

    /// Whether what came since `before` may have been a KeyUpdate, which the peer wants answered: more than records of
    /// data, on a layer that can answer.
    fn may_owe_key_update(&self, before: &Traffic) -> bool {
        let taken = self.traffic.wire_bytes_in - before.wire_bytes_in;
        let records = self.traffic.records_in - before.records_in;
        let data = self.traffic.bytes_in - before.bytes_in + records * TLS13_OVERHEAD as u64;
        taken != data
            && self.handshake.is_done()
            && self.write == WriteHalf::Open
            && self.agreed.version == Some(rustls::ProtocolVersion::TLSv1_3)
            && self.idle_key_updates < MAX_IDLE_KEY_UPDATES
    }

    /// A KeyUpdate that asks for one in return is answered before the next record of ours (RFC 8446 section 4.6.3).
    /// On an idle connection there may be none for long, and the peer waits. While we say nothing else, several may be
    /// answered with one, and must: peers count them between data.
    fn answer_key_update(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Ways { inbound: Way { from: input, .. }, outbound: Way { to: output, .. } } = ends.all();
        let before = output.len();
        let flushed = self.engine.flush(input, output);
        if output.len() > before {
            self.idle_key_updates += 1;
            self.keys_updated_at = Some(self.sealed_records());
        }
        flushed.map_err(|error| self.fail(explain(error, &[])))
    }

    /// Whether bytes that are no TLS may stand where the peer's close_notify should.
    fn may_leave_out_close_notify(&self) -> bool {
        self.write != WriteHalf::Open
            && self.engine.is_at_record_boundary()
            && self.stopping.met().is_some_and(|stop| stop.is_lenient())
    }

    fn end_without_close_notify(&mut self, ends: &mut Ends<'_>, answer: PeerAnswer) {
        if self.write == WriteHalf::CloseNotifyQueued {
            // The peer has gone on below, so there is nobody left to read our close_notify.
            self.write = WriteHalf::CloseNotifySent;
        }
        if self.read == ReadHalf::Open {
            self.read = ReadHalf::Eof;
            ends.end_inbound();
        }
        ends.report(Report::Stopped(answer));
    }
}

/// The write side.
impl TlsLayer {
    fn send(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.handshake.is_handshaking() {
            return self.check_closed_early(ends);
        }
        if self.key_update_wanted && (self.idle_key_updates < MAX_IDLE_KEY_UPDATES || will_send_data(ends)) {
            self.update_keys(ends)?;
        }
        let (id, onwards) = (ends.id(), Onwards::to(ends.layer_below()));
        while self.write == WriteHalf::Open {
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
                sent.map_err(|error| self.fail(explain(error, &[])))?;
                plain.consume(fragment);
                self.traffic.bytes_out += fragment as u64;
                self.traffic.records_out += 1;
                self.idle_key_updates = 0;
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
            let Way { from: plain, to: output } = ends.all().outbound;
            match plain.take_mark() {
                Some(Order::Finish(layer)) if layer == id => self.send_close_notify(ends)?,
                Some(Order::Stop(layer)) if layer == id => self.meet_stop(ends)?,
                Some(Order::Close) => {
                    self.send_close_notify(ends)?;
                    ends.outbound_below().push_mark(Order::Close);
                }
                Some(other) => output.push_mark(other),
                None => return Ok(()),
            }
        }
        self.send_behind_close_notify(ends)
    }

    /// Sends the KeyUpdate that was asked for, unless the keys that we have are as good as new ones.
    fn update_keys(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.key_update_wanted = false;
        let sealed = self.sealed_records();
        if self.write != WriteHalf::Open || self.keys_updated_at == Some(sealed) {
            return Ok(());
        }
        let Ways { inbound: Way { from: input, .. }, outbound: Way { to: output, .. } } = ends.all();
        let refreshed = self.engine.refresh(input, output);
        refreshed.map_err(|error| self.fail(explain(error, &[])))?;
        self.keys_updated_at = Some(sealed);
        self.idle_key_updates = self.idle_key_updates.saturating_add(1);
        Ok(())
    }

    fn sealed_records(&self) -> (u64, u64) {
        (self.traffic.records_out, self.traffic.records_in)
    }

    /// What comes down after our close_notify: further orders, and, if the stop says so, bytes for the layer below.
    fn send_behind_close_notify(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.write != WriteHalf::CloseNotifySent {
            return Ok(());
        }
        if self.stopping.met().is_some() {
            if self.stopping.stop().is_some_and(|stop| stop.lets_writes_through()) {
                ends.pass_outbound();
            }
            return Ok(());
        }
        // The write half was closed by `finish`, or by the close of the whole connection.
        match ends.outbound_above().take_mark() {
            Some(Order::Stop(id)) if id == ends.id() => self.meet_stop(ends),
            Some(order @ (Order::Close | Order::CloseWire)) => {
                ends.outbound_below().push_mark(order);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn meet_stop(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.stopping.meet();
        match self.stopping.met().map(|stop| stop.goes_first()) {
            Some(GoesFirst::Nobody) if self.read != ReadHalf::Truncated => {
                self.write = WriteHalf::CloseNotifySent;
                self.end_without_close_notify(ends, PeerAnswer::Abandoned);
                return Ok(());
            }
            Some(GoesFirst::Peer(grace)) if self.write == WriteHalf::Open && self.read == ReadHalf::Open => {
                self.stopping.begin_grace(grace);
                self.write = WriteHalf::CloseNotifyQueued;
                ends.report(Report::Waits);
            }
            _ => self.send_close_notify(ends)?,
        }
        self.check_stopped(ends)
    }

    fn send_close_notify(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.write == WriteHalf::CloseNotifySent {
            return Ok(());
        }
        let Ways { inbound: Way { from: input, .. }, outbound: Way { to: output, .. } } = ends.all();
        let closed = self.engine.close(input, output);
        closed.map_err(|error| self.fail(explain(error, &[])))?;
        self.write = WriteHalf::CloseNotifySent;
        Ok(())
    }

    /// Whether there is nothing left of a stop but to report how it went. Without the peer's close_notify it has failed, and
    /// what waits for the peel must not leave.
    fn check_stopped(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.stopping.met().is_none() || self.write != WriteHalf::CloseNotifySent {
            return Ok(());
        }
        if self.read == ReadHalf::Truncated {
            let message = "the stream below ended instead of the peer's close_notify";
            return Err(self.fail(LayerError::new(LayerErrorKind::Truncated, message)));
        }
        if let Some(answer) = self.read.answer() {
            ends.report(Report::Stopped(answer));
        }
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

    fn check_abandon(&self, ends: &mut Ends<'_>) -> Result<(), LayerError> {
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
        self.stopping.stop().is_some_and(|stop| stop.goes_first() == GoesFirst::Nobody)
    }

    fn is_between_records(&self, ends: &mut Ends<'_>) -> bool {
        if self.read != ReadHalf::Open {
            // Whatever stands there is the layer below's.
            return true;
        }
        let front = ends.inbound_below().front();
        self.engine.is_at_record_boundary() && (front.is_empty() || Front::of(front) == Front::NotTls)
    }

    fn fail(&mut self, error: LayerError) -> Failure {
        let handshaking = self.handshake.is_handshaking();
        self.handshake = Handshake::Failed;
        match self.options.on_failure {
            OnFailure::Peel if handshaking => Failure::peel(error),
            _ => Failure::lose(error),
        }
    }

    fn count_sent(&mut self, ends: &mut Ends<'_>, before: usize) {
        self.traffic.wire_bytes_out += (ends.outbound_below().len() - before) as u64;
    }
}

/// Whether there is data, and certainly room for a record of it.
fn will_send_data(ends: &mut Ends<'_>) -> bool {
    let Way { from: plain, to: output } = ends.all().outbound;
    !plain.front().is_empty() && output.is_empty()
}

/// How long a handshake may take unless set.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Header, tag and content type of a TLS 1.3 record.
const TLS13_OVERHEAD: usize = 22;

/// Header, explicit nonce and tag of a TLS 1.2 record with AES-GCM; ChaCha20 needs 8 less.
const TLS12_OVERHEAD: usize = 29;

/// rustls and BoringSSL take 32 key updates without data between them, Go takes 16.
const MAX_IDLE_KEY_UPDATES: u8 = 16;

/// However deep the stack is, records are not cut smaller than this.
const MIN_FRAGMENT: usize = 1024;
