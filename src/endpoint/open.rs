//! Connecting and listening.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Endpoint, ParseError, Step, Transport};
use crate::connection::{Connection, Error as ConnectionError};
use crate::protocol::Addresses;
use crate::runtime::{Address, Listener as SocketListener, Runtime, Socket, Timer};
use crate::tls::{ConfigError, TlsClient, TlsServer};

/// An endpoint made ready for connecting to it, any number of times: files are read, and sessions can be resumed.
#[derive(Clone, Debug)]
pub struct Connector {
    runtime: &'static dyn Runtime,
    transport: Transport,
    /// With the name to verify.
    layers: Vec<(TlsClient, String)>,
}

impl Connector {
    /// Makes `endpoint` ready. A `tls` step without `sni` verifies the host of a `tcp` transport.
    ///
    /// # Errors
    ///
    /// When a step cannot be a client's, or names a file that is missing or wrong.
    pub fn new(runtime: &'static dyn Runtime, endpoint: &Endpoint) -> Result<Self, OpenError> {
        let layer = |step: &Step| match step {
            Step::Tls(tls) => {
                let name = tls.server_name.as_ref().or(endpoint.transport.host());
                let name = name.ok_or(OpenErrorKind::NoName)?;
                Ok((tls.client()?, name.clone()))
            }
        };
        let layers = endpoint.steps.iter().map(layer).collect::<Result<_, OpenError>>()?;
        Ok(Self { runtime, transport: endpoint.transport.clone(), layers })
    }

