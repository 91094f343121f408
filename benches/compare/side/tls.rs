//! TLS 1.3 with AES-128-GCM and X25519, and nothing else: the same for all who are made of rustls.
//!
//! Sessions are not resumed and no tickets are sent, so that every handshake is a whole one; but for the kind of work that is
//! about resumption, where all but the first of each layer are to be resumed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, CommonState, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig,
};
use serde::{Deserialize, Serialize};

use super::Result;

/// Who does the cryptography.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provider {
    AwsLcRs,
    Ring,
}

impl Provider {
    pub(crate) fn crypto(self) -> Arc<CryptoProvider> {
        let mut provider = match self {
            Self::AwsLcRs => aws_lc_rs::default_provider(),
            Self::Ring => ring::default_provider(),
        };
        provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
        provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
        Arc::new(provider)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AwsLcRs => "aws-lc-rs",
            Self::Ring => "ring",
        })
    }
}

/// Both sides' configuration.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) certificate: PathBuf,
    pub(crate) resumes: bool,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Configuration {
    /// Reads `certificate.pem` and `key.pem` in `folder`. The client trusts that certificate and no other.
    pub(crate) fn read(folder: &Path, provider: Provider, resumes: bool) -> Result<Self> {
        let path = folder.join("certificate.pem");
        let certificate = CertificateDer::from_pem_file(&path)?;
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
        let versions = &[&rustls::version::TLS13];

        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone())?;
        let mut client = ClientConfig::builder_with_provider(provider.crypto())
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !resumes {
            client.resumption = Resumption::disabled();
        }

        let mut server = ServerConfig::builder_with_provider(provider.crypto())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        server.send_tls13_tickets = usize::from(resumes);
        if resumes {
            server.ticketer = match provider {
                Provider::AwsLcRs => aws_lc_rs::Ticketer::new()?,
                Provider::Ring => ring::Ticketer::new()?,
            };
        }
        let (client, server) = (Arc::new(client), Arc::new(server));
        Ok(Self { provider: provider.crypto(), certificate: path, resumes, client, server })
    }
}

/// The name that the certificate is for.
pub(crate) const NAME: &str = "localhost";

pub(crate) fn server_name() -> Result<ServerName<'static>> {
    Ok(ServerName::try_from(NAME)?)
}

/// Whether a layer is what all of them are to be.
pub(crate) fn check(state: &CommonState) -> Result<()> {
    note(state.handshake_kind() == Some(HandshakeKind::Resumed));
    check_agreed(
        state.protocol_version() == Some(ProtocolVersion::TLSv1_3),
        state.negotiated_cipher_suite().map(|suite| suite.suite()),
    )
}

/// Counts a handshake that was not resumed.
pub(crate) fn note(is_resumed: bool) {
    WHOLE.fetch_add(usize::from(!is_resumed), Ordering::Relaxed);
}

/// How many handshakes of this process were whole ones.
pub(crate) fn whole_handshakes() -> usize {
    WHOLE.load(Ordering::Relaxed)
}

static WHOLE: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn check_agreed(is_tls13: bool, suite: Option<CipherSuite>) -> Result<()> {
    match suite {
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256) if is_tls13 => Ok(()),
        other => Err(format!("agreed on {other:?}, in TLS 1.3: {is_tls13}").into()),
    }
}
