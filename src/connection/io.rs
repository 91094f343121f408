//! `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of `futures` at the innermost layer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::BytesMut;
use futures::io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::{Connection, Error, ErrorKind};
use crate::driver::{Flushing, Half};
use crate::stack::{CommandError, Output, Readable, Reason, Stack, copy_to_slice};

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Waits until there is something to read: bytes, an end (`None`) or a loss.
    pub(super) fn poll_readable(&mut self, cx: &Context<'_>) -> Poll<Result<Option<&[u8]>, Error>> {
        if matches!(self.stack.readable(), Readable::Nothing) {
            self.drive_until_readable(cx);
        }
        match self.stack.readable() {
            Readable::Nothing => Poll::Pending,
            Readable::Bytes(bytes) => Poll::Ready(Ok(Some(bytes))),
            Readable::Ended(_) | Readable::EndOfInput => Poll::Ready(Ok(None)),
            Readable::Lost(reason) => Poll::Ready(Err(ErrorKind::Lost(reason.clone()).into())),
        }
    }

    /// Takes bytes that were shown.
    pub(super) fn take(&mut self, count: usize) {
        self.take_by(count, Stack::consume);
    }

    fn take_by(&mut self, count: usize, consume: impl FnOnce(&mut Stack, Instant, usize)) {
        if count > 0 {
            self.line_search.restart();
        }
        let was_full = self.stack.input_room() == 0;
        consume(&mut self.stack, self.wire.now(), count);
        // Room above may have let a layer below do something that is now to be sent, or let in what a writer waits for.
        let has_room = was_full && self.stack.input_room() > 0;
        if has_room || self.stack.is_unfinished() || !matches!(self.stack.poll_output(), Output::Nothing) {
            self.wakers.wake_other(Half::Reader);
        }
    }

    /// Reads up to `most` bytes, which come behind those of `to`; 0 at an end. Many of them are not copied: `to` has the storage that
    /// they came in.
    pub(crate) fn poll_read_to(
        &mut self,
        to: &mut BytesMut,
        most: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Error>> {
        let count = ready!(self.poll_readable(cx))?.map_or(0, <[u8]>::len).min(most);
        self.take_by(count, |stack, now, count| stack.consume_to(now, to, count));
        Poll::Ready(Ok(count))
    }

    /// Writes up to `most` bytes off the front of `piece`, and waits while there is no room. Many of them are not copied: they leave in
    /// the storage that they are in.
    pub(crate) fn poll_write_of(
        &mut self,
        piece: &mut BytesMut,
        most: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Error>> {
        let is_nothing = most == 0 || piece.is_empty();
        self.poll_put_by(|stack, now| stack.write_piece(now, piece, most), is_nothing, cx)
    }

    /// Passes on to another connection what can be read here, as much of it as has room there, and says how much; waits while there is
    /// no room. Many bytes are not copied (zero-copy). It is as if what [`AsyncBufRead`] shows were written, and
    /// consumed as far as it was taken.
    ///
    /// Nothing is read here first: where nothing was shown, nothing is passed on.
    ///
    /// # Errors
    ///
    /// Those of writing to the other one. Nothing is consumed then.
    pub fn poll_pass_on<To: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        to: &mut Connection<To>,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Error>> {
        let shown = match self.stack.readable() {
            Readable::Bytes(bytes) => bytes.len(),
            Readable::Nothing | Readable::Ended(_) | Readable::EndOfInput | Readable::Lost(_) => 0,
        };
        to.poll_put_by(
            |stack, now| {
                let most = stack.write_room()?.min(shown);
                if most == 0 {
                    return Ok(0);
                }
                let mut piece = BytesMut::new();
                self.take_by(most, |from, now, count| from.consume_to(now, &mut piece, count));
                stack.write_piece(now, &mut piece, most)
            },
            shown == 0,
            cx,
        )
    }

    /// Writes as much as there is room for, and waits while there is none.
    pub(super) fn poll_put(&mut self, bytes: &[u8], cx: &Context<'_>) -> Poll<Result<usize, Error>> {
        self.poll_put_by(|stack, now| stack.write(now, bytes), bytes.is_empty(), cx)
    }

    /// As [`poll_put`](Self::poll_put), from as many slices as there is room for.
    pub(super) fn poll_put_vectored(&mut self, slices: &[IoSlice<'_>], cx: &Context<'_>) -> Poll<Result<usize, Error>> {
        let is_nothing = slices.iter().all(|slice| slice.is_empty());
        self.poll_put_by(|stack, now| stack.write_vectored(now, slices), is_nothing, cx)
    }

    fn poll_put_by(
        &mut self,
        mut put: impl FnMut(&mut Stack, Instant) -> Result<usize, CommandError>,
        is_nothing: bool,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Error>> {
        if self.stack.is_unfinished() {
            // Who writes on and on would have it all done within one poll of theirs.
            self.drive(Half::Writer, cx);
            if self.stack.is_unfinished() {
                return Poll::Pending;
            }
        }
        let mut written = put(&mut self.stack, self.wire.now())?;
        self.drive_until_sent(Half::Writer, cx);
        if written == 0 && !is_nothing {
            written = put(&mut self.stack, self.wire.now())?;
            if written == 0 {
                return Poll::Pending;
            }
            self.drive_until_sent(Half::Writer, cx);
        }
        Poll::Ready(Ok(written))
    }

    /// Waits until all that was written has left. A peer that hangs up behind its answer is not the writer's failure,
    /// if all had left by then: the answer is to be read, and the loss behind it.
    pub(super) fn poll_flushed(&mut self, half: Half, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        self.drive_until_sent(half, cx);
        if !self.stack.is_flushed() {
            return Poll::Pending;
        }
        match self.wire.flushing() {
            // A lost connection has no deadline for a socket that does not flush: what could be sent has been written.
            Flushing::Pending if self.stack.lost().is_none() => Poll::Pending,
            Flushing::Done if !self.stack.is_lost_unsent() => Poll::Ready(Ok(())),
            _ => Poll::Ready(self.check_lost()),
        }
    }

    /// Waits until the close that was ordered has left.
    pub(super) fn poll_closed(&mut self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        // Also what has come: who closes a socket that was not read to the end resets it, and loses what is on its way.
        self.drive(Half::Writer, cx);
        ready!(self.poll_flushed(Half::Writer, cx))?;
        // What becomes of the peer's direction is no failure of a close that has left whole.
        Poll::Ready(if self.stack.is_lost_after_close() { Ok(()) } else { self.check_lost() })
    }

    pub(super) fn check_lost(&self) -> Result<(), Error> {
        self.stack.lost().cloned().map_or(Ok(()), |reason: Reason| Err(ErrorKind::Lost(reason).into()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = match ready!(this.poll_readable(cx))? {
            Some(bytes) => {
                let count = bytes.len().min(buffer.len());
                copy_to_slice(&mut buffer[..count], &bytes[..count]);
                count
            }
            None => 0,
        };
        this.take(count);
        Poll::Ready(Ok(count))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncBufRead for Connection<IO> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let bytes = ready!(self.get_mut().poll_readable(cx))?;
        Poll::Ready(Ok(bytes.unwrap_or_default()))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().take(count);
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_put(bytes, cx).map_err(io::Error::from)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_put_vectored(slices, cx).map_err(io::Error::from)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flushed(Half::Writer, cx).map_err(io::Error::from)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.stack.close(this.wire.now());
        this.poll_closed(cx).map_err(io::Error::from)
    }
}
