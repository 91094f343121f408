//! Passing on without a copy.
//!
//! # The problem
//!
//! Whoever joins two connections reads from one and writes to the other. Where both have no layers, nobody looks at the bytes
//! on the way, and yet each is copied out of the system, through two stacks, and back. Linux moves them from socket to socket
//! itself (splice(2)), through a pipe.
//!
//! # The picture
//!
//! ```text
//!    sender ─▶ socket ─▶ [ its stack ] ───────────────────▶ [ its stack ] ─▶ socket ─▶ receiver
//!                   └───────────────────▶ [ pipe ] ───────────────────────────┘
//! ```
//!
//! # The rules
//!
//! - **Order.** What waits in the receiver's stack is sent first, then what is in the pipe, then what the sender's stack holds,
//!   and only then is more taken from the sender's socket. So nothing is ever overtaken, whoever of the two ways took it.
//! - **Only bytes go this way.** An end and a loss are told to the stack that they concern, which shows them in their place, as
//!   if it had read or written itself. Everything that there is to say of ends is said where it always was.
//! - **Only much goes this way.** Two calls and a pipe are worth it for tens of kilobytes and not for a line. How much a read had
//!   at once decides for the next one; so a connection that is idle, or has little to say, has no pipe.
//! - **Waiting is ordinary.** The sockets of some runtimes can be waited for only by reading and writing. When the receiver
//!   takes nothing more, its stack gets a few of the bytes to write and waits with them; when the sender has nothing more, its
//!   stack reads.
//! - **Refused is no failure.** Where the system does not do it for these two, bytes that are in the pipe are taken out and
//!   written, and everything goes the ordinary way from then on.

use std::any::Any;
use std::io;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, Error};
use crate::driver::Half;
use crate::runtime::{Pipe, Socket};
use crate::stack::Readable;

/// One direction between two connections, for whoever reads from one and writes to the other: where neither has a layer and both
/// are over TCP, Linux moves the bytes itself (zero-copy).
///
/// [`Connection::bridge`] and the command do it. It is asked before each read, told of each read, and has nothing to say of ends
/// and losses:
///
/// ```
/// use std::io;
/// use std::pin::Pin;
/// use std::task::{Context, Poll, ready};
///
/// use futures::io::{AsyncBufRead, AsyncWrite};
/// use onionskin::Connection;
/// use onionskin::connection::ZeroCopy;
/// use onionskin::runtime::Socket;
///
/// /// Is done when `from` has ended.
/// fn poll_way(
///     zero_copy: &mut ZeroCopy,
///     from: &mut Connection<Socket>,
///     to: &mut Connection<Socket>,
///     cx: &mut Context<'_>,
/// ) -> Poll<io::Result<()>> {
///     loop {
///         if ready!(zero_copy.poll_pass(from, to, cx))? > 0 {
///             continue;
///         }
///         let bytes = ready!(Pin::new(&mut *from).poll_fill_buf(cx))?;
///         if bytes.is_empty() {
///             return Poll::Ready(Ok(()));
///         }
///         let read = bytes.len();
///         let count = ready!(Pin::new(&mut *to).poll_write(cx, bytes))?;
///         Pin::new(&mut *from).consume(count);
///         zero_copy.has_read(read);
///     }
/// }
/// ```
///
/// While it [holds](Self::held) bytes, neither connection may be written to by anybody else, or get a layer: they stand between
/// the two. Dropped, it throws them away.
#[derive(Debug, Default)]
pub struct ZeroCopy {
    pace: Pace,
    /// While there are bytes in it.
    pipe: Option<Pipe>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pace {
    /// What came last was little, so the next is read.
    #[default]
    Little,
    /// It was much, so the next is moved.
    Much,
    /// The system does not move it.
    Refused,
}

impl ZeroCopy {
    /// The ordinary way, until much has been [read](Self::has_read) at once.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A read had so many bytes at once. If they are many, the next are moved.
    pub fn has_read(&mut self, count: usize) {
        if count >= MUCH && self.pace == Pace::Little {
            self.pace = Pace::Much;
        }
    }

