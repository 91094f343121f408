//! The runtime of the feature `async-std`.
//!
//! async-std is discontinued (RUSTSEC-2025-0052). This file is all that has to go with it.

use std::io;
use std::net::{self, Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Instant;

use async_io::Async;
use async_std::net::{TcpListener, TcpStream, ToSocketAddrs};
use async_std::task;
use futures::future::{BoxFuture, LocalBoxFuture};

#[cfg(unix)]
use super::Address;
use super::adapted::{Adapted, Incomplete, flush_and_shut_down};
use super::deadlines::Sleep;
use super::{Accept, ListeningSocket, Runtime, Socket, TcpOptions, Timer, listen, some_address, tcp_open};

/// async-std: its global executor, which starts with the first task.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Timer for AsyncStd {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        match Sleep::until(deadline) {
            Some(sleep) => Box::pin(sleep),
            None => Box::pin(task::sleep(deadline.saturating_duration_since(Instant::now()))),
        }
    }
}

impl super::sealed::Sealed for AsyncStd {}

impl Runtime for AsyncStd {
    fn name(&self) -> &'static str {
        "async-std"
    }

    fn connect_tcp_with(&self, to: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<Socket>> {
        Box::pin(async move {
            let stream = tcp_open::connecting(to, &options)?;
            if tcp_open::is_settled(&stream, to) {
                tcp_open::connected(&(&stream).into())?;
                return tcp_socket(stream.into(), to);
            }
            // async-std waits with this too, and has no way to wait for a socket that is not connected yet.
            let stream = Async::new_nonblocking(stream)?;
            stream.writable().await?;
            tcp_open::connected(&(&stream).into())?;
            tcp_socket(stream.into_inner()?.into(), to)
        })
    }

    fn listen_tcp_with(&self, at: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<ListeningSocket>> {
        Box::pin(async move { tcp_listener(listen::bind_tcp(at, &options)?) })
    }

    #[cfg(unix)]
    fn connect_unix(&self, to: std::path::PathBuf) -> BoxFuture<'static, io::Result<Socket>> {
        Box::pin(unix::connect(to))
    }

    #[cfg(unix)]
    fn listen_unix(&self, at: std::path::PathBuf) -> BoxFuture<'static, io::Result<ListeningSocket>> {
        Box::pin(async move { unix::listen(at) })
    }

    fn adopt_tcp(&self, stream: net::TcpStream) -> io::Result<Socket> {
        let peer = stream.peer_addr()?;
        tcp_socket(stream.into(), peer)
    }

    fn adopt_tcp_listener(&self, listener: net::TcpListener) -> io::Result<ListeningSocket> {
        tcp_listener(listener)
    }

    #[cfg(unix)]
    fn adopt_unix(&self, stream: std::os::unix::net::UnixStream) -> io::Result<Socket> {
        let peer = Address::unix(&stream.peer_addr()?);
        unix::socket(stream.into(), peer)
    }

    #[cfg(unix)]
    fn adopt_unix_listener(&self, listener: std::os::unix::net::UnixListener) -> io::Result<ListeningSocket> {
        let local = Address::unix(&listener.local_addr()?);
        Ok(unix::listener(listener, local, None))
    }

    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = (host.as_str(), port).to_socket_addrs().await.map_err(said_by_the_system)?;
            some_address(&host, found)
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        task::spawn(task);
    }

    fn block_on(&self, future: LocalBoxFuture<'_, ()>) {
        task::block_on(future);
    }
}

/// What the system said: async-std puts a message of its own around it, which does not say why.
fn said_by_the_system(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|wrapping| wrapping.source()) {
        Some(cause) => io::Error::new(error.kind(), cause.to_string()),
        None => error,
    }
}

impl Accept for TcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Socket>> {
        Box::pin(async move {
            let (stream, peer) = self.accept().await?;
            tcp_socket(stream, peer)
        })
    }
}

fn tcp_listener(listener: net::TcpListener) -> io::Result<ListeningSocket> {
    let local = listener.local_addr()?;
    Ok(ListeningSocket::new(TcpListener::from(listener), local.into()))
}

fn tcp_socket(stream: TcpStream, peer: SocketAddr) -> io::Result<Socket> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    Ok(Socket::over_tcp(Adapted(stream), local, peer))
}

impl Incomplete for TcpStream {
    type Stream = Self;

    fn stream(&mut self) -> &mut Self {
        self
    }

    fn close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        flush_and_shut_down(self, cx, |stream| stream.shutdown(Shutdown::Write))
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Adapted<TcpStream> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(unix)]
mod unix {
    use std::io::{IoSlice, Write};
    use std::os::unix::net::{UnixListener as DirectListener, UnixStream as DirectStream};
    use std::path::PathBuf;
    use std::pin::Pin;

    use async_std::os::unix::net::{UnixListener, UnixStream};
    use futures::io::AsyncWrite;

    use super::listen::SocketFile;
    use super::*;

    pub(super) async fn connect(to: PathBuf) -> io::Result<Socket> {
        socket(UnixStream::connect(&to).await?, Address::Unix(Some(to)))
    }

    pub(super) fn listen(at: PathBuf) -> io::Result<ListeningSocket> {
        let (listener, file) = listen::bind_unix(&at)?;
        Ok(self::listener(listener, Address::Unix(Some(at)), Some(file)))
    }

    /// `file` is the one to remove in the end.
    pub(super) fn listener(listener: DirectListener, local: Address, file: Option<SocketFile>) -> ListeningSocket {
        ListeningSocket::new(Acceptor { listener: listener.into(), _file: file }, local)
    }

    #[derive(Debug)]
    struct Acceptor {
        listener: UnixListener,
        _file: Option<SocketFile>,
    }

    impl Accept for Acceptor {
        fn accept(&self) -> BoxFuture<'_, io::Result<Socket>> {
            Box::pin(async move {
                let (stream, peer) = self.listener.accept().await?;
                socket(stream, Address::unix(&peer))
            })
        }
    }

    pub(super) fn socket(stream: UnixStream, peer: Address) -> io::Result<Socket> {
        let local = Address::unix(&stream.local_addr()?);
        let stream = VectoredStream::new(stream)?;
        Ok(Socket::new(Adapted(stream), local, peer))
    }

    /// Adds vectored writes, which async-std has for TCP only.
    ///
    /// They go through a second descriptor of the same socket; waiting stays with async-std.
    #[derive(Debug)]
    struct VectoredStream {
        stream: UnixStream,
        direct: DirectStream,
    }

    impl VectoredStream {
        fn new(stream: UnixStream) -> io::Result<Self> {
            // The conversion is async-std's only way to the standard type without `unsafe`. It
            // leaves non-blocking mode; the conversion back enters it, for both descriptors.
            let direct = DirectStream::try_from(stream)?;
            let stream = UnixStream::from(direct.try_clone()?);
            Ok(Self { stream, direct })
        }
    }

    impl Incomplete for VectoredStream {
        type Stream = UnixStream;

        fn stream(&mut self) -> &mut UnixStream {
            &mut self.stream
        }

        fn write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            match self.direct.write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            // The socket is full: a plain write of the first slice is what registers the waker.
            let first = slices.iter().find(|slice| !slice.is_empty());
            Pin::new(&mut self.stream).poll_write(cx, first.map_or(&[], |slice| slice))
        }

        fn close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            flush_and_shut_down(&mut self.stream, cx, |stream| stream.shutdown(Shutdown::Write))
        }
    }
}
