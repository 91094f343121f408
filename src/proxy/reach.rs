//! From a target to a connection, on behalf of somebody who may not go everywhere.

use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};

use super::special::{is_loopback, meant};
use super::{Rules, next_hop, via};
use crate::connection::{Addresses, Connection};
use crate::endpoint::{Connector, happy_eyeballs};
use crate::route::Asked;
use crate::runtime::{Address, Runtime, Socket, TcpOptions};
use crate::tunnel::{ProxyStatus, Reason, Refusal, Request};

/// How a proxy reaches what it is asked for.
///
/// ```no_run
/// use onionskin::proxy::{Reach, Rules};
/// use onionskin::runtime::{self, Address};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = runtime::preferred().expect("a runtime is compiled in");
/// let reach = Reach::new(runtime).rules(Rules::new().allow(".example:443,993".parse()?));
/// let socket = reach.connect(&Address::to_host("mail.example", 993)?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Reach {
    runtime: &'static dyn Runtime,
    rules: Arc<Rules>,
    own: Vec<SocketAddr>,
    via: Option<Connector>,
    name: Arc<str>,
    resolver: Arc<dyn Resolve>,
    resolve_timeout: Duration,
    connect_timeout: Duration,
}

/// Who says what a name stands for.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of `host`, in the order in which they are to be tried.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// The system's.
impl Resolve for &'static dyn Runtime {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Runtime::resolve(*self, host, port)
    }
}

impl Reach {
    /// By the rules that hold by default, with the system's resolver.
    #[must_use]
    pub fn new(runtime: &'static dyn Runtime) -> Self {
        Self {
            runtime,
            rules: Arc::default(),
            own: Vec::new(),
            via: None,
            name: pseudonym().into(),
            resolver: Arc::new(runtime),
            resolve_timeout: RESOLVE_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }

    /// By these rules.
    #[must_use]
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = Arc::new(rules);
        self
    }

    /// The proxy itself listens there, and whoever asks for it goes in circles: no rule allows that. An unspecified address is
    /// every one of this host.
    #[must_use]
    pub fn listening_at(mut self, address: SocketAddr) -> Self {
        self.own.push(address);
        self
    }

    /// Reaches everybody through the proxies of this endpoint, whose last step is `connect`, `socks5` or `socks4a`: that proxy is
    /// asked for each target as it was given, by name if it is one, and resolves it itself. So rules about addresses hold for
    /// targets that are addresses; see [`Rules`].
    #[must_use]
    pub fn via(mut self, connector: Connector) -> Self {
        self.via = Some(connector);
        self
    }

    /// What the proxy calls itself in `Via` (RFC 9110, section 7.6.3), by which it knows requests that have come through it before. It is
    /// a name that no other proxy has, so unless set it is one that nobody has had: clones have the same.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Asks this resolver for names.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// How long to wait for the resolver, 10 seconds unless set, and for the connection, 20 seconds: be it our own, or the whole
    /// way [through others](Self::via).
    #[must_use]
    pub fn timeouts(mut self, resolve: Duration, connect: Duration) -> Self {
        (self.resolve_timeout, self.connect_timeout) = (resolve, connect);
        self
    }

    /// A connection to the target of this request, on behalf of a client that has these addresses, if it may be reached: its own, or
    /// through the proxies that were [given](Self::via).
    ///
    /// A request of HTTP that has come through this proxy before is refused ([`Loop`](Reason::Loop)): it says so in `Via`, and a next
    /// proxy of HTTP is told there through whom it has come.
    ///
    /// # Errors
    ///
    /// Why the target is not reached, with the [`Reason`] to refuse with.
    ///
    /// # Cancellation
    ///
    /// Closes what has been opened.
    pub async fn open(&self, request: &Request, client: &Addresses) -> Result<Connection<Socket>, Unreached> {
        let target = &request.target;
        let via = via::pass_on(request, &self.name)?;
        let Some(connector) = &self.via else {
            return Ok(Connection::over(self.connect(target).await?, Arc::new(self.runtime)));
        };
        self.permits(target)?;
        let asked = Asked::new(target.clone()).via(via);
        match self.in_time(connector.connect_to(asked, client)).await? {
            Ok(connection) => Ok(connection),
            Err(error) => Err(next_hop::unreached(&error)),
        }
    }

    /// Connects to the target itself, if it may be reached.
    ///
    /// A name is resolved once, and each address that it stands for is judged: those that are allowed are tried
    /// by "happy eyeballs" (RFC 8305), and no other is.
    ///
    /// # Errors
    ///
    /// Why the target is not reached, with the [`Reason`] to refuse with.
    ///
    /// # Cancellation
    ///
    /// Closes what has been opened.
    pub async fn connect(&self, target: &Address) -> Result<Socket, Unreached> {
        let addresses = self.addresses(target).await?;
        let options = TcpOptions::default();
        let connecting = happy_eyeballs::connect_to_one(self.runtime, addresses, &options);
        self.in_time(connecting).await?.map_err(|error| Unreached::new(reason(&error), error))
    }

