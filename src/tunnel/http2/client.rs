//! The side that asks for tunnels.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use super::fault::Fault;
use super::session::Session;
use super::settings::Settings;
use super::shared::{Shared, State, Waiting, Who};
use super::tunnel::Tunnel;
use crate::Connection;
use crate::connection::tree::Plate;
use crate::connection::{Hop, Tree};
use crate::protocol::{Factory, Running, run};
use crate::runtime::{Address, Socket, Timer};
use crate::tunnel::http::basic;
use crate::tunnel::http::fields::{Fields, is_of_one_connection};
use crate::tunnel::{Answer, Challenges, Credentials, Error, ErrorKind, TunnelProtocol, authority};

/// A connection to a proxy that carries many tunnels: HTTP/2 (RFC 9113), with one stream for each (section 8.5). Clones are the
/// same connection.
///
/// ```
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
/// use onionskin::Connection;
/// use onionskin::runtime::{Address, Socket};
/// use onionskin::tls::TlsClient;
/// use onionskin::tunnel::http2::Tunnels;
///
/// // TLS to the proxy has agreed on "h2" by ALPN, or the proxy is known to speak HTTP/2 without TLS.
/// async fn both(proxy: Connection<Socket>, client: TlsClient) -> Result<(), Box<dyn std::error::Error>> {
///     let tunnels = Tunnels::over(proxy).await?;
///     let mut mail = tunnels.open(Address::to_host("mail.example", 993)?).await?;
///     let mut news = tunnels.open(Address::to_host("news.example", 119)?).await?;
///     mail.start_tls(client.to("mail.example")?).await?; // TLS of its own, in this tunnel only
///     mail.write_all(b"a1 NOOP\r\n").await?;
///     news.read(&mut [0; 100]).await?;
///     Ok(())
/// }
/// ```
///
/// # Who drives
///
/// Whoever polls a tunnel, or anything here, drives the whole connection; no task is started. While nobody does, a PING of the proxy
/// is not answered: [`drive`](Self::drive) is for such times.
///
/// # Limits
///
/// A tunnel that nobody reads holds what fits into its window, and holds up no other. What is written waits for the proxy to make
/// room, 64 KiB of it here. See [`Settings`].
///
/// # The end
///
/// A tunnel that is dropped before both directions have ended is reset (CANCEL); the proxy may then drop what it has not yet passed
/// on. With the last tunnel and the last clone goes the connection: GOAWAY, then close_notify of TLS, as far as the socket takes
/// them at once. [`shutdown`](Self::shutdown) waits for it.
#[derive(Clone)]
pub struct Tunnels {
    shared: Shared,
    way: Arc<Way>,
}

/// What is known of the way to the proxy.
struct Way {
    route: Vec<Hop>,
    /// The hop that each tunnel adds to it, but for what is its own.
    next: Hop,
    proxy: Option<Address>,
    ends: [Address; 2],
    via: Vec<Address>,
    /// How many layers the way has.
    layers: usize,
    timer: Arc<dyn Timer>,
}

/// What to ask a proxy for: a target, and what is said beside it.
#[derive(Clone, Debug)]
pub struct Connect {
    target: Address,
    credentials: Option<Credentials>,
    asking: Option<Asking>,
    fields: Fields,
}

