//! Stopping a layer.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, Error, ErrorKind};
use crate::driver::Half;
use crate::stack::{CommandErrorKind, Departure, End, LayerId, PeerAnswer, Readable, Stop};

/// How a stop went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// The layer that is gone.
    pub layer: LayerId,
    /// How the peer took its part.
    pub answer: PeerAnswer,
    /// What had come through the layer and was not yet read. Later reads see only what the layer below delivers.
    pub late: Vec<u8>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Stops the innermost layer that ends by an exchange with its peer, and waits until it is gone and our part of that sent;
    /// the socket and the layers below stay as they are. TLS ends by a close_notify on each side (RFC 8446 section 6.1),
    /// [`Deflate`](crate::layer::Deflate) by a final block. If the peer has stopped it already, this answers, and continues
    /// below. Layers that merely look or count have no such end, and are passed over: [`remove`](Self::remove) takes them out.
    ///
    /// # Errors
    ///
    /// When there is no layer to stop; when the connection is lost because the peer did not answer, or answered with
    /// something else.
    ///
    /// # Cancellation
    ///
    /// The stop goes on when anything is polled. Reads return 0 where the layer ends, until this is called again,
    /// which then joins the first stop.
    pub async fn stop(&mut self) -> Result<Stopped, Error> {
        self.stop_with(Stop::new()).await
    }

    /// Another name for [`stop`](Self::stop), for code in which the layer is TLS.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    ///
    /// # Cancellation
    ///
    /// As [`stop`](Self::stop).
    pub async fn stop_tls(&mut self) -> Result<Stopped, Error> {
        self.stop().await
    }

    /// As [`stop`](Self::stop), with options.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop); and when the layer refuses to be abandoned.
    ///
    /// # Cancellation
    ///
    /// As [`stop`](Self::stop).
    pub async fn stop_with(&mut self, stop: Stop) -> Result<Stopped, Error> {
        let id = self.begin_stop(stop)?;
        poll_fn(|cx| self.poll_stopped(id, cx)).await
    }

    /// Orders the stop of the innermost layer that can be stopped, without sending anything yet. What is written next waits
    /// below it, or leaves right behind its close_notify if the options say so. Complete it with [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// As [`stop_with`](Self::stop_with).
    pub fn begin_stop(&mut self, stop: Stop) -> Result<LayerId, Error> {
        // One that is gone is read before one that is only about to go.
        if let Some(id) = self.stack.peeled_ahead().or_else(|| self.stack.ended_by_itself()) {
            return Ok(id);
        }
        let id = self.innermost()?;
        self.stack.stop(self.wire.now(), id, stop)?;
        Ok(id)
    }

    /// Takes bytes to be sent without touching the socket, as many as there is room for, and returns how many. They
    /// leave with whatever is sent next, in one write if they fit.
    ///
    /// # Errors
    ///
    /// When the connection does not take writes or is lost.
    pub fn queue(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        Ok(self.stack.write(self.wire.now(), bytes)?)
    }

    /// Closes the write half of the innermost layer that can be stopped (a half-close), and waits until its close_notify, or its
    /// final block, is sent. Reading goes on; [`stop`](Self::stop) completes the stop. If that was begun before, this changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// When there is no such layer, or the connection is lost.
    pub async fn finish(&mut self) -> Result<(), Error> {
        let id = self.innermost()?;
        self.stack.finish(self.wire.now(), id)?;
        poll_fn(|cx| self.poll_flushed(Half::Reader, cx)).await
    }

    /// Closes the write side of the socket (a TCP half-close) behind all that was written, and no layer sends its end, so that
    /// to the peer every TLS layer is cut off. For whoever passes on what was cut off itself ([`End::Truncated`]) and must not
    /// make an end of it. Reading goes on.
    ///
    /// # Errors
    ///
    /// When what was written could not leave.
    ///
    /// # Cancellation
    ///
    /// The socket is closed all the same, when anything is polled. Idempotent: called again, it changes nothing.
    pub async fn close_wire(&mut self) -> Result<(), Error> {
        self.stack.close_wire(self.wire.now());
        poll_fn(|cx| self.poll_closed(cx)).await
    }

    fn innermost(&self) -> Result<LayerId, Error> {
        let nothing = || ErrorKind::Command(CommandErrorKind::NothingToStop.into()).into();
        self.stack.innermost_stoppable().ok_or_else(nothing)
    }

    fn poll_stopped(&mut self, id: LayerId, cx: &Context<'_>) -> Poll<Result<Stopped, Error>> {
        self.stack.set_read_limit(self.wire.now(), self.late_limit.saturating_add(RECORD));
        self.drive(Half::Reader, cx);
        let end_is_ahead = self.stack.end_ahead() == Some(&End::Layer(id));
        if end_is_ahead && self.stack.layer(id).is_none() {
            // Our close_notify is what the peer waits for, and nobody may poll us again for long.
            let sent = self.is_sent() || self.stack.lost().is_some();
            return if sent { Poll::Ready(self.pass(id)) } else { Poll::Pending };
        }
        if self.stack.lost().is_some() {
            return self.poll_loss(cx);
        }
        if !end_is_ahead && self.stack.layer(id).is_none() && !self.is_ended(id) {
            return Poll::Ready(Err(self.no_such_layer(id)));
        }
        if !end_is_ahead && matches!(self.stack.readable(), Readable::Bytes(bytes) if bytes.len() > self.late_limit) {
            return Poll::Ready(Err(ErrorKind::TooMuchLate(self.late_limit).into()));
        }
        Poll::Pending
    }

    /// Takes what stands before the end of a peeled layer, and continues below it.
    fn pass(&mut self, id: LayerId) -> Result<Stopped, Error> {
        let mut late = Vec::new();
        if let Readable::Bytes(bytes) = self.stack.readable() {
            late.extend_from_slice(bytes);
            self.take(late.len());
        }
        if let Some(error) = self.take_failure(id) {
            return Err(error);
        }
        self.line_search.restart();
        let answer = match self.stack.departure(id) {
            Some(&Departure::Stopped(answer)) => answer,
            _ => PeerAnswer::CloseNotify,
        };
        self.stack.pass_end(self.wire.now())?;
        Ok(Stopped { layer: id, answer, late })
    }

    pub(super) fn is_ended(&self, id: LayerId) -> bool {
        self.stack.departure(id).is_some()
    }
}

/// The largest plaintext of a TLS record (RFC 8446 section 5.1). One that does not fit is not delivered in part, so
/// without this much room above a limit the limit might never be passed.
pub(crate) const RECORD: usize = 1 << 14;
