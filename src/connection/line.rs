//! Lines, for the protocols that TLS is started in.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};

use super::stop::RECORD;
use super::wakers::Task;
use super::{Connection, Error, ErrorKind};
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
        poll_fn(|cx| self.poll_flushed(Task::Writer, cx)).await
    }

    fn poll_line(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Vec<u8>>, Error>> {
        loop {
            let limit = self.line_limit;
            let Some(bytes) = ready!(self.poll_readable(cx))? else { return Poll::Ready(Ok(None)) };
            let seen = bytes.len();
            let end = bytes.iter().take(limit).position(|&byte| byte == b'\n');
            if let Some(end) = end {
                let line = &bytes[..end];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.take(end + 1);
                return Poll::Ready(Ok(Some(line)));
            }
            if seen >= limit {
                return Poll::Ready(Err(ErrorKind::LineTooLong(limit).into()));
            }
            // The stack holds more than by default if the limit says so.
            self.stack.set_read_limit(self.wire.now(), limit.saturating_add(RECORD));
            self.drive(Task::Reader, cx);
            let grown = matches!(self.stack.readable(), Readable::Bytes(bytes) if bytes.len() > seen);
            if !grown {
                if self.stack.end_ahead().is_some() {
                    return Poll::Ready(Err(self.check_lost().err().unwrap_or(ErrorKind::UnfinishedLine.into())));
                }
                return Poll::Pending;
            }
        }
    }
}