    /// How many bytes have left the sender's connection and are not yet the receiver's.
    #[must_use]
    pub fn held(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::len)
    }

    /// Moves bytes from `from` to `to`, and returns how many have become the receiver's. With 0 there is nothing to be moved: read
    /// and write, which also tells of an end and of a loss. Pending while the receiver does not take what it was sent.
    ///
    /// # Errors
    ///
    /// When `to` is lost.
    pub fn poll_pass<A, B>(
        &mut self,
        from: &mut Connection<A>,
        to: &mut Connection<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Error>>
    where
        A: AsyncRead + AsyncWrite + Unpin + 'static,
        B: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        if self.pipe.is_none() {
            if self.pace != Pace::Much {
                return Poll::Ready(Ok(0));
            }
            if !(is_bare(from) && is_bare(to) && to.stack.check_writable().is_ok()) {
                self.pace = Pace::Little;
                return Poll::Ready(Ok(0));
            }
        }
        if !to.is_sent() {
            to.drive_until_sent(Half::Writer, cx);
            to.check_lost()?;
            if !to.is_sent() {
                self.read_ahead(from, cx);
                return Poll::Pending;
            }
        }
        if self.pipe.is_none() {
            // The ordinary read has nothing either, and waits.
            let _ = self.fill(from);
        }
        let passed = self.hand_on(to);
        self.pipe = self.pipe.take().filter(|pipe| pipe.len() > 0);
        Poll::Ready(passed)
    }

    /// Takes what the sender has. Whatever else there is to know of it, its stack tells.
    fn fill<A>(&mut self, from: &mut Connection<A>) -> Poll<()>
    where
        A: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        if !matches!(from.stack.readable(), Readable::Nothing) || from.stack.is_input_closed() {
            return Poll::Ready(());
        }
        let Some((mut pipe, socket)) = self.pipe.take().or_else(Pipe::obtain).zip(socket(from)) else {
            return Poll::Ready(());
        };
        let is_first = pipe.len() == 0;
        let filled = pipe.fill(socket);
        self.pipe = Some(pipe).filter(|pipe| pipe.len() > 0);
        match filled {
            Poll::Ready(Ok(count @ 1..)) if is_first && count < MUCH => self.pace = Pace::Little,
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Unsupported => self.pace = Pace::Refused,
            Poll::Ready(end) => {
                let now = from.wire.now();
                match end {
                    Ok(_) => from.stack.handle_eof(now),
                    Err(error) => from.stack.handle_error(now, error),
                }
                from.wakers.wake_other(Half::Reader);
            }
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// While the receiver takes nothing, a loss of the sender is to be noticed all the same; so some is taken from it, as a stack
    /// would, and then it is waited for.
    fn read_ahead<A>(&mut self, from: &mut Connection<A>, cx: &Context<'_>)
    where
        A: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        while self.pace == Pace::Much && self.held() < READ_AHEAD {
            let before = self.held();
            if self.fill(from).is_pending() {
                // It has nothing, or there is no room: what it reads stands behind what is in the pipe.
                let _ = from.poll_readable(cx);
                return;
            }
            if self.held() == before {
                return;
            }
        }
    }

    /// Hands on what was taken.
    fn hand_on<B>(&mut self, to: &mut Connection<B>) -> Result<usize, Error>
    where
        B: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let Some((pipe, socket)) = self.pipe.as_mut().zip(socket(to)) else { return Ok(0) };
        if self.pace == Pace::Refused {
            return write(pipe, to);
        }
        let error = match pipe.empty(socket) {
            Poll::Ready(Ok(count @ 1..)) => return Ok(count),
            Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::Unsupported => error,
            refused_or_full => {
                if refused_or_full.is_ready() {
                    self.pace = Pace::Refused;
                }
                return write(pipe, to);
            }
        };
        // None of it has a receiver any more.
        self.pipe = None;
        lose(to, error);
        to.check_lost().map(|()| 0)
    }
}

