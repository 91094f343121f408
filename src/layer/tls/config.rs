//! What both sides need to be configured: trust, identity, a provider of cryptography, and the errors of all that.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SupportedProtocolVersion, version};

/// Whom to trust: a set of trust anchors, made once and cheap to clone.
///
/// Certificates that are issued under them are accepted. A certificate that was itself *named*, in a file, a text or as DER, is
/// accepted too when a peer shows it, also if it is that of an authority (`CA:TRUE`), like the one that `openssl req -x509`
/// makes: exactly that certificate, if its name, dates and purposes are right.
#[derive(Clone, Debug)]
pub struct Roots {
    pub(super) store: Arc<RootCertStore>,
    /// Those that somebody has named.
    pub(super) named: Arc<[CertificateDer<'static>]>,
}

impl Roots {
    /// The trust anchors of the operating system.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn system() -> Result<Self, ConfigError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        // Certificates that cannot be used are common in system stores, and no reason to trust none.
        let (usable, _) = store.add_parsable_certificates(found.certs);
        if usable == 0 {
            let why = found.errors.first().map_or_else(|| "it is empty".to_owned(), ToString::to_string);
            return Err(ConfigError::new(
                ConfigErrorKind::NoRoots,
                format!("no trust anchors in the system's store: {why}"),
            ));
        }
        Ok(Self::unnamed(store))
    }

    /// Mozilla's trust anchors, compiled in.
    #[cfg(feature = "webpki-roots")]
    #[must_use]
    pub fn webpki() -> Self {
        Self::unnamed(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    /// The certificates in a PEM file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds no certificate, or one that cannot be a trust anchor.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        Self::from_certificates(certificates(&read(path)?, &path.display().to_string())?)
    }

    /// The certificates in a PEM text.
    ///
    /// # Errors
    ///
    /// When it holds no certificate, or one that cannot be a trust anchor.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        Self::from_certificates(certificates(pem, "the PEM text")?)
    }

    /// These certificates.
    ///
    /// # Errors
    ///
    /// When one of them cannot be a trust anchor.
    pub fn from_certificates(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, ConfigError> {
        let mut store = RootCertStore::empty();
        let named: Arc<[_]> = certificates.into_iter().collect();
        for certificate in named.iter() {
            store.add(certificate.clone()).map_err(|error| {
                ConfigError::new(ConfigErrorKind::BadCertificate, "not usable as a trust anchor").caused_by(error)
            })?;
        }
        Ok(Self { store: Arc::new(store), named })
    }

    pub(super) fn unnamed(store: RootCertStore) -> Self {
        Self { store: Arc::new(store), named: Arc::new([]) }
    }
}

/// Who we are: a certificate chain, our own first, and its private key.
#[derive(Debug)]
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// A chain and a key.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key }
    }

    /// Reads a PEM file with the chain, and one with the key.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or does not hold what it should. Whether chain and key belong together shows when
    /// a client or server is built from them.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        Self::parse(&read(chain)?, &chain.display().to_string(), &read(key)?, &key.display().to_string())
    }

    /// Takes a PEM text with the chain, and one with the key.
    ///
    /// # Errors
    ///
    /// When a text does not hold what it should.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, ConfigError> {
        Self::parse(chain, "the PEM text", key, "the PEM text")
    }

    fn parse(chain: &[u8], chain_name: &str, key: &[u8], key_name: &str) -> Result<Self, ConfigError> {
        let chain = certificates(chain, chain_name)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            ConfigError::new(ConfigErrorKind::BadKey, format!("no private key in {key_name}")).caused_by(error)
        })?;
        Ok(Self { chain, key })
    }

    /// Chain and key as rustls uses them, once they are known to belong together.
    pub(super) fn certified(self, provider: &CryptoProvider) -> Result<CertifiedKey, ConfigError> {
        CertifiedKey::from_der(self.chain, self.key, provider).map_err(ConfigError::from_rustls)
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The TLS versions this crate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// TLS 1.2, RFC 5246.
    Tls12,
    /// TLS 1.3, RFC 8446.
    Tls13,
}

/// Both versions.
pub(super) const ALL_VERSIONS: &[Version] = &[Version::Tls12, Version::Tls13];

pub(super) fn supported(versions: &[Version]) -> Vec<&'static SupportedProtocolVersion> {
    let supported = |version: &Version| match version {
        Version::Tls12 => &version::TLS12,
        Version::Tls13 => &version::TLS13,
    };
    versions.iter().map(supported).collect()
}

/// The provider of cryptography that this crate was built with: aws-lc-rs if it is there, else ring, else the one
/// that the process has installed.
///
/// # Errors
///
/// When there is none.
pub fn default_provider() -> Result<Arc<CryptoProvider>, ConfigError> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let provider = Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    let provider = CryptoProvider::get_default().cloned();
    provider.ok_or_else(|| {
        let message = "no provider of cryptography: enable the feature `aws-lc-rs` or `ring`, or pass one";
        ConfigError::new(ConfigErrorKind::NoProvider, message)
    })
}

/// Why a client or server could not be configured.
#[derive(Clone, Debug)]
pub struct ConfigError {
    kind: ConfigErrorKind,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kinds of [`ConfigError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// A file could not be read.
    Io,
    /// There are no trust anchors.
    NoRoots,
    /// A certificate is missing, or is not one.
    BadCertificate,
    /// A private key is missing, or is not one.
    BadKey,
    /// The private key does not belong to the certificate.
    KeyMismatch,
    /// The name is neither a DNS name nor an IP address.
    BadName,
    /// No provider of cryptography is there.
    NoProvider,
    /// Something that this crate, or the provider, does not do.
    Unsupported,
}

impl ConfigError {
    pub(crate) fn new(kind: ConfigErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    pub(super) fn from_rustls(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                Self::new(ConfigErrorKind::KeyMismatch, "the private key does not belong to the certificate")
            }
            rustls::Error::InvalidCertificate(_) => {
                Self::new(ConfigErrorKind::BadCertificate, "the certificate cannot be used").caused_by(error)
            }
            error => Self::new(ConfigErrorKind::Unsupported, "rustls refused the configuration").caused_by(error),
        }
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// Whether a file could not be read.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.kind == ConfigErrorKind::Io
    }

    /// Whether the private key does not belong to the certificate.
    #[must_use]
    pub fn is_key_mismatch(&self) -> bool {
        self.kind == ConfigErrorKind::KeyMismatch
    }

    /// Whether there is no provider of cryptography.
    #[must_use]
    pub fn is_no_provider(&self) -> bool {
        self.kind == ConfigErrorKind::NoProvider
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for ConfigError {}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| {
        ConfigError::new(ConfigErrorKind::Io, format!("cannot read {}", path.display())).caused_by(error)
    })
}

fn certificates(pem: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let bad = |message: String| ConfigError::new(ConfigErrorKind::BadCertificate, message);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(format!("{name} is not good PEM")).caused_by(error))?;
    if chain.is_empty() {
        return Err(bad(format!("no certificate in {name}")));
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_provider_if_one_was_built_in() {
        let built_in = cfg!(any(feature = "aws-lc-rs", feature = "ring"));
        match default_provider() {
            Ok(_) => assert!(built_in),
            Err(error) => assert!(error.is_no_provider() && !built_in, "{error}"),
        }
    }
}