    async fn in_time<T>(&self, connecting: impl Future<Output = T>) -> Result<T, Unreached> {
        let limit = self.connect_timeout;
        let timeout = self.runtime.sleep_until(self.runtime.now() + limit);
        match select(pin!(connecting), timeout).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => {
                Err(Unreached::new(Reason::ConnectionTimeout, format_args!("nobody answered within {limit:?}")))
            }
        }
    }

    /// The addresses that the target has and that are allowed: what [`connect`](Self::connect) connects to.
    ///
    /// # Errors
    ///
    /// As there, as far as it comes. With several addresses, of which none is allowed, the first says why.
    ///
    /// # Cancellation
    ///
    /// Leaves nothing behind.
    pub async fn addresses(&self, target: &Address) -> Result<Vec<SocketAddr>, Unreached> {
        let (name, port) = match target {
            Address::Tcp(address) => return self.judge(None, *address).map(|()| vec![*address]),
            Address::Name { host, port } => (host, *port),
            _ => return Err(Unreached::new(Reason::Denied, "only hosts can be asked for")),
        };
        self.rules.judge_name(name, port)?;
        let resolving = self.resolver.resolve(name, port);
        let timeout = self.runtime.sleep_until(self.runtime.now() + self.resolve_timeout);
        let found = match select(resolving, timeout).await {
            Either::Left((Ok(found), _)) => found,
            Either::Left((Err(error), _)) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Unreached::new(Reason::DnsTimeout, error));
            }
            Either::Left((Err(error), _)) => return Err(Unreached::new(Reason::DnsError, error)),
            Either::Right(_) => {
                let limit = self.resolve_timeout;
                return Err(Unreached::new(
                    Reason::DnsTimeout,
                    format_args!("nobody said within {limit:?} what the name stands for"),
                ));
            }
        };
        let mut denied = None;
        let mut allowed = Vec::new();
        for mut address in found {
            // A resolver that says another port is not asked for that.
            address.set_port(port);
            match self.judge(Some(name), address) {
                Ok(()) => allowed.push(address),
                Err(unreached) => drop(denied.get_or_insert(unreached)),
            }
        }
        if allowed.is_empty() {
            return Err(denied.unwrap_or_else(|| Unreached::new(Reason::DnsError, "the name has no address")));
        }
        Ok(allowed)
    }

    /// Whether the target may be asked of another proxy, which resolves names itself: see [`Rules`].
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn permits(&self, target: &Address) -> Result<(), Unreached> {
        self.rules.judge(target)
    }

    fn judge(&self, name: Option<&str>, address: SocketAddr) -> Result<(), Unreached> {
        let meant = meant(address.ip());
        let is_own = is_loopback(meant) || is_of_this_host(meant);
        let is_listener = |own: &&SocketAddr| {
            own.port() == address.port()
                && if own.ip().is_unspecified() { is_own } else { super::special::meant(own.ip()) == meant }
        };
        if let Some(own) = self.own.iter().find(is_listener) {
            return Err(Unreached::new(Reason::Loop, format_args!("it listens at {own} itself")));
        }
        self.rules.judge_address(name, address, is_own)
    }
}

/// A name that nobody has had: the keys of a map are random so that nobody guesses them.
fn pseudonym() -> String {
    format!("onionskin-{:016x}", RandomState::new().build_hasher().finish())
}

/// Whether packets to this address would not leave the host: the system says from where they would be sent, and sends none.
fn is_of_this_host(address: IpAddr) -> bool {
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, ANY_PORT))?;
        socket.local_addr()
    };
    // Where no way leads, nobody is.
    source().is_ok_and(|source: SocketAddr| source.ip() == address)
}

pub(super) fn reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectionRefused,
        io::ErrorKind::TimedOut => Reason::ConnectionTimeout,
        io::ErrorKind::NetworkUnreachable => Reason::Unroutable,
        _ if cfg!(unix) && error.raw_os_error().is_some_and(|code| OUT_OF_FILES.contains(&code)) => {
            Reason::LimitReached
        }
        _ => Reason::Unavailable,
    }
}

/// Why a target is not reached. Prints as one sentence.
#[derive(Clone)]
pub struct Unreached {
    reason: Reason,
    cause: String,
    /// What proxies on the way have said.
    behind: Vec<ProxyStatus>,
}

impl Unreached {
    pub(super) fn new(reason: Reason, cause: impl fmt::Display) -> Self {
        Self { reason, cause: cause.to_string(), behind: Vec::new() }
    }

    pub(super) fn behind(mut self, said: Vec<ProxyStatus>) -> Self {
        self.behind = said;
        self
    }

    /// What to refuse with.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Whether that is because of a rule, be it one that holds by default.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.reason, Reason::Denied | Reason::ProhibitedAddress | Reason::Loop)
    }
}

/// The reason, and what proxies on the way have said: what else there is to say is for whoever runs the proxy.
impl From<Unreached> for Refusal {
    fn from(unreached: Unreached) -> Self {
        Self { behind: unreached.behind, ..unreached.reason.into() }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.cause)
    }
}

impl fmt::Debug for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Unreached {}

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Nothing is sent there.
const ANY_PORT: u16 = 9;

/// ENFILE and EMFILE, the same on every Unix.
const OUT_OF_FILES: [i32; 2] = [23, 24];
