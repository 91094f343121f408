//! STARTTLS in async code and in callbacks.

use futures::io::{AsyncRead, AsyncWrite};

use super::{Negotiate, StartTls};
use crate::Connection;
use crate::connection::{Error, ErrorKind};
use crate::protocol::{LayerId, Transport};
use crate::stack::{CommandError, LayerError};
use crate::tls::{TlsFacts, TlsLayer};

/// What came of [`start_tls_opportunistic`](Connection::start_tls_opportunistic).
#[derive(Clone, Debug)]
pub enum Opportunity {
    /// TLS is there.
    Tls(TlsFacts),
    /// There is none, for this reason, and everything from now on is in clear.
    Cleartext(LayerError),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Starts TLS as an application protocol does it, from the first byte of the connection: greets or waits for the
    /// greeting, asks or waits for the request, and does the handshake. A client does it if `tls` is one, else a server.
    ///
    /// TLS is required: see the [module](crate::starttls) for what that means.
    ///
    /// # Errors
    ///
    /// When the negotiation fails ([`starttls::Error::of`](super::Error::of) has the reason), and as
    /// [`start_tls`](Self::start_tls). The connection is lost then.
    ///
    /// # Cancellation
    ///
    /// As [`start_tls`](Self::start_tls).
    pub async fn start_tls_as(&mut self, protocol: impl StartTls, tls: TlsLayer) -> Result<TlsFacts, Error> {
        self.negotiate(Negotiate::new(protocol, tls)).await
    }

    /// As [`start_tls_as`](Self::start_tls_as), but goes on in clear if the server has no TLS or refuses it, or the client
    /// does not ask for it.
    ///
    /// That protects only from those who just listen: whoever can change what is sent can take the offer away.
    ///
    /// # Errors
    ///
    /// As [`start_tls_as`](Self::start_tls_as), for all other reasons.
    ///
    /// # Cancellation
    ///
    /// The negotiation goes on when anything is polled, and may end in clear.
    pub async fn start_tls_opportunistic(
        &mut self,
        protocol: impl StartTls,
        tls: TlsLayer,
    ) -> Result<Opportunity, Error> {
        let negotiated = self.negotiate(Negotiate::new(protocol, tls).opportunistic()).await;
        match negotiated {
            Ok(facts) => Ok(Opportunity::Tls(facts)),
            Err(error) => match error.kind() {
                ErrorKind::Peeled(_, error) if super::Error::of(error).is_some() => {
                    Ok(Opportunity::Cleartext(error.clone()))
                }
                _ => Err(error),
            },
        }
    }

    /// As [`start_tls_as`](Self::start_tls_as), with the options of [`Negotiate`], such as its timeout and its limit.
    ///
    /// # Errors
    ///
    /// As [`start_tls_as`](Self::start_tls_as); and when `negotiate` is one that starts no TLS
    /// ([`Negotiate::without_tls`], [`Negotiate::greeting`]): splice those.
    ///
    /// # Cancellation
    ///
    /// As [`start_tls`](Self::start_tls).
    pub async fn negotiate(&mut self, negotiate: Negotiate) -> Result<TlsFacts, Error> {
        self.open(negotiate).await
    }
}

impl Transport<'_> {
    /// Starts TLS as an application protocol does it, from the first byte of the connection; see
    /// [`Connection::start_tls_as`]. [`layer_ready`](crate::protocol::Protocol::layer_ready) follows when TLS is there.
    ///
    /// # Errors
    ///
    /// As [`Stack::splice`](crate::stack::Stack::splice). When the negotiation fails, the connection is lost.
    pub fn start_tls_as(&mut self, protocol: impl StartTls, tls: TlsLayer) -> Result<LayerId, CommandError> {
        self.open(Negotiate::new(protocol, tls))
    }
}
