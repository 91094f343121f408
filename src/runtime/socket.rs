//! What every runtime hands out: connected sockets and listeners. And what else a socket can be: a tunnel.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncWrite};

use super::{Address, KeepAlive, TcpOptions};

/// A connected stream socket of any runtime.
///
/// `poll_close` shuts down the write side only, a half-close: the peer reads end of file, and reading here goes
/// on. Dropping the socket closes it. A vectored write reaches the system as one call.
pub struct Socket {
    /// Behind a mutex that is locked for options only: it makes the socket `Sync`, and `get_mut` needs no lock.
    stream: Mutex<Box<dyn Stream>>,
    local: Address,
    peer: Address,
    /// Where a tunnel leads.
    way: Option<Box<Way>>,
    beside: Option<Beside>,
    /// Dropped behind the stream.
    _held: Option<Box<dyn Any + Send + Sync>>,
}

#[derive(Debug)]
struct Way {
    target: Address,
    via: Vec<Address>,
    /// What whoever has made the tunnel knows of that way.
    known: Option<Box<dyn Any + Send + Sync>>,
}

impl Socket {
    /// Wraps a stream from elsewhere, for a [`Runtime`](super::Runtime) of your own.
    ///
    /// Its `poll_close` must keep the promise of this type: the write side closes, reading goes on.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, local: Address, peer: Address) -> Self {
        Self { stream: Mutex::new(Box::new(stream)), local, peer, way: None, beside: None, _held: None }
    }

    /// A tunnel to `target`, which goes over `carrier` and through the hosts of `via`, the first from here first. The socket
    /// of the system that carries it all has the ends `local` and `peer`.
    ///
    /// ```
    /// # #[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))] {
    /// use onionskin::Connection;
    /// use onionskin::runtime::{Address, Socket};
    /// use onionskin::tls::{TlsClient, TlsFacts};
    ///
    /// // Whoever is at the far end of `carrier` has been asked for "mail.example", and passes on what comes.
    /// fn through(carrier: Connection<Socket>) -> Result<Connection<Socket>, onionskin::runtime::AddressError> {
    ///     let tunnel = carrier.into_socket(Address::to_host("mail.example", 993)?);
    ///     println!("{tunnel}");
    ///     Ok(Connection::new(tunnel))
    /// }
    /// # }
    /// ```
    pub fn over<C: Carrier>(carrier: C, local: Address, peer: Address, target: Address, via: Vec<Address>) -> Self {
        let beside = Beside {
            reset: |carrier| carrier.downcast::<C>().expect(TYPE).reset(),
            keep_alive: |carrier| known::<C>(carrier).keep_alive(),
            set_keep_alive: |carrier, keep_alive| known::<C>(carrier).set_keep_alive(keep_alive),
            take_error: |carrier| known::<C>(carrier).take_error(),
            #[cfg(target_os = "linux")]
            descriptor: |_| None,
            options: |_| Err(io::ErrorKind::Unsupported.into()),
            set_options: |_, _| Err(io::ErrorKind::Unsupported.into()),
            carrier: Some(CarrierFacts {
                unsent: |carrier| known::<C>(carrier).unsent(),
                line: |carrier| known::<C>(carrier).to_string(),
                drawing: |carrier| format!("{:#}", known::<C>(carrier)),
                read_piece: |carrier, cx, to, most| known_mut::<C>(carrier).poll_read_piece(cx, to, most),
                write_piece: |carrier, cx, piece, most| known_mut::<C>(carrier).poll_write_piece(cx, piece, most),
            }),
        };
        let way = Some(Box::new(Way { target, via, known: None }));
        Self { way, beside: Some(beside), ..Self::new(carrier, local, peer) }
    }

    /// As [`new`](Self::new), for a stream that the system can [`reset`](Self::reset), and whose peer it asks whether it is
    /// still there.
    #[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
    pub(super) fn over_tcp<S>(stream: S, local: SocketAddr, peer: SocketAddr) -> Self
    where
        S: AsyncRead + AsyncWrite + std::os::fd::AsFd + Unpin + Send + 'static,
    {
        let beside = Beside {
            // A socket that is closed without lingering sends a reset, and not the end of the stream.
            reset: |stream| {
                Ok(rustix::net::sockopt::set_socket_linger(known::<S>(&*stream), Some(std::time::Duration::ZERO))?)
            },
            keep_alive: |stream| super::keep_alive::of(known::<S>(stream)),
            set_keep_alive: |stream, keep_alive| super::keep_alive::set(known::<S>(stream), keep_alive),
            take_error: |stream| {
                let error = rustix::net::sockopt::socket_error(known::<S>(stream))?.err().map(io::Error::from);
                // The system also tells of what it has not given up over: a way that is gone for the moment (RFC 1122 section 4.2.3.9).
                Ok(error.filter(|error| ENDS.contains(&error.kind())))
            },
            #[cfg(target_os = "linux")]
            descriptor: |stream| Some(known::<S>(stream).as_fd()),
            options: |stream| super::tcp_options::read(&known::<S>(stream).into()),
            set_options: |stream, options| super::tcp_options::apply_connected(options, &known::<S>(stream).into()),
            carrier: None,
        };
        // Some systems refuse options to a socket whose peer is gone already, which is no news and shows soon.
        if let Err(error) = super::keep_alive::set(&stream, Some(KeepAlive::default())) {
            log::debug!("nobody asks whether {peer} is still there: {error}");
        }
        Self { beside: Some(beside), ..Self::new(stream, local.into(), peer.into()) }
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
    /// What the system has not yet sent is lost, and some systems drop what the peer has not yet read. A tunnel is reset as
    /// its [`Carrier`] does it; one over a connection of its own resets the socket that carries it.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is not TCP, or not Unix: it is dropped then.
    pub fn reset(self) -> io::Result<()> {
        let Some(Beside { reset, .. }) = self.beside else { return Err(io::ErrorKind::Unsupported.into()) };
        reset(self.stream.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the system asks the peer whether it is still there, when it says nothing; `None` if it does not.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is not TCP, or not Unix.
    pub fn keep_alive(&self) -> io::Result<Option<KeepAlive>> {
        self.with_stream(|beside, stream| (beside.keep_alive)(stream))
    }

    /// Has the system ask the peer in this way whether it is still there, or not at all with `None`. Every socket of
    /// TCP begins with the standard times.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is not TCP, or not Unix; `InvalidInput` for times that the system does not take.
    pub fn set_keep_alive(&self, keep_alive: Option<KeepAlive>) -> io::Result<()> {
        self.with_stream(|beside, stream| (beside.set_keep_alive)(stream, keep_alive))
    }

    /// What has broken the connection, if anything has, and no read or write has told yet. A peer whose end of file was read may
    /// reset the connection later, and no read tells of that.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is not TCP, or not Unix.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.with_stream(|beside, stream| (beside.take_error)(stream))
    }

    /// What the system does for the socket now: where it is bound, and what [`TcpOptions`] it has; the sizes of buffers are those
    /// that it has given.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is not TCP, or not Unix, or a tunnel.
    pub fn tcp_options(&self) -> io::Result<TcpOptions> {
        self.with_stream(|beside, stream| (beside.options)(stream))
    }

    /// Asks the system for what can still be asked for once a socket is connected: the code point, the user timeout.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is not TCP, or not Unix, or a tunnel; when the system refuses an option.
    pub fn set_tcp_options(&self, options: &TcpOptions) -> io::Result<()> {
        self.with_stream(|beside, stream| (beside.set_options)(stream, options))
    }

    /// How many of the bytes that were written the peer's system has not taken yet. `None` where that cannot be known: it is
    /// for TCP and Linux, and some containers and hardened services may not ask (that takes a netlink socket). A tunnel says it
    /// of what carries it.
    pub fn unsent(&self) -> Option<usize> {
        if let Some(carrier) = self.carrier() {
            return self.with_stream(|_, stream| Ok((carrier.unsent)(stream))).ok().flatten();
        }
        #[cfg(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio")))]
        if self.beside.is_some() {
            return super::backlog::of(self.local.as_tcp()?, self.peer.as_tcp()?);
        }
        None
    }

    /// Whether it is a TCP socket of a system that can move bytes from one to another.
    pub(crate) fn is_of_system(&self) -> bool {
        cfg!(target_os = "linux") && self.beside.is_some_and(|beside| beside.carrier.is_none())
    }

    /// That of the system's, if it is a TCP socket.
    #[cfg(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio")))]
    pub(super) fn descriptor(&mut self) -> Option<std::os::fd::BorrowedFd<'_>> {
        let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        (self.beside?.descriptor)(&**stream)
    }

    fn with_stream<R>(&self, act: impl FnOnce(Beside, &dyn Any) -> io::Result<R>) -> io::Result<R> {
        let Some(beside) = self.beside else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        act(beside, &**stream)
    }

    /// See [`Carrier::poll_read_piece`].
    pub(crate) fn poll_read_piece(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut BytesMut,
        most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        (self.carrier()?.read_piece)(self.any(), cx, to, most)
    }

    /// See [`Carrier::poll_write_piece`].
    pub(crate) fn poll_write_piece(
        &mut self,
        cx: &mut Context<'_>,
        piece: &mut BytesMut,
        most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        (self.carrier()?.write_piece)(self.any(), cx, piece, most)
    }

    fn any(&mut self) -> &mut dyn Any {
        &mut **self.stream.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn carrier(&self) -> Option<CarrierFacts> {
        self.beside.and_then(|beside| beside.carrier)
    }

    /// The way that a tunnel goes, as its [`Carrier`] shows it: on one line, or as a drawing. Of a socket of the system's
    /// there is none.
    pub(crate) fn chain(&self, drawing: bool) -> Option<String> {
        let carrier = self.carrier()?;
        let show = if drawing { carrier.drawing } else { carrier.line };
        self.with_stream(|_, stream| Ok(show(stream))).ok()
    }

    /// The address of this end.
    pub fn local_address(&self) -> &Address {
        &self.local
    }

    /// The address of the other end.
    pub fn peer_address(&self) -> &Address {
        &self.peer
    }

    /// Whom a tunnel leads to.
    pub fn target(&self) -> Option<&Address> {
        self.way.as_ref().map(|way| &way.target)
    }

    /// The hosts that a tunnel goes through, the first from here first.
    pub fn via(&self) -> &[Address] {
        self.way.as_ref().map_or(&[], |way| &way.via)
    }

    /// The same tunnel, about whose way this is known: for whoever puts a connection over it.
    pub(crate) fn knowing(mut self, known: impl Any + Send + Sync) -> Self {
        if let Some(way) = &mut self.way {
            way.known = Some(Box::new(known));
        }
        self
    }

    /// What is known of the way, if it is of this kind.
    pub(crate) fn known<T: Any>(&self) -> Option<&T> {
        self.way.as_ref()?.known.as_ref()?.downcast_ref()
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

impl fmt::Display for Socket {
    /// The address of the peer; of a tunnel, the way that it goes, as its [`Carrier`] shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chain(f.alternate()) {
            Some(chain) => f.write_str(&chain),
            None => self.peer.fmt(f),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("local", &self.local)
            .field("peer", &self.peer)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

/// A socket that waits for connections. Dropping it stops listening.
#[derive(Debug)]
pub struct ListeningSocket {
    source: Box<dyn Accept>,
    local: Address,
}

impl ListeningSocket {
    /// Wraps a listener from elsewhere, for a [`Runtime`](super::Runtime) of your own.
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

/// What a [`Socket`] can be made of that is no socket of the system's: a connection with layers of its own, a tunnel in one
/// that carries many. It shows as the way it goes, from the wire inwards, on one line; with `{:#}`, as a drawing.
///
/// As with any stream of a socket, `poll_close` ends the write side only.
pub trait Carrier: AsyncRead + AsyncWrite + fmt::Display + Unpin + Send + 'static {
    /// Ends it such that the peer does not take it for the end of what was to be said: see [`Socket::reset`].
    ///
    /// # Errors
    ///
    /// `Unsupported` if it has no such way. It is dropped then.
    fn reset(self) -> io::Result<()>;

    /// See [`Socket::unsent`].
    fn unsent(&self) -> Option<usize> {
        None
    }

    /// As `poll_read`, up to `most` bytes, which come behind those of `to`: for a carrier that has them in storage of their own,
    /// and hands that on (zero-copy). `None`, as it is unless overridden, if it does not.
    fn poll_read_piece(
        &mut self,
        _cx: &mut Context<'_>,
        _to: &mut BytesMut,
        _most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        None
    }

    /// As `poll_write`, up to `most` bytes off the front of `piece`: for a carrier that keeps the storage that they are in
    /// (zero-copy). `None`, as it is unless overridden, if it does not, and then nothing is taken.
    fn poll_write_piece(
        &mut self,
        _cx: &mut Context<'_>,
        _piece: &mut BytesMut,
        _most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        None
    }

    /// See [`Socket::keep_alive`].
    ///
    /// # Errors
    ///
    /// As there.
    fn keep_alive(&self) -> io::Result<Option<KeepAlive>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// See [`Socket::set_keep_alive`].
    ///
    /// # Errors
    ///
    /// As there.
    fn set_keep_alive(&self, _keep_alive: Option<KeepAlive>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// See [`Socket::take_error`].
    ///
    /// # Errors
    ///
    /// As there.
    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The two I/O traits as one, because a box takes only one, and the way back to the type.
trait Stream: AsyncRead + AsyncWrite + Any + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Any + Unpin + Send> Stream for S {}

/// What can be done with a stream beside reading and writing, for each type of stream: the system does it for TCP, and a
/// [`Carrier`] does it itself.
#[derive(Clone, Copy)]
struct Beside {
    reset: fn(Box<dyn Any>) -> io::Result<()>,
    keep_alive: fn(&dyn Any) -> io::Result<Option<KeepAlive>>,
    set_keep_alive: fn(&dyn Any, Option<KeepAlive>) -> io::Result<()>,
    take_error: fn(&dyn Any) -> io::Result<Option<io::Error>>,
    #[cfg(target_os = "linux")]
    #[cfg_attr(not(any(feature = "async-std", feature = "smol", feature = "tokio")), allow(dead_code))]
    descriptor: fn(&dyn Any) -> Option<std::os::fd::BorrowedFd<'_>>,
    options: fn(&dyn Any) -> io::Result<TcpOptions>,
    set_options: fn(&dyn Any, &TcpOptions) -> io::Result<()>,
    /// Of a stream that is a carrier.
    carrier: Option<CarrierFacts>,
}

#[derive(Clone, Copy)]
struct CarrierFacts {
    unsent: fn(&dyn Any) -> Option<usize>,
    line: fn(&dyn Any) -> String,
    drawing: fn(&dyn Any) -> String,
    read_piece: MovePiece,
    write_piece: MovePiece,
}

/// See [`Carrier::poll_read_piece`] and [`Carrier::poll_write_piece`].
type MovePiece = fn(&mut dyn Any, &mut Context<'_>, &mut BytesMut, usize) -> Option<Poll<io::Result<usize>>>;

fn known<S: 'static>(stream: &dyn Any) -> &S {
    stream.downcast_ref().expect(TYPE)
}

fn known_mut<S: 'static>(stream: &mut dyn Any) -> &mut S {
    stream.downcast_mut().expect(TYPE)
}

const TYPE: &str = "the stream has the type that it was made with";

/// What a connection does not live through.
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
const ENDS: [io::ErrorKind; 4] = [
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::TimedOut,
];
