//! The PROXY protocol at the front of a connection.

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, Error};
use crate::layer::proxy_header::{AcceptProxyHeader, ProxyHeader, SendProxyHeader};

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Sends a PROXY header, behind what was written before, and waits until it is sent.
    ///
    /// # Errors
    ///
    /// As [`splice`](Self::splice), and when the connection is lost.
    ///
    /// # Cancellation
    ///
    /// The header is sent all the same, when anything is polled.
    pub async fn send_proxy_header(&mut self, header: &ProxyHeader) -> Result<(), Error> {
        self.open(SendProxyHeader::new(header)).await
    }

    /// Takes a PROXY header from the front of what the peer sends. There is none only if that was
    /// [`optional`](AcceptProxyHeader::optional). What stands behind it, also in the same segment, is read next, or goes into
    /// the layer that is started next.
    ///
    /// Accept it only from a proxy that you know: whoever may send a header may claim any address.
    ///
    /// ```
    /// use futures::io::{AsyncRead, AsyncWrite};
    /// use onionskin::Connection;
    /// use onionskin::connection::Error;
    /// use onionskin::layer::proxy_header::AcceptProxyHeader;
    /// use onionskin::tls::TlsServer;
    ///
    /// async fn behind_a_proxy<IO>(mut conn: Connection<IO>, server: TlsServer) -> Result<(), Error>
    /// where
    ///     IO: AsyncRead + AsyncWrite + Unpin,
    /// {
    ///     let header = conn.accept_proxy_header(AcceptProxyHeader::new()).await?;
    ///     let client = header.and_then(|header| header.source());
    ///     let facts = conn.start_tls(server.accept()?).await?;
    ///     println!("{client:?}: {facts}");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`splice`](Self::splice), and those of [`AcceptProxyHeader`], with which the connection is lost.
    ///
    /// # Cancellation
    ///
    /// The layer stays and waits for the header when anything is polled. [`AcceptProxyHeader::received`], asked before, has
    /// it then.
    pub async fn accept_proxy_header(&mut self, accept: AcceptProxyHeader) -> Result<Option<ProxyHeader>, Error> {
        self.open(accept).await
    }
}
