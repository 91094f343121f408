//! The connection of rustls: the handshake always, and the records of what [`super::records`] does not do.
//!
//! It uses the *unbuffered* API, because that one works in our buffers and leaves what stands behind a close_notify
//! exactly where it was; the buffered one throws it away. This file, [`super::driven`] and [`super::keys`] are the only ones that
//! name connection types of rustls. Ten things rustls does not do for us, and where they are done:
//!
//! 1. It must be called again after every state until it has nothing left to do: the loops in [`super::driven`].
//! 2. After an error the alert is still inside. It is fetched only while [`CommonState::wants_write`] says that there
//!    is one; called once more with input, debug builds of rustls panic: [`Unbuffered::alert`].
//! 3. It does not remember an error: the layer does.
//! 4. It encrypts after a close_notify: the layer does not ask it to.
//! 5. While a handshake message is spread over records it keeps *positions* in our buffer, so every call must show
//!    it the bytes that it has already seen, also one that only wants to send: [`Unbuffered::seen`].
//! 6. After our close_notify it still answers what the peer sends, and debug builds of it panic where the answer would
//!    be a fatal alert. Nothing may follow a close_notify (RFC 8446 section 6.1), least of all into the bytes of the
//!    layer below: from then on its answers go nowhere, and [`super::driven::process_closed`] makes the panic an error.
//! 7. It answers a KeyUpdate with its next record, whenever that may be: [`Unbuffered::flush`].
//! 8. It reads on behind the last record of the handshake if there is more: it is shown one record at a time ([`Shown`]).
//! 9. Some of its errors have no alert, among them everything between the parts of a handshake message: [`provoke`].
//! 10. A close_notify during the handshake is a warning to it, and it waits on: [`is_close_notify_in_clear`](super::alert::is_close_notify_in_clear).

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, CommonState, Error, ExtractedSecrets, InvalidMessage, ServerConfig};

use super::agreed::Agreed;
use super::alert::alert_over;
use super::aside::{self, Aside};
use super::driven::{Driven, Sending, Shown, alert, encrypt, provoke, receive, write};
use super::exporter::Exporter;
use super::keys::{self, Keys};
use super::record::Received;
use super::server_hello::ServerHello;
use crate::stack::{End, Order, Queue};

/// One side of one TLS connection, without any buffer of its own.
pub(super) struct Unbuffered {
    side: Side,
    /// How many bytes at the front of the input rustls has looked at and left there.
    seen: usize,
    sending: Sending,
    /// The alert for an error, if rustls sends none; and how much of the input it was shown.
    wanted: Option<(AlertDescription, usize)>,
    /// What was said aside in the handshake.
    aside: Aside,
    server_hello: Option<ServerHello>,
}

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
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
        Self { side, seen: 0, sending: Sending::Open, wanted: None, aside: Aside::default(), server_hello: None }
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
        let handshaking = self.is_handshaking();
        let is_client = matches!(self.side, Side::Client(_));
        let looks_for_hello = handshaking && self.server_hello.is_none();
        if looks_for_hello && is_client {
            self.server_hello = ServerHello::at_front_of(&input.front()[..shown.len]);
        }
        // A server's is the first that it sends.
        let mut answer = (looks_for_hello && !is_client).then(|| Queue::new(0));
        let mut read = || {
            either!(&mut self.side, connection => {
                let output = answer.as_mut().unwrap_or(output);
                receive(connection.as_mut(), sending, &mut self.seen, &mut shown, input, plain, output)
            })
        };
        let received = if handshaking {
            let (received, said) = aside::overhear(read);
            self.aside.add(said);
            received
        } else {
            read()
        };
        if let Some(mut answer) = answer {
            let answer = answer.drain_all();
            self.server_hello = ServerHello::at_front_of(&answer);
            output.push(&answer);
        }
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
                // Keys that are used up are a matter for a real write.
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

    /// What the handshake agreed on, which is done; and what was said aside in it, which is given once.
    pub(super) fn agreed(&mut self) -> (Agreed, Option<Exporter>, Option<Arc<CertifiedKey>>) {
        let Aside { ocsp_response, secret, own_certificate } = std::mem::take(&mut self.aside);
        let common = self.common();
        let suite = common.negotiated_cipher_suite();
        let exporter = suite.zip(secret).and_then(|(suite, secret)| Exporter::of(suite, secret, self.server_hello));
        (Agreed::of(common, ocsp_response), exporter, own_certificate)
    }

    /// Whether the records can be taken over now: the handshake is done and rustls has nothing half done, no part of a message and
    /// nothing still to be sent.
    pub(super) fn can_hand_over(&self) -> bool {
        let common = self.common();
        !common.is_handshaking()
            && !common.wants_write()
            && self.seen == 0
            && self.sending == Sending::Open
            && common.negotiated_cipher_suite().is_some_and(keys::are_given_out)
    }

    /// Gives the keys of both directions away, with where the next ones come from.
    pub(super) fn hand_over(self) -> Result<(Keys, ExtractedSecrets), Error> {
        Ok(match self.side {
            Side::Client(connection) => {
                let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
                (Keys::Client(keys), secrets)
            }
            Side::Server(connection) => {
                let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
                (Keys::Server(keys), secrets)
            }
        })
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
