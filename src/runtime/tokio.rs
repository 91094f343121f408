//! The runtime of the feature `tokio`.
//!
//! tokio's sockets, timers and tasks belong to a tokio runtime, which tokio finds through the
//! thread; without one it panics. Here they take the runtime around the call, else the one that
//! the process shares, which starts on first use and lives as long as the process.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{self, SocketAddr};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::{BoxFuture, LocalBoxFuture};
use futures::io::{AsyncRead, AsyncWrite};
use pin_project::pin_project;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::runtime::{Builder, Handle, Runtime as Reactor};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

#[cfg(unix)]
use super::Address;
use super::{Accept, ListeningSocket, Runtime, Socket, TcpOptions, Timer, listen, some_address, tcp_open};

/// tokio: the runtime around the call, else a multi-thread one that the process shares.
///
/// # Panics
///
/// A tokio runtime of your own must have I/O and time enabled (`Builder::enable_all`): tokio panics
/// otherwise. The shared one panics on first use if the system refuses its threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Timer for Tokio {
    /// tokio's clock, which is the system's unless a test has paused it.
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        in_context(async move { tokio::time::sleep_until(deadline.into()).await })
    }
}

impl super::sealed::Sealed for Tokio {}

impl Runtime for Tokio {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn connect_tcp_with(&self, to: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<Socket>> {
        in_context(async move {
            let stream = tcp_open::connecting(to, &options)?;
            let is_settled = tcp_open::is_settled(&stream, to);
            let stream = TcpStream::from_std(stream)?;
            if !is_settled {
                stream.writable().await?;
            }
            tcp_open::connected(&(&stream).into())?;
            tcp_socket(stream, to)
        })
    }

    fn listen_tcp_with(&self, at: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<ListeningSocket>> {
        in_context(async move { tcp_listener(listen::bind_tcp(at, &options)?) })
    }

    #[cfg(unix)]
    fn connect_unix(&self, to: std::path::PathBuf) -> BoxFuture<'static, io::Result<Socket>> {
        in_context(unix::connect(to))
    }

    #[cfg(unix)]
    fn listen_unix(&self, at: std::path::PathBuf) -> BoxFuture<'static, io::Result<ListeningSocket>> {
        in_context(async move { unix::listen(at) })
    }

    fn adopt_tcp(&self, stream: net::TcpStream) -> io::Result<Socket> {
        let _entered = current().enter();
        let peer = stream.peer_addr()?;
        stream.set_nonblocking(true)?;
        tcp_socket(TcpStream::from_std(stream)?, peer)
    }

    fn adopt_tcp_listener(&self, listener: net::TcpListener) -> io::Result<ListeningSocket> {
        let _entered = current().enter();
        listener.set_nonblocking(true)?;
        tcp_listener(listener)
    }

    #[cfg(unix)]
    fn adopt_unix(&self, stream: std::os::unix::net::UnixStream) -> io::Result<Socket> {
        let _entered = current().enter();
        let peer = Address::unix(&stream.peer_addr()?);
        stream.set_nonblocking(true)?;
        unix::socket(tokio::net::UnixStream::from_std(stream)?, peer)
    }

    #[cfg(unix)]
    fn adopt_unix_listener(&self, listener: std::os::unix::net::UnixListener) -> io::Result<ListeningSocket> {
        let _entered = current().enter();
        let local = Address::unix(&listener.local_addr()?);
        listener.set_nonblocking(true)?;
        unix::listener(listener, local, None)
    }

    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        in_context(async move {
            let found = lookup_host((host.as_str(), port)).await?;
            some_address(&host, found)
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        current().spawn(task);
    }

    fn block_on(&self, future: LocalBoxFuture<'_, ()>) {
        shared().block_on(future);
    }
}

/// The runtime around this call, else the shared one.
fn current() -> Handle {
    Handle::try_current().unwrap_or_else(|_| shared().handle().clone())
}

/// Whether this is called inside a tokio runtime.
pub(super) fn is_around() -> bool {
    Handle::try_current().is_ok()
}

fn shared() -> &'static Reactor {
    static SHARED: OnceLock<Reactor> = OnceLock::new();
    SHARED.get_or_init(|| {
        Builder::new_multi_thread()
            .enable_all()
            .thread_name("onionskin-tokio")
            .build()
            .expect("the system grants the threads of the shared tokio runtime")
    })
}

