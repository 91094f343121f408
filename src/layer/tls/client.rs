//! The client side: a configuration that is made once, and layers made from it.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::sign::SingleCertAndKey;

use super::agreement::{Group, KeyShares, Suite};
use super::aside::Secrets;
use super::common::{Common, common_setters};
use super::config::{Identity, Version};
use super::config_error::{ConfigError, ConfigErrorKind};
use super::depths::{Depths, InnerSessions, Opener};
use super::engine::Engine;
use super::options::HANDSHAKE_TIMEOUT;
use super::policy::{Verify, server_name};
use super::{Role, TlsLayer};

/// How to be a TLS client. Make it once and share it: clones are cheap, and sessions are resumed only between layers
/// of one configuration, for the same name, with as many TLS layers between them and the wire.
///
/// ```no_run
/// use onionskin::tls::{Roots, TlsClient};
///
/// let client = TlsClient::new(Roots::system()?)?;
/// let layer = client.to("mail.example")?;
/// # let _ = layer;
/// # Ok::<(), onionskin::tls::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TlsClient {
    depths: Arc<Depths>,
    handshake_timeout: Option<Duration>,
}

impl TlsClient {
    /// A client that verifies this, with defaults for the rest. [`Roots`](super::Roots) alone stand for a chain to them and the
    /// name that is asked for.
    ///
    /// # Errors
    ///
    /// When there is no provider of cryptography, or what is to be verified is empty or contradicts itself.
    pub fn new(verify: impl Into<Verify>) -> Result<Self, ConfigError> {
        Self::builder(verify).build()
    }

    /// A client that verifies this, to be configured further.
    pub fn builder(verify: impl Into<Verify>) -> TlsClientBuilder {
        TlsClientBuilder { verify: verify.into(), identity: None, common: Common::default() }
    }

    /// Takes a configuration of rustls as it is. What it says of sessions (`resumption`) is for layers with no TLS between them and
    /// the wire: its store tells servers apart by their names alone, so layers inside of others resume none.
    ///
    /// # Errors
    ///
    /// When it asks for early data, which this crate does not do.
    pub fn from_rustls(config: Arc<ClientConfig>) -> Result<Self, ConfigError> {
        Self::with_sessions(config, InnerSessions::OfAProgram)
    }

    fn with_sessions(config: Arc<ClientConfig>, inner: InnerSessions) -> Result<Self, ConfigError> {
        if config.enable_early_data {
            return Err(ConfigError::new(ConfigErrorKind::Unsupported, "early data (0-RTT) is not supported"));
        }
        // The layer takes its keys over from rustls when the handshake is done, and gives them to nobody.
        let mut config = Arc::unwrap_or_clone(config);
        config.enable_secret_extraction = true;
        config.key_log = Arc::new(Secrets(config.key_log));
        let depths = Arc::new(Depths::new(Arc::new(config), inner));
        Ok(Self { depths, handshake_timeout: Some(HANDSHAKE_TIMEOUT) })
    }

    /// The configuration of rustls that this client is made of, for one that is to be a little different: change a clone of it
    /// and give that to [`from_rustls`](Self::from_rustls).
    #[must_use]
    pub fn to_rustls(&self) -> Arc<ClientConfig> {
        Arc::clone(self.depths.outermost())
    }

    /// A layer that handshakes as a client with `name`, a DNS name or an IP address, and verifies that the peer is that, unless
    /// [`Names`](super::Names) say otherwise. A DNS name is asked for (SNI, RFC 6066 section 3), an IP address is not.
    ///
    /// # Errors
    ///
    /// When `name` is neither, also where it is not verified.
    pub fn to(&self, name: &str) -> Result<TlsLayer, ConfigError> {
        self.layer(name, None)
    }

    /// As [`to`](Self::to), with application protocols (ALPN) of its own instead of those of the configuration.
    ///
    /// Sessions are resumed as ever: what is spoken is agreed on anew in each handshake.
    ///
    /// # Errors
    ///
    /// As [`to`](Self::to).
    pub fn to_speak<P: AsRef<[u8]>>(
        &self,
        name: &str,
        protocols: impl IntoIterator<Item = P>,
    ) -> Result<TlsLayer, ConfigError> {
        self.layer(name, Some(protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect()))
    }

    fn layer(&self, name: &str, protocols: Option<Vec<Vec<u8>>>) -> Result<TlsLayer, ConfigError> {
        let opener = Opener { depths: Arc::clone(&self.depths), name: server_name(name)?, protocols, depth: 0 };
        let layer = TlsLayer::new(Engine::client(opener), Role::Client, Some(name.to_owned()));
        Ok(layer.handshake_timeout(self.handshake_timeout))
    }
}

/// Configures a [`TlsClient`].
#[derive(Clone, Debug)]
#[must_use]
pub struct TlsClientBuilder {
    verify: Verify,
    identity: Option<Identity>,
    common: Common,
}

impl TlsClientBuilder {
    /// Who we are, for a server that asks.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    common_setters!();

    /// Of how many groups the first message carries a key; of two wherever that is possible, unless set.
    ///
    /// A ClientHello with a share of `X25519MLKEM768` needs two segments. What reads only the first of them, as some old
    /// middleboxes do, never answers or ends the connection: one share of another group, with [`groups`](Self::groups), is the
    /// way out.
    pub fn key_shares(mut self, shares: KeyShares) -> Self {
        self.common.choice.shares = Some(shares);
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    ///
    /// When there is no provider, it does not speak the versions, the groups or the cipher suites, it cannot make so many shares,
    /// what is to be verified is empty or contradicts itself, or the identity's key does not belong to its certificate.
    pub fn build(self) -> Result<TlsClient, ConfigError> {
        let provider = self.common.provider()?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.common.versions())
            .map_err(ConfigError::from_rustls)?;
        let verifier = self.verify.verifier(&provider)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certified = identity.certified(&provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        config.key_log = self.common.key_log();
        config.alpn_protocols = self.common.alpn;
        let inner = if self.common.resumption { InnerSessions::Kept } else { InnerSessions::Off };
        if inner == InnerSessions::Off {
            config.resumption = Resumption::disabled();
        }
        let handshake_timeout = self.common.handshake_timeout;
        Ok(TlsClient { handshake_timeout, ..TlsClient::with_sessions(Arc::new(config), inner)? })
    }
}
