//! The I/O traits of hyper over those of `futures`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncBufRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

/// A connection for hyper, as a client or as a server; or whatever else has the traits of `futures`.
///
/// Reads are copied once, out of the connection's own buffer, and a body is written as it lies there, next to its head. An end without
/// a close_notify is an error of the read, as it is of the connection.
#[derive(Debug)]
pub struct HyperIo<C>(pub C);

impl<C: AsyncBufRead + Unpin> Read for HyperIo<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut conn = Pin::new(&mut self.0);
        let bytes = ready!(conn.as_mut().poll_fill_buf(cx))?;
        let count = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes[..count]);
        conn.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncWrite + Unpin> Write for HyperIo<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    /// Else hyper copies each body into one buffer with its head.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
