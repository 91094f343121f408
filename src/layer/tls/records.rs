//! The records of TLS 1.3 once the handshake is done (RFC 8446 sections 4.6 and 5).
//!
//! A connection of rustls copies what it decrypts out of our buffer, and what it encrypts into it: beside the cipher of
//! a current processor these two copies are most of what a layer costs, and they are made again in each. So when the
//! handshake is done, the layer takes its keys over, through the API that rustls has for TLS in the kernel
//! ([`rustls::kernel`]):
//!
//! ```text
//!   open   record ──decrypted where it lies──► the piece of the buffer that holds the plaintext, handed on
//!   seal   plaintext ──copied and encrypted──► a record, handed on
//! ```
//!
//! Opening is zero-copy, and sealing has the one copy that the cipher needs. What is secret stays the work of rustls: its
//! `MessageEncrypter` and `MessageDecrypter` make nonces, tags, padding and headers, its key schedule makes new keys, and it
//! keeps the tickets. What is ours, and nobody else does then:
//!
//! - the number of each record, which begins anew with each key (section 5.3);
//! - new keys before a key has sealed as many records as its cipher allows (section 5.5);
//! - the messages that may follow a handshake, whole or in parts, and not between other records (section 5.1);
//! - alerts, and which of them end the connection (section 6);
//! - limits on what has no effect: empty records, alerts, key updates.
//!
//! TLS 1.2, and ciphers whose keys a provider does not give out, stay with the connection of rustls.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use rustls::{
    AlertDescription, ContentType, Error, ExtractedSecrets, HandshakeType, InvalidMessage, PeerMisbehaved,
    SupportedCipherSuite, Tls13CipherSuite,
};

use super::alert::{FATAL, WARNING, alert_over};
use super::keys::{Keys, Opening, Sealing, inappropriate};
use super::record::{HEADER, MAX_BODY, Onwards, Received};
use crate::stack::{COPY_THRESHOLD, End, Order, Queue};

/// Both directions of one connection.
pub(super) struct Records {
    keys: Keys,
    suite: &'static Tls13CipherSuite,
    sealing: Sealing,
    opening: Opening,
    /// The part that has come of a message of the peer.
    message: Vec<u8>,
    /// How many records without effect the peer may still send in a row.
    patience: Patience,
    /// The peer has asked for a KeyUpdate.
    owes_key_update: bool,
    /// How many KeyUpdates we have asked for and not been given.
    awaited_key_updates: u32,
    closed: bool,
    alert: Option<AlertDescription>,
}

impl Records {
    pub(super) fn new(keys: Keys, secrets: ExtractedSecrets) -> Result<Self, Error> {
        let SupportedCipherSuite::Tls13(suite) = keys.suite() else { return Err(Error::HandshakeNotComplete) };
        let ((sealed, tx), (opened, rx)) = (secrets.tx, secrets.rx);
        let mut sealing = Sealing::new(suite, tx);
        sealing.go_on_from(sealed)?;
        Ok(Self {
            keys,
            suite,
            sealing,
            opening: Opening::new(suite, rx, opened),
            message: Vec::new(),
            patience: Patience::default(),
            owes_key_update: false,
            awaited_key_updates: 0,
            closed: false,
            alert: None,
        })
    }

    /// Opens the record at the front of `input`, which is there whole. The plaintext goes to `plain`, for another layer
    /// in the storage of the input.
    pub(super) fn open(
        &mut self,
        input: &mut Queue<End>,
        plain: &mut Queue<End>,
        onwards: Onwards,
    ) -> Result<Received, Error> {
        let opened = self.try_open(input, plain, onwards);
        if let Err(error) = &opened {
            self.alert = alert_over(error);
        }
        opened
    }

