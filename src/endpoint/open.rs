//! Connecting and listening.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::layers::{ClientLayer, Layers, ServerLayer};
use super::open_error::{OpenError, OpenErrorKind};
use super::{BaseTransport, ConnectTimeout, Endpoint, Silence, wire};
use crate::connection::{Addresses, Connection};
use crate::runtime::{Address, KeepAlive, ListeningSocket, Runtime, Socket};
use crate::tls::TlsServer;

/// An endpoint made ready for connecting to it, any number of times: files are read, and sessions can be resumed.
///
/// `stdio`, `fd` and `systemd` name a connection that is there already: of these, connect to each once.
#[derive(Clone, Debug)]
pub struct Connector {
    runtime: &'static dyn Runtime,
    endpoint: Endpoint,
    timeout: Option<Duration>,
    layers: Layers<ClientLayer>,
}

impl Connector {
    /// Makes `endpoint` ready. A `tls` step without `sni` verifies the host of a `tcp` transport.
    ///
    /// # Errors
    ///
    /// When a step cannot be a client's, or names a file that is missing or wrong.
    pub fn new(runtime: &'static dyn Runtime, endpoint: &Endpoint) -> Result<Self, OpenError> {
        let layers = Layers::new(&endpoint.steps, |step| ClientLayer::new(step, &endpoint.transport))?;
        let timeout = match endpoint.transport {
            BaseTransport::Tcp { timeout: ConnectTimeout::Never, .. } => None,
            BaseTransport::Tcp { timeout: ConnectTimeout::Seconds(seconds), .. } => {
                Some(Duration::from_secs(seconds.get().into()))
            }
            _ => Some(CONNECT_TIMEOUT),
        };
        Ok(Self { runtime, endpoint: endpoint.clone(), timeout, layers })
    }

    /// How long to try until the peer is reached: 30 seconds, or what `timeout` in the endpoint says, unless set. With
    /// `None`, as long as the system tries.
    ///
    /// It covers the resolution of the name and the attempts at all addresses. The handshakes count apart, each from
    /// its own start: see [`TlsLayer::handshake_timeout`](crate::tls::TlsLayer::handshake_timeout).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    pub(super) fn runtime(&self) -> &'static dyn Runtime {
        self.runtime
    }

    /// Reads the files of the endpoint again (certificates, keys, trust anchors), for the connections that are opened
    /// from now on, by clones too. Those that are there keep what they began with. TLS sessions of before are not resumed.
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
        let transport = self.endpoint.transport.clone();
        self.layers.renew(&self.endpoint.steps, move |step| ClientLayer::new(step, &transport))
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
        self.open(None).await
    }

    /// As [`connect`](Self::connect), on behalf of a client that has connected to us: where a `proxy-header` step has no `from`
    /// and `to`, its header tells of these addresses, as [`Incoming::addresses`] has them, and not of those of our own
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
        self.open(Some(Addresses::new(client.peer.clone(), client.local.clone()))).await
    }

    async fn open(&self, claimed: Option<Addresses>) -> Result<Connection<Socket>, OpenError> {
        let layers = self.layers.current();
        let transport = &self.endpoint.transport;
        let connecting = wire::connect(self.runtime, transport, self.timeout).await;
        let socket = connecting.map_err(|error| OpenErrorKind::Connect(transport.clone(), Arc::new(error)))?;
        let mut connection = over(socket, self.runtime, self.endpoint.silence);
        if let Some(target) = transport.target() {
            let addresses = connection.addresses().clone().towards(target);
            connection.set_addresses(addresses);
        }
        let claimed = claimed.unwrap_or_else(|| connection.addresses().clone());
        for layer in layers.iter() {
            layer.open(&mut connection, &claimed).await?;
        }
        Ok(connection)
    }
}

/// An endpoint that listens.
#[derive(Debug)]
pub struct Listener {
    runtime: &'static dyn Runtime,
    sockets: ListeningSocket,
    endpoint: Endpoint,
    keep_alive: Option<KeepAlive>,
    layers: Layers<ServerLayer>,
}

