//! Whoever connects to the port of a proxy, in whatever language.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::http1::ConnectServer;
#[cfg(feature = "http2")]
use super::http2::{PendingTunnel, PendingTunnels, Settings};
use super::socks::SocksServer;
use super::{Credentials, Error, ErrorKind, Grant, Question, Reason, Refusal, Request, TunnelProtocol};
use crate::connection::{Addresses, Connection, Error as ConnectionError};
use crate::layer::opening::{self, Advance, Answerable, Exchange, Negotiation, Opening};
use crate::runtime::Socket;
use crate::stack::{Failure, LayerId};

/// Takes the clients of a proxy, all of its languages on one port: the first bytes tell which it is.
///
/// | first | language |
/// |---|---|
/// | `0x05` | SOCKS5 |
/// | `0x04` | SOCKS4a |
/// | a letter | CONNECT of HTTP/1.1 |
/// | `PRI `, or `h2` as what TLS has agreed on (ALPN) | CONNECT of HTTP/2, with the feature `http2` |
///
/// What the application is left with is a [`Pending`] tunnel: who wants to reach whom, and a client that waits for the answer. A
/// user and a password are looked at here, if [that is wanted](Self::authenticating).
///
/// ```
/// use onionskin::Connection;
/// use onionskin::runtime::Socket;
/// use onionskin::tunnel::{Accepted, Acceptor, Error, Grant, Reason};
///
/// async fn serve(client: Connection<Socket>) -> Result<(), Error> {
///     let Accepted::One(mut pending) = Acceptor::new().accept(client).await? else { return Ok(()) };
///     let target = pending.request().target.clone();
///     match pending.during(async { reach(&target) }).await? {
///         true => {
///             let _tunnel = pending.grant(Grant::default()).await?; // what is read from here on is for the target
///         }
///         false => pending.refuse(Reason::Denied).await?,
///     }
///     Ok(())
/// }
/// # fn reach(_: &onionskin::runtime::Address) -> bool { true }
/// ```
#[derive(Clone)]
pub struct Acceptor {
    languages: Vec<TunnelProtocol>,
    name: String,
    login: Option<Login>,
    timeout: Duration,
    max_head: u32,
    #[cfg(feature = "http2")]
    settings: Settings,
}

/// Who may come in.
#[derive(Clone)]
struct Login {
    realm: String,
    check: Check,
}

type Check = Arc<dyn Fn(Credentials) -> BoxFuture<'static, bool> + Send + Sync>;

impl Acceptor {
    /// Takes clients of every language, whoever they are, who have ten seconds for each of two things: to begin, and to say what they
    /// want.
    #[must_use]
    pub fn new() -> Self {
        let mut languages = vec![TunnelProtocol::Socks5, TunnelProtocol::Socks4a, TunnelProtocol::Http1];
        if cfg!(feature = "http2") {
            languages.push(TunnelProtocol::Http2);
        }
        Self {
            languages,
            name: "onionskin".to_owned(),
            login: None,
            timeout: TIMEOUT,
            max_head: MAX_HEAD,
            #[cfg(feature = "http2")]
            settings: Settings::new(),
        }
    }

    /// Takes these languages only.
    #[must_use]
    pub fn only(mut self, languages: impl IntoIterator<Item = TunnelProtocol>) -> Self {
        self.languages = languages.into_iter().collect();
        self
    }

    /// Takes those only who say a user and a password for which `check` says yes. HTTP tells the client the realm; SOCKS4a has no
    /// passwords, so its clients are refused. To compare in constant time is for `check`, and so is a limit of tries: there is
    /// one for each connection.
    #[must_use]
    pub fn authenticating<F>(
        mut self,
        realm: impl Into<String>,
        check: impl Fn(Credentials) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let check: Check = Arc::new(move |credentials| Box::pin(check(credentials)));
        self.login = Some(Login { realm: realm.into(), check });
        self
    }

    /// What the proxy calls itself in `Proxy-Status`; `onionskin` unless set.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How long a client may take to begin, in HTTP/2 too, and then to say what it wants; ten seconds unless set. How long a connection
    /// of HTTP/2 may have no tunnel, its [settings](Self::with_settings) say.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The longest head of a request by HTTP, in bytes; 16,384 unless set. All of it has to fit into the buffer of the connection, which
    /// has 128 KiB unless set.
    #[must_use]
    pub fn max_head(mut self, bytes: u32) -> Self {
        self.max_head = bytes;
        self
    }

