//! tonic's server: it wants to know something about each connection, and says what in a trait of its own.
//!
//! The client needs nothing of the kind: its connector returns `TokioIo::new(connection)`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use onionskin::Connection;
use onionskin::connection::Layers;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// A connection for tonic's server. A handler finds the layers, certificates and all, as
/// `request.extensions().get::<Layers>()`.
#[derive(Debug)]
pub(crate) struct TonicIo<IO>(pub(crate) Connection<IO>);

impl<IO> Connected for TonicIo<IO> {
    type ConnectInfo = Layers;

    fn connect_info(&self) -> Layers {
        self.0.layers()
    }
}

impl<IO> AsyncRead for TonicIo<IO>
where
    Connection<IO>: AsyncRead + Unpin,
{
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<IO> AsyncWrite for TonicIo<IO>
where
    Connection<IO>: AsyncWrite + Unpin,
{
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

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
