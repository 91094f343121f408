//! What is counted: two stacks in memory, and two bare connections of rustls to hold them against.

use std::sync::Arc;
use std::time::Instant;

use onionskin::rustls::client::UnbufferedClientConnection;
use onionskin::rustls::crypto::{CryptoProvider, aws_lc_rs};
use onionskin::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use onionskin::rustls::server::UnbufferedServerConnection;
use onionskin::rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use onionskin::rustls::version::TLS13;
use onionskin::rustls::{ClientConfig, RootCertStore, ServerConfig};
use onionskin::stack::{Event, Limits, Output, Readable, Stack};
use onionskin::tls::{TlsClient, TlsServer};

/// The configurations that all connections share: TLS 1.3, AES-128-GCM, an ECDSA P-256 certificate.
pub(crate) struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Configs {
    pub(crate) fn new() -> Self {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        });
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate can be made");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("it can be trusted");
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider speaks TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("the provider speaks TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("the key belongs to the certificate");
        Self { client: Arc::new(client), server: Arc::new(server) }
    }
}

/// One side: a stack, and a clock that stands still.
pub(crate) struct Side {
    pub(crate) stack: Stack,
    pub(crate) now: Instant,
}

impl Side {
    fn new(now: Instant) -> Self {
        Self { stack: Stack::new(Limits::default()), now }
    }

    /// Writes all of `bytes`, which there is room for.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let written = self.stack.write(self.now, bytes).expect("the stack takes writes");
        assert_eq!(written, bytes.len(), "the stack has room");
    }

    /// Appends what is to be sent to `wire`.
    pub(crate) fn send(&mut self, wire: &mut Vec<u8>) {
        while let Output::Bytes(bytes) = self.stack.poll_output() {
            let count = bytes.len();
            wire.extend_from_slice(bytes);
            self.stack.handle_sent(self.now, count);
        }
    }

    /// Takes all of `wire`.
    pub(crate) fn receive(&mut self, wire: &[u8]) {
        let taken = self.stack.handle_input(self.now, wire);
        assert_eq!(taken, wire.len(), "the stack has room");
        self.go_on();
    }

    /// Hands what is to be sent to the other side, as much as it takes, and returns whether that was anything.
    fn hand_over(&mut self, other: &mut Self) -> bool {
        let Output::Bytes(bytes) = self.stack.poll_output() else { return false };
        let count = other.stack.handle_input(other.now, bytes);
        self.stack.handle_sent(self.now, count);
        other.go_on();
        self.go_on();
        count > 0
    }

    /// Does what the stack has put off.
    fn go_on(&mut self) {
        while self.stack.is_unfinished() {
            self.stack.handle_timeout(self.now);
        }
    }

    /// Reads everything, and returns how many bytes that was.
    pub(crate) fn read(&mut self) -> usize {
        let mut count = 0;
        while let Readable::Bytes(bytes) = self.stack.readable() {
            let len = bytes.len();
            self.stack.consume(self.now, len);
            count += len;
        }
        count
    }
}

/// A client and a server in conversation.
pub(crate) struct Pair {
    pub(crate) client: Side,
    pub(crate) server: Side,
}

impl Pair {
    /// With so many layers of TLS, ready.
    pub(crate) fn new(configs: &Configs, depth: usize) -> Self {
        let now = Instant::now();
        let mut pair = Self { client: Side::new(now), server: Side::new(now) };
        let client = TlsClient::from_rustls(Arc::clone(&configs.client)).expect("there is no early data");
        let server = TlsServer::from_rustls(Arc::clone(&configs.server)).expect("there is no early data");
        for _ in 0..depth {
            let layer = client.to(NAME).expect("it is a name");
            let from = pair.client.stack.splice(now, Box::new(layer)).expect("the stack takes a layer");
            let layer = server.accept().expect("the configuration is good");
            let to = pair.server.stack.splice(now, Box::new(layer)).expect("the stack takes a layer");
            while pair.client.hand_over(&mut pair.server) | pair.server.hand_over(&mut pair.client) {}
            assert!(
                matches!(pair.client.stack.poll_event(), Some(Event::Ready(id)) if id == from),
                "the handshake is done"
            );
            assert!(
                matches!(pair.server.stack.poll_event(), Some(Event::Ready(id)) if id == to),
                "the handshake is done"
            );
        }
        pair
    }

