//! What the streams of a runtime leave out, added by one adapter:
//!
//! | stream | what it leaves out |
//! |---|---|
//! | async-std, smol | to shut down the write side: closing only flushes, and without more the peer would wait for an end of file until the whole socket is dropped |
//! | async-std, over a Unix socket | vectored writes |

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

/// A stream of a runtime, and how it does what it leaves out.
pub(super) trait Incomplete: Unpin {
    /// What reads, writes and waits.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    fn stream(&mut self) -> &mut Self::Stream;

    fn write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(self.stream()).poll_write_vectored(cx, slices)
    }

    /// Shuts the write side down, behind all that was written.
    fn close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// The whole stream.
#[derive(Debug)]
pub(super) struct Adapted<S>(pub(super) S);

impl<S: Incomplete> AsyncRead for Adapted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.0.stream()).poll_read(cx, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.0.stream()).poll_read_vectored(cx, buffers)
    }
}

impl<S: Incomplete> AsyncWrite for Adapted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.0.stream()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.stream()).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.close(cx)
    }
}

/// [`Incomplete::close`] for a stream that only flushes when it is closed.
pub(super) fn flush_and_shut_down<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    shut_down: impl FnOnce(&S) -> io::Result<()>,
) -> Poll<io::Result<()>> {
    std::task::ready!(Pin::new(&mut *stream).poll_flush(cx))?;
    Poll::Ready(match shut_down(stream) {
        // The peer has reset the connection, so that its write side is closed already.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    })
}
