//! Whom a stream trusts, and who it says it is.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::{Group, Pin, Version};

/// The part of a stream that is about its own layer of TLS. Layers below that are in `via` and `layers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// `tls`: whether there is one.
    pub is_on: bool,
    /// `tls_trust_store`: whom to trust, by name; the system's store unless set.
    pub trust_store: Option<String>,
    /// `client_cert`: who we are as a client, by name.
    pub client_certificate: Option<String>,
    /// `server_cert`: the chain of a server, the names of certificates, its own first.
    pub server_certificate: Vec<String>,
    /// `server_key`: the name of the private key of a server.
    pub server_key: Option<String>,
    /// `server_names`: other certificates of a server, for clients that ask for these names (SNI).
    pub server_names: Vec<ServerName>,
    /// `client_ca`: a trust store; a server then demands certificates of clients.
    pub client_trust_store: Option<String>,
    /// `alpn`: what to offer, the preferred first; what goes with the protocol unless set.
    pub alpn: Option<Vec<String>>,
    /// `groups`: the groups of the key exchange, the preferred first.
    pub groups: Vec<Group>,
    /// `min_version`
    pub min_version: Option<Version>,
    /// `max_version`
    pub max_version: Option<Version>,
    /// `pins`: the SHA-256 of keys, one of which the server must have.
    pub pins: Vec<Pin>,
    /// `crl`: the names of revocation lists among the certificates.
    pub revocation_lists: Vec<String>,
    /// `server_name`: the name to ask for and to verify; that of the endpoint unless set.
    pub server_name: Option<String>,
    /// `handshake_timeout_ms`: how long the peer may take; 10 seconds unless set.
    pub handshake_timeout: Option<Duration>,
}

impl Tls {
    /// A layer of TLS that trusts this store.
    pub fn trusting(trust_store: impl Into<String>) -> Self {
        Self { is_on: true, trust_store: Some(trust_store.into()), ..Self::default() }
    }

    /// A layer of TLS that trusts whom the system trusts.
    pub fn on() -> Self {
        Self { is_on: true, ..Self::default() }
    }
}

/// A certificate of a server for clients that ask for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerName {
    /// The name.
    pub name: String,
    /// The chain: names of certificates.
    pub certificate: Vec<String>,
    /// The name of the private key.
    pub key: String,
}

/// Whom to trust: names of certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustStore {
    /// The certificates of it.
    pub certificates: Vec<String>,
    /// `"system": true`: whom the system trusts, too.
    pub system: bool,
}

impl TrustStore {
    /// Trusts the certificates of these names.
    pub fn new<N: Into<String>>(certificates: impl IntoIterator<Item = N>) -> Self {
        Self { certificates: certificates.into_iter().map(Into::into).collect(), system: false }
    }
}

/// Who a client is: names of certificates and of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The chain, its own certificate first.
    pub certificate: Vec<String>,
    /// The private key.
    pub key: String,
}

impl ClientCertificate {
    /// A chain and its key, by name.
    pub fn new<N: Into<String>>(certificate: impl IntoIterator<Item = N>, key: impl Into<String>) -> Self {
        Self { certificate: certificate.into_iter().map(Into::into).collect(), key: key.into() }
    }
}

/// A certificate, a private key, or a list of revoked ones. Its `Debug` says where it is from, and nothing of what is in it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Material {
    /// One in DER.
    Der(Vec<u8>),
    /// Text in PEM, with one or several.
    Pem(String),
    /// A file in PEM or DER, read when it is needed.
    File(PathBuf),
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Der(bytes) => write!(f, "{} bytes of DER", bytes.len()),
            Self::Pem(text) => write!(f, "{} bytes of PEM", text.len()),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