/// Polls `future` inside a tokio runtime, whatever executor does the polling.
///
/// The runtime is chosen now, not at the first poll: it is the caller's.
fn in_context<'a, T>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(InContext { future, handle: current() })
}

#[pin_project]
struct InContext<F> {
    #[pin]
    future: F,
    handle: Handle,
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.handle.enter();
        this.future.poll(cx)
    }
}

impl Accept for TcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Socket>> {
        in_context(async move {
            let (stream, peer) = self.accept().await?;
            tcp_socket(stream, peer)
        })
    }
}

fn tcp_listener(listener: net::TcpListener) -> io::Result<ListeningSocket> {
    let local = listener.local_addr()?;
    Ok(ListeningSocket::new(TcpListener::from_std(listener)?, local.into()))
}

fn tcp_socket(stream: TcpStream, peer: SocketAddr) -> io::Result<Socket> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    Ok(Socket::over_tcp(Stream::new(stream), local, peer))
}

/// A stream of tokio by the traits of futures. Two things are added: vectored writes, which the adapter between the traits leaves
/// out, and reads that do not wait for the reactor.
///
/// tokio asks the system for bytes only when its reactor has told of some. A write asks at once, and so may meet the peer's reset
/// while the bytes before that are there and nobody has told of them. Whoever looks for them then has to look at the socket itself:
/// to wait for the reactor would be to wait without knowing that it has something to tell.
#[derive(Debug)]
struct Stream<S> {
    stream: Compat<S>,
    /// A write has failed.
    is_broken: bool,
}

impl<S: Source> Stream<S> {
    fn new(stream: S) -> Self {
        Self { stream: stream.compat(), is_broken: false }
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.is_broken |= matches!(written, Poll::Ready(Err(_)));
        written
    }
}

impl<S: Source> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        #[cfg(unix)]
        if self.is_broken {
            match rustix::net::recv(self.stream.get_ref(), &mut *buffer, rustix::net::RecvFlags::empty()) {
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                read => return Poll::Ready(Ok(read?.0)),
            }
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Source> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.stream.get_mut()).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// What tokio's streams are.
#[cfg(unix)]
trait Source: tokio::io::AsyncRead + tokio::io::AsyncWrite + std::os::fd::AsFd + Unpin {}

#[cfg(unix)]
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + std::os::fd::AsFd + Unpin> Source for S {}

#[cfg(not(unix))]
trait Source: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}

#[cfg(not(unix))]
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Source for S {}

#[cfg(unix)]
impl<S: std::os::fd::AsFd> std::os::fd::AsFd for Stream<S> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }
}

#[cfg(unix)]
mod unix {
    use std::path::PathBuf;

    use tokio::net::{UnixListener, UnixStream};

    use super::listen::SocketFile;
    use super::*;

    pub(super) async fn connect(to: PathBuf) -> io::Result<Socket> {
        socket(UnixStream::connect(&to).await?, Address::Unix(Some(to)))
    }

    pub(super) fn listen(at: PathBuf) -> io::Result<ListeningSocket> {
        let (listener, file) = listen::bind_unix(&at)?;
        self::listener(listener, Address::Unix(Some(at)), Some(file))
    }

    /// `file` is the one to remove in the end.
    pub(super) fn listener(
        listener: std::os::unix::net::UnixListener,
        local: Address,
        file: Option<SocketFile>,
    ) -> io::Result<ListeningSocket> {
        let acceptor = Acceptor { listener: UnixListener::from_std(listener)?, _file: file };
        Ok(ListeningSocket::new(acceptor, local))
    }

    #[derive(Debug)]
    struct Acceptor {
        listener: UnixListener,
        _file: Option<SocketFile>,
    }

    impl Accept for Acceptor {
        fn accept(&self) -> BoxFuture<'_, io::Result<Socket>> {
            in_context(async move {
                let (stream, peer) = self.listener.accept().await?;
                socket(stream, Address::unix(&peer.into()))
            })
        }
    }

    pub(super) fn socket(stream: UnixStream, peer: Address) -> io::Result<Socket> {
        let local = Address::unix(&stream.local_addr()?.into());
        Ok(Socket::new(Stream::new(stream), local, peer))
    }
}
