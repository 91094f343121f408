//! What a client and a server have in common to be configured with, and the setters for it of both builders.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::{KeyLog, KeyLogFile, NoKeyLog, SupportedProtocolVersion, version};

use super::agreement::Choice;
use super::config::{Version, default_provider};
use super::config_error::ConfigError;
use super::options::HANDSHAKE_TIMEOUT;

#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) versions: Vec<Version>,
    pub(super) choice: Choice,
    pub(super) provider: Option<Arc<CryptoProvider>>,
    pub(super) resumption: bool,
    pub(super) key_log: bool,
    pub(super) handshake_timeout: Option<Duration>,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            alpn: Vec::new(),
            versions: vec![Version::Tls12, Version::Tls13],
            choice: Choice::default(),
            provider: None,
            resumption: true,
            key_log: false,
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
        }
    }
}

impl Common {
    /// The provider, with nothing but what may be agreed on.
    pub(super) fn provider(&self) -> Result<Arc<CryptoProvider>, ConfigError> {
        let provider = self.provider.clone().map_or_else(default_provider, Ok)?;
        self.choice.of(&provider, self.provider.is_some(), &self.versions()).map(Arc::new)
    }

    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let supported = |version: &Version| match version {
            Version::Tls12 => &version::TLS12,
            Version::Tls13 => &version::TLS13,
        };
        self.versions.iter().map(supported).collect()
    }

    pub(super) fn key_log(&self) -> Arc<dyn KeyLog> {
        if self.key_log { Arc::new(KeyLogFile::new()) } else { Arc::new(NoKeyLog {}) }
    }
}

/// The setters of a builder that has a [`Common`].
macro_rules! common_setters {
    () => {
        /// The application protocols for ALPN (RFC 7301), the preferred one first: a client offers them, a server accepts them.
        pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
            self.common.alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
            self
        }

        /// The versions to offer or to accept; both unless set.
        pub fn versions(mut self, versions: &[Version]) -> Self {
            self.common.versions = versions.to_vec();
            self
        }

        /// The groups of the key exchange that may be agreed on, the preferred one first; a server takes the first one of the
        /// client's that it has. A client of TLS 1.3 sends a share of the first, see [`KeyShares`](super::KeyShares).
        ///
        /// Unless set, those of the provider, with `X25519MLKEM768` in front if it has that. A [provider that was
        /// given](Self::provider) keeps its order.
        pub fn groups<G: Into<Group>>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
            self.common.choice.groups = Some(groups.into_iter().map(Into::into).collect());
            self
        }

        /// The cipher suites that may be agreed on, the preferred one first; those of the provider unless set.
        pub fn cipher_suites<S: Into<Suite>>(mut self, suites: impl IntoIterator<Item = S>) -> Self {
            self.common.choice.suites = Some(suites.into_iter().map(Into::into).collect());
            self
        }

        /// Whether sessions are resumed; they are unless set. Without, a client offers none and a server gives out none, and
        /// each handshake shows the certificates again.
        pub fn resumption(mut self, wanted: bool) -> Self {
            self.common.resumption = wanted;
            self
        }

        /// The provider of cryptography; [`default_provider`](super::default_provider) unless set.
        pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
            self.common.provider = Some(provider);
            self
        }

        /// Whether the secrets of every connection are written to the file that the environment variable `SSLKEYLOGFILE` names, if
        /// it is set. Whoever has that file can read everything, so the variable alone does nothing: it is off unless set here.
        pub fn key_log(mut self, wanted: bool) -> Self {
            self.common.key_log = wanted;
            self
        }

        /// How long the peer may take for a handshake, for the layers to come: ten seconds unless set, `None` for ever. A layer may
        /// have [another](super::TlsLayer::handshake_timeout).
        pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
            self.common.handshake_timeout = timeout;
            self
        }
    };
}
pub(super) use common_setters;
