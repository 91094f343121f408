//! The connection of rustls: the handshake always, and the records of what [`super::records`] does not do.
//!
//! It uses the *unbuffered* API, because that one works in our buffers and leaves what stands behind a close_notify
//! exactly where it was; the buffered one throws it away. This file and [`super::records`] are the only ones that name
//! connection types of rustls. Ten things rustls does not do for us, and where they are done:
//!
//! 1. It must be called again after every state until it has nothing left to do: the loops here.
//! 2. After an error the alert is still inside. It is fetched only while [`CommonState::wants_write`] says that there
//!    is one; called once more with input, debug builds of rustls panic: [`Unbuffered::alert`].
//! 3. It does not remember an error: the layer does.
//! 4. It encrypts after a close_notify: the layer does not ask it to.
//! 5. While a handshake message is spread over records it keeps *positions* in our buffer, so every call must show
//!    it the bytes that it has already seen, also one that only wants to send: [`Unbuffered::seen`].
//! 6. After our close_notify it still answers what the peer sends, and debug builds of it panic where the answer would
//!    be a fatal alert. Nothing may follow a close_notify (RFC 8446 section 6.1), least of all into the bytes of the
//!    layer below: from then on its answers go nowhere, and [`process_closed`] makes the panic an error.
//! 7. It answers a KeyUpdate with its next record, whenever that may be: [`Unbuffered::flush`].
//! 8. It reads on behind the last record of the handshake if there is more: it is shown one record at a time ([`Shown`]).
//! 9. Some of its errors have no alert, among them everything between the parts of a handshake message: [`provoke`].
//! 10. A close_notify during the handshake is a warning to it, and it waits on: [`is_close_notify_in_clear`].

use std::fmt;
use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedConnectionCommon,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, CommonState, Error, HandshakeKind, InvalidMessage, NamedGroup,
    OtherError, ProtocolVersion, ServerConfig,
};

use super::record::{Front, HEADER};
use super::records::{Keys, Records, alert_over};
use crate::stack::{End, Order, Queue};

/// One side of one TLS connection, without any buffer of its own.
pub(super) struct Unbuffered {
    side: Side,
    /// How many bytes at the front of the input rustls has looked at and left there.
    seen: usize,
    sending: Sending,
    /// What the peer is to be told of an error, if rustls tells it nothing; and how much of the input it was shown.
    wanted: Option<(AlertDescription, usize)>,
}

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// Whether rustls may still say something to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Open,
    /// Our close_notify has been encrypted.
    Closed,
}

/// What came of one step of [`Engine::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// One record's plaintext was given on; there may be more to do.
    Plaintext,
    /// Something between the two sides, and nothing for others.
    Message,
    /// Nothing more can be done with this input.
    Blocked,
    /// The peer's close_notify; what follows in the input is not this connection's.
    PeerClosed,
}

/// What the handshake agreed on.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreed {
    pub(super) version: Option<ProtocolVersion>,
    pub(super) cipher_suite: Option<CipherSuite>,
    pub(super) key_exchange_group: Option<NamedGroup>,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) peer_certificates: Vec<CertificateDer<'static>>,
    pub(super) resumed: bool,
}

/// Does the same to whichever side this is.
macro_rules! either {
    ($side:expr, $connection:ident => $do:expr) => {
        match $side {
            Side::Client($connection) => $do,
            Side::Server($connection) => $do,
        }
    };
}

