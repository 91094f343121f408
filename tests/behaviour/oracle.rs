//! A stack whose peer is no stack: rustls itself, or one that has done the handshake as rustls and then seals what it likes.

use std::io::{Cursor, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use onionskin::rustls;
use onionskin::rustls::client::Resumption;
use onionskin::rustls::crypto::CryptoProvider;
use onionskin::rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use onionskin::rustls::server::ProducesTickets;
use onionskin::rustls::{
    CipherSuite, CipherSuiteCommon, ClientConfig, ClientConnection, Connection, ConnectionTrafficSecrets, ContentType,
    Error, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite, Tls13CipherSuite,
    version,
};
use onionskin::stack::{LayerId, Output};
use onionskin::testing::{Cut, Pair, Peer};
use onionskin::tls::{Role, TlsClient, TlsServer};

use crate::common::Authority;
use crate::common::link::NAME;

/// Configurations of rustls for both sides, with TLS 1.3 alone.
#[derive(Clone)]
pub(crate) struct Configs {
    pub(crate) client: ClientConfig,
    pub(crate) server: ServerConfig,
}

impl Configs {
    pub(crate) fn new(provider: &CryptoProvider) -> Self {
        Self::certified(&Authority::new(), provider)
    }

    /// For two who trust each other, and have each a provider.
    pub(crate) fn pair(ours: &CryptoProvider, theirs: &CryptoProvider) -> (Self, Self) {
        let authority = Authority::new();
        (Self::certified(&authority, ours), Self::certified(&authority, theirs))
    }

    fn certified(authority: &Authority, provider: &CryptoProvider) -> Self {
        let (chain, key) = authority.pem_identity(NAME);
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(provider.clone());
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.enable_secret_extraction = true;
        client.resumption = Resumption::in_memory_sessions(8);
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        server.enable_secret_extraction = true;
        Self { client, server }
    }
}

/// A stack with one TLS layer, and rustls with buffers of its own on the other end of the wire.
pub(crate) struct Oracle {
    pub(crate) stack: Peer,
    pub(crate) layer: LayerId,
    pub(crate) rustls: Connection,
    /// What rustls has read.
    pub(crate) heard: Vec<u8>,
}

impl Oracle {
    /// The stack in this role, with the handshake done.
    pub(crate) fn connected(role: Role, ours: &Configs, theirs: &Configs) -> Self {
        let mut oracle = Self::new(role, ours, theirs);
        oracle.run();
        assert!(!oracle.rustls.is_handshaking());
        oracle
    }

    pub(crate) fn new(role: Role, ours: &Configs, theirs: &Configs) -> Self {
        let mut stack = Pair::new(Cut::Whole).left;
        let (layer, rustls) = match role {
            Role::Client => {
                let client = TlsClient::from_rustls(Arc::new(ours.client.clone())).unwrap();
                let rustls = ServerConnection::new(Arc::new(theirs.server.clone())).unwrap();
                (stack.splice(client.to(NAME).unwrap()), rustls.into())
            }
            Role::Server => {
                let server = TlsServer::from_rustls(Arc::new(ours.server.clone())).unwrap();
                let name = ServerName::try_from(NAME).unwrap();
                let rustls = ClientConnection::new(Arc::new(theirs.client.clone()), name).unwrap();
                (stack.splice(server.accept().unwrap()), rustls.into())
            }
        };
        Self { stack, layer, rustls, heard: Vec::new() }
    }

    /// Lets both talk until neither has anything to say.
    pub(crate) fn run(&mut self) {
        while self.stack_sends(usize::MAX) | self.rustls_sends(usize::MAX) {}
    }

    /// Hands over what the stack has to send, so many bytes at a time.
    pub(crate) fn stack_sends(&mut self, most: usize) -> bool {
        let sent = taken(&mut self.stack);
        for piece in sent.chunks(most.min(sent.len()).max(1)) {
            let mut piece = Cursor::new(piece);
            while (piece.position() as usize) < piece.get_ref().len() && self.rustls.read_tls(&mut piece).unwrap() > 0 {
                self.rustls.process_new_packets().expect("rustls takes what the stack sends");
                // What is not there yet would block.
                let _ = self.rustls.reader().read_to_end(&mut self.heard);
            }
        }
        !sent.is_empty()
    }

    /// Hands over what rustls has to send, so many bytes at a time.
    pub(crate) fn rustls_sends(&mut self, most: usize) -> bool {
        let mut sent = Vec::new();
        while self.rustls.wants_write() {
            self.rustls.write_tls(&mut sent).unwrap();
        }
        for piece in sent.chunks(most.min(sent.len()).max(1)) {
            give(&mut self.stack, piece);
        }
        !sent.is_empty()
    }

    /// rustls writes, as much as it takes.
    pub(crate) fn rustls_writes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.rustls.writer().write(bytes).unwrap();
            bytes = &bytes[count..];
            self.rustls_sends(usize::MAX);
        }
    }

    pub(crate) fn take_heard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.heard)
    }

    /// Whether the stack does the records itself.
    pub(crate) fn has_taken_over(&self) -> bool {
        has_taken_over(&self.stack, self.layer)
    }
}

