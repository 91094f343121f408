//! Sockets without a runtime: plain, and below a chain of layers that does no I/O itself.
//!
//! They wear the traits of async streams, so that they do the same work by the same code. A read blocks inside its poll;
//! only where a connection reads and writes at once, the sockets do not block, and `poll(2)` waits for both.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::poll_fn;
use futures::io::{AsyncRead, AsyncWrite};
use rustix::event::PollFlags;

use super::home::{Home, wait_for};
use super::{Layering, Result, Role};

/// Layers that take and give bytes and know of no socket.
pub(crate) trait Chain: Send + 'static {
    fn start(&mut self, role: Role) -> Result<()>;

    /// Whether the layer that was started last is up.
    fn is_ready(&mut self) -> io::Result<bool>;

    /// Begins to stop the innermost layer.
    fn stop(&mut self) -> Result<()>;

    /// Whether that layer is gone.
    fn is_stopped(&mut self) -> io::Result<bool>;

    /// Says goodbye on every layer, from the inside out.
    fn close(&mut self) -> io::Result<()>;

    /// Has `read` put bytes of the wire where they belong.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize>;

    /// What is to be sent.
    fn output(&mut self) -> &[u8];

    /// So much of that has been sent.
    fn sent(&mut self, count: usize);

    /// Takes what an application writes, as much as it has room for.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Gives what an application can read; 0 if there is nothing yet.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Gives back buffers that hold nothing.
    fn rest(&mut self) {}
}

/// Makes chains without layers.
pub(crate) trait MakesChains: Clone + Send + Sync + 'static {
    type Chain: Chain + Unpin;

    fn chain(&self) -> Self::Chain;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Blocking,
    Polling,
}

/// Plain TCP.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) mode: Mode,
}

impl Layering for Plain {
    type Stream = Socket;

    fn home(&self) -> Home {
        Home::Thread
    }

    fn clear(&self, socket: TcpStream) -> Result<Socket> {
        Ok(Socket::new(socket, self.mode)?)
    }

    async fn start(&self, _stream: Socket, _role: Role) -> Result<Socket> {
        Err("plain TCP has no layers".into())
    }
}

/// Chains over sockets.
#[derive(Clone, Debug)]
pub(crate) struct Blocking<M> {
    pub(crate) mode: Mode,
    pub(crate) chains: M,
}

impl<M: MakesChains> Layering for Blocking<M> {
    type Stream = Wire<M::Chain>;

    fn home(&self) -> Home {
        Home::Thread
    }

    fn clear(&self, socket: TcpStream) -> Result<Self::Stream> {
        Ok(Wire { socket: Socket::new(socket, self.mode)?, chain: self.chains.chain() })
    }

    async fn start(&self, mut stream: Self::Stream, role: Role) -> Result<Self::Stream> {
        stream.chain.start(role)?;
        poll_fn(|_| stream.poll_until(Chain::is_ready)).await?;
        Ok(stream)
    }

    async fn stop(&self, mut stream: Self::Stream) -> Result<Self::Stream> {
        stream.chain.stop()?;
        poll_fn(|_| stream.poll_until(Chain::is_stopped)).await?;
        Ok(stream)
    }

    fn rest(&self, stream: &mut Self::Stream) {
        stream.chain.rest();
    }
}

/// A TCP socket.
#[derive(Debug)]
pub(crate) struct Socket(Arc<TcpStream>);

impl Socket {
    fn new(socket: TcpStream, mode: Mode) -> io::Result<Self> {
        socket.set_nonblocking(mode == Mode::Polling)?;
        Ok(Self(Arc::new(socket)))
    }

    fn wait<T>(&self, result: io::Result<T>, flags: PollFlags) -> Poll<io::Result<T>> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for(&self.0, flags);
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.wait((&*self.0).read(buffer), PollFlags::IN)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wait((&*self.0).write(bytes), PollFlags::OUT)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(std::net::Shutdown::Write))
    }
}

/// A chain over a socket. What one write of the application has made goes out in one write of the socket.
#[derive(Debug)]
pub(crate) struct Wire<C> {
    socket: Socket,
    chain: C,
}

impl<C: Chain> Wire<C> {
    fn poll_send(&mut self) -> Poll<io::Result<()>> {
        loop {
            let output = self.chain.output();
            if output.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let result = (&*self.socket.0).write(output);
            let count = ready!(self.socket.wait(result, PollFlags::OUT))?;
            self.chain.sent(count);
        }
    }

    /// Sends what there is and takes what comes, once.
    fn poll_receive(&mut self) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(error)) = self.poll_send() {
            return Poll::Ready(Err(error));
        }
        let result = self.chain.fill(|space| (&*self.socket.0).read(space));
        self.socket.wait(result, PollFlags::IN)
    }

    fn poll_until(&mut self, is_done: fn(&mut C) -> io::Result<bool>) -> Poll<io::Result<()>> {
        while !is_done(&mut self.chain)? {
            if ready!(self.poll_receive())? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.poll_send()
    }
}

impl<C: Chain + Unpin> AsyncRead for Wire<C> {
    fn poll_read(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let count = self.chain.read(buffer)?;
            if count > 0 || ready!(self.poll_receive())? == 0 {
                return Poll::Ready(Ok(count));
            }
        }
    }
}

impl<C: Chain + Unpin> AsyncWrite for Wire<C> {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // What was written before leaves first, so that nothing piles up.
        ready!(self.poll_send())?;
        let count = self.chain.write(bytes)?;
        if let Poll::Ready(Err(error)) = self.poll_send() {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send()
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.chain.close()?;
        ready!(self.poll_send())?;
        Pin::new(&mut self.socket).poll_close(cx)
    }
}