impl Unbuffered {
    pub(super) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        let connection = UnbufferedClientConnection::new(config, name)?;
        Ok(Self::new(Side::Client(Box::new(connection))))
    }

    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Side::Server(Box::new(connection))))
    }

    fn new(side: Side) -> Self {
        Self { side, seen: 0, sending: Sending::Open, wanted: None }
    }

    /// Takes input until one record of plaintext has been given to `plain`, or as far as it goes. What the peer
    /// is to get (handshake messages, tickets, key updates) goes to `output`.
    pub(super) fn receive(
        &mut self,
        input: &mut Queue<End>,
        plain: &mut Queue<End>,
        output: &mut Queue<Order>,
    ) -> Result<Received, Error> {
        let mut nowhere = Queue::new(0);
        let output = if self.sending == Sending::Open { output } else { &mut nowhere };
        let sending = self.sending;
        let mut shown = Shown::next(input.front(), self.seen);
        let received = either!(&mut self.side, connection => {
            receive(connection.as_mut(), sending, &mut self.seen, &mut shown, input, plain, output)
        });
        if let Err(error) = &received {
            let wanted = alert_over(error).filter(|&alert| alert != AlertDescription::InternalError);
            self.wanted = wanted.map(|wanted| (wanted, shown.len));
        }
        received
    }

    /// Encrypts `plain` into records.
    pub(super) fn send(
        &mut self,
        input: &mut Queue<End>,
        plain: &[u8],
        output: &mut Queue<Order>,
    ) -> Result<(), Error> {
        either!(&mut self.side, connection => write(connection.as_mut(), &mut self.seen, input, output, |mut traffic, output| {
            encrypt(output, plain.len(), |space| traffic.encrypt(plain, space))
        }))
    }

    /// Encrypts our close_notify: the last that this connection sends.
    pub(super) fn close(&mut self, input: &mut Queue<End>, output: &mut Queue<Order>) -> Result<(), Error> {
        either!(&mut self.side, connection => write(connection.as_mut(), &mut self.seen, input, output, |mut traffic, output| {
            encrypt(output, 0, |space| traffic.queue_close_notify(space))
        }))?;
        self.sending = Sending::Closed;
        Ok(())
    }

    /// Sends a KeyUpdate (RFC 8446 section 4.6.3) that asks the peer for one in return.
    pub(super) fn refresh(&mut self, input: &mut Queue<End>, output: &mut Queue<Order>) -> Result<(), Error> {
        either!(&mut self.side, connection => {
            write(connection.as_mut(), &mut self.seen, input, output, |traffic, _| traffic.refresh_traffic_keys())?;
            // Once more, for the message itself to be encoded on the way to the next chance to write.
            write(connection.as_mut(), &mut self.seen, input, output, |_, _| Ok(()))
        })
    }

    /// Sends what rustls keeps for the next record: its answer to a KeyUpdate.
    ///
    /// Only an attempt to write makes it let go, so it is asked for a record that has no room to go to.
    pub(super) fn flush(&mut self, input: &mut Queue<End>, output: &mut Queue<Order>) -> Result<(), Error> {
        either!(&mut self.side, connection => {
            write(connection.as_mut(), &mut self.seen, input, output, |mut traffic, _| match traffic.encrypt(&[0], &mut []) {
                // Keys that are used up are a matter for who really writes.
                Err(_) => Ok(()),
                Ok(_) => Err(Error::EncryptError),
            })?;
            write(connection.as_mut(), &mut self.seen, input, output, |_, _| Ok(()))
        })
    }

    /// Fetches the alert that an error has left, or has one made if rustls has left none, if it may still be sent.
    pub(super) fn alert(&mut self, input: &Queue<End>, output: &mut Queue<Order>) {
        let wanted = self.wanted.take();
        if self.sending == Sending::Closed {
            return;
        }
        either!(&mut self.side, connection => match wanted {
            Some((wanted, shown)) if !connection.wants_write() => {
                let shown = input.front().get(..shown).unwrap_or_default();
                provoke(connection.as_mut(), shown, self.seen, wanted, output);
            }
            _ => alert(connection.as_mut(), output),
        });
    }

    /// Makes the error, and the alert, for input that cannot be TLS by its first byte. rustls would wait for five.
    pub(super) fn reject(&mut self, first: u8) -> Error {
        let mut record = [first, 3, 3, 0, 1, 0];
        let rejected = match self.sending {
            Sending::Open => either!(&mut self.side, connection => connection.process(&mut record).state.err()),
            Sending::Closed => None,
        };
        rejected.unwrap_or(Error::InvalidMessage(InvalidMessage::InvalidContentType))
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    /// Whether the input begins with a record of which nothing has been used.
    pub(super) fn is_at_record_boundary(&self) -> bool {
        self.seen == 0
    }

    pub(super) fn agreed(&self) -> Agreed {
        let common = self.common();
        Agreed {
            version: common.protocol_version(),
            cipher_suite: common.negotiated_cipher_suite().map(|suite| suite.suite()),
            key_exchange_group: common.negotiated_key_exchange_group().map(SupportedKxGroup::name),
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificates: common.peer_certificates().map(<[_]>::to_vec).unwrap_or_default(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Whether the records can be taken over now: rustls has shaken hands and has nothing half done, no part of a message and
    /// nothing still to be sent.
    pub(super) fn can_hand_over(&self) -> bool {
        let common = self.common();
        !common.is_handshaking()
            && !common.wants_write()
            && self.seen == 0
            && self.sending == Sending::Open
            && common.negotiated_cipher_suite().is_some_and(Records::can_take)
    }

    /// Gives the keys of both directions away.
    pub(super) fn hand_over(self) -> Result<Records, Error> {
        match self.side {
            Side::Client(connection) => {
                let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
                Records::new(Keys::Client(keys), secrets)
            }
            Side::Server(connection) => {
                let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
                Records::new(Keys::Server(keys), secrets)
            }
        }
    }

    fn common(&self) -> &CommonState {
        either!(&self.side, connection => connection)
    }
}

impl fmt::Debug for Unbuffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unbuffered").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// What client and server have in common for us, and rustls gives to each by itself.
trait Driven: Deref<Target = UnbufferedConnectionCommon<Self::Data>> {
    type Data;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Driven for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }
}

impl Driven for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }
}