pub(crate) fn has_taken_over(stack: &Peer, layer: LayerId) -> bool {
    let shown = format!("{:?}", stack.stack.layer(layer).expect("the layer is there"));
    let (ours, theirs) = (shown.contains("stage: Records"), shown.contains("stage: Unbuffered"));
    assert!(ours != theirs, "{shown}");
    ours
}

/// A stack with one TLS layer, and a peer that seals what it likes.
pub(crate) struct Forger {
    pub(crate) stack: Peer,
    pub(crate) layer: LayerId,
    encrypter: Box<dyn MessageEncrypter>,
    sealed: u64,
    decrypter: Box<dyn MessageDecrypter>,
    opened: u64,
}

impl Forger {
    /// The stack in this role, with the handshake done. The forger as a server has sent no tickets.
    pub(crate) fn connected(role: Role, configs: &Configs) -> Self {
        let mut configs = configs.clone();
        configs.server.send_tls13_tickets = 0;
        let oracle = Oracle::connected(role, &configs, &configs);
        let Some(SupportedCipherSuite::Tls13(suite)) = oracle.rustls.negotiated_cipher_suite() else {
            panic!("TLS 1.3 alone is configured")
        };
        let secrets = oracle.rustls.dangerous_extract_secrets().unwrap();
        let ((sealed, tx), (opened, rx)) = (secrets.tx, secrets.rx);
        let ((key, iv), (their_key, their_iv)) = (parts(tx), parts(rx));
        Self {
            stack: oracle.stack,
            layer: oracle.layer,
            encrypter: suite.aead_alg.encrypter(key, iv),
            sealed,
            decrypter: suite.aead_alg.decrypter(their_key, their_iv),
            opened,
        }
    }

    /// A record with this content, and padding behind it.
    pub(crate) fn seal(&mut self, content_type: u8, content: &[u8], padding: usize) -> Vec<u8> {
        // The last byte that is not zero is the content type, so padding is made of the type zero.
        let mut inner = content.to_vec();
        let mut typ = content_type;
        if padding > 0 {
            inner.push(content_type);
            inner.resize(content.len() + padding, 0);
            typ = 0;
        }
        let message = OutboundPlainMessage {
            typ: ContentType::from(typ),
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(&inner),
        };
        let record = self.encrypter.encrypt(message, self.sealed).unwrap().encode();
        self.sealed += 1;
        record
    }

    /// Sends a record without padding.
    pub(crate) fn send(&mut self, content_type: u8, content: &[u8]) {
        let record = self.seal(content_type, content, 0);
        give(&mut self.stack, &record);
    }

    /// Opens what the stack has sent: content types and contents.
    pub(crate) fn hear(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut sent = taken(&mut self.stack);
        let mut rest = &mut sent[..];
        let mut heard = Vec::new();
        while let [23, 3, 3, high, low, ..] = *rest {
            let (record, behind) = rest.split_at_mut(5 + usize::from(u16::from_be_bytes([high, low])));
            let body =
                InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut record[5..]);
            let opened = self.decrypter.decrypt(body, self.opened).expect("the stack seals with the key in use");
            self.opened += 1;
            heard.push((opened.typ.into(), opened.payload.to_vec()));
            rest = behind;
        }
        assert!(rest.is_empty(), "{rest:?}");
        heard
    }

    /// The stack has failed and sent this alert, and nothing else.
    #[track_caller]
    pub(crate) fn assert_refused(&mut self, alert: u8, words: &str) {
        let reason = self.stack.stack.lost().expect("the connection is lost").to_string();
        assert!(reason.contains(words), "{reason}");
        assert_eq!(self.hear(), [(ALERT, vec![2, alert])], "{reason}");
    }
}

