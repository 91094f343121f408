//! The runtime of the feature `smol`.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt, LocalBoxFuture};
use smol::Async;

#[cfg(unix)]
use super::Address;
use super::adapted::{Adapted, Incomplete, flush_and_shut_down};
use super::deadlines::Sleep;
use super::{Accept, ListeningSocket, Runtime, Socket, TcpOptions, Timer, listen, some_address, tcp_open};

/// smol: its global executor, on one thread unless `SMOL_THREADS` says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Timer for Smol {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        match Sleep::until(deadline) {
            Some(sleep) => Box::pin(sleep),
            None => Box::pin(smol::Timer::at(deadline).map(drop)),
        }
    }
}

impl super::sealed::Sealed for Smol {}

impl Runtime for Smol {
    fn name(&self) -> &'static str {
        "smol"
    }

    fn connect_tcp_with(&self, to: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<Socket>> {
        Box::pin(async move {
            let stream = tcp_open::connecting(to, &options)?;
            let is_settled = tcp_open::is_settled(&stream, to);
            let stream = Async::new_nonblocking(stream)?;
            if !is_settled {
                stream.writable().await?;
            }
            tcp_open::connected(&(&stream).into())?;
            tcp_socket(stream, to)
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

    fn adopt_tcp(&self, stream: TcpStream) -> io::Result<Socket> {
        let peer = stream.peer_addr()?;
        tcp_socket(Async::new(stream)?, peer)
    }

    fn adopt_tcp_listener(&self, listener: TcpListener) -> io::Result<ListeningSocket> {
        tcp_listener(listener)
    }

    #[cfg(unix)]
    fn adopt_unix(&self, stream: std::os::unix::net::UnixStream) -> io::Result<Socket> {
        let peer = Address::unix(&stream.peer_addr()?);
        unix::socket(Async::new(stream)?, peer)
    }

    #[cfg(unix)]
    fn adopt_unix_listener(&self, listener: std::os::unix::net::UnixListener) -> io::Result<ListeningSocket> {
        let local = Address::unix(&listener.local_addr()?);
        unix::listener(listener, local, None)
    }

    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        Box::pin(smol::unblock(move || {
            let found = (host.as_str(), port).to_socket_addrs()?;
            some_address(&host, found)
        }))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        smol::spawn(task).detach();
    }

    fn block_on(&self, future: LocalBoxFuture<'_, ()>) {
        smol::block_on(future);
    }
}

impl Accept for Async<TcpListener> {
    fn accept(&self) -> BoxFuture<'_, io::Result<Socket>> {
        Box::pin(async move {
            let (stream, peer) = self.accept().await?;
            tcp_socket(stream, peer)
        })
    }
}

fn tcp_listener(listener: TcpListener) -> io::Result<ListeningSocket> {
    let local = listener.local_addr()?;
    Ok(ListeningSocket::new(Async::new(listener)?, local.into()))
}

fn tcp_socket(stream: Async<TcpStream>, peer: SocketAddr) -> io::Result<Socket> {
    stream.get_ref().set_nodelay(true)?;
    let local = stream.get_ref().local_addr()?;
    Ok(Socket::over_tcp(Adapted(stream), local, peer))
}

impl Incomplete for Async<TcpStream> {
    type Stream = Self;

    fn stream(&mut self) -> &mut Self {
        self
    }

    fn close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        flush_and_shut_down(self, cx, |stream| stream.get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Adapted<Async<TcpStream>> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;

    use super::listen::SocketFile;
    use super::*;

    pub(super) async fn connect(to: PathBuf) -> io::Result<Socket> {
        socket(Async::<UnixStream>::connect(&to).await?, Address::Unix(Some(to)))
    }

    pub(super) fn listen(at: PathBuf) -> io::Result<ListeningSocket> {
        let (listener, file) = listen::bind_unix(&at)?;
        self::listener(listener, Address::Unix(Some(at)), Some(file))
    }

    /// `file` is the one to remove in the end.
    pub(super) fn listener(
        listener: UnixListener,
        local: Address,
        file: Option<SocketFile>,
    ) -> io::Result<ListeningSocket> {
        let acceptor = Acceptor { listener: Async::new(listener)?, _file: file };
        Ok(ListeningSocket::new(acceptor, local))
    }

    #[derive(Debug)]
    struct Acceptor {
        listener: Async<UnixListener>,
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

    pub(super) fn socket(stream: Async<UnixStream>, peer: Address) -> io::Result<Socket> {
        let local = Address::unix(&stream.get_ref().local_addr()?);
        Ok(Socket::new(Adapted(stream), local, peer))
    }

    impl Incomplete for Async<UnixStream> {
        type Stream = Self;

        fn stream(&mut self) -> &mut Self {
            self
        }

        fn close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            flush_and_shut_down(self, cx, |stream| stream.get_ref().shutdown(Shutdown::Write))
        }
    }
}
