//! What both sides need to be configured: trust, identity, a provider of cryptography.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, RootCertStore};

use super::algorithm::KeyKind;
use super::config_error::{ConfigError, ConfigErrorKind};
use super::der::{ENUMERATED, Reader, SEQUENCE};
use super::fault::CertificateFault;
use super::pem;
use super::revocation::RevocationLists;
use super::x509::Certificate;

/// Whom to trust: a set of trust anchors, made once and cheap to clone.
///
/// Certificates that are issued under them are accepted. A certificate that was itself *named*, in a file, a text or as DER, is
/// accepted too when a peer shows it, also if it is that of an authority (`CA:TRUE`), like the one that `openssl req -x509`
/// makes: exactly that certificate, if its name, dates and purposes are right.
///
/// Several sets are put together with [`and`](Self::and): an authority of one's own beside those of the system.
#[derive(Clone, Debug)]
pub struct Roots {
    pub(super) store: Arc<RootCertStore>,
    /// Those that somebody has named.
    pub(super) named: Arc<[CertificateDer<'static>]>,
    /// Lists to look certificates up in, if any are to be.
    pub(super) revoked: Option<RevocationLists>,
}

impl Roots {
    /// The trust anchors of the operating system.
    ///
    /// # Errors
    ///
    /// When there are none.
    #[cfg(feature = "system-roots")]
    pub fn system() -> Result<Self, ConfigError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        // Certificates that cannot be used are common in system stores, and no reason to trust none.
        let (usable, _) = store.add_parsable_certificates(found.certs);
        if usable == 0 {
            let error = |why: &str| {
                ConfigError::new(ConfigErrorKind::NoRoots, format!("no trust anchors in the system's store: {why}"))
            };
            return Err(match found.errors.into_iter().next() {
                Some(why) => error(&why.to_string()).quoting(why),
                None => error("it is empty"),
            });
        }
        Ok(Self::from_store(store))
    }

    /// Mozilla's trust anchors, compiled in.
    #[cfg(feature = "webpki-roots")]
    #[must_use]
    pub fn webpki() -> Self {
        Self::from_store(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// The certificates in a PEM file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds no certificate, or one that cannot be a trust anchor.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        Self::named(certificates(&read(path)?, &name)?, Some(&name))
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
        Self::named(certificates.into_iter().collect(), None)
    }

    /// These certificates, out of the file of that name.
    fn named(certificates: Vec<CertificateDer<'static>>, file: Option<&str>) -> Result<Self, ConfigError> {
        let mut store = RootCertStore::empty();
        for (at, certificate) in certificates.iter().enumerate() {
            store.add(certificate.clone()).map_err(|error| {
                let place = file.map(|file| format!(" in {file}")).unwrap_or_default();
                let why = CertificateFault::of(&error).unwrap_or(CertificateFault::Malformed);
                let number = at + 1;
                let message = format!("certificate {number}{place} is not usable as a trust anchor: {why}");
                ConfigError::new(ConfigErrorKind::BadCertificate, message).caused_by(error)
            })?;
        }
        Ok(Self { named: certificates.into(), ..Self::from_store(store) })
    }

    /// The trust anchors of a store of rustls. As in those of a system, nobody's server is named in it.
    #[must_use]
    pub fn from_store(store: impl Into<Arc<RootCertStore>>) -> Self {
        Self { store: store.into(), named: Arc::new([]), revoked: None }
    }

    /// These and those, with the revocation lists of both.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        let mut store = Arc::unwrap_or_clone(self.store);
        store.roots.extend(others.store.roots.iter().cloned());
        let named = self.named.iter().chain(&*others.named).cloned().collect();
        let revoked = match (self.revoked, others.revoked) {
            (Some(these), Some(those)) => Some(these.and(&those)),
            (these, those) => these.or(those),
        };
        Self { store: Arc::new(store), named, revoked }
    }

    /// Has every certificate looked up in these lists, also those between the peer's and the trust anchor. One that is itself
    /// named is accepted where no list can speak for it.
    #[must_use]
    pub fn revocation(mut self, lists: RevocationLists) -> Self {
        self.revoked = Some(lists);
        self
    }
}

