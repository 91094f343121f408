//! The keys of certificates against those that are pinned.

use std::fmt;

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::{Hash, HashAlgorithm};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::config::default_provider;
use super::config_error::{ConfigError, ConfigErrorKind};
use super::fault::CertificateFault;
use super::pin::Pin;

impl Pin {
    /// That of the key of a certificate.
    ///
    /// # Errors
    ///
    /// When it is none that can be read, or no provider of cryptography is there.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, ConfigError> {
        pin(sha256(&*default_provider()?)?, certificate).map_err(|error| {
            let why = CertificateFault::of(&error).unwrap_or(CertificateFault::Malformed);
            let message = format!("the certificate has no key to pin: {why}");
            ConfigError::new(ConfigErrorKind::BadCertificate, message).caused_by(error)
        })
    }
}

/// Those of which a key must be one.
pub(super) struct Pins {
    known: Vec<Pin>,
    sha256: &'static dyn Hash,
}

impl Pins {
    pub(super) fn new(known: Vec<Pin>, provider: &CryptoProvider) -> Result<Self, ConfigError> {
        if known.is_empty() {
            let message = "the list of pins is empty: write one, or verify a chain";
            return Err(ConfigError::new(ConfigErrorKind::BadPin, message));
        }
        Ok(Self { known, sha256: sha256(provider)? })
    }

    pub(super) fn verify(&self, end_entity: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let presented = pin(self.sha256, end_entity)?;
        if self.known.contains(&presented) {
            return Ok(());
        }
        Err(CertificateFault::OtherKey { presented }.into_error())
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.known).finish()
    }
}

fn pin(sha256: &dyn Hash, certificate: &CertificateDer<'_>) -> Result<Pin, rustls::Error> {
    let spki = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    let digest = sha256.hash(&spki).as_ref().try_into();
    digest.map(Pin::new).map_err(|_| rustls::Error::General("SHA-256 of another length".to_owned()))
}

/// SHA-256 of a provider, out of one of its cipher suites; or that of the default one, where none of them has it.
pub(super) fn sha256(provider: &CryptoProvider) -> Result<&'static dyn Hash, ConfigError> {
    let of = |provider: &CryptoProvider| {
        let hashes = provider.cipher_suites.iter().map(|suite| match suite {
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        });
        hashes.into_iter().find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
    };
    of(provider).or_else(|| default_provider().ok().and_then(|provider| of(&provider))).ok_or_else(|| {
        let message = "pins need SHA-256, and no cipher suite of the provider has it";
        ConfigError::new(ConfigErrorKind::NoProvider, message)
    })
}
