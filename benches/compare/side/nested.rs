//! futures-rustls and tokio-rustls, a stream around a stream around a stream.
//!
//! Each layer is boxed, since the depth is known only when the program runs.

use std::net::TcpStream;
use std::pin::Pin;

use futures::io::{AsyncRead, AsyncWrite};
use onionskin::runtime::{AsyncStd, Tokio};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::tls::{check, server_name};
use super::{Configuration, Home, Layering, Result, Role};

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

pub(crate) trait TokioDuplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send> TokioDuplex for T {}

#[derive(Clone)]
pub(crate) struct FuturesRustls {
    connector: futures_rustls::TlsConnector,
    acceptor: futures_rustls::TlsAcceptor,
}

impl FuturesRustls {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        Self { connector: configuration.client.clone().into(), acceptor: configuration.server.clone().into() }
    }
}

impl Layering for FuturesRustls {
    type Stream = Pin<Box<dyn Duplex>>;

    fn home(&self) -> Home {
        Home::Runtime(&AsyncStd)
    }

    fn clear(&self, socket: TcpStream) -> Result<Self::Stream> {
        Ok(Box::pin(async_std::net::TcpStream::from(socket)))
    }

    async fn start(&self, stream: Self::Stream, role: Role) -> Result<Self::Stream> {
        if role == Role::Server {
            let stream = self.acceptor.accept(stream).await?;
            check(stream.get_ref().1)?;
            return Ok(Box::pin(stream));
        }
        let stream = self.connector.connect(server_name()?, stream).await?;
        check(stream.get_ref().1)?;
        Ok(Box::pin(stream))
    }
}

#[derive(Clone)]
pub(crate) struct TokioRustls {
    connector: tokio_rustls::TlsConnector,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl TokioRustls {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        Self { connector: configuration.client.clone().into(), acceptor: configuration.server.clone().into() }
    }
}

impl Layering for TokioRustls {
    /// The adapter is around the innermost stream alone; between the layers stand tokio's own traits.
    type Stream = Compat<Pin<Box<dyn TokioDuplex>>>;

    fn home(&self) -> Home {
        Home::Runtime(&Tokio)
    }

    fn clear(&self, socket: TcpStream) -> Result<Self::Stream> {
        socket.set_nonblocking(true)?;
        let boxed: Pin<Box<dyn TokioDuplex>> = Box::pin(tokio::net::TcpStream::from_std(socket)?);
        Ok(boxed.compat())
    }

    async fn start(&self, stream: Self::Stream, role: Role) -> Result<Self::Stream> {
        let stream = stream.into_inner();
        let boxed: Pin<Box<dyn TokioDuplex>> = if role == Role::Server {
            let stream = self.acceptor.accept(stream).await?;
            check(stream.get_ref().1)?;
            Box::pin(stream)
        } else {
            let stream = self.connector.connect(server_name()?, stream).await?;
            check(stream.get_ref().1)?;
            Box::pin(stream)
        };
        Ok(boxed.compat())
    }
}