/// Who we are: a certificate chain, our own first, and its private key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: Option<Files>,
    ocsp_response: Option<Vec<u8>>,
}

/// Where chain and key come from, for errors.
#[derive(Clone, Debug)]
struct Files {
    chain: String,
    key: String,
}

impl Identity {
    /// A chain and a key.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key, files: None, ocsp_response: None }
    }

    /// Reads a PEM file with the chain, and one with the key. They may be the same.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or does not hold what it should. Whether chain and key belong together, and whether a key of
    /// that kind can be used, shows when a client or server is built from them; the errors name the files then too.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let files = Files { chain: chain.display().to_string(), key: key.display().to_string() };
        let parsed = Self::parse(&read(chain)?, &files.chain, &read(key)?, &files.key)?;
        Ok(Self { files: Some(files), ..parsed })
    }

    /// Takes a PEM text with the chain, and one with the key.
    ///
    /// # Errors
    ///
    /// When a text does not hold what it should.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, ConfigError> {
        Self::parse(chain, "the PEM text", key, "the PEM text")
    }

    /// Staples an answer of OCSP to the certificate (RFC 6066 section 8), in DER as `openssl ocsp -respout` writes it: a server sends
    /// it to each client that wants one. Nobody here looks whether it is about this certificate, still good, and good news.
    ///
    /// # Errors
    ///
    /// When it is no answer, or one that says that there is none.
    pub fn stapling(self, response: &[u8]) -> Result<Self, ConfigError> {
        self.staple(response, "the OCSP response")
    }

    /// As [`stapling`](Self::stapling), from a file.
    ///
    /// # Errors
    ///
    /// As [`stapling`](Self::stapling); when the file cannot be read.
    pub fn stapling_file(self, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        self.staple(&read(path)?, &format!("the OCSP response in {}", path.display()))
    }

    fn staple(mut self, response: &[u8], name: &str) -> Result<Self, ConfigError> {
        let bad =
            |why: String| ConfigError::new(ConfigErrorKind::BadCertificate, format!("{name} cannot be stapled: {why}"));
        match ocsp_status(response) {
            Some([0]) => self.ocsp_response = Some(response.to_vec()),
            Some(status) => {
                let status = status.first().copied().unwrap_or_default();
                return Err(bad(format!(
                    "it says that there is no answer (status {status} of RFC 6960 section 4.2.1)"
                )));
            }
            None => return Err(bad("it is none in DER, as `openssl ocsp -respout` writes it".to_owned())),
        }
        Ok(self)
    }

    fn parse(chain: &[u8], chain_name: &str, key: &[u8], key_name: &str) -> Result<Self, ConfigError> {
        let chain = certificates(chain, chain_name)?;
        let key = pem::private_key(key).map_err(|why| {
            ConfigError::new(ConfigErrorKind::BadKey, format!("no private key that can be used in {key_name}: {why}"))
        })?;
        Ok(Self::new(chain, key))
    }

    /// Chain and key as rustls uses them, once they are known to belong together.
    pub(super) fn certified(self, provider: &CryptoProvider) -> Result<CertifiedKey, ConfigError> {
        let refused = |error| self.refused(error, provider);
        let mut certified =
            CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), provider).map_err(refused)?;
        certified.ocsp = self.ocsp_response;
        Ok(certified)
    }

    /// What is wrong with a chain and a key that rustls does not take.
    fn refused(&self, error: rustls::Error, provider: &CryptoProvider) -> ConfigError {
        let (chain_place, key_place) = match &self.files {
            Some(files) => (format!(" in {}", files.chain), format!(" in {}", files.key)),
            None => (String::new(), String::new()),
        };
        let kind = KeyKind::of_private(self.key.secret_der());
        let fault = kind.as_ref().and_then(KeyKind::fault);
        let own = self.chain.first().and_then(|own| Certificate::read(own)?.key()?.fault());
        let (kind, message) = match (&error, fault, own) {
            // AWS-LC reads more kinds of keys than it finds again in a certificate.
            (rustls::Error::InconsistentKeys(_), None, Some(fault)) => (
                ConfigErrorKind::BadCertificate,
                format!("the key of the certificate{chain_place} cannot be used: {fault}"),
            ),
            (rustls::Error::InconsistentKeys(_), None, None) => (ConfigErrorKind::KeyMismatch, self.mismatch(provider)),
            (rustls::Error::InvalidCertificate(_), ..) => {
                let why = CertificateFault::of(&error).unwrap_or(CertificateFault::Malformed);
                (ConfigErrorKind::BadCertificate, format!("the certificate{chain_place} cannot be used: {why}"))
            }
            (_, fault, _) => {
                let why = match (fault, kind) {
                    (Some(fault), _) => fault,
                    (None, Some(kind)) => format!(
                        "a key of this kind ({kind}) is not supported, or it is damaged: make one with RSA of 2048 bits, or \
                         ECDSA on P-256 or P-384"
                    ),
                    (None, None) => "it is damaged, or of a kind that is not known".to_owned(),
                };
                (ConfigErrorKind::BadKey, format!("the private key{key_place} cannot be used: {why}"))
            }
        };
        ConfigError::new(kind, message).caused_by(error)
    }

    /// The key is not that of the first certificate. Perhaps it is that of another in the chain.
    fn mismatch(&self, provider: &CryptoProvider) -> String {
        let fits = |certificate: &CertificateDer<'static>| {
            CertifiedKey::from_der(vec![certificate.clone()], self.key.clone_key(), provider).is_ok()
        };
        if let Some(at) = self.chain.iter().position(fits) {
            let place = self.files.as_ref().map(|files| format!(" in {}", files.chain)).unwrap_or_default();
            let number = at + 1;
            return format!(
                "the private key belongs to certificate {number}{place}, and must belong to the first: \
                 put the end entity in front of those who issued it"
            );
        }
        match &self.files {
            Some(Files { chain, key }) => {
                format!(
                    "the private key in {key} does not belong to the certificate in {chain}: name the one it was made with"
                )
            }
            None => "the private key does not belong to the certificate".to_owned(),
        }
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            files: self.files.clone(),
            ocsp_response: self.ocsp_response.clone(),
        }
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

