//! Starting TLS, and what can be done with a TLS layer while it lives.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, Error, ErrorKind};
use crate::driver::Half;
use crate::stack::{CommandErrorKind, Departure, LayerId};
use crate::tls::{TlsFacts, TlsLayer};

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// [Opens](Self::open) TLS inside whatever layers are there: returns when the handshake is done and our part of it sent.
    ///
    /// Bytes that were received and not yet read go into the new layer: if the peer had put plaintext behind the line
    /// that announced TLS, the handshake fails. What was written before leaves before the handshake, outside it.
    ///
    /// # Errors
    ///
    /// When the stack takes no further layer; when the handshake fails or passes its deadline. The connection is then
    /// lost, after the alert has been sent, unless the layer was made with
    /// [`OnFailure::Peel`](crate::tls::OnFailure::Peel). [`Error`] tells a peer that speaks plaintext from one that has
    /// another name.
    ///
    /// # Cancellation
    ///
    /// As [`open`](Self::open).
    pub async fn start_tls(&mut self, layer: TlsLayer) -> Result<TlsFacts, Error> {
        self.open(layer).await
    }

    /// What is known of a TLS layer.
    pub fn tls_facts(&self, id: LayerId) -> Option<TlsFacts> {
        self.stack.layer_as::<TlsLayer>(id).map(|layer| layer.facts(id))
    }

    /// Has new keys made for both directions of a TLS 1.3 layer (RFC 8446 section 4.6.3), and waits until the request
    /// is sent. Keys that have sealed nothing yet are not changed again, and where only the peer sends data, requests may be
    /// merged: see [`TlsLayer::request_key_update`].
    ///
    /// # Errors
    ///
    /// When the layer does not speak TLS 1.3, is not ready, or is closed for writing.
    pub async fn update_keys(&mut self, id: LayerId) -> Result<(), Error> {
        let now = self.wire.now();
        self.stack
            .with_layer(now, id, TlsLayer::request_key_update)?
            .map_err(|error| ErrorKind::Command(CommandErrorKind::Refused(id, error).into()))?;
        poll_fn(|cx| self.poll_flushed(Half::Reader, cx)).await?;
        // On a lost connection it was not written at all.
        self.check_lost()
    }

    /// Waits for a loss, and then until what layers have to say to it, an alert, has had its chance to leave; `drive` has a
    /// deadline for that.
    pub(super) fn poll_loss<T>(&mut self, cx: &Context<'_>) -> Poll<Result<T, Error>> {
        let Err(lost) = self.check_lost() else { return Poll::Pending };
        let _ = ready!(self.poll_flushed(Half::Reader, cx));
        Poll::Ready(Err(lost))
    }

    /// The failure for which a layer was peeled. Whoever hears of it continues below it.
    pub(super) fn take_failure(&mut self, id: LayerId) -> Option<Error> {
        let Departure::Failed(error) = self.stack.departure(id)?.clone() else { return None };
        // Nothing was delivered by a layer that never was ready, so its end is next to read.
        self.line_search.restart();
        let _ = self.stack.pass_end(self.wire.now());
        Some(ErrorKind::Peeled(id, error).into())
    }

    pub(super) fn no_such_layer(&self, id: LayerId) -> Error {
        ErrorKind::Command(CommandErrorKind::NoSuchLayer(id).into()).into()
    }
}