/// Shows rustls one record at a time, so that what stands behind the last of the handshake is left for whoever reads the
/// records then, and is never read by one or the other as it happened to arrive.
fn receive<C: Driven>(
    connection: &mut C,
    sending: Sending,
    seen: &mut usize,
    shown: &mut Shown,
    input: &mut Queue<End>,
    plain: &mut Queue<End>,
    output: &mut Queue<Order>,
) -> Result<Received, Error> {
    let handshaking = connection.is_handshaking();
    loop {
        if handshaking && *seen == 0 && is_close_notify_in_clear(&input.front()[..shown.len]) {
            // rustls takes it for a warning, and would wait for a peer that has said that it goes.
            input.consume(shown.len);
            return Err(Error::AlertReceived(AlertDescription::CloseNotify));
        }
        let front = &mut input.front_mut()[..shown.len];
        let UnbufferedStatus { mut discard, state } = match sending {
            Sending::Open => connection.process(front),
            Sending::Closed => process_closed(connection, front),
        };
        let received = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plain.push(record.payload);
                }
                Ok(Some(Received::Plaintext))
            }
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, output).map(|()| None),
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                transmit.done();
                Ok(None)
            }
            Ok(ConnectionState::PeerClosed) => Ok(Some(Received::PeerClosed)),
            Ok(_) => Ok(Some(Received::Blocked)),
            Err(error) => Err(error),
        };
        input.consume(discard);
        *seen = seen.saturating_sub(discard);
        shown.len -= discard;
        match received? {
            None => {}
            Some(Received::Blocked) if shown.whole => {
                *seen = shown.len;
                if handshaking && !connection.is_handshaking() {
                    return Ok(Received::Message);
                }
                *shown = Shown::next(input.front(), *seen);
            }
            Some(Received::Blocked) => return Ok(Received::Blocked),
            Some(received) => {
                // Plaintext is given out only when no handshake message is pending.
                *seen = 0;
                return Ok(received);
            }
        }
    }
}

/// How much of the input rustls is shown: what it has seen, and the next record.
struct Shown {
    len: usize,
    /// Whether the record is there whole. If it is, rustls leaves nothing of it unseen.
    whole: bool,
}

impl Shown {
    fn next(input: &[u8], seen: usize) -> Self {
        match Front::of(&input[seen..]) {
            Front::Record(body) if seen + HEADER + body <= input.len() => {
                Self { len: seen + HEADER + body, whole: true }
            }
            // A part of one, which rustls refuses as soon as its header is wrong.
            _ => Self { len: input.len(), whole: false },
        }
    }
}

/// Whether a record is a close_notify that is not encrypted. Whoever can put one in can put anything in, so it is believed.
fn is_close_notify_in_clear(record: &[u8]) -> bool {
    matches!(*record, [ALERT, _, _, 0, 2, _, 0])
}