impl Version {
    /// The one that rustls calls so.
    pub(super) fn known(version: ProtocolVersion) -> Option<Self> {
        match version {
            ProtocolVersion::TLSv1_2 => Some(Self::Tls12),
            ProtocolVersion::TLSv1_3 => Some(Self::Tls13),
            _ => None,
        }
    }
}

/// The provider of cryptography to take where none is named: the one that the process has installed
/// ([`CryptoProvider::install_default`]), else the one that this crate was built with, aws-lc-rs before ring.
///
/// Which were built in depends on what all crates of the program ask for, and so may change with any of them; what is installed
/// does not. Nothing is installed by this crate.
///
/// # Errors
///
/// When there is none.
pub fn default_provider() -> Result<Arc<CryptoProvider>, ConfigError> {
    CryptoProvider::get_default().cloned().or_else(built_in).ok_or_else(|| {
        let message = "no provider of cryptography: enable the feature `aws-lc-rs` or `ring`, or install or pass one";
        ConfigError::new(ConfigErrorKind::NoProvider, message)
    })
}

fn built_in() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let provider = Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    let provider = None;
    provider
}

/// What an OCSPResponse says of itself (RFC 6960 section 4.2.1).
fn ocsp_status(response: &[u8]) -> Option<&[u8]> {
    Reader::new(Reader::only(response, SEQUENCE)?).take(ENUMERATED)
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| {
        ConfigError::new(ConfigErrorKind::Io, format!("cannot read {}: {error}", path.display())).quoting(error)
    })
}

fn certificates(text: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    pem::certificates(text).map_err(|why| {
        ConfigError::new(ConfigErrorKind::BadCertificate, format!("no certificate that can be used in {name}: {why}"))
    })
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
