//! Why TLS could not be configured.

use std::error::Error as StdError;
use std::fmt;
#[cfg(doc)]
use std::io;
use std::sync::Arc;

use crate::stack::with_chain;

/// Why a client or server could not be configured.
#[derive(Clone)]
pub struct ConfigError {
    kind: ConfigErrorKind,
    message: String,
    cause: Option<Cause>,
}

#[derive(Clone)]
enum Cause {
    /// Its text is a part of the message.
    Quoted(Arc<dyn StdError + Send + Sync>),
    /// The message says it in other words.
    Other(Arc<dyn StdError + Send + Sync>),
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
    /// A pin is none, or there are none.
    BadPin,
    /// A revocation list is missing, or is not one that can be used.
    BadRevocationList,
    /// No provider of cryptography is there.
    NoProvider,
    /// Something that this crate, or the provider, does not do.
    Unsupported,
}

impl ConfigError {
    pub(crate) fn new(kind: ConfigErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    pub(super) fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.cause = Some(Cause::Other(Arc::new(cause)));
        self
    }

    /// As [`caused_by`](Self::caused_by), with an error whose text is a part of the message.
    pub(super) fn quoting(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.cause = Some(Cause::Quoted(Arc::new(cause)));
        self
    }

    pub(super) fn from_rustls(error: rustls::Error) -> Self {
        let why = match &error {
            rustls::Error::General(words) => words.clone(),
            error => error.to_string(),
        };
        Self::new(ConfigErrorKind::Unsupported, format!("TLS cannot be set up like this: {why}")).quoting(error)
    }

    /// With what it is about in front.
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The error that this one was made of, if it was one of this type: an [`io::Error`], a [`rustls::Error`].
    ///
    /// ```
    /// use onionskin::tls::Roots;
    ///
    /// let error = Roots::from_pem_file("no/such/file").unwrap_err();
    /// let cause = error.cause::<std::io::Error>().expect("the file could not be read");
    /// assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
    /// ```
    #[must_use]
    pub fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        match self.cause.as_ref()? {
            Cause::Quoted(cause) | Cause::Other(cause) => cause.downcast_ref(),
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
        f.write_str(&self.message)
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for ConfigError {
    /// What the message does not say already; [`cause`](Self::cause) has the rest.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.cause.as_ref()? {
            Cause::Quoted(cause) => cause.source(),
            Cause::Other(cause) => Some(cause),
        }
    }
}
