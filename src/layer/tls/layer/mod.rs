//! The TLS layer: what it is and what is known of it, how it starts and stops.
//!
//! | file | idea |
//! |---|---|
//! | `receiving.rs` | the way up: records are opened |
//! | `sending.rs` | the way down: records are sealed |

mod receiving;
mod sending;

use std::fmt;
use std::time::Duration;

use super::Version;
use super::agreed::Agreed;
use super::end_point::end_point;
use super::engine::Engine;
use super::exporter::{ChannelBinding, Exporter, impossible};
use super::facts::{Outline, Role, TlsFacts, Traffic, version_name};
use super::failure::explain;
use super::handshake::Handshake;
use super::key_updates::KeyUpdates;
use super::options::{OnFailure, OnPeerClose, Options};
use super::pace::Pace;
use crate::layer::ending::{Ending, Halves, ReadHalf, WriteHalf};
use crate::stack::{
    Ends, Facts, Failure, Framing, GoesFirst, Layer, LayerError, LayerErrorKind, LayerId, Opens, Overdue, Patience,
    Progress, Report, Stop, Ways,
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
    halves: Halves,
    agreed: Agreed,
    traffic: Traffic,
    pace: Pace,
    key_updates: KeyUpdates,
}

/// Making, and options.
impl TlsLayer {
    pub(super) fn new(engine: Engine, role: Role, expected: Option<String>) -> Self {
        Self {
            engine,
            role,
            expected,
            options: Options::default(),
            handshake: Handshake::Handshaking { since: None },
            halves: Halves::new(),
            agreed: Agreed::default(),
            traffic: Traffic::default(),
            pace: Pace::Paused,
            key_updates: KeyUpdates::default(),
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
        self.engine.require_alpn(protocol).map_err(|error| explain(error, &[], self.role))
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
            ocsp_response: agreed.ocsp_response,
            server_name: self.server_name().map(str::to_owned),
            resumed: agreed.resumed,
            handshake_time: self.handshake.time(),
            traffic: self.traffic,
        }
    }

