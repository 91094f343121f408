//! The keys of TLS 1.3 (RFC 8446 sections 5.2, 5.3 and 7.2): one for each direction, which seals or opens records and counts them,
//! and where the next ones come from.

use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite, Tls13CipherSuite};

use super::record::MAX_PLAINTEXT;
use crate::stack::COPY_CHUNK;

/// Whether the provider gives out keys of this suite, and so the records can be ours.
pub(super) fn are_given_out(suite: SupportedCipherSuite) -> bool {
    let SupportedCipherSuite::Tls13(suite) = suite else { return false };
    suite.aead_alg.extract_keys(AeadKey::from([0; 32]), Iv::from([0; 12])).is_ok()
}

/// Where new keys come from, and where tickets go.
pub(super) enum Keys {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

impl Keys {
    pub(super) fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Client(keys) => keys.negotiated_cipher_suite(),
            Self::Server(keys) => keys.negotiated_cipher_suite(),
        }
    }

    pub(super) fn update_tx(&mut self) -> Result<ConnectionTrafficSecrets, Error> {
        let (_, secrets) = match self {
            Self::Client(keys) => keys.update_tx_secret(),
            Self::Server(keys) => keys.update_tx_secret(),
        }?;
        Ok(secrets)
    }

    pub(super) fn update_rx(&mut self) -> Result<ConnectionTrafficSecrets, Error> {
        let (_, secrets) = match self {
            Self::Client(keys) => keys.update_rx_secret(),
            Self::Server(keys) => keys.update_rx_secret(),
        }?;
        Ok(secrets)
    }
}

/// The direction to the peer, with one key.
pub(super) struct Sealing {
    encrypter: Box<dyn MessageEncrypter>,
    /// How many records the key has sealed.
    pub(super) number: u64,
    most: u64,
}

impl Sealing {
    pub(super) fn new(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Self {
        let (key, iv) = parts(secrets);
        Self { encrypter: suite.aead_alg.encrypter(key, iv), number: 0, most: suite.common.confidentiality_limit }
    }

    /// Goes on behind the records that rustls has sealed with this key.
    pub(super) fn go_on_from(&mut self, number: u64) -> Result<(), Error> {
        if number > 0 {
            // AWS-LC takes the first nonce that it sees for that of record 0, and insists on greater ones from there on. So it
            // is shown that one, in a record that nobody gets: the one that was sent with it is rustls's.
            self.encrypter.encrypt(message(ContentType::ApplicationData, OutboundChunks::Single(&[])), 0)?;
        }
        self.number = number;
        Ok(())
    }

    /// Whether the key may seal no more data: its last record is the KeyUpdate.
    pub(super) fn is_used_up(&self) -> bool {
        self.number > 0 && self.number >= self.most.saturating_sub(1)
    }

    pub(super) fn seal(&mut self, content_type: ContentType, plain: &[u8]) -> Result<Vec<u8>, Error> {
        // The provider copies these one by one, which keeps each copy small; see `COPY_CHUNK`.
        let mut parts = [&[][..]; MAX_PARTS];
        let mut count = 0;
        for part in plain.chunks(COPY_CHUNK) {
            parts[count] = part;
            count += 1;
        }
        let sealed =
            self.encrypter.encrypt(message(content_type, OutboundChunks::new(&parts[..count])), self.number)?;
        self.number += 1;
        Ok(sealed.encode())
    }
}

/// The direction from the peer, with one key.
pub(super) struct Opening {
    decrypter: Box<dyn MessageDecrypter>,
    /// How many records the key has opened.
    pub(super) number: u64,
}

impl Opening {
    /// Goes on behind the records that rustls has opened with this key, if any.
    pub(super) fn new(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets, number: u64) -> Self {
        let (key, iv) = parts(secrets);
        Self { decrypter: suite.aead_alg.decrypter(key, iv), number }
    }

    pub(super) fn open<'a>(
        &mut self,
        content_type: ContentType,
        body: &'a mut [u8],
    ) -> Result<InboundPlainMessage<'a>, Error> {
        // The header's content type is for show in TLS 1.3 (section 5.2), and a change_cipher_spec only in the handshake.
        if content_type != ContentType::ApplicationData {
            return Err(inappropriate(content_type));
        }
        let record = InboundOpaqueMessage::new(content_type, ProtocolVersion::TLSv1_2, body);
        let opened = self.decrypter.decrypt(record, self.number)?;
        self.number += 1;
        Ok(opened)
    }
}

fn message(typ: ContentType, payload: OutboundChunks<'_>) -> OutboundPlainMessage<'_> {
    OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_3, payload }
}

fn parts(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => unreachable!("a suite that gives its keys out gives one of these"),
    }
}

/// The error over a record of a type that has no place behind the handshake.
pub(super) fn inappropriate(got_type: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData, ContentType::Handshake], got_type }
}

const MAX_PARTS: usize = MAX_PLAINTEXT.div_ceil(COPY_CHUNK);