    /// The settings of connections of HTTP/2, but for those that this type has itself.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Hears what the client wants.
    ///
    /// # Errors
    ///
    /// When there is no request to answer: the client was told so in its own language then, if that has words for it, and was
    /// given two seconds to hear it. When the connection is lost.
    ///
    /// # Cancellation
    ///
    /// Drops the connection.
    pub async fn accept(&self, mut connection: Connection<Socket>) -> Result<Accepted, Error> {
        let heard = match self.language(&mut connection).await {
            #[cfg(feature = "http2")]
            Ok(TunnelProtocol::Http2) => return Ok(Accepted::Many(self.tunnels(connection))),
            Ok(language) => self.hear(&mut connection, language).await,
            Err(error) => Err(error),
        };
        match heard {
            Ok((layer, request)) => {
                let negotiating = Negotiating { connection, layer, request };
                Ok(Accepted::One(Pending(Waiting::Connection(Box::new(negotiating)))))
            }
            Err(error) => {
                // It is lost already, and says nothing new of that.
                let _ = connection.leave(PATIENCE).await;
                Err(Error::of_connection(TunnelProtocol::Http1, None, &error))
            }
        }
    }

    #[cfg(feature = "http2")]
    fn tunnels(&self, connection: Connection<Socket>) -> PendingTunnels {
        let settings = self.settings.clone().settings_timeout(Some(self.timeout)).max_head(self.max_head);
        let tunnels = PendingTunnels::with(connection, settings).named(&self.name);
        match self.login.clone() {
            Some(Login { realm, check }) => tunnels.authenticating(realm, move |credentials| check(credentials)),
            None => tunnels,
        }
    }

    /// What TLS has agreed on, or the first bytes tell.
    async fn language(&self, connection: &mut Connection<Socket>) -> Result<TunnelProtocol, ConnectionError> {
        let agreed = connection.layers().tls().next_back().and_then(|tls| tls.alpn.clone());
        let agreed = (agreed.as_deref() == Some(b"h2")).then_some(TunnelProtocol::Http2);
        let first = FirstBytes { languages: self.languages.clone(), language: None, agreed };
        connection.open(Opening::of(first).timeout(Some(self.timeout))).await
    }

    async fn hear(
        &self,
        connection: &mut Connection<Socket>,
        language: TunnelProtocol,
    ) -> Result<(LayerId, Request), ConnectionError> {
        let realm = self.login.as_ref().map(|login| login.realm.clone());
        match language {
            TunnelProtocol::Socks5 | TunnelProtocol::Socks4a => {
                let mut server = SocksServer::new();
                if realm.is_some() {
                    server = server.authenticating();
                }
                self.ask(connection, server).await
            }
            TunnelProtocol::Http1 | TunnelProtocol::Http2 => {
                let mut server = ConnectServer::new().named(&self.name).max_head(self.max_head as usize);
                if let Some(realm) = realm {
                    server = server.authenticating(realm);
                }
                self.ask(connection, server).await
            }
        }
    }

    /// Looks at who asks, if that is wanted, and leaves the question for a tunnel to the application.
    async fn ask<N: Server>(
        &self,
        connection: &mut Connection<Socket>,
        server: N,
    ) -> Result<(LayerId, Request), ConnectionError> {
        let layer = connection.splice(Opening::of(server).timeout(Some(self.timeout)))?;
        loop {
            let mut asked = connection.asked::<N>(layer).await?;
            match asked.question().clone() {
                Question::Tunnel(request) => {
                    asked.later();
                    return Ok((layer, request));
                }
                Question::Login(credentials) => {
                    let is_known = match &self.login {
                        Some(login) => asked.during((login.check)(credentials)).await?,
                        None => false,
                    };
                    match is_known {
                        true => asked.grant(Grant::default()).await?,
                        // What comes of it, the next question tells.
                        false => asked.refuse(Reason::Denied.into()).await?,
                    }
                }
            }
        }
    }
}

impl Default for Acceptor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("languages", &self.languages)
            .field("name", &self.name)
            .field("authenticating", &self.login.is_some())
            .finish_non_exhaustive()
    }
}

