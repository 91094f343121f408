//! TLS without I/O and without a buffer, behind five verbs: receive, send, close, refresh, and what was agreed; and three
//! for what those leave open: flush, alert, reject.
//!
//! ```text
//!   Unbuffered ──── the handshake is done ────► Records
//!   rustls does all                             rustls has done the handshake and keeps the key schedule
//! ```
//!
//! The records are handed over right behind the handshake, where nothing is half done: no part of a message, and nothing still
//! to be sent. That does not depend on how the peer's records arrive, so one record has one answer. Where a provider gives
//! out no keys, and in TLS 1.2, rustls does all of them.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};

use super::agreed::Agreed;
use super::alert::NO_APPLICATION_PROTOCOL;
use super::depths::Opener;
use super::exporter::Exporter;
use super::hello::{Hello, HelloRead, Others};
use super::record::{Front, HEADER, MAX_PLAINTEXT, Onwards, Received};
use super::records::Records;
use super::unbuffered::Unbuffered;
use crate::stack::{End, Order, Queue};

/// One side of one TLS connection.
pub(super) struct Engine {
    stage: Stage,
    /// The most plaintext that one record of ours carries.
    largest: usize,
    /// Reads along until a server has seen the whole ClientHello.
    hello: Option<Box<Hello>>,
    server_name: Option<String>,
    /// What keys for others are derived from, once the handshake is done.
    exporter: Option<Box<Exporter>>,
    /// The certificate that this server has chosen.
    own_certificate: Option<Arc<CertifiedKey>>,
}

/// How far it has come, and who does the records.
enum Stage {
    /// A client's, before the layer is in a stack.
    Waiting(Box<Opener>),
    Handshaking(Unbuffered),
    /// The handshake is done, and rustls goes on with the records: for good, or until they can be taken over.
    Unbuffered(Unbuffered),
    Records(Box<Records>),
    /// Nobody: the keys could not be taken over, and the layer has failed.
    Failed,
}

impl Engine {
    /// Its handshake waits until it [begins](Self::begin).
    pub(super) fn client(opener: Opener) -> Self {
        let largest = opener.depths.outermost().max_fragment_size;
        Self::new(Stage::Waiting(Box::new(opener)), largest, None)
    }

    /// How many layers of its kind are between a client that has not begun and the wire.
    pub(super) fn depth(&mut self) -> Option<&mut usize> {
        match &mut self.stage {
            Stage::Waiting(opener) => Some(&mut opener.depth),
            _ => None,
        }
    }