/// Has the receiver's stack write some of it: a few bytes to wait with, since a stack sends what it has when there is room.
fn write<B>(pipe: &mut Pipe, to: &mut Connection<B>) -> Result<usize, Error>
where
    B: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut space = [0; FEW];
    let room = to.stack.output_room().min(FEW);
    let count = match pipe.take(&mut space[..room]) {
        Ok(count) => count,
        // Nothing that comes later may take the place of what is in it.
        Err(error) => {
            lose(to, error);
            return to.check_lost().map(|()| 0);
        }
    };
    Ok(to.stack.write(to.wire.now(), &space[..count])?)
}

/// As when a write of the stack has failed: what the peer had said before is still to be read.
fn lose<B: 'static>(to: &mut Connection<B>, error: io::Error) {
    let mut space = [0; FEW];
    while to.stack.input_room() > 0 {
        let room = to.stack.input_room().min(FEW);
        let Some(socket) = socket(to) else { break };
        match Pipe::look(socket, &mut space[..room]) {
            Poll::Ready(Ok(count @ 1..)) => {
                to.stack.handle_input(to.wire.now(), &space[..count]);
            }
            // A reset is told once, and behind it stands what looks like an end.
            Poll::Ready(Ok(_)) if error.kind() == io::ErrorKind::BrokenPipe => {
                to.stack.handle_eof(to.wire.now());
                break;
            }
            Poll::Ready(_) | Poll::Pending => break,
        }
    }
    to.stack.handle_error(to.wire.now(), error);
    to.wakers.wake_other(Half::Writer);
}

/// Whether nobody looks at its bytes, and they come from a socket of the system's.
fn is_bare<IO: 'static>(connection: &Connection<IO>) -> bool {
    let io: &dyn Any = &connection.wire.io;
    connection.stack.depth() == 0 && io.downcast_ref().is_some_and(Socket::is_of_system)
}

fn socket<IO: 'static>(connection: &mut Connection<IO>) -> Option<&mut Socket> {
    let io: &mut dyn Any = &mut connection.wire.io;
    io.downcast_mut()
}

/// So many bytes at once are worth two calls and a pipe.
const MUCH: usize = 16 * 1024;

/// So many are taken from a sender whose receiver takes nothing.
const READ_AHEAD: usize = 64 * 1024;

/// So many wait in a stack for room in the socket.
const FEW: usize = 4096;

#[cfg(all(test, target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio")))]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::sync::Arc;

    use futures::future::poll_fn;
    use futures::io::AsyncWriteExt;

    use super::*;
    use crate::runtime::{self, block_on, tcp_pair};

    #[test]
    fn what_is_in_the_pipe_when_the_system_refuses_is_written() {
        for &runtime in runtime::all() {
            let connection = |socket| Connection::with_timer(socket, Arc::new(runtime));
            let ((mut sender, from), (mut receiver, to)) = (tcp_pair(runtime).unwrap(), tcp_pair(runtime).unwrap());
            let (mut from, mut to) = (connection(from), connection(to));
            let bytes: Vec<u8> = (0..100_000_u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
            sender.write_all(&bytes).unwrap();
            let mut zero_copy = ZeroCopy::new();
            zero_copy.has_read(MUCH);
            assert!(zero_copy.fill(&mut from).is_ready());
            let taken = zero_copy.held();
            assert!(taken > FEW, "control: the system would do it");
            zero_copy.pace = Pace::Refused;
            let mut written = 0;
            while zero_copy.held() > 0 {
                written += block_on(runtime, poll_fn(|cx| zero_copy.poll_pass(&mut from, &mut to, cx))).unwrap();
            }
            assert_eq!(written, taken);
            // From then on there is nothing to it.
            zero_copy.has_read(MUCH);
            let passed = block_on(runtime, poll_fn(|cx| zero_copy.poll_pass(&mut from, &mut to, cx))).unwrap();
            assert_eq!(passed, 0);
            block_on(runtime, to.close()).unwrap();
            receiver.shutdown(Shutdown::Write).unwrap();
            let mut received = Vec::new();
            receiver.read_to_end(&mut received).unwrap();
            assert!(received == bytes[..taken]);
        }
    }
}
