//! Lists of certificates that were revoked (CRL, RFC 5280 section 5).

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::config_error::{ConfigError, ConfigErrorKind};
use super::words::spaced;

/// Which certificates were revoked: lists (CRL) to look peers up in, made once and cheap to clone. They belong to
/// [`Roots`](super::Roots), for a client that verifies servers as for a server that verifies clients.
///
/// With lists, each certificate on the path from the peer to the trust anchor is looked up in that of its issuer. Where there is no
/// list of the issuer, nobody can say, and the peer is refused; so it is where the list is out of date (`nextUpdate`). OpenSSL does
/// the same with `-crl_check_all`, and nginx with `ssl_crl`. Both can be [accepted](Self::accept_unknown) instead. Lists are read
/// when they are named, and not fetched: to renew them, make the client or the server anew.
///
/// Delta lists, indirect lists and lists of certain reasons only are refused.
#[derive(Clone, Debug)]
pub struct RevocationLists {
    lists: Arc<[List]>,
    unknown: UnknownStatusPolicy,
    expired: ExpirationPolicy,
}

#[derive(Clone, Debug)]
struct List {
    der: CertificateRevocationListDer<'static>,
    read: Arc<CertRevocationList<'static>>,
}

impl RevocationLists {
    /// The lists in a file, of PEM, where there may be several, or DER.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds none, or one that cannot be used.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            ConfigError::new(ConfigErrorKind::Io, format!("cannot read {name}: {error}")).quoting(error)
        })?;
        match bytes.first() {
            // The tag of a SEQUENCE, with which no text begins that is PEM.
            Some(0x30) if bytes.get(1).is_some_and(|&length| length >= 0x80) => {
                Self::read([CertificateRevocationListDer::from(bytes)], &name)
            }
            _ => Self::in_pem(&bytes, &name),
        }
    }

    /// The lists in a PEM text.
    ///
    /// # Errors
    ///
    /// When it holds none, or one that cannot be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        Self::in_pem(pem, "the PEM text")
    }

    /// These lists.
    ///
    /// # Errors
    ///
    /// When there are none, or one of them cannot be used.
    pub fn from_der(
        lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
    ) -> Result<Self, ConfigError> {
        Self::read(lists, "the list of them")
    }

    /// These and those. What is accepted stays as it is here.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        self.lists = self.lists.iter().chain(&*others.lists).cloned().collect();
        self
    }

    /// Whether a certificate is accepted that no list can speak for; not unless set.
    #[must_use]
    pub fn accept_unknown(mut self, accept: bool) -> Self {
        self.unknown = if accept { UnknownStatusPolicy::Allow } else { UnknownStatusPolicy::Deny };
        self
    }

    /// Whether a list is believed that should have been replaced by now; not unless set.
    #[must_use]
    pub fn accept_expired(mut self, accept: bool) -> Self {
        self.expired = if accept { ExpirationPolicy::Ignore } else { ExpirationPolicy::Enforce };
        self
    }

    fn in_pem(pem: &[u8], place: &str) -> Result<Self, ConfigError> {
        let lists = CertificateRevocationListDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let lists = lists.map_err(|error| {
            refused(format!("no revocation list that can be read in {place}: it is damaged")).caused_by(error)
        })?;
        Self::read(lists, place)
    }

    fn read(
        lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
        place: &str,
    ) -> Result<Self, ConfigError> {
        let read = |(at, der): (usize, CertificateRevocationListDer<'static>)| {
            let read = OwnedCertRevocationList::from_der(&der).map_err(|error| {
                let (number, why) = (at + 1, spaced(&format!("{error:?}")));
                refused(format!("revocation list {number} in {place} cannot be used: {why}")).quoting(error)
            })?;
            Ok(List { der, read: Arc::new(CertRevocationList::from(read)) })
        };
        let lists: Arc<[_]> = lists.into_iter().enumerate().map(read).collect::<Result<_, ConfigError>>()?;
        if lists.is_empty() {
            let message = format!("there is no revocation list in {place}: PEM has a line -----BEGIN X509 CRL-----");
            return Err(refused(message));
        }
        Ok(Self { lists, unknown: UnknownStatusPolicy::Deny, expired: ExpirationPolicy::Enforce })
    }

    /// The lists as they came.
    pub(super) fn der(&self) -> impl Iterator<Item = CertificateRevocationListDer<'static>> {
        self.lists.iter().map(|list| list.der.clone())
    }

    pub(super) fn accepts_unknown(&self) -> bool {
        self.unknown == UnknownStatusPolicy::Allow
    }

    pub(super) fn accepts_expired(&self) -> bool {
        self.expired == ExpirationPolicy::Ignore
    }

    /// Gives them to `verify` as the library takes them that looks for paths.
    pub(super) fn with_options<T>(&self, verify: impl FnOnce(Option<RevocationOptions<'_>>) -> T) -> T {
        let lists: Vec<_> = self.lists.iter().map(|list| &*list.read).collect();
        let builder =
            RevocationOptionsBuilder::new(&lists).expect("there is at least one, or else there would be no `self`");
        let builder = builder.with_depth(RevocationCheckDepth::Chain).with_status_policy(self.unknown);
        verify(Some(builder.with_expiration_policy(self.expired).build()))
    }
}

fn refused(message: String) -> ConfigError {
    ConfigError::new(ConfigErrorKind::BadRevocationList, message)
}
