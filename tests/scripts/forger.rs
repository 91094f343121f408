//! A peer with the keys in hand: rustls makes the handshake, and from then on any record can be forged.

use std::time::Instant;

use onionskin::rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use onionskin::rustls::pki_types::ServerName;
use onionskin::rustls::{
    ClientConnection, Connection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, ServerConnection,
    SupportedCipherSuite,
};
use onionskin::stack::{Limits, Output, Stack};
use onionskin::tls::{TlsLayer, Version};

use crate::world::{NAME, World};

/// Encrypts whatever it is told to.
pub(crate) struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Forger {
    /// A forger in the role of the client, or else of the server, and the stack that it has done the handshake with.
    pub(crate) fn new(version: Version, client: bool) -> (Self, Stack) {
        let world = World::shared();
        let now = Instant::now();
        let (mut forger, layer): (Connection, TlsLayer) = if client {
            let name = ServerName::try_from(NAME).unwrap();
            let forger = ClientConnection::new(world.raw_client(version), name).unwrap();
            (forger.into(), world.server().accept().unwrap())
        } else {
            let forger = ServerConnection::new(world.raw_server()).unwrap();
            (forger.into(), world.fresh_client(version).to(NAME).unwrap())
        };
        let mut stack = Stack::new(Limits::default());
        stack.splice(now, Box::new(layer)).unwrap();
        loop {
            let mut to_stack = Vec::new();
            while forger.wants_write() {
                forger.write_tls(&mut to_stack).unwrap();
            }
            assert_eq!(stack.handle_input(now, &to_stack), to_stack.len());
            let to_forger = sent(&mut stack, now);
            let mut rest = to_forger.as_slice();
            while !rest.is_empty() {
                forger.read_tls(&mut rest).unwrap();
                forger.process_new_packets().unwrap();
            }
            if to_forger.is_empty() && to_stack.is_empty() {
                break;
            }
        }
        let suite = forger.negotiated_cipher_suite().unwrap();
        let (sequence, secrets) = forger.dangerous_extract_secrets().unwrap().tx;
        let (key, iv) = key_and_iv(secrets);
        let encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let iv = iv.as_ref();
                let (fixed, explicit) = iv.split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
                suite.aead_alg.encrypter(key, fixed, explicit)
            }
        };
        // aws-lc takes the first nonce for that of record 0, and insists that the others follow.
        let mut forger = Self { encrypter, sequence: 0 };
        while forger.sequence < sequence {
            forger.record(ContentType::ApplicationData, b"");
        }
        (forger, stack)
    }

    /// A record of this type with this content.
    pub(crate) fn record(&mut self, content_type: ContentType, content: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(content);
        let message = OutboundPlainMessage { typ: content_type, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.encrypter.encrypt(message, self.sequence).unwrap();
        self.sequence += 1;
        record.encode()
    }
}

/// What the stack has to send.
pub(crate) fn sent(stack: &mut Stack, now: Instant) -> Vec<u8> {
    let mut sent = Vec::new();
    while let Output::Bytes(bytes) = stack.poll_output() {
        sent.extend_from_slice(bytes);
        let count = bytes.len();
        stack.handle_sent(now, count);
    }
    sent
}

fn key_and_iv(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("a cipher that this forger does not know"),
    }
}
