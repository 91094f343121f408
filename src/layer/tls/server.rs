//! The server side: a configuration that is made once, and layers made from it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureScheme};

use super::agreement::{Group, Suite};
use super::aside::{Certificates, Secrets};
use super::common::{Common, common_setters};
use super::config::{Identity, Roots, Version};
use super::config_error::{ConfigError, ConfigErrorKind};
use super::engine::Engine;
use super::hello::Others;
use super::options::HANDSHAKE_TIMEOUT;
use super::ticket_keys::TicketKeys;
use super::tickets::{Tickets, World};
use super::verify::ClientVerifier;
use super::{Role, TlsLayer};

/// How to be a TLS server. Make it once and share it: clones are cheap.
///
/// Clients can resume their sessions for six hours at least, and the certificates of both sides are shown again after a day at the
/// latest. Nothing is kept for that: what a client needs is in the ticket that it gets, sealed with keys that all servers of the
/// process share and renew every six hours, or with [keys of a file](TlsServerBuilder::ticket_keys). So a server that is made anew resumes the sessions of one that was like it: with the
/// same certificates for the same names, and the same demands on clients. Any other does a whole handshake. Clients of TLS 1.2
/// without tickets (RFC 5077) resume nothing.
///
/// ```no_run
/// use onionskin::tls::{Identity, TlsServer};
///
/// let server = TlsServer::new(Identity::from_pem_files("chain.pem", "key.pem")?)?;
/// let layer = server.accept()?;
/// # let _ = layer;
/// # Ok::<(), onionskin::tls::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    handshake_timeout: Option<Duration>,
    /// None where a configuration of rustls says how sessions are resumed.
    tickets: Option<Tickets>,
    /// By names in lower case.
    others: Arc<HashMap<String, Self>>,
}

impl TlsServer {
    /// A server with this identity and defaults for the rest.
    ///
    /// # Errors
    ///
    /// When there is no provider of cryptography, or the key does not belong to the certificate.
    pub fn new(identity: Identity) -> Result<Self, ConfigError> {
        Self::builder(identity).build()
    }

    /// A server with this identity, to be configured further.
    pub fn builder(identity: Identity) -> TlsServerBuilder {
        TlsServerBuilder {
            identities: vec![identity],
            named: Vec::new(),
            clients: Clients::Anyone,
            common: Common::default(),
            tickets: None,
            ticket_keys: None,
            others: Vec::new(),
        }
    }

    /// Takes a configuration of rustls as it is. Sessions are resumed as it says, and in no world of ours.
    ///
    /// # Errors
    ///
    /// When it allows early data, which this crate does not do.
    pub fn from_rustls(config: Arc<ServerConfig>) -> Result<Self, ConfigError> {
        if config.max_early_data_size > 0 {
            return Err(ConfigError::new(ConfigErrorKind::Unsupported, "early data (0-RTT) is not supported"));
        }
        // The layer takes its keys over from rustls when the handshake is done, and gives them to nobody.
        let mut config = Arc::unwrap_or_clone(config);
        config.enable_secret_extraction = true;
        config.key_log = Arc::new(Secrets(config.key_log));
        config.cert_resolver = Arc::new(Certificates(config.cert_resolver));
        Ok(Self {
            config: Arc::new(config),
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
            tickets: None,
            others: Arc::default(),
        })
    }

