//! Connecting.

use std::sync::Arc;
use std::time::Duration;

use super::clients;
use super::deadlines::{Limit, LimitOf, within};
use super::incoming::begin;
use super::legs::{self, Legs};
use super::open_error::{OpenError, OpenErrorKind};
use super::{BaseTransport, ConnectTimeout, Endpoint, Step, sockets, wire};
use crate::connection::{Addresses, Connection, Timing};
use crate::route::{Again, Asked, Departures, DialLeg, Route, Sharing};
use crate::runtime::{Runtime, Socket};

/// An endpoint made ready for connecting to it, any number of times: files are read, and sessions can be resumed.
///
/// What one has of TLS, others to the same endpoint have too, and so resume its sessions, as long as the files are what they were.
/// Each layer of each way has its own: no session is offered to the peer of another.
///
/// `stdio`, `fd` and `systemd` name a connection that is there already: of these, connect to each once.
#[derive(Clone, Debug)]
pub struct Connector {
    runtime: &'static dyn Runtime,
    endpoint: Endpoint,
    timeout: Option<Duration>,
    legs: Legs<dyn DialLeg>,
    sharing: Option<Sharing>,
}

impl Connector {
    /// Makes `endpoint` ready. A `tls` step without `sni` verifies the host of a `tcp` transport, or of the last step
    /// before it that leads on to somebody else.
    ///
    /// # Errors
    ///
    /// When a step cannot be a client's, or names a file that is missing or wrong.
    pub fn new(runtime: &'static dyn Runtime, endpoint: &Endpoint) -> Result<Self, OpenError> {
        if let Some(mistake) = sockets::misused(&endpoint.tcp, false) {
            return Err(OpenErrorKind::Misused(mistake).into());
        }
        let legs = Legs::new(legs::dial(&endpoint.steps, endpoint.transport.target(), runtime)?);
        let timeout = match endpoint.transport {
            BaseTransport::Tcp { timeout, .. } => timeout.time(),
            _ => ConnectTimeout::Standard.time(),
        };
        Ok(Self { runtime, endpoint: endpoint.clone(), timeout, legs, sharing: None })
    }

    /// How long to try until the peer is reached: 30 seconds, or what `timeout` in the endpoint says, unless set. With
    /// `None`, as long as the system tries.
    ///
    /// It covers the resolution of the name and the attempts at all addresses; [`Deadlines`](super::Deadlines) limit each of
    /// these by itself, and all there is to opening. The handshakes count apart, each from
    /// its own start: see [`TlsLayer::handshake_timeout`](crate::tls::TlsLayer::handshake_timeout).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where the last proxy that is asked by HTTP speaks HTTP/2, asks it over a connection that was opened for another tunnel, if one
    /// has room, and lets others use the one that is opened: of this connector and its clones, and of nobody else. A task drives each
    /// of these connections, and closes it when it has had no tunnel for `idle`, or for twice as long; with `None` it is kept for
    /// as long as the proxy keeps it. When the proxy goes away (GOAWAY), its tunnels go on and new ones are opened elsewhere.
    ///
    /// A route with a PROXY header or a step of a program's own is another one for each client, and is never shared.
    #[must_use]
    pub fn sharing(self, idle: Option<Duration>) -> Self {
        let tells_of_client = |step: &Step| matches!(step, Step::ProxyHeader(_) | Step::Own(_));
        let is_for_all = !self.endpoint.steps.iter().any(tells_of_client);
        Self { sharing: is_for_all.then_some(Sharing { runtime: self.runtime, idle, departures: None }), ..self }
    }

    /// Where connections are [shared](Self::sharing), has it heard when the proxy of one goes away.
    pub(crate) fn hearing_of(mut self, departures: Departures) -> Self {
        if let Some(sharing) = &mut self.sharing {
            sharing.departures = Some(departures);
        }
        self
    }