    fn try_open(
        &mut self,
        input: &mut Queue<End>,
        plain: &mut Queue<End>,
        onwards: Onwards,
    ) -> Result<Received, Error> {
        let (content_type, body) = header(input.front())?;
        let record = &mut input.front_mut()[..HEADER + body];
        let start = record.as_ptr().addr();
        let opened = self.opening.open(content_type, &mut record[HEADER..])?;
        if !self.message.is_empty() && opened.typ != ContentType::Handshake {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        match opened.typ {
            ContentType::ApplicationData => {
                let len = opened.payload.len();
                self.patience.over_data(len)?;
                if onwards == Onwards::ToLayer && len >= COPY_THRESHOLD {
                    let from = opened.payload.as_ptr().addr() - start;
                    let mut record = input.take(HEADER + body);
                    record.advance(from);
                    record.truncate(len);
                    plain.give(record);
                } else {
                    plain.push(opened.payload);
                    input.consume(HEADER + body);
                }
                Ok(Received::Plaintext)
            }
            // No empty ones (section 5.4).
            ContentType::Handshake | ContentType::Alert if opened.payload.is_empty() => {
                Err(InvalidMessage::InvalidEmptyPayload.into())
            }
            ContentType::Handshake => {
                self.message.extend_from_slice(opened.payload);
                self.handle_messages()?;
                input.consume(HEADER + body);
                Ok(Received::Message)
            }
            ContentType::Alert => {
                let &[level, description] = opened.payload else {
                    return Err(InvalidMessage::TrailingData("alert").into());
                };
                let received = self.handle_alert(level, AlertDescription::from(description))?;
                input.consume(HEADER + body);
                Ok(received)
            }
            other => Err(inappropriate(other)),
        }
    }

    /// Seals `plain` into one record, behind the answer to a KeyUpdate (section 4.6.3).
    pub(super) fn seal(&mut self, plain: &[u8], output: &mut Queue<Order>, onwards: Onwards) -> Result<(), Error> {
        self.flush(output)?;
        if self.sealing.is_used_up() {
            self.update_keys(REQUESTED, output)?;
        }
        let record = self.sealing.seal(ContentType::ApplicationData, plain)?;
        match onwards {
            Onwards::ToLayer => output.give(BytesMut::from(Bytes::from(record))),
            Onwards::ToOutside => output.push(&record),
        }
        Ok(())
    }

    /// Seals our close_notify, behind which nothing else is said (section 6.1).
    pub(super) fn close(&mut self, output: &mut Queue<Order>) -> Result<(), Error> {
        self.closed = true;
        self.send_alert(WARNING, AlertDescription::CloseNotify, output)
    }

    /// Sends the alert that an error has left, if it may still be sent.
    pub(super) fn alert(&mut self, output: &mut Queue<Order>) {
        if let Some(alert) = self.alert.take().filter(|_| !self.closed) {
            // Who fails already has no use for a second failure.
            let _ = self.send_alert(FATAL, alert, output);
        }
    }

    /// The error, and the alert, for input that is no record.
    pub(super) fn reject(&mut self) -> Error {
        let error = if self.is_between_messages() {
            InvalidMessage::InvalidContentType.into()
        } else {
            PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into()
        };
        self.alert = alert_over(&error);
        error
    }

    /// Sends a KeyUpdate that asks for one in return, and seals with a new key from then on (section 4.6.3).
    pub(super) fn refresh(&mut self, output: &mut Queue<Order>) -> Result<(), Error> {
        self.update_keys(REQUESTED, output)?;
        self.awaited_key_updates = self.awaited_key_updates.saturating_add(1);
        Ok(())
    }

    /// Answers the KeyUpdates that the peer wants answered; several are answered with one.
    pub(super) fn flush(&mut self, output: &mut Queue<Order>) -> Result<(), Error> {
        if !std::mem::take(&mut self.owes_key_update) {
            return Ok(());
        }
        self.update_keys(NOT_REQUESTED, output)
    }

    /// Whether no message of the peer has come in part.
    pub(super) fn is_between_messages(&self) -> bool {
        self.message.is_empty()
    }

    fn handle_messages(&mut self) -> Result<(), Error> {
        let mut bytes = std::mem::take(&mut self.message);
        let mut rest = &bytes[..];
        while let &[kind, a, b, c, ref behind @ ..] = rest {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            if len > MAX_MESSAGE {
                return Err(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            let Some((body, behind)) = behind.split_at_checked(len) else { break };
            self.handle_message(HandshakeType::from(kind), body, behind.is_empty())?;
            rest = behind;
        }
        let left = rest.len();
        if left > 0 {
            bytes.drain(..bytes.len() - left);
            self.message = bytes;
        }
        Ok(())
    }

    fn handle_message(&mut self, kind: HandshakeType, body: &[u8], is_last: bool) -> Result<(), Error> {
        match (kind, &mut self.keys) {
            (HandshakeType::NewSessionTicket, Keys::Client(keys)) => keys.handle_new_session_ticket(body),
            (HandshakeType::KeyUpdate, keys) => {
                let request = match *body {
                    [request @ (NOT_REQUESTED | REQUESTED)] => request,
                    [_] => return Err(InvalidMessage::InvalidKeyUpdate.into()),
                    [] => return Err(InvalidMessage::MissingData("KeyUpdate").into()),
                    _ => return Err(InvalidMessage::TrailingData("KeyUpdate").into()),
                };
                // What follows in the same record would have been sealed with the old key.
                if !is_last {
                    return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
                }
                // What we have asked for is not in vain, however long the peer has nothing else to say.
                match (request, self.awaited_key_updates.checked_sub(1)) {
                    (NOT_REQUESTED, Some(rest)) => self.awaited_key_updates = rest,
                    _ => self.patience.over_key_update()?,
                }
                self.opening = Opening::new(self.suite, keys.update_rx()?, 0);
                self.owes_key_update |= request == REQUESTED;
                Ok(())
            }
            (got_type, keys) => {
                let mut expect_types = vec![HandshakeType::KeyUpdate];
                if let Keys::Client(_) = keys {
                    expect_types.push(HandshakeType::NewSessionTicket);
                }
                Err(Error::InappropriateHandshakeMessage { expect_types, got_type })
            }
        }
    }

    /// Section 6: whatever the level says, an alert is an end, but for user_canceled, which a close_notify follows.
    fn handle_alert(&mut self, level: u8, description: AlertDescription) -> Result<Received, Error> {
        match (level, description) {
            (WARNING | FATAL, AlertDescription::CloseNotify) => Ok(Received::PeerClosed),
            (WARNING, AlertDescription::UserCanceled) => {
                self.patience.over_alert()?;
                Ok(Received::Message)
            }
            _ => Err(Error::AlertReceived(description)),
        }
    }

    fn update_keys(&mut self, request: u8, output: &mut Queue<Order>) -> Result<(), Error> {
        let message = [HandshakeType::KeyUpdate.into(), 0, 0, 1, request];
        output.push(&self.sealing.seal(ContentType::Handshake, &message)?);
        self.sealing = Sealing::new(self.suite, self.keys.update_tx()?);
        Ok(())
    }

    fn send_alert(&mut self, level: u8, alert: AlertDescription, output: &mut Queue<Order>) -> Result<(), Error> {
        output.push(&self.sealing.seal(ContentType::Alert, &[level, alert.into()])?);
        Ok(())
    }
}

impl fmt::Debug for Records {
    /// No keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("suite", &self.suite.common.suite)
            .field("sealed", &self.sealing.number)
            .field("opened", &self.opening.number)
            .finish_non_exhaustive()
    }
}

/// Counts down what a peer may send in a row that has no effect.
struct Patience {
    empty_records: u8,
    key_updates: u8,
    alerts: u8,
}

impl Default for Patience {
    fn default() -> Self {
        Self { empty_records: MAX_WITHOUT_DATA, key_updates: MAX_WITHOUT_DATA, alerts: MAX_ALERTS }
    }
}

impl Patience {
    fn over_data(&mut self, len: usize) -> Result<(), Error> {
        if len == 0 {
            return less(&mut self.empty_records, PeerMisbehaved::TooManyEmptyFragments);
        }
        (self.empty_records, self.key_updates) = (MAX_WITHOUT_DATA, MAX_WITHOUT_DATA);
        Ok(())
    }

    fn over_key_update(&mut self) -> Result<(), Error> {
        less(&mut self.key_updates, PeerMisbehaved::TooManyKeyUpdateRequests)
    }

    fn over_alert(&mut self) -> Result<(), Error> {
        less(&mut self.alerts, PeerMisbehaved::TooManyWarningAlertsReceived)
    }
}

fn less(left: &mut u8, otherwise: PeerMisbehaved) -> Result<(), Error> {
    *left = left.checked_sub(1).ok_or(otherwise)?;
    Ok(())
}

/// The content type and the length of the body of the record at the front.
fn header(input: &[u8]) -> Result<(ContentType, usize), Error> {
    let &[content_type, major, _, high, low, ..] = input else { return Err(InvalidMessage::MessageTooShort.into()) };
    let body = usize::from(u16::from_be_bytes([high, low]));
    if major != MAJOR_VERSION {
        return Err(InvalidMessage::UnknownProtocolVersion.into());
    }
    if body > MAX_BODY {
        return Err(InvalidMessage::MessageTooLarge.into());
    }
    Ok((ContentType::from(content_type), body))
}

/// Of a KeyUpdate: whether one is wanted in return.
const NOT_REQUESTED: u8 = 0;
const REQUESTED: u8 = 1;

/// 3 in SSL 3.0 and in every TLS.
const MAJOR_VERSION: u8 = 3;

/// As many empty records or key updates in a row as rustls and BoringSSL take.
const MAX_WITHOUT_DATA: u8 = 32;

/// As many alerts that mean nothing as rustls and BoringSSL take.
const MAX_ALERTS: u8 = 4;

/// The largest message behind the handshake. Tickets are the only ones with a length.
const MAX_MESSAGE: usize = 0xffff;