impl Listener {
    /// Listens at `endpoint`.
    ///
    /// With `stdio`, and with a connection in `fd` or `systemd`, that connection is the only one:
    /// see [`has_ended`](Self::has_ended).
    ///
    /// # Errors
    ///
    /// When a step cannot be a server's or names a file that is missing or wrong, and when the address cannot be had.
    pub async fn new(runtime: &'static dyn Runtime, endpoint: &Endpoint) -> Result<Self, OpenError> {
        let layers = Self::ready(endpoint)?;
        let listening = wire::listen(runtime, &endpoint.transport).await;
        let sockets = listening.map_err(|error| OpenErrorKind::Listen(endpoint.transport.clone(), Arc::new(error)))?;
        let keep_alive = match endpoint.transport {
            BaseTransport::Tcp { keep_alive, .. } => keep_alive,
            _ => Some(KeepAlive::default()),
        };
        let mut endpoint = endpoint.clone();
        if let Some(real) = BaseTransport::to(sockets.local_address()) {
            endpoint.transport = real;
        }
        Ok(Self { runtime, sockets, endpoint, keep_alive, layers })
    }

    /// Finds out whether [`new`](Self::new) would find anything wrong with `endpoint` and the files that it names, without
    /// listening. Whether the address can be had only `new` can tell.
    ///
    /// # Errors
    ///
    /// When a step cannot be a server's or names a file that is missing or wrong.
    pub fn check(endpoint: &Endpoint) -> Result<(), OpenError> {
        Self::ready(endpoint).map(drop)
    }

    fn ready(endpoint: &Endpoint) -> Result<Layers<ServerLayer>, OpenError> {
        if matches!(endpoint.transport, BaseTransport::Tcp { timeout, .. } if timeout != ConnectTimeout::Standard) {
            let mistake = "`timeout` is for clients: a server waits for as long as it likes";
            return Err(OpenErrorKind::Misused(mistake.to_owned()).into());
        }
        Layers::new(&endpoint.steps, ServerLayer::new)
    }

    pub(super) fn runtime(&self) -> &'static dyn Runtime {
        self.runtime
    }

    pub(super) fn layers(&self) -> &Layers<ServerLayer> {
        &self.layers
    }

    /// Reads the files of the endpoint again (certificates, keys, trust anchors), for the peers that are accepted from now
    /// on. Those that were accepted before keep what they began with. TLS sessions of before are not resumed.
    ///
    /// It is all or nothing: if one of the files is missing or wrong, everything stays as it is. Files are read on a thread
    /// of their own, so a file system that hangs holds up this future and nothing else: peers are accepted meanwhile. It may
    /// be put into a task, since it borrows nothing. Of several at a time, the one that was called last decides.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new) for its steps.
    ///
    /// # Cancellation
    ///
    /// Leaves everything as it is.
    pub fn reload(&self) -> impl Future<Output = Result<(), OpenError>> + Send + use<> {
        self.layers.renew(&self.endpoint.steps, ServerLayer::new)
    }

    /// Where it listens; the port that was picked, if it was to pick one.
    pub fn local_address(&self) -> &Address {
        self.sockets.local_address()
    }

    /// The endpoint that it was made for, with the address that it really has.
    ///
    /// The port is the one that was picked, a name has become the address that was bound, and a socket that was handed
    /// down is called by its address. The transport alone is what a client on this machine needs, if it listens at an
    /// address and not at the unspecified one:
    ///
    /// ```
    /// # #[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
    /// # onionskin::runtime::block_on(onionskin::runtime::preferred().unwrap(), async {
    /// let listener = onionskin::listen("tcp:127.0.0.1:0").await?;
    /// println!("listening on {}", listener.endpoint()); // tcp:127.0.0.1:40001
    /// let client = onionskin::connect(&listener.endpoint().to_string()).await?;
    /// # drop(client);
    /// # Ok::<_, onionskin::endpoint::OpenError>(())
    /// # }).unwrap();
    /// ```
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether there will never be another peer: the only connection that was there has been dropped.
    ///
    /// From then on [`accept`](Self::accept) fails.
    pub fn has_ended(&self) -> bool {
        self.sockets.has_ended()
    }

    /// Waits for the next peer. Its handshakes are still to come: do them in a task of their own, so that a slow peer
    /// keeps nobody waiting.
    ///
    /// Where there is only one connection, the second call waits until that one is dropped, and fails then.
    ///
    /// # Errors
    ///
    /// As the system reports them. Most concern one peer only, or pass; `NotConnected` is for ever.
    ///
    /// # Cancellation
    ///
    /// Loses no peer.
    pub async fn accept(&self) -> io::Result<Incoming> {
        let socket = self.sockets.accept().await?;
        // It fails for a peer that is gone again, too, and that shows by itself.
        if let Err(error) = wire::ask(&socket, self.keep_alive) {
            log::debug!("nobody asks whether {} is still there: {error}", socket.peer_address());
        }
        let connection = over(socket, self.runtime, self.endpoint.silence);
        Ok(Incoming { connection, layers: self.layers.current().to_vec() })
    }
}