    pub(super) fn runtime(&self) -> &'static dyn Runtime {
        self.runtime
    }

    /// Reads the files of the endpoint again (certificates, keys, trust anchors), for the connections that are opened
    /// from now on, by clones too. Those that are there keep what they began with. TLS sessions of before are not resumed, and those of no other connector that is made
    /// from now on.
    ///
    /// It is all or nothing: if one of the files is missing or wrong, everything stays as it is. Files are read on a thread
    /// of their own, so a file system that hangs holds up this future and nothing else; it may be put into a task, since it
    /// borrows nothing. Of several at a time, the one that was called last decides.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Cancellation
    ///
    /// Leaves everything as it is.
    pub fn reload(&self) -> impl Future<Output = Result<(), OpenError>> + Send + use<> {
        let (target, runtime) = (self.endpoint.transport.target(), self.runtime);
        self.legs.renew(&self.endpoint.steps, move |steps| {
            clients::forget(target.as_ref(), steps);
            legs::dial(steps, target, runtime)
        })
    }

    /// Connects, and does the handshakes of all layers, from the wire inwards.
    ///
    /// A host name with several addresses is tried by "happy eyeballs" (RFC 8305): the families take turns, beginning
    /// with the address that the system prefers; the next attempt begins when one has failed, or 250 milliseconds after
    /// the one before it; the first that succeeds is taken.
    ///
    /// # Errors
    ///
    /// When the peer cannot be reached in time, or a handshake fails.
    ///
    /// # Cancellation
    ///
    /// Closes what has been opened.
    pub async fn connect(&self) -> Result<Connection<Socket>, OpenError> {
        self.open(None, None).await
    }

    /// As [`connect`](Self::connect), on behalf of a client that has connected to us: where a `proxy-header` step has no `from`
    /// and `to`, its header tells of these addresses, as [`Incoming::addresses`](super::Incoming::addresses) has them, and not of those of our own
    /// socket. If they are no addresses of TCP, the header says that they are unknown.
    ///
    /// ```no_run
    /// # use onionskin::endpoint::{Connector, Listener};
    /// # async fn example(listener: Listener, connector: Connector) -> std::io::Result<()> {
    /// let incoming = listener.accept().await?.identify().await?;
    /// let far = connector.connect_for(incoming.addresses()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancellation
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_for(&self, client: &Addresses) -> Result<Connection<Socket>, OpenError> {
        // What is our peer there is on our side of the socket here.
        self.open(Some(Addresses::new(client.peer.clone(), client.local.clone())), None).await
    }

    /// As [`connect_for`](Self::connect_for), to another target: the proxy of the last step, which is `connect`, `socks5` or
    /// `socks4a`, is asked this, and not for the target of the step.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); when the last step asks no proxy.
    ///
    /// # Cancellation
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_to(&self, asked: Asked, client: &Addresses) -> Result<Connection<Socket>, OpenError> {
        if self.endpoint.steps.last().and_then(Step::target).is_none() {
            let mistake = "the last step asks no proxy: it is to be connect, socks5 or socks4a";
            return Err(OpenErrorKind::Misused(mistake.to_owned()).into());
        }
        self.open(Some(Addresses::new(client.peer.clone(), client.local.clone())), Some(asked)).await
    }

    /// Goes the whole way again where a proxy makes that necessary and it may help: for a password, once for each proxy, and
    /// for each further address of a name.
    async fn open(&self, claimed: Option<Addresses>, asked: Option<Asked>) -> Result<Connection<Socket>, OpenError> {
        let legs = self.legs.current();
        let total = Limit::seconds(self.runtime.now(), self.endpoint.deadlines.total, LimitOf::Everything);
        let mut asked = self.asked(asked);
        let mut kept = match &mut asked {
            Some((leg, asked)) => self.kept(&legs, *leg, asked, total).await?,
            None => None,
        };
        let mut known = Vec::new();
        loop {
            let way = Way { legs: &legs, asked: asked.as_ref(), total };
            let gone = match kept.take() {
                Some((leg, tunnel)) => {
                    let route = Route::resumed(tunnel, Arc::new(self.runtime)).claiming(claimed.clone());
                    self.go_on(route, &way, leg + 1).await.map(|route| (route, Timing::default()))
                }
                None => self.go(&way, claimed.clone(), &known).await,
            };
            let error = match gone {
                Ok((route, timing)) => {
                    let mut connection = route.into_connection();
                    connection.set_timing(timing);
                    return Ok(connection);
                }
                Err(error) => error,
            };
            match error.worth_another_way() {
                Some(again) if known.len() < MAX_WAYS && self.endpoint.transport.can_be_had_again() => {
                    log::debug!("{}: once more: {error}", self.endpoint.transport);
                    known.push(again);
                }
                _ => return Err(error),
            }
        }
    }

    /// What the proxy of which leg is asked, where that is not what its step says, or where others share the connection to it.
    fn asked(&self, asked: Option<Asked>) -> Option<(usize, Asked)> {
        let steps = &self.endpoint.steps;
        match (asked, self.sharing.clone()) {
            (Some(asked), sharing) => Some((steps.len().checked_sub(1)?, asked.shared(sharing))),
            (None, Some(sharing)) => {
                let leg = steps.iter().rposition(|step| matches!(step, Step::Connect(_)))?;
                Some((leg, Asked::new(steps[leg].target()?.clone()).shared(Some(sharing))))
            }
            (None, None) => None,
        }
    }

    /// A tunnel of this leg over a connection that was kept.
    async fn kept(
        &self,
        legs: &[Arc<dyn DialLeg>],
        leg: usize,
        asked: &mut Asked,
        total: Option<Limit>,
    ) -> Result<Option<(usize, Connection<Socket>)>, OpenError> {
        if !asked.is_shared() {
            return Ok(None);
        }
        let kept = within(self.runtime, &[total], legs[leg].dial_kept(asked)).await;
        let kept = kept.map_err(|limit| self.out_of_time(limit, leg))??;
        Ok(kept.map(|tunnel| (leg, tunnel)))
    }

    async fn go(
        &self,
        way: &Way<'_>,
        claimed: Option<Addresses>,
        known: &[(usize, Again)],
    ) -> Result<(Route, Timing), OpenError> {
        let transport = &self.endpoint.transport;
        let (socket, timing) = wire::connect(self.runtime, &self.endpoint, self.timeout, way.total).await?;
        let mut route = begin(socket, self.runtime, self.endpoint.silence).claiming(claimed).knowing(known);
        if let Some(target) = transport.target() {
            route = route.towards(target);
        }
        Ok((self.go_on(route, way, 0).await?, timing))
    }

    /// From the leg of this number to the end.
    async fn go_on(&self, mut route: Route, way: &Way<'_>, first: usize) -> Result<Route, OpenError> {
        for (index, leg) in way.legs.iter().enumerate().skip(first) {
            if let Some((_, asked)) = way.asked.filter(|(asked, _)| *asked == index) {
                route = route.asking(asked.clone());
            }
            let dialled = within(self.runtime, &[way.total], leg.dial(route)).await;
            route = dialled.map_err(|limit| self.out_of_time(limit, index))??;
        }
        Ok(route)
    }

    /// There was no more time for the leg of this number.
    fn out_of_time(&self, limit: Limit, index: usize) -> OpenErrorKind {
        let during = self.endpoint.steps.get(index).map_or_else(String::new, |step| step_name(index, step));
        OpenErrorKind::OutOfTime { after: limit.after, during }
    }
}

/// The legs of one way, and what is the same however often it is gone.
struct Way<'a> {
    legs: &'a [Arc<dyn DialLeg>],
    asked: Option<&'a (usize, Asked)>,
    total: Option<Limit>,
}

/// A step by its number and its kind: its keys may name files that are nobody else's concern.
fn step_name(index: usize, step: &Step) -> String {
    let text = step.to_string();
    format!("step {} ({})", index + 1, text.split(':').next().unwrap_or_default())
}

/// Connects to the endpoint that `endpoint` describes, on the preferred runtime.
///
/// ```no_run
/// # async fn example() -> Result<(), onionskin::endpoint::OpenError> {
/// let conn = onionskin::connect("tcp:mail.example:465+tls").await?;
/// println!("{}", conn.layers());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`Connector::new`] and [`Connector::connect`]; when the string is no endpoint; when the crate was built without a
/// runtime.
pub async fn connect(endpoint: &str) -> Result<Connection<Socket>, OpenError> {
    let runtime = crate::runtime::preferred().ok_or(OpenErrorKind::NoRuntime)?;
    Connector::new(runtime, &endpoint.parse()?)?.connect().await
}

/// How often the way is gone again, at most, whatever is hoped for.
const MAX_WAYS: usize = 16;
