//! Listening.

use std::io;
use std::sync::Arc;

use super::incoming::{Incoming, begin};
use super::legs::{self, Legs};
use super::open_error::{OpenError, OpenErrorKind};
use super::{BaseTransport, ConnectTimeout, Endpoint, sockets, wire};
use crate::route::AcceptLeg;
use crate::runtime::{Address, KeepAlive, ListeningSocket, Runtime};

/// An endpoint that listens.
#[derive(Debug)]
pub struct Listener {
    runtime: &'static dyn Runtime,
    sockets: ListeningSocket,
    endpoint: Arc<Endpoint>,
    keep_alive: Option<KeepAlive>,
    legs: Legs<dyn AcceptLeg>,
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
        let legs = Legs::new(Self::ready(endpoint)?);
        let listening = wire::listen(runtime, endpoint).await;
        let sockets = listening.map_err(|error| OpenErrorKind::Listen(endpoint.transport.clone(), Arc::new(error)))?;
        let keep_alive = match endpoint.transport {
            BaseTransport::Tcp { keep_alive, .. } => keep_alive,
            _ => Some(KeepAlive::default()),
        };
        let mut endpoint = endpoint.clone();
        if let Some(real) = BaseTransport::to(sockets.local_address()) {
            endpoint.transport = real;
        }
        Ok(Self { runtime, sockets, endpoint: Arc::new(endpoint), keep_alive, legs })
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

    fn ready(endpoint: &Endpoint) -> Result<Arc<[Arc<dyn AcceptLeg>]>, OpenError> {
        if matches!(endpoint.transport, BaseTransport::Tcp { timeout, .. } if timeout != ConnectTimeout::Standard) {
            let mistake = "`timeout` is for clients: a server waits for as long as it likes";
            return Err(OpenErrorKind::Misused(mistake.to_owned()).into());
        }
        if let Some(key) = endpoint.deadlines.key() {
            let mistake = format!("`{key}` is for clients: a server waits for as long as it likes");
            return Err(OpenErrorKind::Misused(mistake).into());
        }
        if let Some(mistake) = sockets::misused(&endpoint.tcp, true) {
            return Err(OpenErrorKind::Misused(mistake).into());
        }
        legs::accept(&endpoint.steps)
    }

    pub(super) fn runtime(&self) -> &'static dyn Runtime {
        self.runtime
    }

    pub(super) fn legs(&self) -> &Legs<dyn AcceptLeg> {
        &self.legs
    }

    /// A peer that carries others, which go the `legs` that are left of its endpoint.
    pub(super) fn carried(
        runtime: &'static dyn Runtime,
        sockets: ListeningSocket,
        endpoint: &Endpoint,
        legs: Arc<[Arc<dyn AcceptLeg>]>,
    ) -> Self {
        let steps = endpoint.steps[endpoint.steps.len() - legs.len()..].to_vec();
        let mut endpoint = Endpoint::new(endpoint.transport.clone());
        endpoint.steps = steps;
        let keep_alive = Some(KeepAlive::default());
        Self { runtime, sockets, endpoint: Arc::new(endpoint), keep_alive, legs: Legs::new(legs) }
    }

    /// Reads the files of the endpoint again (certificates, keys, trust anchors), for the peers that are accepted from now
    /// on. Those that were accepted before keep what they began with. TLS sessions of before are resumed if the certificates and
    /// the trust anchors for clients are what they were.
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
        self.legs.renew(&self.endpoint.steps, legs::accept)
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
        if let Err(error) = wire::ask_accepted(&socket, self.keep_alive, &self.endpoint.tcp) {
            log::debug!("nobody asks whether {} is still there: {error}", socket.peer_address());
        }
        let route = begin(socket, self.runtime, self.endpoint.silence);
        Ok(Incoming::new(route, self.runtime, Arc::clone(&self.endpoint), self.legs.current()))
    }
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
