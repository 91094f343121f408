//! tokio-postgres: TLS of ours in its hook, `MakeTlsConnect`.
//!
//! It asks the server for TLS itself (SSLRequest), opens the socket itself if it is to, and calls the hook when the
//! server has said yes.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::tls::{ConfigError, TlsClient, TlsLayer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// What `Config::connect` takes for TLS.
#[derive(Clone, Debug)]
pub(crate) struct PostgresTls(pub(crate) TlsClient);

impl<S> MakeTlsConnect<S> for PostgresTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = PostgresStream<S>;
    type TlsConnect = PostgresConnect;
    type Error = ConfigError;

    fn make_tls_connect(&mut self, name: &str) -> Result<PostgresConnect, ConfigError> {
        Ok(PostgresConnect(self.0.to(name)?))
    }
}

/// TLS for one connection: what `Config::connect_raw` takes.
#[derive(Debug)]
pub(crate) struct PostgresConnect(pub(crate) TlsLayer);

impl<S> TlsConnect<S> for PostgresConnect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = PostgresStream<S>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<PostgresStream<S>, Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let mut conn = Connection::new(TokioAsyncReadCompatExt::compat(stream));
            conn.start_tls(self.0).await?;
            Ok(PostgresStream(conn))
        })
    }
}

/// The connection inside TLS.
#[derive(Debug)]
pub(crate) struct PostgresStream<S>(Connection<Compat<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for PostgresStream<S> {
    /// None, so `channel_binding=require` fails. `tls-server-end-point` (RFC 5929 section 4.1) would be the hash of the
    /// first of `TlsFacts::peer_certificates`, with the hash function of its signature.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for PostgresStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PostgresStream<S> {
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
