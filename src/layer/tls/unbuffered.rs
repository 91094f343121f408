//! The connection of rustls: the handshake always, and the records of what [`super::records`] does not do.
//!
//! It uses the *unbuffered* API, because that one works in our buffers and leaves what stands behind a close_notify
//! exactly where it was; the buffered one throws it away. This file and [`super::records`] are the only ones that name
//! connection types of rustls. Seven things rustls does not do for us, and where they are done:
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
    CipherSuite, ClientConfig, CommonState, Error, HandshakeKind, InvalidMessage, NamedGroup, OtherError,
    ProtocolVersion, ServerConfig,
};

use super::record::Front;
use super::records::{Keys, Records};
use crate::stack::{End, Order, Queue};

/// One side of one TLS connection, without any buffer of its own.
pub(super) struct Unbuffered {
    side: Side,
    /// How many bytes at the front of the input rustls has looked at and left there.
    seen: usize,
    sending: Sending,
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
        Self { side, seen: 0, sending: Sending::Open }
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
        either!(&mut self.side, connection => receive(connection.as_mut(), sending, &mut self.seen, input, plain, output))
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

    /// Fetches the alert that an error has left, if there is one and it may still be sent.
    pub(super) fn alert(&mut self, output: &mut Queue<Order>) {
        if self.sending == Sending::Closed {
            return;
        }
        either!(&mut self.side, connection => alert(connection.as_mut(), output));
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

    /// Whether the records can be taken over now: rustls has shaken hands and has nothing half done, neither a record nor a
    /// message.
    pub(super) fn can_hand_over(&self, input: &[u8]) -> bool {
        let common = self.common();
        !common.is_handshaking()
            && !common.wants_write()
            && Front::of(input) == Front::Incomplete
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

fn receive<C: Driven>(
    connection: &mut C,
    sending: Sending,
    seen: &mut usize,
    input: &mut Queue<End>,
    plain: &mut Queue<End>,
    output: &mut Queue<Order>,
) -> Result<Received, Error> {
    loop {
        let UnbufferedStatus { mut discard, state } = match sending {
            Sending::Open => connection.process(input.front_mut()),
            Sending::Closed => process_closed(connection, input.front_mut()),
        };
        let received = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plain.push(record.payload);
                }
                Some(Received::Plaintext)
            }
            Ok(ConnectionState::EncodeTlsData(data)) => {
                encode(data, output)?;
                None
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                transmit.done();
                None
            }
            Ok(ConnectionState::PeerClosed) => Some(Received::PeerClosed),
            Ok(_) => Some(Received::Blocked),
            Err(error) => {
                input.consume(discard);
                *seen = 0;
                return Err(error);
            }
        };
        input.consume(discard);
        if let Some(received) = received {
            // Plaintext is given out only when no handshake message is pending.
            *seen = if received == Received::Blocked { input.front().len() } else { 0 };
            return Ok(received);
        }
    }
}

/// As [`Driven::process`] when our close_notify has been sent. Then rustls built with debug assertions panics over
/// input that it has to refuse (`assertion failed: !self.sent_fatal_alert`), and input is the peer's to choose.
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

/// More than any record adds to its plaintext: header, explicit nonce, tag, content type.
const RECORD_GROWTH: usize = 64;