pub(crate) fn taken(stack: &mut Peer) -> Vec<u8> {
    let (now, mut sent) = (stack.now(), Vec::new());
    while let Output::Bytes(bytes) = stack.stack.poll_output() {
        sent.extend_from_slice(bytes);
        let count = bytes.len();
        stack.stack.handle_sent(now, count);
    }
    sent
}

pub(crate) fn give(stack: &mut Peer, bytes: &[u8]) {
    let now = stack.now();
    let count = stack.stack.handle_input(now, bytes);
    assert_eq!(count, bytes.len(), "the stack has room");
}

fn parts(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("a cipher of TLS 1.3"),
    }
}

/// A provider with one suite of TLS 1.3, which writes down what is sealed with which key.
pub(crate) struct Audit {
    pub(crate) provider: CryptoProvider,
    aead: &'static AuditedAead,
}

/// One record that was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) key: Vec<u8>,
    pub(crate) number: u64,
    pub(crate) content_type: u8,
    pub(crate) len: usize,
}

impl Audit {
    /// `limit` is the suite's confidentiality limit. A provider that is `closed` gives no keys out.
    pub(crate) fn new(provider: &CryptoProvider, suite: CipherSuite, limit: Option<u64>, closed: bool) -> Self {
        let inner = tls13(provider, suite);
        let aead: &'static AuditedAead =
            Box::leak(Box::new(AuditedAead { inner: inner.aead_alg, closed, sealed: Arc::default() }));
        let confidentiality_limit = limit.unwrap_or(inner.common.confidentiality_limit);
        let suite = Tls13CipherSuite {
            common: CipherSuiteCommon { confidentiality_limit, ..inner.common },
            hkdf_provider: inner.hkdf_provider,
            aead_alg: aead,
            quic: None,
        };
        let suite = SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)));
        Self { provider: CryptoProvider { cipher_suites: vec![suite], ..provider.clone() }, aead }
    }

    pub(crate) fn sealed(&self) -> Vec<Sealed> {
        self.aead.entries().clone()
    }

    pub(crate) fn clear(&self) {
        self.aead.entries().clear();
    }
}

pub(crate) fn tls13(provider: &CryptoProvider, suite: CipherSuite) -> &'static Tls13CipherSuite {
    let found = provider.cipher_suites.iter().find(|found| found.suite() == suite);
    found.and_then(SupportedCipherSuite::tls13).expect("the provider has the suite")
}

struct AuditedAead {
    inner: &'static dyn Tls13AeadAlgorithm,
    closed: bool,
    sealed: Arc<Mutex<Vec<Sealed>>>,
}

impl AuditedAead {
    fn entries(&self) -> MutexGuard<'_, Vec<Sealed>> {
        self.sealed.lock().unwrap()
    }
}

impl Tls13AeadAlgorithm for AuditedAead {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        let (name, sealed) = (key.as_ref().to_vec(), Arc::clone(&self.sealed));
        Box::new(AuditedEncrypter { inner: self.inner.encrypter(key, iv), key: name, sealed })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.inner.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.inner.key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        if self.closed { Err(UnsupportedOperationError) } else { self.inner.extract_keys(key, iv) }
    }
}

struct AuditedEncrypter {
    inner: Box<dyn MessageEncrypter>,
    key: Vec<u8>,
    sealed: Arc<Mutex<Vec<Sealed>>>,
}

impl MessageEncrypter for AuditedEncrypter {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, number: u64) -> Result<OutboundOpaqueMessage, Error> {
        let (content_type, len) = (message.typ.into(), message.payload.len());
        self.sealed.lock().unwrap().push(Sealed { key: self.key.clone(), number, content_type, len });
        self.inner.encrypt(message, number)
    }

    fn encrypted_payload_len(&self, len: usize) -> usize {
        self.inner.encrypted_payload_len(len)
    }
}

/// The providers that are there.
pub(crate) fn providers() -> Vec<(&'static str, CryptoProvider)> {
    vec![
        #[cfg(feature = "aws-lc-rs")]
        ("aws-lc-rs", rustls::crypto::aws_lc_rs::default_provider()),
        #[cfg(feature = "ring")]
        ("ring", rustls::crypto::ring::default_provider()),
    ]
}

/// The suites of TLS 1.3 that every provider here has.
pub(crate) const SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];

pub(crate) const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// Content types.
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// Makes tickets that hold the whole session, and are long.
pub(crate) fn ticketer() -> Arc<dyn ProducesTickets> {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    #[cfg(not(feature = "aws-lc-rs"))]
    return rustls::crypto::ring::Ticketer::new().unwrap();
}
