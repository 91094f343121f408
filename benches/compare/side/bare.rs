//! What the others are made of, with nothing around it: the AEAD of the provider, and one connection of rustls.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};

use super::in_memory::Pair;
use super::tls::server_name;
use super::{Configuration, Provider, Result};

/// Seals and opens records in place, once for each layer, and does nothing else.
pub(crate) struct Aead {
    seal_and_open: SealAndOpen,
    depth: usize,
    record: Vec<u8>,
}

/// Takes a record with room for the tag, and leaves it as it was.
type SealAndOpen = Box<dyn FnMut(&mut [u8]) -> Result<()>>;

impl Aead {
    pub(crate) fn new(provider: Provider, depth: usize) -> Result<Self> {
        /// The two providers have the same names for the same things.
        macro_rules! seal_and_open {
            ($provider:ident) => {{
                use $provider::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
                let refused = |_| "the AEAD refused";
                let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).map_err(refused)?);
                let mut number = 0_u64;
                Box::new(move |record: &mut [u8]| {
                    number += 1;
                    let mut nonce = [0; 12];
                    nonce[4..].copy_from_slice(&number.to_be_bytes());
                    let (content, tag_space) = record.split_at_mut(record.len() - TAG);
                    let header = || Aad::from([23, 3, 3, 64, 16]);
                    let tag = key
                        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), header(), content)
                        .map_err(refused)?;
                    tag_space.copy_from_slice(tag.as_ref());
                    key.open_in_place(Nonce::assume_unique_for_key(nonce), header(), record).map_err(refused)?;
                    Ok(())
                })
            }};
        }
        let seal_and_open: SealAndOpen = match provider {
            Provider::AwsLcRs => seal_and_open!(aws_lc_rs),
            Provider::Ring => seal_and_open!(ring),
        };
        Ok(Self { seal_and_open, depth, record: vec![0; RECORD + TAG] })
    }
}

impl Pair for Aead {
    fn carry(&mut self, message: &[u8]) -> Result<()> {
        for content in message.chunks(RECORD) {
            for _ in 0..self.depth {
                (self.seal_and_open)(&mut self.record[..content.len() + TAG])?;
            }
        }
        Ok(())
    }
}

/// Two unbuffered connections of rustls, each the wire of the other.
pub(crate) struct Rustls {
    client: End<UnbufferedClientConnection>,
    server: End<UnbufferedServerConnection>,
}

impl Rustls {
    pub(crate) fn new(configuration: &Configuration) -> Result<Self> {
        let client = UnbufferedClientConnection::new(configuration.client.clone(), server_name()?)?;
        let server = UnbufferedServerConnection::new(configuration.server.clone())?;
        let (mut client, mut server) = (End::new(client), End::new(server));
        loop {
            client.drive(&[])?;
            server.inbound.append(&mut client.outbound);
            server.drive(&[])?;
            if client.is_up && server.is_up && server.outbound.is_empty() {
                return Ok(Self { client, server });
            }
            client.inbound.append(&mut server.outbound);
        }
    }
}

impl Pair for Rustls {
    fn carry(&mut self, message: &[u8]) -> Result<()> {
        self.client.drive(message)?;
        self.server.inbound.append(&mut self.client.outbound);
        self.server.drive(&[])?;
        if self.server.received != message.len() {
            return Err("a message did not arrive".into());
        }
        self.server.received = 0;
        Ok(())
    }
}

struct End<C> {
    connection: C,
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    space: Vec<u8>,
    received: usize,
    is_up: bool,
}

impl<C: Unbuffered> End<C> {
    fn new(connection: C) -> Self {
        let (inbound, outbound) = (Vec::new(), Vec::new());
        Self { connection, inbound, outbound, space: vec![0; 2 * RECORD], received: 0, is_up: false }
    }

    /// Takes what has come, and sends a message once it may.
    fn drive(&mut self, message: &[u8]) -> Result<()> {
        loop {
            let UnbufferedStatus { mut discard, state, .. } = self.connection.process(&mut self.inbound);
            let mut is_done = false;
            match state? {
                ConnectionState::EncodeTlsData(mut handshake) => {
                    let count = handshake.encode(&mut self.space)?;
                    self.outbound.extend_from_slice(&self.space[..count]);
                }
                ConnectionState::TransmitTlsData(handshake) => handshake.done(),
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        self.received += record.payload.len();
                    }
                }
                ConnectionState::WriteTraffic(mut traffic) => {
                    self.is_up = true;
                    is_done = true;
                    if !message.is_empty() {
                        let count = traffic.encrypt(message, &mut self.space)?;
                        self.outbound.extend_from_slice(&self.space[..count]);
                    }
                }
                ConnectionState::BlockedHandshake => is_done = true,
                state => return Err(format!("rustls wants {state:?}").into()),
            }
            self.inbound.drain(..discard);
            if is_done {
                return Ok(());
            }
        }
    }
}

/// What both sides of rustls have in common, and no trait of rustls says.
trait Unbuffered {
    type Data;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Unbuffered for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Unbuffered for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// The largest plaintext of a record.
const RECORD: usize = 16 * 1024;

/// Of AES-GCM.
const TAG: usize = 16;
