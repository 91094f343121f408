//! What every runtime hands out: connected sockets, listeners, and their addresses.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncWrite};

use super::KeepAlive;
use crate::printable::Printable;

/// A connected stream socket of any runtime.
///
/// `poll_close` shuts down the write side only: the peer reads end of file, and reading here goes
/// on. Dropping the socket closes it. A vectored write reaches the system as one call.
pub struct Socket {
    /// Behind a mutex that is locked for options only: it makes the socket `Sync`, and `get_mut` needs no lock.
    stream: Mutex<Box<dyn Stream>>,
    local: Address,
    peer: Address,
    system: Option<System>,
    /// Dropped behind the stream.
    _held: Option<Box<dyn Any + Send + Sync>>,
}

impl Socket {
    /// Wraps a stream of another make, for a [`Runtime`](super::Runtime) of your own.
    ///
    /// Its `poll_close` must keep the promise of this type: the write side closes, reading goes on.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, local: Address, peer: Address) -> Self {
        Self { stream: Mutex::new(Box::new(stream)), local, peer, system: None, _held: None }
    }

    /// As [`new`](Self::new), for a stream that the system can [`reset`](Self::reset), and whose peer it asks whether it is
    /// still there.
    #[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
    pub(super) fn over_tcp<S>(stream: S, local: SocketAddr, peer: SocketAddr) -> Self
    where
        S: AsyncRead + AsyncWrite + std::os::fd::AsFd + Unpin + Send + 'static,
    {
        fn known<S: 'static>(stream: &dyn Any) -> &S {
            stream.downcast_ref().expect("the stream has the type that it was made with")
        }
        let system = System {
            // A socket that is closed without lingering sends a reset, and not the end of the stream.
            reset: |stream| {
                Ok(rustix::net::sockopt::set_socket_linger(known::<S>(stream), Some(std::time::Duration::ZERO))?)
            },
            keep_alive: |stream| super::keep_alive::of(known::<S>(stream)),
            set_keep_alive: |stream, keep_alive| super::keep_alive::set(known::<S>(stream), keep_alive),
        };
        // Some systems refuse options to a socket whose peer is gone already, which is no news and shows soon.
        if let Err(error) = super::keep_alive::set(&stream, Some(KeepAlive::default())) {
            log::debug!("nobody asks whether {peer} is still there: {error}");
        }
        Self { system: Some(system), ..Self::new(stream, local.into(), peer.into()) }
    }

    #[cfg(all(not(unix), any(feature = "async-std", feature = "smol", feature = "tokio")))]
    pub(super) fn over_tcp<S>(stream: S, local: SocketAddr, peer: SocketAddr) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::new(stream, local.into(), peer.into())
    }

    /// The same socket, which drops `held` when it goes itself.
    #[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
    pub(super) fn holding(self, held: impl Any + Send + Sync) -> Self {
        let held: Box<dyn Any + Send + Sync> = match self._held {
            Some(before) => Box::new((before, held)),
            None => Box::new(held),
        };
        Self { _held: Some(held), ..self }
    }

    /// Closes the socket with a reset (RST, RFC 9293 section 3.10.7): the peer's reads fail, where a socket that is
    /// dropped shows it an end of file, which is easily taken for the end of what was to be said.
    ///
    /// What the system has not yet sent is lost, and some systems drop what the peer has not yet read.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is not TCP, or not Unix: it is dropped then.
    pub fn reset(self) -> io::Result<()> {
        let Some(System { reset, .. }) = self.system else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = self.stream.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stream: &dyn Any = &*stream;
        reset(stream)
    }

    /// How the system asks the peer whether it is still there, when it says nothing; `None` if it does not.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is not TCP, or not Unix.
    pub fn keep_alive(&self) -> io::Result<Option<KeepAlive>> {
        self.with_system(|system, stream| (system.keep_alive)(stream))
    }

    /// Has the system ask the peer in this way whether it is still there, or not at all with `None`. Every socket of
    /// TCP begins with the standard times.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is not TCP, or not Unix; `InvalidInput` for times that the system does not take.
    pub fn set_keep_alive(&self, keep_alive: Option<KeepAlive>) -> io::Result<()> {
        self.with_system(|system, stream| (system.set_keep_alive)(stream, keep_alive))
    }

    /// How many of the bytes that were written the peer's system has not taken yet. `None` where that cannot be known: it is
    /// for TCP and Linux, and some containers and hardened services may not ask (that takes a netlink socket).
    pub fn unsent(&self) -> Option<usize> {
        #[cfg(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio")))]
        if self.system.is_some() {
            return super::backlog::of(self.local.as_tcp()?, self.peer.as_tcp()?);
        }
        None
    }

    fn with_system<R>(&self, act: impl FnOnce(System, &dyn Any) -> io::Result<R>) -> io::Result<R> {
        let Some(system) = self.system else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        act(system, &**stream)
    }

    /// The address of this end.
    pub fn local_address(&self) -> &Address {
        &self.local
    }

    /// The address of the other end.
    pub fn peer_address(&self) -> &Address {
        &self.peer
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn Stream> {
        Pin::new(&mut **self.get_mut().stream.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_read(cx, buffer)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_read_vectored(cx, buffers)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_close(cx)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("local", &self.local).field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A socket that waits for connections. Dropping it stops listening.
#[derive(Debug)]
pub struct ListeningSocket {
    source: Box<dyn Accept>,
    local: Address,
}

impl ListeningSocket {
    /// Wraps a listener of another make, for a [`Runtime`](super::Runtime) of your own.
    pub fn new(source: impl Accept + 'static, local: Address) -> Self {
        Self { source: Box::new(source), local }
    }

    /// Waits for the next connection; over TCP it has `TCP_NODELAY` set, and [`KeepAlive`] at its standard times.
    ///
    /// May be dropped before it is done: no connection is lost by that.
    ///
    /// # Errors
    ///
    /// An error may concern one connection only (`ConnectionAborted`), or the process for a while
    /// (too many open files). The listener can be asked again after each of them.
    pub async fn accept(&self) -> io::Result<Socket> {
        self.source.accept().await
    }

    /// Whether the only connection that this listener had to give is over, so that
    /// [`accept`](Self::accept) will do nothing but fail.
    pub fn has_ended(&self) -> bool {
        self.source.has_ended()
    }

    /// Where this listener listens, with the real port if port 0 was asked for.
    pub fn local_address(&self) -> &Address {
        &self.local
    }
}

/// Where a [`ListeningSocket`] takes its connections from.
pub trait Accept: fmt::Debug + Send + Sync {
    /// Waits for the next connection. Dropping the future must not lose one.
    fn accept(&self) -> BoxFuture<'_, io::Result<Socket>>;

    /// Whether there will never be another connection. Most sources never end.
    fn has_ended(&self) -> bool {
        false
    }
}

/// One end of a connection.
///
/// Prints as `tcp 127.0.0.1:25`, `unix /run/app.sock`, `unix @app`, `unix (unnamed)` or `stdio`. What a path has in it that
/// is not to be read is escaped ([`Printable`]): a PROXY header may name any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; `None` for the client's end, which has no name.
    Unix(Option<PathBuf>),
    /// The name of a Unix socket in the abstract namespace of Linux, without the zero byte before it.
    Abstract(Vec<u8>),
    /// The standard input and output of this process, which know of no address.
    Stdio,
}

impl Address {
    /// The IP address and port, if this is TCP.
    pub fn as_tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Abstract(_) | Self::Stdio => None,
        }
    }

    /// The address of a Unix socket.
    #[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
    pub(super) fn unix(address: &std::os::unix::net::SocketAddr) -> Self {
        #[cfg(target_os = "linux")]
        if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
            return Self::Abstract(name.to_owned());
        }
        Self::Unix(address.as_pathname().map(std::path::Path::to_owned))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Unix(Some(path)) => write!(f, "unix {}", Printable::new(path.as_os_str().as_encoded_bytes())),
            Self::Unix(None) => f.write_str("unix (unnamed)"),
            Self::Abstract(name) => write!(f, "unix @{}", Printable::new(name)),
            Self::Stdio => f.write_str("stdio"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// The two I/O traits as one, because a box takes only one, and the way back to the type.
trait Stream: AsyncRead + AsyncWrite + Any + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Any + Unpin + Send> Stream for S {}

/// What the system can do with a stream of TCP, for each type of stream.
#[derive(Clone, Copy)]
#[cfg_attr(not(unix), allow(dead_code))]
struct System {
    /// Has it reset when it is closed.
    reset: fn(&dyn Any) -> io::Result<()>,
    keep_alive: fn(&dyn Any) -> io::Result<Option<KeepAlive>>,
    set_keep_alive: fn(&dyn Any, Option<KeepAlive>) -> io::Result<()>,
}