/// What a client wants.
#[derive(Debug)]
#[non_exhaustive]
pub enum Accepted {
    /// A tunnel, which the connection becomes.
    One(Pending),
    /// HTTP/2: tunnels, one after the other and side by side, over this connection.
    #[cfg(feature = "http2")]
    Many(PendingTunnels),
}

/// A client that has asked for a tunnel and waits.
///
/// Dropping it leaves the client without an answer, but in HTTP/2: [`refuse`](Self::refuse) it.
#[derive(Debug)]
pub struct Pending(Waiting);

#[derive(Debug)]
enum Waiting {
    /// The connection becomes the tunnel.
    Connection(Box<Negotiating>),
    /// The tunnel is one of many.
    #[cfg(feature = "http2")]
    Stream(Box<PendingTunnel>),
}

#[derive(Debug)]
struct Negotiating {
    connection: Connection<Socket>,
    layer: LayerId,
    request: Request,
}

impl Pending {
    /// What the client wants.
    #[must_use]
    pub fn request(&self) -> &Request {
        match &self.0 {
            Waiting::Connection(negotiating) => &negotiating.request,
            #[cfg(feature = "http2")]
            Waiting::Stream(pending) => pending.request(),
        }
    }

    /// Who has connected and asks.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        match &self.0 {
            Waiting::Connection(negotiating) => negotiating.connection.addresses(),
            #[cfg(feature = "http2")]
            Waiting::Stream(pending) => pending.addresses(),
        }
    }

    /// Finds out what to answer, and has an eye on the client meanwhile: what it sends is kept, as far as there is room, and when
    /// it is gone `work` is dropped.
    ///
    /// # Errors
    ///
    /// When the connection is lost before `work` is done.
    ///
    /// # Cancellation
    ///
    /// Drops `work`; the client waits on.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        match &mut self.0 {
            Waiting::Connection(negotiating) => negotiating.during(work).await,
            #[cfg(feature = "http2")]
            Waiting::Stream(pending) => pending.during(work).await,
        }
    }

    /// Grants the tunnel, and returns it once the client's answer is on its way: what it has sent behind its request is read there
    /// first.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    ///
    /// # Cancellation
    ///
    /// Drops the connection.
    pub async fn grant(self, grant: Grant) -> Result<Connection<Socket>, Error> {
        match self.0 {
            Waiting::Connection(negotiating) => negotiating.grant(grant).await,
            #[cfg(feature = "http2")]
            Waiting::Stream(pending) => pending.grant(grant).await,
        }
    }

    /// Refuses the tunnel in the client's language, and closes: the client has two seconds to hear it. A connection of HTTP/2 goes on
    /// without the tunnel.
    ///
    /// # Errors
    ///
    /// When the connection was lost before.
    ///
    /// # Cancellation
    ///
    /// Drops the connection.
    pub async fn refuse(self, refusal: impl Into<Refusal>) -> Result<(), Error> {
        match self.0 {
            Waiting::Connection(negotiating) => negotiating.refuse(refusal.into()).await,
            #[cfg(feature = "http2")]
            Waiting::Stream(pending) => pending.refuse(refusal).await,
        }
    }
}

#[cfg(feature = "http2")]
impl From<PendingTunnel> for Pending {
    fn from(pending: PendingTunnel) -> Self {
        Self(Waiting::Stream(Box::new(pending)))
    }
}

impl Negotiating {
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let Self { connection, layer, request } = self;
        let done = match request.protocol {
            TunnelProtocol::Socks5 | TunnelProtocol::Socks4a => {
                during::<SocksServer, T>(connection, *layer, work).await
            }
            TunnelProtocol::Http1 | TunnelProtocol::Http2 => during::<ConnectServer, T>(connection, *layer, work).await,
        };
        done.map_err(|error| self.error(&error))
    }

    async fn grant(mut self, grant: Grant) -> Result<Connection<Socket>, Error> {
        let Self { connection, layer, request } = &mut self;
        let granted = match request.protocol {
            TunnelProtocol::Socks5 | TunnelProtocol::Socks4a => {
                self::grant::<SocksServer>(connection, *layer, grant).await
            }
            TunnelProtocol::Http1 | TunnelProtocol::Http2 => {
                self::grant::<ConnectServer>(connection, *layer, grant).await
            }
        };
        match granted {
            Ok(()) => Ok(self.connection),
            Err(error) => Err(self.error(&error)),
        }
    }

    async fn refuse(mut self, refusal: Refusal) -> Result<(), Error> {
        let Self { connection, layer, request } = &mut self;
        let refused = match request.protocol {
            TunnelProtocol::Socks5 | TunnelProtocol::Socks4a => {
                refuse::<SocksServer>(connection, *layer, refusal).await
            }
            TunnelProtocol::Http1 | TunnelProtocol::Http2 => refuse::<ConnectServer>(connection, *layer, refusal).await,
        };
        refused.map_err(|error| self.error(&error))?;
        // It is lost, with the refusal.
        let _ = self.connection.leave(PATIENCE).await;
        Ok(())
    }

    fn error(&self, error: &ConnectionError) -> Error {
        Error::of_connection(self.request.protocol, Some(self.request.target.clone()), error)
    }
}