/// As [`Driven::process`] when our close_notify has been sent, or an error has been met. Then rustls may panic: built with debug
/// assertions over input that it has to refuse (`assertion failed: !self.sent_fatal_alert`), and input is the peer's to choose.
fn process_closed<'c, 'i, C: Driven>(connection: &'c mut C, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, C::Data> {
    let process = move || {
        let (connection, input) = (connection, input);
        connection.process(input)
    };
    // The layer fails with this error, and nobody asks the connection again.
    catch_unwind(AssertUnwindSafe(process)).unwrap_or_else(|_| {
        let error = io::Error::other("what came after our close_notify is not valid");
        UnbufferedStatus { discard: 0, state: Err(Error::Other(OtherError(Arc::new(error)))) }
    })
}

/// Brings rustls to the point where it lets us write, and writes.
fn write<C: Driven>(
    connection: &mut C,
    seen: &mut usize,
    input: &mut Queue<End>,
    output: &mut Queue<Order>,
    action: impl FnOnce(WriteTraffic<'_, C::Data>, &mut Queue<Order>) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        let UnbufferedStatus { discard, state } = connection.process(&mut input.front_mut()[..*seen]);
        let traffic = match state? {
            ConnectionState::WriteTraffic(traffic) => Some(traffic),
            ConnectionState::EncodeTlsData(data) => {
                encode(data, output)?;
                None
            }
            ConnectionState::TransmitTlsData(transmit) => {
                transmit.done();
                None
            }
            _ => return Err(Error::HandshakeNotComplete),
        };
        input.consume(discard);
        *seen -= discard;
        if let Some(traffic) = traffic {
            return action(traffic, output);
        }
    }
}

/// Has rustls make an alert where it has none for its error: one that it makes for a record of a type that does not exist.
///
/// It says decode_error. In clear that is replaced by what should be said; under keys it stays, as the keys are those of rustls.
fn provoke<C: Driven>(
    connection: &mut C,
    shown: &[u8],
    seen: usize,
    wanted: AlertDescription,
    output: &mut Queue<Order>,
) {
    // The record stands wherever rustls may go on: behind what it was shown, at what it refused, or at the beginning.
    let mut input = [shown, &NO_RECORD].concat();
    for at in [0, seen] {
        if let Some(place) = input.get_mut(at..at + NO_RECORD.len()) {
            place.copy_from_slice(&NO_RECORD);
        }
    }
    // Messages that came whole with the one that is wrong are given up first, one with each call.
    for _ in 0..MAX_MESSAGES {
        if connection.wants_write() || process_closed(connection, &mut input).state.is_ok() {
            break;
        }
    }
    let mut made = Queue::new(0);
    alert(connection, &mut made);
    if let [ALERT, _, _, 0, 2, FATAL, description] = made.front_mut() {
        *description = wanted.into();
    }
    output.push(made.front());
}

fn alert<C: Driven>(connection: &mut C, output: &mut Queue<Order>) {
    while connection.wants_write() {
        match connection.process(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(data)) => {
                if encode(data, output).is_err() {
                    return;
                }
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
            _ => return,
        }
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, output: &mut Queue<Order>) -> Result<(), Error> {
    let size = match data.encode(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        Err(error @ EncodeError::AlreadyEncoded) => return Err(Error::General(error.to_string())),
    };
    let encoded = output.fill(size, |space| counted(data.encode(space)));
    encoded.map_err(|error| Error::General(error.to_string()))
}

/// Lets `encrypt` write where it has room enough, which it may have to say itself: a key update can go first.
fn encrypt(
    output: &mut Queue<Order>,
    plain: usize,
    mut encrypt: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Error> {
    let mut size = plain + RECORD_GROWTH;
    loop {
        match output.fill(size, |space| counted(encrypt(space))) {
            Ok(()) => return Ok(()),
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => size = required_size,
            Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
        }
    }
}

fn counted<E>(written: Result<usize, E>) -> (usize, Result<(), E>) {
    match written {
        Ok(count) => (count, Ok(())),
        Err(error) => (0, Err(error)),
    }
}

/// The content type of alerts, and the level of those that end a connection.
const ALERT: u8 = 21;
const FATAL: u8 = 2;

/// A header with a content type that nobody uses.
const NO_RECORD: [u8; HEADER] = [99, 3, 3, 0, 0];

/// As many handshake messages as one record may hold whose refusal gets an alert all the same.
const MAX_MESSAGES: usize = 16;

/// More than any record adds to its plaintext: header, explicit nonce, tag, content type.
const RECORD_GROWTH: usize = 64;