    /// Has a client make its first message.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        if let Stage::Waiting(opener) = &self.stage {
            self.stage = Stage::Handshaking(Unbuffered::client(opener.config(), opener.name.clone())?);
        }
        Ok(())
    }

    /// `others` is asked for another configuration once the client has said for whom it asks.
    pub(super) fn server(config: Arc<ServerConfig>, others: Others) -> Result<Self, Error> {
        let largest = config.max_fragment_size;
        let hello = Box::new(Hello::new(Arc::clone(&config), others));
        Ok(Self::new(Stage::Handshaking(Unbuffered::server(config)?), largest, Some(hello)))
    }

    /// Has a server that has not seen its client yet demand that the client offers this application protocol (ALPN), and
    /// agree to it.
    pub(super) fn require_alpn(&mut self, protocol: &'static str) -> Result<(), Error> {
        let Some(hello) = &mut self.hello else { return Ok(()) };
        hello.required = Some(protocol);
        if let Some(config) = hello.with_required(&hello.config) {
            self.stage = Stage::Handshaking(Unbuffered::server(config)?);
        }
        Ok(())
    }

    fn new(stage: Stage, largest_record: Option<usize>, hello: Option<Box<Hello>>) -> Self {
        // rustls counts the header in, and takes no size that leaves less than this.
        let largest = largest_record.map_or(MAX_PLAINTEXT, |size| size.saturating_sub(HEADER).max(1));
        Self { stage, largest, hello, server_name: None, exporter: None, own_certificate: None }
    }

    /// Takes input until one record of plaintext has been given to `plain`, or as far as it goes. What the peer is to get
    /// (handshake messages, tickets, key updates) goes to `output`.
    pub(super) fn receive(
        &mut self,
        input: &mut Queue<End>,
        plain: &mut Queue<End>,
        output: &mut Queue<Order>,
        onwards: Onwards,
    ) -> Result<Received, Error> {
        if let Some(hello) = &mut self.hello {
            match hello.read(input.front()) {
                HelloRead::Incomplete => return Ok(Received::Blocked),
                HelloRead::Complete(Some(asked)) if !asked.offers_required => {
                    // rustls takes a client that offers nothing.
                    output.push(&NO_APPLICATION_PROTOCOL);
                    return Err(Error::NoApplicationProtocol);
                }
                HelloRead::Complete(asked) => {
                    self.server_name = asked.and_then(|asked| asked.server_name);
                    // rustls has seen nothing yet.
                    if let Some(config) = hello.other(self.server_name.as_deref()) {
                        self.stage = Stage::Handshaking(Unbuffered::server(config)?);
                    }
                }
            }
            self.hello = None;
        }
        self.take_over(input, output)?;
        let records = match &mut self.stage {
            Stage::Handshaking(unbuffered) | Stage::Unbuffered(unbuffered) => {
                return unbuffered.receive(input, plain, output);
            }
            Stage::Records(records) => records,
            Stage::Waiting(_) | Stage::Failed => return Err(Error::HandshakeNotComplete),
        };
        match Front::of(input.front()) {
            Front::Incomplete => Ok(Received::Blocked),
            Front::NotTls => Err(records.reject()),
            Front::Record(_) => records.open(input, plain, onwards),
        }
    }

    /// Seals `plain`, which is no more than [`largest`](Self::largest), into a record.
    pub(super) fn send(
        &mut self,
        input: &mut Queue<End>,
        plain: &[u8],
        output: &mut Queue<Order>,
        onwards: Onwards,
    ) -> Result<(), Error> {
        self.take_over(input, output)?;
        match &mut self.stage {
            Stage::Handshaking(unbuffered) | Stage::Unbuffered(unbuffered) => unbuffered.send(input, plain, output),
            Stage::Records(records) => records.seal(plain, output, onwards),
            Stage::Waiting(_) | Stage::Failed => Err(Error::HandshakeNotComplete),
        }
    }

    /// Seals our close_notify: the last that this engine sends.
    pub(super) fn close(&mut self, input: &mut Queue<End>, output: &mut Queue<Order>) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Handshaking(unbuffered) | Stage::Unbuffered(unbuffered) => unbuffered.close(input, output),
            Stage::Records(records) => records.close(output),
            Stage::Waiting(_) | Stage::Failed => Err(Error::HandshakeNotComplete),
        }
    }

    /// Sends a KeyUpdate (RFC 8446 section 4.6.3) that asks the peer for one in return.
    pub(super) fn refresh(&mut self, input: &mut Queue<End>, output: &mut Queue<Order>) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Handshaking(unbuffered) | Stage::Unbuffered(unbuffered) => unbuffered.refresh(input, output),
            Stage::Records(records) => records.refresh(output),
            Stage::Waiting(_) | Stage::Failed => Err(Error::HandshakeNotComplete),
        }
    }

    /// Answers a KeyUpdate that has not been answered yet.
    pub(super) fn flush(&mut self, input: &mut Queue<End>, output: &mut Queue<Order>) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Handshaking(unbuffered) | Stage::Unbuffered(unbuffered) => unbuffered.flush(input, output),
            Stage::Records(records) => records.flush(output),
            Stage::Waiting(_) | Stage::Failed => Err(Error::HandshakeNotComplete),
        }
    }

    /// Sends the alert that an error has left, if there is one and it may still be sent.
    pub(super) fn alert(&mut self, input: &Queue<End>, output: &mut Queue<Order>) {
        match &mut self.stage {
            Stage::Handshaking(unbuffered) | Stage::Unbuffered(unbuffered) => unbuffered.alert(input, output),
            Stage::Records(records) => records.alert(output),
            Stage::Waiting(_) | Stage::Failed => {}
        }
    }

    /// Makes the error, and the alert, for input that cannot be TLS by its first byte.
    pub(super) fn reject(&mut self, first: u8) -> Error {
        match &mut self.stage {
            Stage::Handshaking(unbuffered) | Stage::Unbuffered(unbuffered) => unbuffered.reject(first),
            Stage::Records(records) => records.reject(),
            Stage::Waiting(_) | Stage::Failed => Error::HandshakeNotComplete,
        }
    }

    /// The most plaintext that one record of ours carries.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// Whether the input begins with a record of which nothing has been used, and no message of the peer has come in part.
    pub(super) fn is_at_record_boundary(&self) -> bool {
        match &self.stage {
            Stage::Handshaking(unbuffered) | Stage::Unbuffered(unbuffered) => unbuffered.is_at_record_boundary(),
            Stage::Records(records) => records.is_between_messages(),
            Stage::Waiting(_) | Stage::Failed => false,
        }
    }

    /// The name that the client asked this server for.
    pub(super) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// What keys for others are derived from. `None` before the handshake is done.
    pub(super) fn exporter(&self) -> Option<&Exporter> {
        self.exporter.as_deref()
    }

    /// The certificate that this server has chosen, also where a session was resumed. `None` for a client.
    pub(super) fn own_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.own_certificate.as_ref()?.cert.first()
    }

    /// What the handshake agreed on: given once, on the first call after the handshake was done. Only then are the records taken
    /// over, so it cannot be too late.
    pub(super) fn complete_handshake(&mut self) -> Option<Agreed> {
        let Stage::Handshaking(unbuffered) = &mut self.stage else { return None };
        if unbuffered.is_handshaking() {
            return None;
        }
        let (agreed, exporter, own_certificate) = unbuffered.agreed();
        (self.exporter, self.own_certificate) = (exporter.map(Box::new), own_certificate);
        if let Stage::Handshaking(unbuffered) = std::mem::replace(&mut self.stage, Stage::Failed) {
            self.stage = Stage::Unbuffered(unbuffered);
        }
        Some(agreed)
    }

    /// Takes the records over as soon as they can be, and the handshake [has been completed](Self::complete_handshake).
    pub(super) fn take_over(&mut self, input: &mut Queue<End>, output: &mut Queue<Order>) -> Result<(), Error> {
        let Stage::Unbuffered(unbuffered) = &mut self.stage else { return Ok(()) };
        if !unbuffered.can_hand_over() {
            return Ok(());
        }
        // An answer to a KeyUpdate would be lost.
        unbuffered.flush(input, output)?;
        if let Stage::Unbuffered(unbuffered) = std::mem::replace(&mut self.stage, Stage::Failed) {
            let (keys, secrets) = unbuffered.hand_over()?;
            self.stage = Stage::Records(Box::new(Records::new(keys, secrets)?));
        }
        Ok(())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage: &dyn fmt::Debug = match &self.stage {
            Stage::Handshaking(unbuffered) | Stage::Unbuffered(unbuffered) => unbuffered,
            Stage::Records(records) => records,
            Stage::Waiting(_) => &"waiting",
            Stage::Failed => &"failed",
        };
        f.debug_struct("Engine").field("stage", stage).field("server_name", &self.server_name).finish_non_exhaustive()
    }
}
