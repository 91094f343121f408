//! How a connection of rustls is driven through its unbuffered API, one call of it after the other: to read, to write, and to have
//! an alert made. What is kept between the calls is in [`super::unbuffered`], with a list of all that rustls leaves to us.

use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedConnectionCommon,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{AlertDescription, Error, OtherError};

use super::alert::{ALERT, FATAL, is_close_notify_in_clear};
use super::record::{Front, HEADER, Received};
use crate::stack::{End, Order, Queue};

/// What client and server have in common for us, and rustls gives to each by itself.
pub(super) trait Driven: Deref<Target = UnbufferedConnectionCommon<Self::Data>> {
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

/// Whether rustls may still say something to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Open,
    /// Our close_notify has been encrypted.
    Closed,
}

/// Shows rustls one record at a time, so that what stands behind the last of the handshake is left for whoever reads the
/// records then, and is never read by one or the other as it happened to arrive.
pub(super) fn receive<C: Driven>(
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
pub(super) struct Shown {
    pub(super) len: usize,
    /// Whether the record is there whole. If it is, rustls leaves nothing of it unseen.
    whole: bool,
}

impl Shown {
    pub(super) fn next(input: &[u8], seen: usize) -> Self {
        match Front::of(&input[seen..]) {
            Front::Record(body) if seen + HEADER + body <= input.len() => {
                Self { len: seen + HEADER + body, whole: true }
            }
            // A part of one, which rustls refuses as soon as its header is wrong.
            _ => Self { len: input.len(), whole: false },
        }
    }
}

/// As [`Driven::process`] when our close_notify has been sent, or an error has been met. Then rustls may panic: built with debug
/// assertions over input that it has to refuse (`assertion failed: !self.sent_fatal_alert`), and input is the peer's to choose.
pub(super) fn process_closed<'c, 'i, C: Driven>(
    connection: &'c mut C,
    input: &'i mut [u8],
) -> UnbufferedStatus<'c, 'i, C::Data> {
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
pub(super) fn write<C: Driven>(
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
pub(super) fn provoke<C: Driven>(
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

pub(super) fn alert<C: Driven>(connection: &mut C, output: &mut Queue<Order>) {
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
pub(super) fn encrypt(
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

/// A header with a content type that nobody uses.
const NO_RECORD: [u8; HEADER] = [99, 3, 3, 0, 0];

/// As many handshake messages as one record may hold whose refusal gets an alert all the same.
const MAX_MESSAGES: usize = 16;

/// More than any record adds to its plaintext: header, explicit nonce, tag, content type.
const RECORD_GROWTH: usize = 64;