/// A server of one of the languages in which a connection becomes a tunnel.
trait Server: Answerable<Question = Question, Grant = Grant, Refusal = Refusal> {}

impl<N: Answerable<Question = Question, Grant = Grant, Refusal = Refusal>> Server for N {}

async fn during<N: Server, T>(
    connection: &mut Connection<Socket>,
    layer: LayerId,
    work: impl Future<Output = T>,
) -> Result<T, ConnectionError> {
    let mut asked = connection.asked::<N>(layer).await?;
    let done = asked.during(work).await;
    asked.later();
    done
}

async fn grant<N: Server>(
    connection: &mut Connection<Socket>,
    layer: LayerId,
    grant: Grant,
) -> Result<(), ConnectionError> {
    connection.asked::<N>(layer).await?.grant(grant).await
}

async fn refuse<N: Server>(
    connection: &mut Connection<Socket>,
    layer: LayerId,
    refusal: Refusal,
) -> Result<(), ConnectionError> {
    connection.asked::<N>(layer).await?.refuse(refusal).await
}

/// Looks at what comes first, takes nothing of it, and leaves. Its facts are the language.
#[derive(Debug)]
struct FirstBytes {
    languages: Vec<TunnelProtocol>,
    /// What TLS has agreed on, and need not be looked for.
    agreed: Option<TunnelProtocol>,
    language: Option<TunnelProtocol>,
}

impl Negotiation for FirstBytes {
    type Question = Infallible;
    type Facts = TunnelProtocol;

    fn name(&self) -> &'static str {
        "accept"
    }

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, Failure> {
        let first = exchange.input();
        let language = match first {
            _ if self.agreed.is_some() => self.agreed,
            [] => return Ok(Advance::Waiting),
            [5, ..] => Some(TunnelProtocol::Socks5),
            [4, ..] => Some(TunnelProtocol::Socks4a),
            // PRI is no method of anything else (RFC 9113, section 3.4).
            first if PREFACE.starts_with(first) && first.len() < PREFACE.len() => return Ok(Advance::Waiting),
            first if first.starts_with(PREFACE) => Some(TunnelProtocol::Http2),
            // HTTP may have an empty line before it.
            [b'A'..=b'Z' | b'a'..=b'z' | b'\r' | b'\n', ..] => Some(TunnelProtocol::Http1),
            _ => None,
        };
        let Some(language) = language else {
            return Err(error(ErrorKind::NotSpoken(first[..first.len().min(MAX_FIRST)].to_owned())));
        };
        if !self.languages.contains(&language) {
            let what = format!("the client speaks {language}, which is not spoken here");
            return Err(Error::new(language, None, ErrorKind::Unsupported(what)).into());
        }
        self.language = Some(language);
        Ok(Advance::Leave)
    }

    fn awaits(&self) -> &'static str {
        "the first bytes"
    }

    fn facts(&self) -> Option<TunnelProtocol> {
        self.language
    }

    fn failure(&mut self, error: opening::Error) -> Failure {
        self::error(error.into())
    }
}

fn error(kind: ErrorKind) -> Failure {
    Error::new(TunnelProtocol::Http1, None, kind).into()
}

const TIMEOUT: Duration = Duration::from_secs(10);

const MAX_HEAD: u32 = 16_384;

/// For the client to hear that it is refused.
const PATIENCE: Duration = Duration::from_secs(2);

const PREFACE: &[u8] = b"PRI ";

const MAX_FIRST: usize = 16;
