//! A stream of bytes over the messages of a WebSocket, as MQTT has it (MQTT 3.1.1, section 6): where messages begin and end means
//! nothing to who reads, and what is written at once is one message.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_tungstenite::tungstenite::{self, Message as WsMessage};
use bytes::{Buf, Bytes};
use futures::io::{AsyncRead, AsyncWrite};
use futures::{Sink, Stream};

use super::WebSocket;

/// What is read and written as bytes.
pub(in crate::streams::protocol) struct FramedBytes {
    socket: WebSocket,
    /// What has arrived and is not read.
    unread: Bytes,
    is_ended: bool,
    /// How many pings have come since their pongs have left.
    unanswered: usize,
}

impl FramedBytes {
    pub(in crate::streams::protocol) fn new(socket: WebSocket) -> Self {
        Self { socket, unread: Bytes::new(), is_ended: false, unanswered: 0 }
    }
}

impl AsyncRead for FramedBytes {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        for _ in 0..super::MAX_FRAMES {
            if self.unread.has_remaining() {
                let count = self.unread.len().min(buffer.len());
                self.unread.copy_to_slice(&mut buffer[..count]);
                return Poll::Ready(Ok(count));
            }
            if self.is_ended {
                return Poll::Ready(Ok(0));
            }
            if self.unanswered >= super::MAX_UNANSWERED {
                ready!(self.as_mut().poll_flush(cx))?;
            }
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(WsMessage::Binary(bytes))) => self.unread = bytes,
                // There are brokers and clients that send it so.
                Some(Ok(WsMessage::Text(text))) => self.unread = text.into(),
                Some(Ok(WsMessage::Close(_))) | None => self.is_ended = true,
                Some(Ok(WsMessage::Ping(_))) => self.unanswered += 1,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncWrite for FramedBytes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(io_error)?;
        let message = WsMessage::Binary(Bytes::copy_from_slice(bytes));
        Pin::new(&mut self.socket).start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(io_error)?;
        self.unanswered = 0;
        Poll::Ready(Ok(()))
    }

    /// Says the end of the WebSocket, and ends the layers below.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Ok(()) | Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {}
            Err(error) => return Poll::Ready(Err(io_error(error))),
        }
        Pin::new(self.socket.get_mut()).poll_close(cx)
    }
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => io::ErrorKind::UnexpectedEof.into(),
        error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    }
}
