//! Lines, for the protocols that TLS is started in.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};

use super::stop::RECORD;
use super::{Connection, Error, ErrorKind};
use crate::driver::Half;
use crate::stack::Readable;

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Reads one line and returns it without its end, which is LF or CRLF; `None` at the end of the layer or the
    /// connection. Not a byte behind the line is taken, so what follows may be another protocol.
    ///
    /// # Errors
    ///
    /// When the connection is lost, the line is too long, or the stream ends inside it. In the last two cases nothing
    /// is consumed.
    ///
    /// # Cancellation
    ///
    /// Loses nothing: a line is taken whole or not at all.
    pub async fn read_line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        poll_fn(|cx| self.poll_line(cx)).await
    }

    /// Writes a line, with CRLF behind it, and waits until it is sent.
    ///
    /// # Errors
    ///
    /// When the line has a line feed in it, because the peer would take it for two: whoever can put a word into a line must
    /// not be able to say a line of their own. When the connection does not take writes or is lost.
    ///
    /// # Cancellation
    ///
    /// A part of the line may have been written.
    pub async fn write_line(&mut self, line: impl AsRef<[u8]>) -> Result<(), Error> {
        let line = line.as_ref();
        if line.contains(&b'\n') {
            return Err(ErrorKind::LineBreak.into());
        }
        self.send_all(&[line, b"\r\n"].concat()).await
    }

    /// Writes all of `bytes` and waits until they are sent.
    ///
    /// # Errors
    ///
    /// When the connection does not take writes or is lost.
    ///
    /// # Cancellation
    ///
    /// A part may have been written.
    pub async fn send_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = poll_fn(|cx| self.poll_put(rest, cx)).await?;
            rest = &rest[written..];
        }
        poll_fn(|cx| self.poll_flushed(Half::Writer, cx)).await
    }

    fn poll_line(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Vec<u8>>, Error>> {
        loop {
            let (limit, mut search) = (self.line_limit, self.line_search);
            let Some(bytes) = ready!(self.poll_readable(cx))? else { return Poll::Ready(Ok(None)) };
            let seen = bytes.len();
            let end = search.line_feed(&bytes[..seen.min(limit)]);
            if let Some(end) = end {
                let line = &bytes[..end];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.take(end + 1);
                return Poll::Ready(Ok(Some(line)));
            }
            self.line_search = search;
            if seen >= limit {
                return Poll::Ready(Err(ErrorKind::LineTooLong(limit).into()));
            }
            // The stack holds more than by default if the limit says so.
            self.stack.await_more(self.wire.now(), limit.saturating_add(RECORD));
            self.drive(Half::Reader, cx);
            let grown = matches!(self.stack.readable(), Readable::Bytes(bytes) if bytes.len() > seen);
            if !grown {
                if self.stack.end_ahead().is_some() {
                    let lost = self.stack.loss_ahead().or(self.stack.lost()).cloned().map(ErrorKind::Lost);
                    return Poll::Ready(Err(lost.unwrap_or(ErrorKind::UnfinishedLine).into()));
                }
                return Poll::Pending;
            }
        }
    }
}

/// How far the input was searched for the end of a line, so that a line that comes in small pieces is not searched anew with
/// each of them. Whatever takes bytes off the front, or puts a layer above them, begins it anew.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineSearch {
    searched: usize,
    #[cfg(test)]
    looked_at: usize,
}

impl LineSearch {
    pub(super) fn restart(&mut self) {
        self.searched = 0;
    }

    /// Where the first line feed is. `input` begins with all that was searched before.
    fn line_feed(&mut self, input: &[u8]) -> Option<usize> {
        let searched = self.searched.min(input.len());
        let fresh = &input[searched..];
        #[cfg(test)]
        {
            self.looked_at += fresh.len();
        }
        self.searched = input.len();
        memchr::memchr(b'\n', fresh).map(|at| searched + at)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Waker;

    use futures::io::AsyncReadExt;

    use super::*;
    use crate::testing::{Clock, Cut, WireEnd, wire};

    const MEBIBYTE: usize = 1 << 20;

    fn pair(capacity: usize) -> (Connection<WireEnd>, Connection<WireEnd>) {
        let clock = Clock::new();
        let (left, right) = wire(Cut::Whole, capacity);
        let connect = |end| Connection::with_timer(end, Arc::new(clock.clone()));
        (connect(left), connect(right))
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_line_of_eight_mebibytes_is_looked_at_once() {
        const PIECE: usize = 4096;
        let (mut left, mut right) = pair(PIECE);
        right.set_line_limit(9 * MEBIBYTE);
        for _ in 0..8 * MEBIBYTE / PIECE {
            now(left.send_all(&[b'x'; PIECE])).unwrap_or(Ok(())).unwrap();
            assert!(now(right.read_line()).is_none());
        }
        assert_eq!(right.line_search.looked_at, 8 * MEBIBYTE);
        now(left.send_all(b"\r\nbehind\n")).unwrap().unwrap();
        assert_eq!(now(right.read_line()).unwrap().unwrap().unwrap().len(), 8 * MEBIBYTE);
        assert_eq!(now(right.read_line()).unwrap().unwrap().unwrap(), b"behind");
        assert!(right.line_search.looked_at <= 8 * MEBIBYTE + 100);
    }

    #[test]
    fn a_search_begins_anew_where_bytes_were_taken() {
        let (mut left, mut right) = pair(1000);
        now(left.send_all(b"half a line")).unwrap().unwrap();
        assert!(now(right.read_line()).is_none());
        // Somebody reads some of it in another way, and a shorter line stands where the search had been.
        now(right.read_exact(&mut [0; 7])).unwrap().unwrap();
        now(left.send_all(b"\nx\n")).unwrap().unwrap();
        assert_eq!(now(right.read_line()).unwrap().unwrap().unwrap(), b"line");
        assert_eq!(now(right.read_line()).unwrap().unwrap().unwrap(), b"x");
        now(left.send_all(b"abc")).unwrap().unwrap();
        assert!(now(right.read_line()).is_none());
        now(right.read_exact(&mut [0; 3])).unwrap().unwrap();
        now(left.send_all(b"\n\n\n")).unwrap().unwrap();
        for _ in 0..3 {
            assert_eq!(now(right.read_line()).unwrap().unwrap().unwrap(), b"");
        }
    }
}
