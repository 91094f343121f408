//! What a client verifies of a server: a chain, names, keys.
//!
//! The three are apart, and each is asked for by itself:
//!
//! | asked | what must be so |
//! |---|---|
//! | chain | a path leads from the certificate to one of the [`Roots`], its dates and purpose are right, and nobody has revoked it |
//! | names | it stands for the name that is asked for, or for one of a list |
//! | pins | its key is one of those that are known |
//!
//! Nothing is left out because something was empty: an empty list is an error when the client is made, and who wants to verify
//! nothing says [`Verify::nothing`]. That the server has the key of its certificate is shown by the handshake, and always verified.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;

use super::config::Roots;
use super::config_error::{ConfigError, ConfigErrorKind};
use super::pin::Pin;
use super::pins::Pins;
use super::verify::{NamesToVerify, ServerVerifier};
use crate::printable::Printable;

/// What a TLS client verifies of the server's certificate. One belongs to one [`TlsClient`](super::TlsClient), and so to the layers
/// that are made from it: another layer of the same connection may trust another world.
///
/// [`Roots`] alone are one, the usual: a chain to them, and the name that is asked for.
///
/// ```no_run
/// use onionskin::tls::{Names, Roots, TlsClient, Verify};
///
/// let own = Roots::from_pem_file("ca.pem")?;
/// let client = TlsClient::new(Verify::chain(own).names(Names::any_of(["db.example", "db-1.example"])))?;
///
/// // A device that has made its own certificate, known by its key.
/// let pin = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".parse()?;
/// let device = TlsClient::new(Verify::pins([pin]))?;
/// # let _ = (client, device);
/// # Ok::<(), onionskin::tls::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Verify {
    roots: Option<Roots>,
    names: Names,
    pins: Option<Vec<Pin>>,
}

/// For which names a certificate must stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Names {
    /// For the one that the server is asked for, a DNS name (RFC 6066 section 3) or an IP address.
    #[default]
    Sni,
    /// For one of these, DNS names or IP addresses, whatever the server is asked for. At least one.
    AnyOf(Vec<String>),
    /// For any: the name is not looked at.
    Skip,
}

impl Names {
    /// One of these.
    pub fn any_of<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::AnyOf(names.into_iter().map(Into::into).collect())
    }
}

impl Verify {
    /// A chain to one of these trust anchors, and the name that is asked for.
    pub fn chain(roots: Roots) -> Self {
        Self { roots: Some(roots), names: Names::Sni, pins: None }
    }

    /// A key that is one of these, and nothing else: neither who has issued the certificate, nor its dates, purposes and names.
    pub fn pins(pins: impl IntoIterator<Item = Pin>) -> Self {
        Self { roots: None, names: Names::Skip, pins: Some(pins.into_iter().collect()) }
    }

    /// Nothing: *every* certificate is accepted, and so whoever answers is talked to. For tests and diagnosis.
    pub fn nothing() -> Self {
        Self { roots: None, names: Names::Skip, pins: None }
    }

    /// The names to look for, where a chain or a pin shows that they can be believed.
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Demands besides that the key is one of these.
    pub fn pinned(mut self, pins: impl IntoIterator<Item = Pin>) -> Self {
        self.pins = Some(pins.into_iter().collect());
        self
    }

    /// Who does it.
    pub(super) fn verifier(self, provider: &CryptoProvider) -> Result<Arc<dyn ServerCertVerifier>, ConfigError> {
        if self.roots.as_ref().is_some_and(|roots| roots.store.is_empty()) {
            let message = "servers cannot be verified: name at least one certificate to trust";
            return Err(ConfigError::new(ConfigErrorKind::NoRoots, message));
        }
        let pins = self.pins.map(|pins| Pins::new(pins, provider)).transpose()?;
        let names = match self.names {
            Names::Skip => NamesToVerify::Skip,
            _ if self.roots.is_none() && pins.is_none() => {
                let message =
                    "a name is worth nothing in a certificate that anybody can make: verify a chain or a pin beside it";
                return Err(ConfigError::new(ConfigErrorKind::Unsupported, message));
            }
            Names::Sni => NamesToVerify::Sni,
            Names::AnyOf(names) if names.is_empty() => {
                let message = "the list of names to verify is empty: write one, or say that names are skipped";
                return Err(ConfigError::new(ConfigErrorKind::BadName, message));
            }
            Names::AnyOf(names) => {
                NamesToVerify::AnyOf(names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?)
            }
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Arc::new(ServerVerifier { roots: self.roots, names, pins, algorithms }))
    }
}

impl From<Roots> for Verify {
    /// As [`Verify::chain`].
    fn from(roots: Roots) -> Self {
        Self::chain(roots)
    }
}

/// A DNS name or an IP address, as rustls takes it.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, ConfigError> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        let message = match name {
            "" => "the name of the server is empty: write whom it should be, a DNS name or an IP address".to_owned(),
            _ => format!("{} is neither a DNS name nor an IP address", Printable::new(name).quoted()),
        };
        ConfigError::new(ConfigErrorKind::BadName, message)
    })
}