    pub(super) fn runtime(&self) -> &'static dyn Runtime {
        self.runtime
    }

    /// Connects, and does the handshakes of all layers, from the wire inwards.
    ///
    /// A host name with several addresses is tried address by address, in the system's order of preference.
    ///
    /// # Errors
    ///
    /// When the peer cannot be reached, or a handshake fails.
    pub async fn connect(&self) -> Result<Connection<Socket>, OpenError> {
        let socket = self.socket().await?;
        let mut connection = over(socket, self.runtime);
        for (client, name) in &self.layers {
            connection.start_tls(client.to(name)?).await?;
        }
        Ok(connection)
    }

    async fn socket(&self) -> Result<Socket, OpenError> {
        let connecting: BoxFuture<'_, _> = match &self.transport {
            Transport::Tcp { host, port } => Box::pin(self.tcp(host, *port)),
            #[cfg(unix)]
            Transport::Unix { path } => self.runtime.connect_unix(path.clone()),
            #[cfg(not(unix))]
            Transport::Unix { .. } => Box::pin(async { Err(io::ErrorKind::Unsupported.into()) }),
        };
        connecting.await.map_err(|error| OpenErrorKind::Connect(self.transport.clone(), Arc::new(error)).into())
    }

    async fn tcp(&self, host: &str, port: u16) -> io::Result<Socket> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in self.runtime.resolve(host, port).await? {
            match self.runtime.connect_tcp(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// An endpoint that listens.
#[derive(Debug)]
pub struct Listener {
    runtime: &'static dyn Runtime,
    sockets: SocketListener,
    layers: Vec<TlsServer>,
}

impl Listener {
    /// Listens at `endpoint`.
    ///
    /// # Errors
    ///
    /// When a step cannot be a server's or names a file that is missing or wrong, and when the address cannot be had.
    pub async fn new(runtime: &'static dyn Runtime, endpoint: &Endpoint) -> Result<Self, OpenError> {
        let layer = |step: &Step| match step {
            Step::Tls(tls) => Ok(tls.server()?),
        };
        let layers = endpoint.steps.iter().map(layer).collect::<Result<_, OpenError>>()?;
        let listening = bind(runtime, &endpoint.transport).await;
        let sockets = listening.map_err(|error| OpenErrorKind::Listen(endpoint.transport.clone(), Arc::new(error)))?;
        Ok(Self { runtime, sockets, layers })
    }

    pub(super) fn runtime(&self) -> &'static dyn Runtime {
        self.runtime
    }

    /// Where it listens; the port that was picked, if it was to pick one.
    pub fn local_address(&self) -> &Address {
        self.sockets.local_address()
    }

    /// Waits for the next peer. Its handshakes are still to come: do them in a task of their own, so that a slow peer
    /// keeps nobody waiting.
    ///
    /// # Errors
    ///
    /// As the system reports them. Most concern one peer only, or pass.
    ///
    /// # Cancellation
    ///
    /// Loses no peer.
    pub async fn accept(&self) -> io::Result<Incoming> {
        let socket = self.sockets.accept().await?;
        Ok(Incoming { connection: over(socket, self.runtime), layers: self.layers.clone() })
    }
}

/// A peer that has connected.
#[derive(Debug)]
pub struct Incoming {
    connection: Connection<Socket>,
    layers: Vec<TlsServer>,
}

impl Incoming {
    /// Where the peer is.
    pub fn peer_address(&self) -> &Address {
        self.connection.get_ref().peer_address()
    }

    pub(super) fn addresses(&self) -> Addresses {
        Addresses::from(self.connection.get_ref())
    }

    /// Does the handshakes of all layers, from the wire inwards.
    ///
    /// # Errors
    ///
    /// When a handshake fails.
    pub async fn ready(self) -> Result<Connection<Socket>, OpenError> {
        let Self { mut connection, layers } = self;
        for server in &layers {
            connection.start_tls(server.accept()?).await?;
        }
        Ok(connection)
    }
}

impl Transport {
    /// The host of a `tcp` transport: the name to verify where no other is given.
    pub fn host(&self) -> Option<&String> {
        match self {
            Self::Tcp { host, .. } => Some(host),
            Self::Unix { .. } => None,
        }
    }
}

fn over(socket: Socket, runtime: &'static dyn Runtime) -> Connection<Socket> {
    let label = match socket.peer_address() {
        // A client of a Unix socket has no address; the server's is the one that tells.
        Address::Unix(None) => socket.local_address().to_string(),
        address => address.to_string(),
    };
    let timer: Arc<dyn Timer> = Arc::new(runtime);
    Connection::with_timer(socket, timer).named(label)
}

async fn bind(runtime: &'static dyn Runtime, transport: &Transport) -> io::Result<SocketListener> {
    match transport {
        Transport::Tcp { host, port } => {
            let mut last = io::Error::from(io::ErrorKind::NotFound);
            for address in runtime.resolve(host, *port).await? {
                match runtime.listen_tcp(address).await {
                    Ok(listener) => return Ok(listener),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        #[cfg(unix)]
        Transport::Unix { path } => runtime.listen_unix(path.clone()).await,
        #[cfg(not(unix))]
        Transport::Unix { .. } => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Why an endpoint could not be opened.
#[derive(Clone, Debug)]
pub struct OpenError(Box<OpenErrorKind>);

/// The kinds of [`OpenError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The string is no endpoint.
    Parse(ParseError),
    /// A `tls` step cannot be configured.
    Config(ConfigError),
    /// A `tls` step has no name to verify: neither `sni`, nor a host in the transport.
    NoName,
    /// The peer cannot be reached.
    Connect(Transport, Arc<io::Error>),
    /// The address cannot be listened at.
    Listen(Transport, Arc<io::Error>),
    /// A handshake failed.
    Connection(ConnectionError),
    /// The crate was built without a runtime.
    NoRuntime,
}

impl OpenError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> &OpenErrorKind {
        &self.0
    }

    /// The error of the connection, if the peer was reached and a handshake failed.
    #[must_use]
    pub fn connection_error(&self) -> Option<&ConnectionError> {
        match self.kind() {
            OpenErrorKind::Connection(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the string, or the configuration it stands for, is wrong, so that trying again will not help.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(*self.0, OpenErrorKind::Parse(_) | OpenErrorKind::Config(_) | OpenErrorKind::NoName)
    }

    /// Whether the socket could not be had.
    #[must_use]
    pub fn is_io(&self) -> bool {
        matches!(*self.0, OpenErrorKind::Connect(..) | OpenErrorKind::Listen(..))
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            OpenErrorKind::Parse(error) => error.fmt(f),
            OpenErrorKind::Config(error) => error.fmt(f),
            OpenErrorKind::NoName => f.write_str("no name to verify: write tls:sni=NAME"),
            OpenErrorKind::Connect(transport, error) => write!(f, "cannot connect to {transport}: {error}"),
            OpenErrorKind::Listen(transport, error) => write!(f, "cannot listen at {transport}: {error}"),
            OpenErrorKind::Connection(error) => error.fmt(f),
            OpenErrorKind::NoRuntime => f.write_str("built without a runtime: enable async-std, smol or tokio"),
        }
    }
}

impl StdError for OpenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.kind() {
            OpenErrorKind::Connect(_, error) | OpenErrorKind::Listen(_, error) => Some(error.as_ref()),
            OpenErrorKind::Connection(error) => error.source(),
            _ => None,
        }
    }
}

impl From<OpenErrorKind> for OpenError {
    fn from(kind: OpenErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<ParseError> for OpenError {
    fn from(error: ParseError) -> Self {
        OpenErrorKind::Parse(error).into()
    }
}

impl From<ConfigError> for OpenError {
    fn from(error: ConfigError) -> Self {
        OpenErrorKind::Config(error).into()
    }
}

impl From<ConnectionError> for OpenError {
    fn from(error: ConnectionError) -> Self {
        OpenErrorKind::Connection(error).into()
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        let kind = match *error.0 {
            OpenErrorKind::Connection(error) => return error.into(),
            OpenErrorKind::Config(error) => return error.into(),
            OpenErrorKind::Connect(_, ref cause) | OpenErrorKind::Listen(_, ref cause) => cause.kind(),
            OpenErrorKind::Parse(_) | OpenErrorKind::NoName => io::ErrorKind::InvalidInput,
            OpenErrorKind::NoRuntime => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
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
