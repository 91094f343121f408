//! Certificates and configurations, made once for all tests of this binary.

use std::sync::{Arc, OnceLock};

use onionskin::rustls::client::Resumption;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use onionskin::rustls::version::{TLS12, TLS13};
use onionskin::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use onionskin::tls::{TlsClient, TlsServer, Version, default_provider};

use crate::common::{Authority, BOTH};

/// Whom all certificates here are for.
pub(crate) const NAME: &str = "a.example";

/// What every test takes its layers from.
pub(crate) struct World {
    clients: [TlsClient; 2],
    fresh_clients: [TlsClient; 2],
    server: TlsServer,
    raw_clients: [Arc<ClientConfig>; 2],
    raw_server: Arc<ServerConfig>,
}

impl World {
    /// The one world of this process.
    pub(crate) fn shared() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(Self::new)
    }

    /// A client that resumes its earlier sessions.
    pub(crate) fn client(&self, version: Version) -> &TlsClient {
        &self.clients[index(version)]
    }

    /// A client that makes a full handshake each time.
    pub(crate) fn fresh_client(&self, version: Version) -> &TlsClient {
        &self.fresh_clients[index(version)]
    }

    /// A server of both versions.
    pub(crate) fn server(&self) -> &TlsServer {
        &self.server
    }

    /// For rustls itself as a client, with its secrets exposed.
    pub(crate) fn raw_client(&self, version: Version) -> Arc<ClientConfig> {
        Arc::clone(&self.raw_clients[index(version)])
    }

    /// For rustls itself as a server, with its secrets exposed.
    pub(crate) fn raw_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.raw_server)
    }

    fn new() -> Self {
        let authority = Authority::new();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let roots = Arc::new(roots);
        let raw = |versions| {
            let mut config = ClientConfig::builder_with_provider(default_provider().unwrap())
                .with_protocol_versions(&[versions])
                .unwrap()
                .with_root_certificates(Arc::clone(&roots))
                .with_no_client_auth();
            config.resumption = Resumption::disabled();
            config.enable_secret_extraction = true;
            Arc::new(config)
        };
        let raw_clients = [raw(&TLS12), raw(&TLS13)];
        Self {
            clients: [Version::Tls12, Version::Tls13].map(|version| authority.client(&[version])),
            fresh_clients: raw_clients.clone().map(|config| TlsClient::from_rustls(config).unwrap()),
            server: authority.server(NAME, BOTH),
            raw_clients,
            raw_server: Arc::new(raw_server(&authority)),
        }
    }
}

fn raw_server(authority: &Authority) -> ServerConfig {
    let (chain, key) = authority.pem_identity(NAME);
    let versions: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    let mut config = ServerConfig::builder_with_provider(default_provider().unwrap())
        .with_protocol_versions(&versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.enable_secret_extraction = true;
    config
}

fn index(version: Version) -> usize {
    match version {
        Version::Tls12 => 0,
        _ => 1,
    }
}