    /// The client writes and the server reads all of it.
    pub(crate) fn up(&mut self, bytes: &[u8]) {
        transfer(&mut self.client, &mut self.server, bytes);
    }

    /// The server writes and the client reads all of it.
    pub(crate) fn down(&mut self, bytes: &[u8]) {
        transfer(&mut self.server, &mut self.client, bytes);
    }
}

fn transfer(from: &mut Side, to: &mut Side, bytes: &[u8]) {
    from.write(bytes);
    let mut count = to.read();
    while from.hand_over(to) {
        count += to.read();
    }
    assert_eq!(count, bytes.len(), "everything comes through");
}

/// A client and a server of rustls, by its unbuffered interface, with as little around it as there can be.
pub(crate) struct Bare {
    client: UnbufferedClientConnection,
    server: UnbufferedServerConnection,
}

impl Bare {
    /// The handshake is done.
    pub(crate) fn new(configs: &Configs) -> Self {
        let name = ServerName::try_from(NAME).expect("it is a name");
        let client = UnbufferedClientConnection::new(Arc::clone(&configs.client), name);
        let server = UnbufferedServerConnection::new(Arc::clone(&configs.server));
        let (mut client, mut server) = (client.expect("a client can be made"), server.expect("a server can be made"));
        let (mut up, mut down) = (Vec::new(), Vec::new());
        loop {
            step!(client, down, up);
            step!(server, up, down);
            if up.is_empty() && down.is_empty() {
                break;
            }
        }
        assert!(!client.is_handshaking() && !server.is_handshaking(), "the handshake is done");
        Self { client, server }
    }

    /// The client makes a record of `plain` in `record`, and returns its length.
    pub(crate) fn encode(&mut self, plain: &[u8], record: &mut [u8]) -> usize {
        match self.client.process_tls_records(&mut []).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => traffic.encrypt(plain, record).expect("there is room"),
            state => panic!("the client may write: {state:?}"),
        }
    }

    /// The server reads `record`, and returns how many bytes of plaintext were in it.
    pub(crate) fn decode(&mut self, record: &mut [u8]) -> usize {
        let len = record.len();
        let UnbufferedStatus { mut discard, state } = self.server.process_tls_records(record);
        let Ok(ConnectionState::ReadTraffic(mut traffic)) = state else { panic!("the server can read: {state:?}") };
        let mut count = 0;
        while let Some(plain) = traffic.next_record() {
            let plain = plain.expect("the record is good");
            discard += plain.discard;
            count += plain.payload.len();
        }
        assert_eq!(discard, len, "the record is used up");
        count
    }
}

/// Lets one side of a handshake do what it can: `$input` goes in, `$output` comes out. A macro, for the two sides have no
/// type in common.
macro_rules! step {
    ($connection:ident, $input:ident, $output:ident) => {
        loop {
            let UnbufferedStatus { discard, state } = $connection.process_tls_records(&mut $input);
            let goes_on = match state.expect("the handshake goes well") {
                ConnectionState::EncodeTlsData(mut data) => {
                    let len = $output.len();
                    $output.resize(len + MAX_FLIGHT, 0);
                    let count = data.encode(&mut $output[len..]).expect("there is room");
                    $output.truncate(len + count);
                    true
                }
                ConnectionState::TransmitTlsData(transmit) => {
                    transmit.done();
                    true
                }
                _ => false,
            };
            $input.drain(..discard);
            if !goes_on {
                break;
            }
        }
    };
}
use step;

const NAME: &str = "server.example";

/// More than any message of the handshake takes.
const MAX_FLIGHT: usize = 16 * 1024;
