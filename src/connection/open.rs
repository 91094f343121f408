//! The verb: a layer is opened, and says what it has to say.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, Error, ErrorKind, LayerView};
use crate::driver::Half;
use crate::stack::{CommandErrorKind, LayerId, Opens};

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Opens a layer of any kind inside those that are there: puts it in, waits until it is ready and its part of that is sent,
    /// and returns what it has to say. [`start_tls`](Self::start_tls), [`accept_proxy_header`](Self::accept_proxy_header) and
    /// their like are names for it.
    ///
    /// | layer | ready when | facts |
    /// |---|---|---|
    /// | [`TlsLayer`](crate::tls::TlsLayer) | the handshake is done | [`TlsFacts`](crate::tls::TlsFacts) |
    /// | [`Negotiate`](crate::starttls::Negotiate) | the handshake behind the negotiation is done | [`TlsFacts`](crate::tls::TlsFacts) |
    /// | [`AcceptProxyHeader`](crate::layer::proxy_header::AcceptProxyHeader) | the header is there; it has left then | the header, if there is one |
    /// | [`SendProxyHeader`](crate::layer::proxy_header::SendProxyHeader) | the header is sent; it has left then | none |
    /// | [`Opening`](crate::layer::opening::Opening) of a negotiation | it is done, and the layer has left or become another that is ready | those of the negotiation, or of what it becomes |
    /// | [`Counter`](crate::layer::Counter) | at once | its [`Counts`](crate::layer::Counts), which go on |
    /// | [`Deflate`](crate::layer::Deflate), [`Throttle`](crate::layer::Throttle), [`IdleTimeout`](crate::layer::IdleTimeout), [`TrafficLog`](crate::layer::TrafficLog) | at once | none |
    ///
    /// One of your own says it by [`Opens`]. What was received and not yet read goes into the new layer, and what was written
    /// before leaves first, outside it ([`splice`](Self::splice)).
    ///
    /// ```
    /// use futures::io::{AsyncRead, AsyncWrite};
    /// use onionskin::Connection;
    /// use onionskin::connection::Error;
    /// use onionskin::layer::Counter;
    /// use onionskin::layer::proxy_header::AcceptProxyHeader;
    /// use onionskin::tls::TlsServer;
    ///
    /// async fn three_layers<IO>(mut conn: Connection<IO>, server: TlsServer) -> Result<(), Error>
    /// where
    ///     IO: AsyncRead + AsyncWrite + Unpin,
    /// {
    ///     let header = conn.open(AcceptProxyHeader::new()).await?;
    ///     let counts = conn.open(Counter::new()).await?;
    ///     let facts = conn.open(server.accept()?).await?;
    ///     println!("{header:?}: {facts} after {} bytes", counts.inbound());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`splice`](Self::splice), and then nothing was changed. When the layer fails, or passes its deadline: the connection
    /// is then lost, after the layer's last words (an alert) have been sent; unless the layer has been told to leave in that
    /// case ([`OnFailure::Peel`](crate::tls::OnFailure::Peel)), and then the error is
    /// [`Peeled`](ErrorKind::Peeled) and the connection goes on without it.
    ///
    /// # Cancellation
    ///
    /// Polled once, the layer is in its place and stays there, and what it does goes on when anything is polled: a handshake, a
    /// header that is waited for. Nothing is begun twice and no byte is lost. [`ready`](Self::ready) waits for it again, with
    /// the id from [`layers`](Self::layers). Whoever expects to be dropped has the id beforehand: `splice`, then `ready`, is all
    /// that this does. Dropped before it was polled, it has done nothing.
    pub async fn open<L: Opens>(&mut self, layer: L) -> Result<L::Facts, Error> {
        let id = self.splice(layer)?;
        // One that is ready as it is put in has nobody to wait for, and what was written before it is none of its concern.
        let opened = match self.view(id) {
            // It was whole before, so the layer has failed as it was put in.
            Some(_) if self.stack.lost().is_some() => return poll_fn(|cx| self.poll_loss(cx)).await,
            Some(opened) => {
                poll_fn(|cx| {
                    self.drive(Half::Writer, cx);
                    Poll::Ready(())
                })
                .await;
                opened
            }
            None => self.ready(id).await?,
        };
        opened.facts::<L>().cloned().ok_or_else(|| ErrorKind::OtherFacts(id, opened.name).into())
    }

    /// Waits until a layer is ready and its part of that is sent, and returns it as it is then. For one that has left as soon as
    /// it was ready, it is what it was; this tells of it once.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); when the layer was ready and has ended since, and when there is no such layer. When the layer asks
    /// something and nobody answers ([`Asks`](CommandErrorKind::Asks)): it stays, and so does its question, for
    /// [`asked`](Self::asked).
    ///
    /// # Cancellation
    ///
    /// As [`open`](Self::open).
    pub async fn ready(&mut self, id: LayerId) -> Result<LayerView, Error> {
        let mut opened = None;
        poll_fn(|cx| self.poll_ready(id, &mut opened, cx)).await
    }

    fn poll_ready(
        &mut self,
        id: LayerId,
        opened: &mut Option<LayerView>,
        cx: &Context<'_>,
    ) -> Poll<Result<LayerView, Error>> {
        if opened.is_none() {
            // Not further than that: with what comes next it may end.
            self.drive_until(Half::Reader, cx, |stack| stack.layer(id).is_none() || stack.opened(id).is_some());
            *opened = self.take_left(id).or_else(|| self.view(id));
        }
        if opened.is_some() {
            if !self.is_sent() {
                self.drive(Half::Reader, cx);
            }
            // Our last handshake message is what the peer waits for, and nobody may poll us again for long.
            let sent = self.is_sent() || self.stack.lost().is_some();
            return opened.take_if(|_| sent).map_or(Poll::Pending, |opened| Poll::Ready(Ok(opened)));
        }
        if self.stack.lost().is_some() {
            return self.poll_loss(cx);
        }
        if let Some(error) = self.take_failure(id) {
            return Poll::Ready(Err(error));
        }
        match self.stack.layer(id) {
            Some(layer) if layer.asks() => {
                Poll::Ready(Err(ErrorKind::Command(CommandErrorKind::Asks(id).into()).into()))
            }
            Some(_) => Poll::Pending,
            None if self.is_ended(id) => {
                Poll::Ready(Err(ErrorKind::Command(CommandErrorKind::Ended(id).into()).into()))
            }
            None => Poll::Ready(Err(self.no_such_layer(id))),
        }
    }

    /// One that has left when it was ready.
    pub(super) fn take_left(&mut self, id: LayerId) -> Option<LayerView> {
        let index = self.left.iter().position(|left| left.id == id)?;
        Some(self.left.remove(index))
    }

    /// One that is there and ready.
    fn view(&self, id: LayerId) -> Option<LayerView> {
        let layer = self.stack.layer(id)?;
        layer.opened(id).map(|_| LayerView::of(id, layer))
    }
}