/// A peer that has connected.
#[derive(Debug)]
pub struct Incoming {
    connection: Connection<Socket>,
    /// Those that are still to be opened.
    layers: Vec<ServerLayer>,
}

impl Incoming {
    /// Who talks to whom: the two ends of the socket.
    ///
    /// Behind a `proxy-header` step the other end is the proxy, until [`identify`](Self::identify) has heard for whom it speaks.
    pub fn addresses(&self) -> &Addresses {
        self.connection.addresses()
    }

    /// The server of TLS that the innermost step with TLS has, with the certificates that it has now: for further connections of
    /// the same peer, as FTP has them for data.
    pub fn tls_server(&self) -> Option<&TlsServer> {
        self.layers.iter().rev().find_map(ServerLayer::tls_server)
    }

    /// Does the handshakes as far as one of them tells who the peer is: up to the innermost `proxy-header` step, after which
    /// [`addresses`](Self::addresses) are those in the header. Without such a step it does nothing.
    ///
    /// # Errors
    ///
    /// When a handshake fails.
    ///
    /// # Cancellation
    ///
    /// Closes the connection.
    pub async fn identify(mut self) -> Result<Self, OpenError> {
        let open = self.layers.iter().rposition(ServerLayer::tells_peer).map_or(0, |last| last + 1);
        for layer in self.layers.drain(..open) {
            if let Some(addresses) = layer.open(&mut self.connection).await? {
                self.connection.set_addresses(addresses);
            }
        }
        Ok(self)
    }

    /// Turns the peer away: nothing more is said, and its connection is [reset](Socket::reset), or closed where the
    /// transport knows no reset. So no client takes it for the end of what there was to say.
    pub fn turn_away(self) {
        // What cannot be reset is closed by that.
        let _ = self.connection.reset();
    }

    /// Does the handshakes of all layers, from the wire inwards.
    ///
    /// # Errors
    ///
    /// When a handshake fails.
    ///
    /// # Cancellation
    ///
    /// Closes the connection.
    pub async fn ready(self) -> Result<Connection<Socket>, OpenError> {
        let Self { mut connection, layers, .. } = self.identify().await?;
        for layer in &layers {
            layer.open(&mut connection).await?;
        }
        Ok(connection)
    }

    /// As [`ready`](Self::ready), and also serves peers that have come for something that needs no TLS: behind a step
    /// `starttls:postgres` those who want to cancel a query. For [`ready`](Self::ready) these have failed.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    ///
    /// # Cancellation
    ///
    /// As [`ready`](Self::ready).
    pub async fn admit(self) -> Result<Admitted, OpenError> {
        let Self { mut connection, layers, .. } = self.identify().await?;
        for layer in &layers {
            if layer.open_unless_cancel(&mut connection).await? {
                return Ok(Admitted::Cancel(connection));
            }
        }
        Ok(Admitted::Session(connection))
    }
}

/// What a peer has come for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Admitted {
    /// All layers are there.
    Session(Connection<Socket>),
    /// To cancel a query of another connection of PostgreSQL's: the next to be read is a CancelRequest, in clear, and the peer
    /// waits for the end of the connection; see [`Postgres::accept_cancel`](crate::starttls::Postgres::accept_cancel).
    Cancel(Connection<Socket>),
}

/// The connection that the steps are to be put upon.
fn over(socket: Socket, runtime: &'static dyn Runtime, silence: Silence) -> Connection<Socket> {
    let mut connection = Connection::over(socket, Arc::new(runtime));
    if let Some(layer) = silence.layer() {
        connection.splice(layer).expect("a connection without layers takes one");
    }
    connection
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

/// Listens at the endpoint that `endpoint` describes, on the preferred runtime.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let listener = onionskin::listen("tcp:127.0.0.1:0").await?;
/// println!("port {}", listener.local_address().as_tcp().expect("it is TCP").port());
/// loop {
///     let incoming = listener.accept().await?;
///     let conn = incoming.ready().await?; // in a task of its own, in a real server
/// #   drop(conn);
/// }
/// # }
/// ```
///
/// # Errors
///
/// As [`Listener::new`]; when the string is no endpoint; when the crate was built without a runtime.
pub async fn listen(endpoint: &str) -> Result<Listener, OpenError> {
    let runtime = crate::runtime::preferred().ok_or(OpenErrorKind::NoRuntime)?;
    Listener::new(runtime, &endpoint.parse()?).await
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