    /// Derives bytes from the handshake that both sides have, and nobody else (RFC 8446 section 7.5, RFC 5705): the same for the
    /// same `label`, `context` and length. Labels are registered with IANA; those of one's own begin with `EXPERIMENTAL`.
    ///
    /// In TLS 1.2 no context is another than an empty one; in TLS 1.3 it is the same.
    ///
    /// ```no_run
    /// use onionskin::tls::TlsLayer;
    /// # async fn example(mut conn: onionskin::Connection<onionskin::runtime::Socket>, layer: onionskin::stack::LayerId) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut key = [0; 32];
    /// conn.with_layer(layer, |tls: &mut TlsLayer| tls.export_keying_material(&mut key, b"EXPERIMENTAL key", None))??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Unless the handshake is done, and in TLS 1.2 has an extended master secret (RFC 7627); when the output is empty or too long
    /// (255 times the hash of the cipher suite in TLS 1.3), the label has not 1 to 249 bytes, or the context has more than 65,535.
    pub fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), LayerError> {
        self.exporter()?.derive(output, label, context)
    }

    /// What the connection of this layer is called by, for a login that is bound to it (RFC 5056): of this layer alone, whatever
    /// layers there are.
    ///
    /// # Errors
    ///
    /// Unless the handshake is done. For [`Exporter`](ChannelBinding::Exporter) as
    /// [`export_keying_material`](Self::export_keying_material); for [`ServerEndPoint`](ChannelBinding::ServerEndPoint) when the
    /// server's certificate is signed in a way that has no such digest, as with Ed25519.
    pub fn channel_binding(&self, binding: ChannelBinding) -> Result<Vec<u8>, LayerError> {
        let exporter = self.exporter()?;
        match binding {
            ChannelBinding::Exporter => exporter.binding(),
            ChannelBinding::ServerEndPoint => {
                let certificate = match self.role {
                    Role::Client => self.agreed.peer_certificates.first(),
                    Role::Server => self.engine.own_certificate(),
                };
                certificate.and_then(|certificate| end_point(certificate)).ok_or_else(|| {
                    impossible("the server's certificate is not signed in a way that gives it a digest for tls-server-end-point")
                })
            }
        }
    }

    fn exporter(&self) -> Result<&Exporter, LayerError> {
        let exporter = self.engine.exporter().filter(|_| self.is_ready());
        exporter.ok_or_else(|| impossible("keying material comes from a handshake that is done"))
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
            && self.halves.write() == WriteHalf::Open
            && self.agreed.version == Some(Version::Tls13);
        if !possible {
            let message = "a key update needs TLS 1.3 with the handshake done and the write half open";
            return Err(LayerError::new(LayerErrorKind::Unsupported, message));
        }
        self.key_updates.want();
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
        let ours = match self.halves.write() {
            WriteHalf::Open => None,
            WriteHalf::EndWaits => Some("close_notify waits for the peer's"),
            WriteHalf::EndSent => Some("close_notify sent"),
        };
        let peers = match self.halves.read() {
            ReadHalf::Open => None,
            ReadHalf::Ended => Some("close_notify received"),
            ReadHalf::Missing => Some("no close_notify received"),
            ReadHalf::Truncated => Some("cut off without a close_notify"),
        };
        self.outline().details().into_iter().chain([ours, peers].into_iter().flatten().map(str::to_owned)).collect()
    }

    fn opened(&self, layer: LayerId) -> Option<Facts> {
        self.is_ready().then(|| Facts::of::<Self>(self.facts(layer)))
    }

    fn depth(&mut self) -> Option<&mut usize> {
        self.engine.depth()
    }

    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.handshake.begin(ends.now());
        self.engine.begin().map_err(|error| self.fail(explain(error, &[], self.role)))
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if ends.inbound_below().is_empty() && self.handshake.is_done() && self.halves.read() == ReadHalf::Open {
            return Ok(());
        }
        let (sent, received) = (ends.outbound_below().len(), self.traffic);
        let mut result = self.receive(ends);
        if result.is_ok() && self.handshake.is_done() {
            // A side that only receives has no other occasion.
            let Ways { inbound, outbound } = ends.all();
            let taken = self.engine.take_over(inbound.from, outbound.to);
            result = taken.map_err(|error| self.fail(explain(error, &[], self.role)));
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
        if ends.outbound_above().is_empty() && !self.key_updates.is_wanted() {
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
        self.halves.order(*stop);
        Ok(())
    }

    fn awaits(&self) -> Option<Patience> {
        match self.handshake {
            Handshake::Handshaking { .. } => {
                self.options.handshake_timeout.map(|limit| Patience::new("the handshake", limit))
            }
            Handshake::Done { .. } => self.halves.awaits(),
            Handshake::Failed => None,
        }
    }

    fn overdue(&mut self, overdue: Overdue, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.handshake.is_handshaking() {
            let message = match overdue {
                Overdue::Reading => "the handshake was not done: the peer takes nothing of what is sent".to_owned(),
                _ => format!("the handshake was not done within its deadline{}", self.unheard()),
            };
            return Err(self.fail(LayerError::new(LayerErrorKind::HandshakeTimeout, message)));
        }
        let sent = ends.outbound_below().len();
        let result = self.stop_overdue(overdue, ends);
        self.count_sent(ends, sent);
        result
    }

    fn framing(&self) -> Framing {
        let overhead = match self.agreed.version {
            Some(Version::Tls12) => TLS12_OVERHEAD,
            _ => TLS13_OVERHEAD,
        };
        Framing::new(overhead).with_largest(self.engine.largest())
    }
}

impl Ending for TlsLayer {
    const END: &'static str = "close_notify";

    fn halves(&mut self) -> &mut Halves {
        &mut self.halves
    }

    fn send_end(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Ways { inbound, outbound } = ends.all();
        let closed = self.engine.close(inbound.from, outbound.to);
        closed.map_err(|error| self.fail(explain(error, &[], self.role)))
    }

    fn fail(&mut self, error: LayerError) -> Failure {
        let handshaking = self.handshake.is_handshaking();
        let error = error.at(match self.traffic.records_in {
            _ if handshaking => Progress::Opening,
            0 => Progress::Opened,
            _ => Progress::Used,
        });
        self.handshake = Handshake::Failed;
        match self.options.on_failure {
            OnFailure::Peel if handshaking => Failure::peel(error),
            _ => Failure::lose(error),
        }
    }
}

impl TlsLayer {
    /// What to add to the end of a handshake in which the peer has said nothing to a ClientHello that it has perhaps not read to
    /// its end.
    fn unheard(&self) -> String {
        let Traffic { wire_bytes_in: heard, wire_bytes_out: said, .. } = self.traffic;
        if self.role == Role::Server || heard > 0 || said <= SEGMENT {
            return String::new();
        }
        format!(
            ": the peer has said nothing to a ClientHello of {said} bytes; if it takes the first segment for all of it, send less \
             (shares=1:groups=X25519,X25519MLKEM768)"
        )
    }

    fn count_sent(&mut self, ends: &mut Ends<'_>, before: usize) {
        self.traffic.wire_bytes_out += (ends.outbound_below().len() - before) as u64;
    }
}

/// What a segment of TCP carries over Ethernet, with timestamps.
const SEGMENT: u64 = 1448;

/// Header, tag and content type of a TLS 1.3 record.
const TLS13_OVERHEAD: usize = 22;

/// Header, explicit nonce and tag of a TLS 1.2 record with AES-GCM; ChaCha20 needs 8 less.
const TLS12_OVERHEAD: usize = 29;
