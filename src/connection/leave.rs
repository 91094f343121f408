//! Leaving such that what was said last arrives.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, Error};
use crate::driver::MAX_ROUNDS;

/// How far one has come who leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What was written is on its way out, and the end of every layer behind it.
    Closing,
    /// All of it has left, and the socket is to be closed for writing if it is not.
    ClosingSocket,
    /// Whatever the peer still sends is read past, until it has closed too.
    Draining,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Closes the connection gracefully, so that what was written last arrives: behind it every layer ends, from the inside out,
    /// then the write side of the socket is closed, and then all that the peer still sends is read past until it has closed
    /// too, for `patience` at most. Then the socket is dropped.
    ///
    /// A socket that is dropped while something lies in it unread is not ended but reset (RFC 9293 section 3.6.1, RFC 2525
    /// section 2.17), and on its way a reset overtakes the last answer, or the alert that says what was wrong. There is
    /// often something: a TLS 1.3 server sends its tickets behind the handshake, which a client that only writes has never
    /// read; the close_notify of the peer; a command that it has sent in advance. So a drop behind
    /// [`close`](futures::io::AsyncWriteExt::close) is safe only after reading to the end. A connection that is lost is left
    /// too: the alert that says why is to arrive.
    ///
    /// A few seconds are a good patience. A server that leaves many at once has their sockets for as long.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::io::{AsyncRead, AsyncWrite};
    /// use onionskin::Connection;
    /// use onionskin::connection::Error;
    ///
    /// async fn say_goodbye<IO: AsyncRead + AsyncWrite + Unpin>(mut conn: Connection<IO>) -> Result<(), Error> {
    ///     conn.write_line("221 goodbye").await?;
    ///     conn.leave(Duration::from_secs(2)).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// When what was written, or a close_notify behind it, could not leave: the connection was or is lost, or the patience was
    /// over. That the peer has not closed in time is none, and neither is what it left out.
    ///
    /// # Cancellation
    ///
    /// Drops the connection as it is.
    pub async fn leave(mut self, patience: Duration) -> Result<(), Error> {
        let mut alarm = self.wire.alarm();
        // A time that no clock will show never comes.
        let until = alarm.now().checked_add(patience);
        let (mut stage, mut closed) = (Stage::Closing, Ok(()));
        self.stack.close(self.wire.now());
        poll_fn(move |cx| {
            if self.poll_leave(&mut stage, &mut closed, cx).is_ready() {
                return Poll::Ready(std::mem::replace(&mut closed, Ok(())));
            }
            if !alarm.is_due(until, cx) {
                return Poll::Pending;
            }
            if stage == Stage::Closing {
                self.stack.abort(self.wire.now());
                return Poll::Ready(self.check_lost());
            }
            Poll::Ready(std::mem::replace(&mut closed, Ok(())))
        })
        .await
    }

    fn poll_leave(&mut self, stage: &mut Stage, closed: &mut Result<(), Error>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match stage {
                Stage::Closing => {
                    *closed = ready!(self.poll_closed(cx));
                    *stage = Stage::ClosingSocket;
                }
                Stage::ClosingSocket => {
                    // It is closed already unless the connection is lost; and a peer that is gone is no less closed.
                    let _ = ready!(Pin::new(&mut self.wire.io).poll_close(cx));
                    *stage = Stage::Draining;
                }
                Stage::Draining => return self.poll_drained(cx),
            }
        }
    }

    /// Reads past all layers: nobody looks at it any more.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ignored = [0; 4096];
        for _ in 0..MAX_ROUNDS {
            match ready!(Pin::new(&mut self.wire.io).poll_read(cx, &mut ignored)) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
