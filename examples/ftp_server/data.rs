//! Data connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy, sink};
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::layer::IdleTimeout;
use onionskin::runtime::{ListeningSocket, Runtime, Socket};
use onionskin::tls::TlsLayer;

/// Where a data connection comes to be.
pub(crate) enum Rendezvous {
    Here(ListeningSocket),
    There(SocketAddr),
}

impl Rendezvous {
    /// Sends all of `content` to `peer`, under TLS if there is a layer for it.
    pub(crate) async fn send(
        self,
        runtime: &dyn Runtime,
        peer: IpAddr,
        tls: Option<TlsLayer>,
        content: impl AsyncRead + Unpin,
    ) -> io::Result<()> {
        let socket = within(runtime, TO_MEET, self.meet(runtime, peer)).await?;
        let mut data = Connection::new(socket);
        data.open(IdleTimeout::new(TO_READ)).await?;
        if let Some(tls) = tls {
            data.start_tls(tls).await?;
        }
        copy(content, &mut data).await?;
        match data.close().await {
            // Many clients leave when they have read our close_notify, without one of their own. All of it has been sent.
            Err(error) if Error::of(&error).is_some_and(Error::is_truncated) => return Ok(()),
            closed => closed?,
        }
        // What the client still says must be read: a system that closes a socket with bytes in it resets the connection,
        // and with it the end of the file.
        let farewell = async { copy((&mut data).take(MAX_FAREWELL), &mut sink()).await };
        let _ = within(runtime, TO_PART, farewell).await;
        Ok(())
    }

    async fn meet(self, runtime: &dyn Runtime, peer: IpAddr) -> io::Result<Socket> {
        let listener = match self {
            Self::There(address) => return runtime.connect_tcp(address).await,
            Self::Here(listener) => listener,
        };
        loop {
            let socket = listener.accept().await?;
            // Somebody else may have guessed the port.
            if socket.peer_address().as_tcp().is_some_and(|address| address.ip() == peer) {
                return Ok(socket);
            }
        }
    }
}

/// Does something, but not for longer than this.
pub(crate) async fn within<T>(
    runtime: &dyn Runtime,
    time: Duration,
    action: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match select(pin!(action), runtime.sleep_until(runtime.now() + time)).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client took too long")),
    }
}

const TO_MEET: Duration = Duration::from_secs(30);

const TO_READ: Duration = Duration::from_secs(60);

const TO_PART: Duration = Duration::from_secs(2);

const MAX_FAREWELL: u64 = 64 * 1024;
