//! Whether anything stirs on a connection that nobody uses.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, End, Error};

/// What has come over a connection that was to be quiet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Disturbance {
    /// Bytes for the application. They are still to be read.
    Data,
    /// The end of the innermost layer, or of the socket.
    Ended(End),
    /// The connection is lost, or the peer's direction of it truncated.
    Lost(Error),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Waits until something comes: bytes for the application, an end or a loss, in whichever layer. Until then the connection is
    /// quiet, and can be used as if nobody had waited. What concerns the layers alone, such as the tickets of TLS 1.3, is taken by
    /// them and is no disturbance. Nothing is consumed.
    ///
    /// This is how a connection is kept until it is used again; [`pool`](crate::pool) does.
    ///
    /// # Cancellation
    ///
    /// Changes nothing.
    pub async fn disturbed(&mut self) -> Disturbance {
        poll_fn(|cx| self.poll_disturbed(cx)).await
    }

    /// As [`disturbed`](Self::disturbed), for who polls by hand.
    pub fn poll_disturbed(&mut self, cx: &mut Context<'_>) -> Poll<Disturbance> {
        match ready!(self.poll_readable(cx)) {
            Ok(Some(_)) => Poll::Ready(Disturbance::Data),
            Ok(None) => Poll::Ready(Disturbance::Ended(self.end().unwrap_or(End::Wire))),
            Err(error) => Poll::Ready(Disturbance::Lost(error)),
        }
    }

    /// Whether our direction is still open.
    pub(crate) fn is_writable(&self) -> bool {
        self.stack.check_writable().is_ok()
    }

    /// Whether all that was written has left.
    pub(crate) fn has_left(&mut self) -> bool {
        self.is_sent() && self.stack.is_flushed()
    }
}