    /// The configuration of rustls that this server is made of, for one that is to be a little different: change a clone of it
    /// and give that to [`from_rustls`](Self::from_rustls). How sessions are resumed is not in it: it has what rustls does by
    /// itself, a table of the last 256. Clones of one such configuration share that table: give each that demands something else
    /// of its clients a `session_storage` of its own, since who resumes a session shows no certificate.
    #[must_use]
    pub fn to_rustls(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config);
        if self.tickets.is_some() && config.session_storage.can_cache() {
            config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        }
        Arc::new(config)
    }

    /// Has another server answer clients that ask for this DNS name (SNI, RFC 6066 section 3): with its certificates, its demands on
    /// clients, and its tickets, which are no good here. A client that asks for no name, or for one that is not known, is answered by
    /// this server.
    ///
    /// A client may go on to talk as if it had asked for another name. Whoever lets clients in by name compares what they say
    /// then with [`TlsFacts::server_name`](super::TlsFacts::server_name).
    ///
    /// ```no_run
    /// use onionskin::tls::{Identity, Roots, TlsServer};
    ///
    /// let inside = TlsServer::builder(Identity::from_pem_files("inside.pem", "inside.key")?)
    ///     .require_client_certificates(Roots::from_pem_file("staff.pem")?)
    ///     .build()?;
    /// let server = TlsServer::new(Identity::from_pem_files("public.pem", "public.key")?)?.serving("inside.example", inside);
    /// # let _ = server;
    /// # Ok::<(), onionskin::tls::ConfigError>(())
    /// ```
    #[must_use]
    pub fn serving(mut self, name: impl Into<String>, server: Self) -> Self {
        Arc::make_mut(&mut self.others).insert(name.into().to_ascii_lowercase(), server);
        self
    }

    fn config_for_one(&self) -> Arc<ServerConfig> {
        let Some(tickets) = &self.tickets else { return Arc::clone(&self.config) };
        let mut config = ServerConfig::clone(&self.config);
        config.ticketer = tickets.for_one();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Arc::new(config)
    }

    /// A layer that handshakes as a server.
    ///
    /// # Errors
    ///
    /// When rustls refuses the configuration.
    pub fn accept(&self) -> Result<TlsLayer, ConfigError> {
        let others: Others = if self.others.is_empty() {
            Arc::new(|_| None)
        } else {
            let others = Arc::clone(&self.others);
            Arc::new(move |name| others.get(name).map(Self::config_for_one))
        };
        let engine = Engine::server(self.config_for_one(), others).map_err(ConfigError::from_rustls)?;
        Ok(TlsLayer::new(engine, Role::Server, None).handshake_timeout(self.handshake_timeout))
    }
}

/// Configures a [`TlsServer`].
#[derive(Clone, Debug)]
#[must_use]
pub struct TlsServerBuilder {
    identities: Vec<Identity>,
    named: Vec<(String, Identity)>,
    clients: Clients,
    common: Common,
    tickets: Option<usize>,
    ticket_keys: Option<TicketKeys>,
    others: Vec<(String, TlsServer)>,
}

#[derive(Clone, Debug)]
enum Clients {
    Anyone,
    Ask(Roots),
    Require(Roots),
}

impl Clients {
    fn write(&self, world: &mut World) {
        let (demand, roots) = match self {
            Self::Anyone => ("anyone", None),
            Self::Ask(roots) => ("ask", Some(roots)),
            Self::Require(roots) => ("require", Some(roots)),
        };
        world.part(demand.as_bytes());
        if let Some(roots) = roots {
            world.roots(roots);
        }
    }
}

