//! From a `tls` step to a client or a server.

use std::path::Path;

use super::SilenceLimit;
use super::step::{ClientAuth, TlsStep, TrustStore, VerifyStep};
use crate::tls::{
    ConfigError, ConfigErrorKind, Identity, Names, RevocationLists, Roots, TicketKeys, TlsClient, TlsClientBuilder,
    TlsServer, TlsServerBuilder, Verify, Version,
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
        if self.client_trust_anchors.is_some() || self.client_auth.is_some() {
            return Err(misused(
                "`client-ca` and `client-auth` are for servers: a client verifies with `ca` or `roots`",
            ));
        }
        if self.second_certificate.is_some() || self.second_private_key.is_some() || self.ticket_keys.is_some() {
            return Err(misused("`second-cert`, `second-key` and `ticket-keys` are for servers"));
        }
        if self.ocsp_response.is_some() || self.second_ocsp_response.is_some() {
            return Err(misused("`ocsp` is for servers, who staple it to their certificate"));
        }
        if !self.named.is_empty() {
            return Err(misused("`for` is for servers: a client asks for one name, with `sni`"));
        }
        let builder = TlsClient::builder(self.verification()?);
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
        if self.handshake_timeout != SilenceLimit::Unset {
            builder = builder.handshake_timeout(self.handshake_timeout.time());
        }
        if let Some(identity) = self.identity()? {
            builder = builder.identity(identity);
        }
        Ok(builder)
    }

    /// What a client verifies.
    fn verification(&self) -> Result<Verify, ConfigError> {
        let has_roots = self.trust_anchors.is_some() || self.roots.is_some();
        let has_lists = !self.revocation_lists.is_empty();
        if self.insecure {
            return match has_roots || self.says_what_to_verify() {
                false => Ok(Verify::nothing()),
                true => Err(misused(
                    "`insecure` (`verify=nothing`) and what is to be verified (`ca`, `roots`, `verify`, `names`, `pin`, `crl`) \
                     exclude each other: give one of them",
                )),
            };
        }
        let verify = match self.verify {
            Some(VerifyStep::Pin) if self.pins.is_empty() => {
                return Err(misused("`verify=pin` needs the pin beside it: write pin=SHA256 too"));
            }
            Some(VerifyStep::Pin) if has_roots || has_lists => {
                return Err(misused(
                    "`verify=pin` excludes `ca`, `roots` and `crl`: leave it out, and the pin is looked at beside the chain",
                ));
            }
            Some(VerifyStep::Pin) => Verify::pins(self.pins.iter().copied()),
            Some(VerifyStep::Chain) if !self.names.is_empty() => {
                return Err(misused("`verify=chain` looks at no name: leave `names` out, or write verify=name"));
            }
            Some(VerifyStep::Chain) => Verify::chain(self.trusted()?).names(Names::Skip),
            Some(VerifyStep::Name) | None => Verify::chain(self.trusted()?),
        };
        let verify = if self.names.is_empty() { verify } else { verify.names(Names::any_of(self.names.clone())) };
        Ok(if self.pins.is_empty() { verify } else { verify.pinned(self.pins.iter().copied()) })
    }

    /// Whom a client trusts.
    fn trusted(&self) -> Result<Roots, ConfigError> {
        let store = match self.roots {
            Some(TrustStore::System) => Some(system()?),
            Some(TrustStore::Webpki) => Some(webpki()?),
            None => None,
        };
        let own = self.trust_anchors.as_ref().map(Roots::from_pem_file).transpose()?;
        let roots = match (own, store) {
            (Some(own), Some(store)) => own.and(store),
            (Some(roots), None) | (None, Some(roots)) => roots,
            (None, None) => system()?,
        };
        self.without_revoked(roots)
    }

    /// These, with the revocation lists that are named.
    fn without_revoked(&self, roots: Roots) -> Result<Roots, ConfigError> {
        let files = self.revocation_lists.iter().map(RevocationLists::from_file);
        let lists = files.reduce(|these, those| Ok(these?.and(&those?))).transpose()?;
        match lists {
            Some(lists) => {
                let lists = lists.accept_unknown(self.accept_unknown_revocation);
                Ok(roots.revocation(lists.accept_expired(self.accept_expired_lists)))
            }
            None if self.accept_unknown_revocation || self.accept_expired_lists => {
                Err(misused("`crl-unknown` and `crl-expired` need a list: write crl=FILE too"))
            }
            None => Ok(roots),
        }
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
        let is_verifying = self.trust_anchors.is_some() || self.roots.is_some() || self.insecure;
        let has_more = self.verify.is_some() || !self.names.is_empty() || !self.pins.is_empty();
        if self.server_name.is_some() || is_verifying || has_more {
            return Err(misused(
                "`sni`, `ca`, `roots`, `insecure`, `verify`, `names` and `pin` are for clients: a server needs `cert` and `key`",
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
        if let Some(second) = self.second_identity()? {
            builder = builder.also(second);
        }
        match &self.ticket_keys {
            Some(_) if self.without_resumption => {
                return Err(misused("`ticket-keys` and `resumption=off` exclude each other: give one of them"));
            }
            Some(file) => builder = builder.ticket_keys(TicketKeys::from_file(file)?),
            None => {}
        }
        if self.handshake_timeout != SilenceLimit::Unset {
            builder = builder.handshake_timeout(self.handshake_timeout.time());
        }
        for named in &self.named {
            let server = named.of(self).server().map_err(|error| error.at(&format!("for={}", named.name)))?;
            builder = builder.serving(&named.name, server);
        }
        let Some(file) = &self.client_trust_anchors else {
            if self.client_auth.is_some() || !self.revocation_lists.is_empty() {
                return Err(misused("`client-auth` and `crl` of a server need whom to trust: write client-ca=PEM too"));
            }
            return Ok(builder);
        };
        let roots = self.without_revoked(Roots::from_pem_file(file)?)?;
        builder = match self.client_auth {
            Some(ClientAuth::Ask) => builder.ask_for_client_certificates(roots),
            Some(ClientAuth::Demand) | None => builder.require_client_certificates(roots),
        };
        Ok(builder)
    }

    fn identity(&self) -> Result<Option<Identity>, ConfigError> {
        match (&self.certificate, &self.private_key) {
            (None, None) => match &self.ocsp_response {
                None => Ok(None),
                Some(_) => {
                    Err(misused("`ocsp` needs the certificate that it is about: write cert=PEM and key=PEM too"))
                }
            },
            (Some(chain), Some(key)) => {
                stapled(Identity::from_pem_files(chain, key)?, self.ocsp_response.as_deref()).map(Some)
            }
            (Some(_), None) => Err(misused("`cert` needs the private key beside it: write key=PEM too")),
            (None, Some(_)) => Err(misused("`key` needs the certificate beside it: write cert=PEM too")),
        }
    }

    fn second_identity(&self) -> Result<Option<Identity>, ConfigError> {
        match (&self.second_certificate, &self.second_private_key, &self.second_ocsp_response) {
            (None, None, None) => Ok(None),
            (Some(chain), Some(key), staple) => {
                stapled(Identity::from_pem_files(chain, key)?, staple.as_deref()).map(Some)
            }
            _ => Err(misused("a second certificate needs both: write second-cert=PEM and second-key=PEM")),
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

fn stapled(identity: Identity, response: Option<&Path>) -> Result<Identity, ConfigError> {
    match response {
        Some(file) => identity.stapling_file(file),
        None => Ok(identity),
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
