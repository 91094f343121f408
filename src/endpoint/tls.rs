//! From a `tls` step to a client or a server.

use super::step::{TlsStep, TrustStore};
use crate::tls::{
    ConfigError, ConfigErrorKind, Identity, Roots, TlsClient, TlsClientBuilder, TlsServer, TlsServerBuilder, Verify,
    Version,
};

impl TlsStep {
    /// The client that this step describes, made anew: keep it, to resume sessions.
    ///
    /// Without trust anchors in the step, those of the system are taken.
    ///
    /// # Errors
    ///
    /// When a key of the step is for servers or contradicts another, and when a file is missing or wrong.
    pub fn client(&self) -> Result<TlsClient, ConfigError> {
        self.client_builder()?.build()
    }

    /// As [`client`](Self::client), to be configured further.
    ///
    /// # Errors
    ///
    /// As [`client`](Self::client).
    pub fn client_builder(&self) -> Result<TlsClientBuilder, ConfigError> {
        if self.client_trust_anchors.is_some() {
            return Err(misused("`client-ca` is for servers: a client verifies with `ca` or `roots`"));
        }
        let builder = match (self.insecure, &self.trust_anchors, self.roots) {
            (true, None, None) => TlsClient::builder(Verify::nothing()),
            (false, Some(file), None) => TlsClient::builder(Roots::from_pem_file(file)?),
            (false, None, None | Some(TrustStore::System)) => TlsClient::builder(system()?),
            (false, None, Some(TrustStore::Webpki)) => TlsClient::builder(webpki()?),
            _ => return Err(misused("`ca`, `roots` and `insecure` exclude each other: give one of them")),
        };
        let mut builder = builder.alpn(&self.alpn).versions(&self.versions()?).key_log(self.key_log);
        builder = builder.resumption(!self.without_resumption);
        if !self.groups.is_empty() {
            builder = builder.groups(self.groups.iter().copied());
        }
        if !self.cipher_suites.is_empty() {
            builder = builder.cipher_suites(self.cipher_suites.iter().copied());
        }
        if let Some(shares) = self.key_shares {
            builder = builder.key_shares(shares);
        }
        if let Some(identity) = self.identity()? {
            builder = builder.identity(identity);
        }
        Ok(builder)
    }

    /// The server that this step describes, made anew: keep it, to let clients resume sessions.
    ///
    /// # Errors
    ///
    /// When a key of the step is for clients, there is no certificate, or a file is missing or wrong.
    pub fn server(&self) -> Result<TlsServer, ConfigError> {
        self.server_builder()?.build()
    }

    /// As [`server`](Self::server), to be configured further.
    ///
    /// # Errors
    ///
    /// As [`server`](Self::server).
    pub fn server_builder(&self) -> Result<TlsServerBuilder, ConfigError> {
        if self.server_name.is_some() || self.trust_anchors.is_some() || self.roots.is_some() || self.insecure {
            return Err(misused(
                "`sni`, `ca`, `roots` and `insecure` are for clients: a server needs `cert` and `key`",
            ));
        }
        if self.key_shares.is_some() {
            return Err(misused("`shares` is for clients: a server answers with one share"));
        }
        let identity = self.identity()?.ok_or_else(|| misused("a server needs `cert` and `key`"))?;
        let mut builder =
            TlsServer::builder(identity).alpn(&self.alpn).versions(&self.versions()?).key_log(self.key_log);
        builder = builder.resumption(!self.without_resumption);
        if !self.groups.is_empty() {
            builder = builder.groups(self.groups.iter().copied());
        }
        if !self.cipher_suites.is_empty() {
            builder = builder.cipher_suites(self.cipher_suites.iter().copied());
        }
        if let Some(file) = &self.client_trust_anchors {
            builder = builder.require_client_certificates(Roots::from_pem_file(file)?);
        }
        Ok(builder)
    }

    fn identity(&self) -> Result<Option<Identity>, ConfigError> {
        match (&self.certificate, &self.private_key) {
            (None, None) => Ok(None),
            (Some(chain), Some(key)) => Identity::from_pem_files(chain, key).map(Some),
            (Some(_), None) => Err(misused("`cert` needs the private key beside it: write key=PEM too")),
            (None, Some(_)) => Err(misused("`key` needs the certificate beside it: write cert=PEM too")),
        }
    }

    fn versions(&self) -> Result<Vec<Version>, ConfigError> {
        let lowest = self.min_version.unwrap_or(Version::Tls12);
        let highest = self.max_version.unwrap_or(Version::Tls13);
        let versions = [Version::Tls12, Version::Tls13];
        let versions: Vec<_> =
            versions.into_iter().filter(|&version| lowest <= version && version <= highest).collect();
        if versions.is_empty() { Err(misused("`min` is above `max`")) } else { Ok(versions) }
    }
}

#[cfg(feature = "system-roots")]
fn system() -> Result<Roots, ConfigError> {
    Roots::system()
}

#[cfg(not(feature = "system-roots"))]
fn system() -> Result<Roots, ConfigError> {
    Err(misused("the trust anchors of the system need the feature `system-roots`, which was not built in: give `ca`"))
}

#[cfg(feature = "webpki-roots")]
fn webpki() -> Result<Roots, ConfigError> {
    Ok(Roots::webpki())
}

#[cfg(not(feature = "webpki-roots"))]
fn webpki() -> Result<Roots, ConfigError> {
    Err(misused("`roots=webpki` needs the feature `webpki-roots`, which was not built in"))
}

fn misused(message: &str) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Unsupported, message)
}