impl TlsServerBuilder {
    /// A second identity beside the first, with a key of another kind: RSA for clients that know nothing else, and ECDSA, which is
    /// faster. Each client gets the first one whose signature it takes.
    pub fn also(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Another identity, for clients that ask for this DNS name (SNI). A name that is not known gets the first one. The same name
    /// may have several of different kinds, as with [`also`](Self::also).
    pub fn name(mut self, name: impl Into<String>, identity: Identity) -> Self {
        self.named.push((name.into(), identity));
        self
    }

    /// Requires a certificate from clients, issued under these roots.
    pub fn require_client_certificates(mut self, roots: Roots) -> Self {
        self.clients = Clients::Require(roots);
        self
    }

    /// Asks clients for a certificate, issued under these roots, and takes those who have none.
    pub fn ask_for_client_certificates(mut self, roots: Roots) -> Self {
        self.clients = Clients::Ask(roots);
        self
    }

    common_setters!();

    /// How many tickets to send after a TLS 1.3 handshake; two unless set. A protocol whose client drops TLS
    /// straight after the handshake wants none, as they arrive behind it.
    pub fn tickets(mut self, count: usize) -> Self {
        self.tickets = Some(count);
        self
    }

    /// Keys for tickets that servers of other processes have too, so that each resumes the sessions of all, if they are like each
    /// other in everything else; see [`TlsServer`].
    pub fn ticket_keys(mut self, keys: TicketKeys) -> Self {
        self.ticket_keys = Some(keys);
        self
    }

    /// Has another server answer clients that ask for this DNS name, as [`TlsServer::serving`] does. Nothing of what is said here is
    /// passed on to it.
    pub fn serving(mut self, name: impl Into<String>, server: TlsServer) -> Self {
        self.others.push((name.into(), server));
        self
    }

    /// Makes the server.
    ///
    /// # Errors
    ///
    /// When there is no provider, it does not speak the versions, the groups or the cipher suites, a key does not belong to its
    /// certificate, two identities of one name are of the same kind, or the roots for clients are empty.
    pub fn build(self) -> Result<TlsServer, ConfigError> {
        let provider = self.common.provider()?;
        let certificates = CertificatesByName::new(self.identities, self.named, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.common.versions())
            .map_err(ConfigError::from_rustls)?;
        let mut world = World::new();
        certificates.write(&mut world);
        self.clients.write(&mut world);
        let tickets = self.common.resumption.then(|| Tickets::of(&world, &provider, self.ticket_keys)).flatten();
        let verifier = match self.clients {
            Clients::Anyone => None,
            Clients::Ask(roots) => Some(ClientVerifier::new(roots, &provider, true)?),
            Clients::Require(roots) => Some(ClientVerifier::new(roots, &provider, false)?),
        };
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.key_log = self.common.key_log();
        config.alpn_protocols = self.common.alpn;
        if let Some(count) = self.tickets {
            config.send_tls13_tickets = count;
        }
        if !self.common.resumption {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let handshake_timeout = self.common.handshake_timeout;
        let server = TlsServer { handshake_timeout, tickets, ..TlsServer::from_rustls(Arc::new(config))? };
        Ok(self.others.into_iter().fold(server, |server, (name, other)| server.serving(name, other)))
    }
}

/// Chooses the certificate by the name that the client asks for, and of several under one name by the signatures that it takes.
#[derive(Debug)]
struct CertificatesByName {
    first: OfOneName,
    named: HashMap<String, OfOneName>,
}

/// Those of one name, each of another kind, and at least one.
type OfOneName = Vec<Arc<CertifiedKey>>;

impl CertificatesByName {
    fn new(
        first: Vec<Identity>,
        named: Vec<(String, Identity)>,
        provider: &CryptoProvider,
    ) -> Result<Self, ConfigError> {
        let mut certificates = Self { first: Vec::new(), named: HashMap::new() };
        for identity in first {
            add(&mut certificates.first, identity.certified(provider)?, None)?;
        }
        for (name, identity) in named {
            let name = name.to_ascii_lowercase();
            let certified = identity.certified(provider)?;
            add(certificates.named.entry(name.clone()).or_default(), certified, Some(&name))?;
        }
        Ok(certificates)
    }

    fn write(&self, world: &mut World) {
        let write = |world: &mut World, of_one_name: &OfOneName| {
            world.count(of_one_name.len());
            of_one_name.iter().for_each(|identity| world.parts(&identity.cert));
        };
        write(world, &self.first);
        let mut named: Vec<_> = self.named.iter().collect();
        named.sort_unstable_by_key(|(name, _)| *name);
        world.count(named.len());
        for (name, identities) in named {
            world.part(name.as_bytes());
            write(world, identities);
        }
    }
}

fn add(of_one_name: &mut OfOneName, certified: CertifiedKey, name: Option<&str>) -> Result<(), ConfigError> {
    let signs = |certified: &CertifiedKey| SCHEMES.map(|scheme| certified.key.choose_scheme(&[scheme]).is_some());
    if of_one_name.iter().any(|other| signs(other) == signs(&certified)) {
        let whose = name.map(|name| format!(" for {name}")).unwrap_or_default();
        let message = format!("two certificates{whose} have keys of the same kind, so the second would never be shown");
        return Err(ConfigError::new(ConfigErrorKind::Unsupported, message));
    }
    of_one_name.push(Arc::new(certified));
    Ok(())
}

impl ResolvesServerCert for CertificatesByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives the name in lower case.
        let named = hello.server_name().and_then(|name| self.named.get(name)).unwrap_or(&self.first);
        // And the schemes that the client's cipher suites go with.
        let schemes = hello.signature_schemes();
        let suits = named.iter().find(|certified| certified.key.choose_scheme(schemes).is_some());
        // Where none does, rustls says so.
        suits.or(named.first()).map(Arc::clone)
    }
}

/// What tells kinds of keys apart.
const SCHEMES: [SignatureScheme; 5] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
];

/// So many sessions rustls keeps by itself.
const SESSIONS: usize = 256;