/// Who knows a user and a password for a proxy that asks for them.
#[derive(Clone)]
struct Asking(Arc<dyn Fn(Challenges) -> BoxFuture<'static, Option<Credentials>> + Send + Sync>);

impl Tunnels {
    /// Begins with HTTP/2 over this connection, and waits until the proxy has done so too.
    ///
    /// The layers of the connection stay below all tunnels. Nothing may be left unread in it that is no HTTP/2.
    ///
    /// # Errors
    ///
    /// [`NotSpoken`](ErrorKind::NotSpoken) with its first bytes, when the peer speaks something else;
    /// [`TimedOut`](ErrorKind::TimedOut), when its SETTINGS do not come in 10 s; when the connection ends, or is lost.
    ///
    /// # Cancellation
    ///
    /// Drops the connection.
    pub async fn over(connection: Connection<Socket>) -> Result<Self, Error> {
        Self::with(connection, Settings::new()).await
    }

    /// As [`over`](Self::over), with these settings.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn with(connection: Connection<Socket>, settings: Settings) -> Result<Self, Error> {
        let alarm = connection.alarm();
        let way = Arc::new(Way::of(&connection, alarm.timer()));
        let session = Session::client(settings, alarm.now()).map_err(|fault| fault.of(None, way.proxy.clone()))?;
        let tunnels = Self { shared: Shared::new(connection, session, alarm), way };
        tunnels
            .wait(None, |state| match state.session.over() {
                Some(fault) => Poll::Ready(Err(fault.clone())),
                None if state.session.is_begun() => Poll::Ready(Ok(())),
                None => Poll::Pending,
            })
            .await?;
        Ok(tunnels)
    }

    /// Asks for a tunnel, and waits for it; first for room, if there are as many tunnels as the proxy allows
    /// (SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113, section 5.1.2).
    ///
    /// What comes back is a connection like any other, whose wire is the tunnel: TLS starts in it, nests and stops. Its
    /// [route](Connection::route) says what the proxy has answered.
    ///
    /// # Errors
    ///
    /// [`Refused`](ErrorKind::Refused) and its like, after which the connection goes on; [`Reset`](ErrorKind::Reset);
    /// [`GoingAway`](ErrorKind::GoingAway) and [`NotProcessed`](ErrorKind::NotProcessed), after which another connection is worth
    /// trying ([`Error::is_not_processed`]); [`TimedOut`](ErrorKind::TimedOut) without an answer in 30 s, not counting the wait for
    /// room; [`Unaskable`](ErrorKind::Unaskable) for a target that is no host.
    ///
    /// [`Http2`](ErrorKind::Http2) for an answer with a content-length. It means nothing there and is to be ignored (RFC 9110,
    /// section 9.3.6), but h2 would end the tunnel behind so many bytes.
    ///
    /// # Cancellation
    ///
    /// Resets the tunnel, if it has been asked for. The connection goes on.
    pub async fn open(&self, connect: impl Into<Connect>) -> Result<Connection<Socket>, Error> {
        self.ask(connect.into(), true).await
    }

    /// As [`open`](Self::open), but does not wait for room.
    ///
    /// # Errors
    ///
    /// As there, and [`TooManyTunnels`](ErrorKind::TooManyTunnels) if there is none.
    pub async fn try_open(&self, connect: impl Into<Connect>) -> Result<Connection<Socket>, Error> {
        self.ask(connect.into(), false).await
    }

    /// Asks for a tunnel as [`open`](Self::open) does, and hands it over to a protocol: the factory makes one for each tunnel. What
    /// comes back [runs it](crate::protocol::run()), and is to be awaited or spawned.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Declined`](ErrorKind::Declined) if the factory makes none, and then the tunnel is reset.
    pub async fn run<F: Factory>(
        &self,
        connect: impl Into<Connect>,
        factory: &F,
    ) -> Result<Running<Socket, F::Protocol>, Error> {
        let connect = connect.into();
        let target = connect.target.clone();
        let opened = self.open(connect).await?;
        let declined = || ErrorKind::Declined("the factory makes no protocol for the tunnel".to_owned());
        let protocol = factory.build(opened.addresses());
        let protocol = protocol.ok_or_else(|| Fault::from(declined()).of(Some(target), self.proxy()))?;
        Ok(run(opened, protocol))
    }

    /// Asks for a tunnel, and once more if the proxy wants to know who asks and somebody here can say it.
    async fn ask(&self, connect: Connect, waits: bool) -> Result<Connection<Socket>, Error> {
        let asked = self.ask_once(&connect, waits).await;
        let (Err(error), Some(Asking(ask))) = (&asked, &connect.asking) else { return asked };
        let ErrorKind::AuthRequired(challenges) = error.kind() else { return asked };
        if challenges.basic().is_none() {
            return asked;
        }
        match self.during(&connect.target, ask(challenges.clone())).await? {
            Some(credentials) => self.ask_once(&connect.clone().credentials(credentials), waits).await,
            None => asked,
        }
    }

    async fn ask_once(&self, connect: &Connect, waits: bool) -> Result<Connection<Socket>, Error> {
        let target = connect.target.clone();
        let request = connect.request().map_err(|kind| Fault::from(kind).of(Some(target.clone()), self.proxy()))?;
        let has_told = connect.has_told();
        let timer = Arc::clone(&self.way.timer);
        let asked = self
            .wait(Some(&target), |state| {
                let fault = match state.session.check_open() {
                    Ok(()) => match state.session.ask(timer.now(), request.clone(), has_told) {
                        Ok(id) => {
                            let plate = Plate::new(target.clone(), self.way.references(id), self.shared.trunk());
                            state.session.label(id, Arc::clone(&plate));
                            return Poll::Ready(Ok((id, plate, timer.now())));
                        }
                        Err(fault) => fault,
                    },
                    Err(fault) => fault,
                };
                match fault {
                    Fault::Tunnel(ErrorKind::TooManyTunnels(_)) if waits => Poll::Pending,
                    fault => Poll::Ready(Err(fault)),
                }
            })
            .await;
        let (id, plate, since) = asked?;
        // From here on it is reset when it is dropped.
        let tunnel = Tunnel::new(self.shared.clone(), id, target.clone(), self.proxy());
        let answer = poll_fn(|cx| {
            self.shared
                .poll(Who::Reader(id), cx, |state, _| state.session.take_answer(id).map_or(Poll::Pending, Poll::Ready))
        })
        .await;
        let answer = answer.map_err(|fault| fault.of(Some(target.clone()), self.proxy()))?;
        let took = self.way.timer.now().saturating_duration_since(since);
        Ok(self.way.lead_on(tunnel, id, plate, answer, took))
    }

    /// Drives the connection for as long as it lives, for times when no tunnel is polled: answers a PING, asks by its own whether
    /// the proxy is still there, hears of its going away.
    ///
    /// It is done when the connection is shut down, or the proxy has gone away without an error.
    ///
    /// # Errors
    ///
    /// Why the connection is over, if it has not been shut down.
    ///
    /// # Cancellation
    ///
    /// Changes nothing.
    pub async fn drive(&self) -> Result<(), Error> {
        self.wait(None, |state| match state.session.over() {
            Some(_) if state.session.is_gone() => Poll::Ready(Ok(())),
            Some(fault) => Poll::Ready(Err(fault.clone())),
            None if state.is_closed() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits until the proxy goes away (GOAWAY), and takes no more tunnels; `false` if the connection is over without that. It drives
    /// the connection, as [`drive`](Self::drive) does.
    pub(crate) async fn goes_away(&self) -> bool {
        let gone = self.wait(None, |state| match state.session.over() {
            _ if state.session.is_left() => Poll::Ready(Ok(true)),
            Some(_) => Poll::Ready(Ok(false)),
            None if state.is_closed() => Poll::Ready(Ok(false)),
            None => Poll::Pending,
        });
        gone.await.unwrap_or(false)
    }

    /// All tunnels with what stands on each of them, to be printed; if this connection is a tunnel itself, with all of what carries
    /// that.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.shared.tree()
    }

    /// The number of tunnels that are open, or asked for.
    pub fn len(&self) -> usize {
        self.shared.act(|state, _| state.session.live())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether another tunnel can be asked for: the connection lives, and nobody goes away.
    pub fn is_open(&self) -> bool {
        self.shared.act(|state, _| state.session.check_open().is_ok())
    }

    /// Shuts the connection down, from the inside out: no more tunnels are opened, here or by a clone; those that there are go on
    /// until both directions have ended and were read, or they are dropped; then it is GOAWAY, close_notify of TLS, and the end of the socket, for which the proxy is waited for
    /// two seconds at most.
    ///
    /// # Errors
    ///
    /// When any of that could not leave.
    ///
    /// # Cancellation
    ///
    /// It goes on when the last tunnel and the last clone are dropped, as far as the socket takes it at once.
    pub async fn shutdown(self) -> Result<(), Error> {
        self.wait(None, |state| {
            state.session.leave();
            if !state.session.is_settled() && state.session.over().is_none() {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        })
        .await?;
        self.wait(None, |state| {
            let is_said = state.session.is_shut() && state.session.output_len() == 0;
            if is_said || state.is_closed() { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await?;
        let Some(carrier) = self.shared.take_carrier() else { return Ok(()) };
        carrier.leave(PATIENCE).await.map_err(|error| Fault::from(std::io::Error::from(error)).of(None, self.proxy()))
    }

    /// Does `work`, and drives the connection meanwhile, which may end before it is done.
    async fn during<T>(&self, target: &Address, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = pin!(work);
        let waiting = Waiting::new(&self.shared, self.shared.waiter());
        let done = poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.shared.poll(waiting.who, cx, |state, _| match state.session.over() {
                Some(fault) => Poll::Ready(Err(fault.clone())),
                None => Poll::Pending,
            })
        })
        .await;
        done.map_err(|fault| fault.of(Some(target.clone()), self.proxy()))
    }

    /// Waits for something that is no affair of one tunnel.
    async fn wait<T>(
        &self,
        target: Option<&Address>,
        mut look: impl FnMut(&mut State) -> Poll<Result<T, Fault>>,
    ) -> Result<T, Error> {
        let waiting = Waiting::new(&self.shared, self.shared.waiter());
        let done = poll_fn(|cx| self.shared.poll(waiting.who, cx, |state, _| look(state))).await;
        done.map_err(|fault| fault.of(target.cloned(), self.proxy()))
    }

    fn proxy(&self) -> Option<Address> {
        self.way.proxy.clone()
    }
}

impl fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnels").field("proxy", &self.way.proxy).finish_non_exhaustive()
    }
}

impl Way {
    fn of(connection: &Connection<Socket>, timer: Arc<dyn Timer>) -> Self {
        let addresses = connection.addresses();
        let known = |address: &Option<Address>| address.clone().unwrap_or(Address::Unix(None));
        let proxy = addresses.target.clone().or_else(|| addresses.peer.clone());
        Self {
            route: connection.route().to_vec(),
            next: connection.next_hop(Address::Unix(None)),
            via: addresses.via.iter().cloned().chain(proxy.clone()).collect(),
            ends: [known(&addresses.local), known(&addresses.peer)],
            proxy,
            layers: connection.stack().depth_in_all(),
            timer,
        }
    }

    /// Those of all tunnels on the way, and of this one.
    fn references(&self, id: u32) -> Vec<String> {
        let own = Hop { protocol: Some(TunnelProtocol::Http2), stream: Some(id), ..self.next.clone() };
        self.route.iter().chain([&own]).map(Hop::reference).collect()
    }

    /// The connection whose wire is the tunnel.
    fn lead_on(
        &self,
        tunnel: Tunnel,
        id: u32,
        plate: Arc<Plate>,
        answer: Answer,
        took: Duration,
    ) -> Connection<Socket> {
        let [local, peer] = self.ends.clone();
        let target = plate.target().clone();
        let socket = Socket::over(tunnel, local, peer, target.clone(), self.via.clone()).knowing(plate);
        let mut connection = Connection::over(socket, Arc::clone(&self.timer));
        let hop = Hop {
            target,
            protocol: Some(TunnelProtocol::Http2),
            answer: Some(answer),
            took: Some(took),
            stream: Some(id),
            ..self.next.clone()
        };
        connection.set_route(self.route.iter().cloned().chain([hop]).collect());
        connection.lie_inside(self.layers);
        connection
    }
}

impl Connect {
    /// A tunnel to this target, which is a host and a port ([`Address::to_host`]).
    #[must_use]
    pub fn new(target: Address) -> Self {
        Self { target, credentials: None, asking: None, fields: Fields::default() }
    }

    /// Says who asks, as Basic (RFC 7617): the proxy can read it.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Says who asks if the proxy wants to know it (407, with Basic among its challenges): `answer` sees the challenges, and the
    /// tunnel is asked for once more, on another stream of the same connection. `None` leaves it at
    /// [`AuthRequired`](ErrorKind::AuthRequired); a user or a password that is not accepted is
    /// [`AuthRejected`](ErrorKind::AuthRejected), and is not told again. Where the first request says who asks, nobody is asked here.
    ///
    /// ```
    /// use onionskin::runtime::Address;
    /// use onionskin::tunnel::Credentials;
    /// use onionskin::tunnel::http2::Connect;
    ///
    /// let known = Credentials::new("onion", "peel")?;
    /// let target = Address::to_host("mail.example", 993)?;
    /// let connect = Connect::new(target).asking(move |challenges| {
    ///     let is_for_us = challenges.basic().and_then(|basic| basic.realm()) == Some("squid");
    ///     std::future::ready(is_for_us.then(|| known.clone()))
    /// });
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The connection is driven while `answer` takes its time, which no deadline ends.
    #[must_use]
    pub fn asking<F>(mut self, answer: impl Fn(Challenges) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Credentials>> + Send + 'static,
    {
        self.asking = Some(Asking(Arc::new(move |challenges| Box::pin(answer(challenges)))));
        self
    }

    /// Adds a field to the request.
    ///
    /// # Errors
    ///
    /// [`Unaskable`](ErrorKind::Unaskable) for what is no field, for one that is not the application's, and for one that is about
    /// a connection of HTTP/1.1 and has no place in HTTP/2 (RFC 9113, section 8.2.2).
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, Error> {
        let pushed = match is_of_one_connection(name) {
            true => Err(ErrorKind::Unaskable(format!("HTTP/2 has no field {name}"))),
            false => self.fields.push(name, value.as_ref()),
        };
        pushed.map_err(|kind| Error::new(TunnelProtocol::Http2, Some(self.target.clone()), kind))?;
        Ok(self)
    }

    /// Tells the proxy which protocols may be spoken in the tunnel (RFC 7639), by their names in ALPN.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&[u8]]) -> Self {
        self.fields.push_alpn(protocols);
        self
    }

    fn has_told(&self) -> bool {
        self.credentials.is_some() || self.fields.has(AUTHORIZATION)
    }

    /// `:method` and `:authority`, and nothing else before the fields (RFC 9113, section 8.5).
    fn request(&self) -> Result<Request<()>, ErrorKind> {
        let unaskable = || ErrorKind::Unaskable("a tunnel leads to a port of a host, and that is none".to_owned());
        let authority = authority::print(&self.target).ok_or_else(unaskable)?;
        let uri = Uri::builder().authority(authority).build().map_err(|_| unaskable())?;
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = uri;
        *request.version_mut() = http::Version::HTTP_2;
        let basic = self.credentials.as_ref().filter(|_| !self.fields.has(AUTHORIZATION)).map(basic::print);
        let basic = basic.as_ref().map(|value| (AUTHORIZATION, value.as_bytes()));
        for (name, value) in basic.into_iter().chain(self.fields.iter()) {
            let name = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_bytes(value)) else {
                return Err(ErrorKind::Unaskable("a field has a value that HTTP has no room for".to_owned()));
            };
            value.set_sensitive(name == AUTHORIZATION);
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

impl From<Address> for Connect {
    fn from(target: Address) -> Self {
        Self::new(target)
    }
}

const AUTHORIZATION: &str = "proxy-authorization";

/// The proxy is waited for so long when the connection is left.
const PATIENCE: Duration = Duration::from_secs(2);
