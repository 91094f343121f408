//! Bytes: what arrives is given on in pieces as it comes, and what is sent is written as it is.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use futures::future::BoxFuture;
use futures::io::AsyncWrite;

use super::super::message::{Delivery, Message, MessageId};
use super::super::{Error, ErrorKind};
use super::{Attempt, Ending, Port, Speaker, Wish};
use crate::connection::Connection;
use crate::runtime::Socket;

/// A stream of bytes: no messages, no acknowledgement, and no question whether the peer is there but that of TCP (keep-alive).
pub(super) struct Raw;

impl Speaker for Raw {
    fn speak<'s>(&'s mut self, attempt: &'s Attempt, port: &'s Port) -> BoxFuture<'s, Ending> {
        Box::pin(async move {
            match attempt.open(port).await {
                Ok(connection) => {
                    port.connected();
                    let mut line = Line { connection, writing: None, is_closing: false };
                    poll_fn(|cx| line.poll(port, cx)).await
                }
                Err(ending) => ending,
            }
        })
    }
}

/// One connection, read and written in turn by one task.
struct Line {
    connection: Connection<Socket>,
    /// What is being written, and whose that is.
    writing: Option<(MessageId, bytes::Bytes)>,
    is_closing: bool,
}

impl Line {
    fn poll(&mut self, port: &Port, cx: &mut Context<'_>) -> Poll<Ending> {
        match self.poll_write(port, cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ending::Done),
            Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
            Poll::Pending => {}
        }
        self.poll_read(port, cx)
    }

    /// Writes what there is to write. It is done when the connection is closed.
    fn poll_write(&mut self, port: &Port, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let lost = |error: std::io::Error| Error::lost(&error);
        loop {
            if let Some((id, rest)) = &mut self.writing {
                while !rest.is_empty() {
                    let count = ready!(Pin::new(&mut self.connection).poll_write(cx, rest)).map_err(lost)?;
                    rest.advance(count);
                }
                ready!(Pin::new(&mut self.connection).poll_flush(cx)).map_err(lost)?;
                port.settle(*id, Ok(Delivery::Sent));
                self.writing = None;
            }
            if self.is_closing {
                return Pin::new(&mut self.connection).poll_close(cx).map_err(lost);
            }
            match ready!(port.poll_wish(true, cx)) {
                Wish::Send(outgoing) => self.writing = Some((outgoing.id, outgoing.message.payload)),
                Wish::Ping => {}
                Wish::Close => self.is_closing = true,
            }
        }
    }

    fn poll_read(&mut self, port: &Port, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            ready!(port.poll_room(cx));
            let mut piece = BytesMut::new();
            match ready!(self.connection.poll_read_to(&mut piece, MAX_PIECE, cx)) {
                Ok(0) if self.is_closing => return Poll::Pending,
                Ok(0) => return Poll::Ready(Error::from(ErrorKind::Ended).into()),
                Ok(_) => port.give(Message::new(piece.freeze())),
                Err(error) => return Poll::Ready(error.into()),
            }
        }
    }
}

/// As much of what arrives is one message at most.
const MAX_PIECE: usize = 64 * 1024;
