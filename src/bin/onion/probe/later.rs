//! A socket that is not there yet, to have the first words of a layer before there is anything to say them on.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

/// Collects what is written, until a real socket is attached.
///
/// Clones are the same socket. Whoever attaches one polls the reader again.
#[derive(Debug)]
pub(super) struct Later<IO>(Rc<RefCell<State<IO>>>);

#[derive(Debug)]
enum State<IO> {
    Collecting(Vec<u8>),
    Attached(IO),
    Detached,
}

impl<IO> Later<IO> {
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new(State::Collecting(Vec::new()))))
    }

    /// What was written so far.
    pub(super) fn collected(&self) -> Vec<u8> {
        match &*self.0.borrow() {
            State::Collecting(bytes) => bytes.clone(),
            State::Attached(_) | State::Detached => Vec::new(),
        }
    }

    /// Goes on over `io`, on which what was collected has been sent.
    pub(super) fn attach(&self, io: IO) {
        *self.0.borrow_mut() = State::Attached(io);
    }

    /// Takes the socket away again. From then on there is nothing to read and nowhere to write.
    pub(super) fn detach(&self) -> Option<IO> {
        match self.0.replace(State::Detached) {
            State::Attached(io) => Some(io),
            State::Collecting(_) | State::Detached => None,
        }
    }
}

impl<IO> Clone for Later<IO> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Later<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut *self.0.borrow_mut() {
            State::Collecting(_) => Poll::Pending,
            State::Attached(io) => Pin::new(io).poll_read(cx, buffer),
            State::Detached => Poll::Ready(Ok(0)),
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Later<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self.0.borrow_mut() {
            State::Collecting(collected) => {
                collected.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            State::Attached(io) => Pin::new(io).poll_write(cx, bytes),
            State::Detached => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.borrow_mut() {
            State::Attached(io) => Pin::new(io).poll_flush(cx),
            State::Collecting(_) | State::Detached => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.borrow_mut() {
            State::Attached(io) => Pin::new(io).poll_close(cx),
            State::Collecting(_) | State::Detached => Poll::Ready(Ok(())),
        }
    }
}
