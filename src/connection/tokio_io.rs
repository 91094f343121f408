//! `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of tokio: the same connection for crates that ask for these.
//!
//! They are traits and no runtime. Each call does what that of the other family does, and any executor may make it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};

use super::Connection;
use crate::driver::Half;
use crate::runtime::tokio_io;
use crate::stack::COPY_CHUNK;

impl<IO: AsyncRead + AsyncWrite + Unpin> tokio_io::AsyncRead for Connection<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio_io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(bytes) = ready!(this.poll_readable(cx))? else { return Poll::Ready(Ok(())) };
        let count = bytes.len().min(buffer.remaining());
        bytes[..count].chunks(COPY_CHUNK).for_each(|part| buffer.put_slice(part));
        this.take(count);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> tokio_io::AsyncBufRead for Connection<IO> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let bytes = ready!(self.get_mut().poll_readable(cx))?;
        Poll::Ready(Ok(bytes.unwrap_or_default()))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().take(count);
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> tokio_io::AsyncWrite for Connection<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_put(bytes, cx).map_err(io::Error::from)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_put_vectored(slices, cx).map_err(io::Error::from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flushed(Half::Writer, cx).map_err(io::Error::from)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(self, cx)
    }
}
