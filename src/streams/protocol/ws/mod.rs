//! WebSocket (RFC 6455): messages of text and of bytes, both ways.
//!
//! The connection begins with a request of HTTP, which has all the fields that a stream of HTTP has; then the crate
//! async-tungstenite frames what is sent and received. A whole message is one frame, a message in pieces one frame a piece.
//!
//! There is no acknowledgement: a message is sent when it has left. The end is a frame of its own, so that an end of the
//! connection without it is a loss; but behind our own it is none, for there are brokers that say nothing more.

// | file | idea |
// |---|---|
// | `handshake.rs` | the request that becomes a WebSocket |
// | `bytes.rs` | a stream of bytes over messages, for what speaks over a WebSocket |

mod bytes;
mod handshake;

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::bytes::Bytes;
use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use async_tungstenite::tungstenite::protocol::frame::{Frame, Utf8Bytes};
use async_tungstenite::tungstenite::{self, Message as WsMessage, error::ProtocolError};
use futures::future::BoxFuture;
use futures::io::AsyncWrite;
use futures::{Sink, Stream};

pub(super) use self::bytes::FramedBytes;
pub(super) use self::handshake::open;
use super::super::message::{Delivery, Message, MessageId};
use super::super::policy::{Protocol, StreamPolicy};
use super::super::{Error, ErrorKind};
use super::{Attempt, Ending, Port, Speaker, Wish};
use crate::connection::Connection;
use crate::runtime::Socket;

/// A WebSocket over a connection of ours.
pub(super) type WebSocket = WebSocketStream<Connection<Socket>>;

/// A stream of WebSocket.
pub(super) struct Ws;

impl Speaker for Ws {
    fn speak<'s>(&'s mut self, attempt: &'s Attempt, port: &'s Port) -> BoxFuture<'s, Ending> {
        Box::pin(async move {
            let is_binary = match attempt.policy() {
                Ok(policy) => policy.ws.binary,
                Err(error) => return error.into(),
            };
            match open(attempt, port, None).await {
                Ok(socket) => {
                    port.connected();
                    let mut line =
                        Line { socket, is_binary, writing: Writing::Nothing, ends: Ends::default(), unanswered: 0 };
                    let ending = poll_fn(|cx| line.poll(port, cx)).await;
                    // Whoever has said all ends its layers in order; what fails now was said before.
                    let mut connection = line.socket.into_inner();
                    let _ = poll_fn(|cx| Pin::new(&mut connection).poll_close(cx)).await;
                    ending
                }
                Err(ending) => ending,
            }
        })
    }
}

/// One connection, read and written in turn by one task.
struct Line {
    socket: WebSocket,
    is_binary: bool,
    writing: Writing,
    ends: Ends,
    /// How many pings have come since all that was to leave has left: at most so many pongs wait in memory.
    unanswered: usize,
}

/// What leaves.
enum Writing {
    Nothing,
    /// A frame that nobody has asked for an account of.
    Frame,
    Message(MessageId),
}

/// Who has said its end.
#[derive(Default)]
struct Ends {
    ours: bool,
    theirs: Option<Error>,
}

impl Line {
    fn poll(&mut self, port: &Port, cx: &mut Context<'_>) -> Poll<Ending> {
        if let Poll::Ready(error) = self.poll_write(port, cx) {
            return Poll::Ready(self.ended(error));
        }
        let over = ready!(self.poll_read(port, cx));
        if let tungstenite::Error::ConnectionClosed = over {
            // The answer to their end is made by their being read, and leaves by this.
            if let Err(error) = ready!(Pin::new(&mut self.socket).poll_flush(cx)) {
                log::debug!("the answer to the end of a WebSocket: {error}");
            }
        }
        Poll::Ready(self.ended(over))
    }

    /// Writes what there is to write. It is done only with an error.
    fn poll_write(&mut self, port: &Port, cx: &mut Context<'_>) -> Poll<tungstenite::Error> {
        loop {
            // A pong, or the answer to an end, may wait to be flushed even where nothing of ours does.
            if let Err(error) = ready!(Pin::new(&mut self.socket).poll_flush(cx)) {
                return Poll::Ready(error);
            }
            self.unanswered = 0;
            if let Writing::Message(id) = std::mem::replace(&mut self.writing, Writing::Nothing) {
                port.settle(id, Ok(Delivery::Sent));
            }
            if self.ends.ours || self.ends.theirs.is_some() {
                return Poll::Pending;
            }
            if let Err(error) = ready!(Pin::new(&mut self.socket).poll_ready(cx)) {
                return Poll::Ready(error);
            }
            let frame = match ready!(port.poll_wish(true, cx)) {
                Wish::Send(outgoing) => match frame(outgoing.message, self.is_binary) {
                    Ok(frame) => {
                        self.writing = Writing::Message(outgoing.id);
                        frame
                    }
                    Err(error) => {
                        port.settle(outgoing.id, Err(error));
                        continue;
                    }
                },
                Wish::Ping => {
                    self.writing = Writing::Frame;
                    WsMessage::Ping(Bytes::new())
                }
                Wish::Close => {
                    self.ends.ours = true;
                    WsMessage::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
                }
            };
            if let Err(error) = Pin::new(&mut self.socket).start_send(frame) {
                return Poll::Ready(error);
            }
        }
    }

    /// Gives the program what arrives. It is done with the error that says why nothing more does.
    fn poll_read(&mut self, port: &Port, cx: &mut Context<'_>) -> Poll<tungstenite::Error> {
        for _ in 0..MAX_FRAMES {
            if self.ends.theirs.is_some() {
                return Poll::Ready(tungstenite::Error::ConnectionClosed);
            }
            if self.unanswered >= MAX_UNANSWERED {
                // Who reads no pongs has no pings read: flushing, which was tried before this, wakes us.
                return Poll::Pending;
            }
            ready!(port.poll_room(cx));
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(WsMessage::Text(text))) => {
                    port.give(Message { is_text: true, ..Message::new(Bytes::from(text)) });
                }
                Some(Ok(WsMessage::Binary(bytes))) => port.give(Message::new(bytes)),
                Some(Ok(WsMessage::Close(frame))) => self.ends.theirs = Some(closed(frame)),
                Some(Ok(WsMessage::Ping(_))) => {
                    self.unanswered += 1;
                    port.heard();
                }
                Some(Ok(WsMessage::Pong(_) | WsMessage::Frame(_))) => port.heard(),
                Some(Err(error)) => return Poll::Ready(error),
                None => return Poll::Ready(tungstenite::Error::ConnectionClosed),
            }
        }
        // Whoever sends frames without end leaves room for others all the same.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// How the stream ended, by the error that says it is over.
    fn ended(&mut self, error: tungstenite::Error) -> Ending {
        if self.ends.ours {
            return Ending::Done;
        }
        self.ends.theirs.take().unwrap_or_else(|| fault(error)).into()
    }
}

/// The frame for a message, or for a piece of one.
fn frame(message: Message, is_binary: bool) -> Result<WsMessage, Error> {
    let payload = message.payload;
    if message.is_first && message.is_last {
        if is_binary {
            return Ok(WsMessage::Binary(payload));
        }
        let text = Utf8Bytes::try_from(payload);
        return text.map(WsMessage::Text).map_err(|_| {
            let what = "bytes that are no UTF-8 in a message of text: `ws_binary` sends them as they are";
            ErrorKind::Unsupported(what.to_owned()).into()
        });
    }
    let kind = match (message.is_first, is_binary) {
        (false, _) => Data::Continue,
        (true, true) => Data::Binary,
        (true, false) => Data::Text,
    };
    Ok(WsMessage::Frame(Frame::message(payload, OpCode::Data(kind), message.is_last)))
}

/// The peer's end in words.
fn closed(frame: Option<CloseFrame>) -> Error {
    match frame {
        Some(frame) if frame.code != CloseCode::Normal => {
            let (code, colon) = (u16::from(frame.code), if frame.reason.is_empty() { "" } else { ": " });
            Error::refused(Protocol::Ws, format!("it has closed with {code}{colon}{}", frame.reason))
        }
        _ => ErrorKind::Ended.into(),
    }
}

/// What an error of the crate is to a stream.
pub(super) fn fault(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Io(error) => Error::lost(&error),
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => ErrorKind::Ended.into(),
        error => Error::broken(Protocol::Ws, error.to_string()),
    }
}

/// What this version does not do of what a policy may ask for.
pub(super) fn check(policy: &StreamPolicy) -> Result<(), Error> {
    if policy.ws.over_h2 {
        return Err(ErrorKind::Unsupported("WebSocket over HTTP/2 (ws_over_h2)".to_owned()).into());
    }
    super::http::check(policy)
}

/// What a subprotocol in an answer is to be.
fn shown(name: Option<&str>) -> Cow<'_, str> {
    name.map_or("none".into(), |name| format!("{name:?}").into())
}

/// So many frames are read before others have their turn.
const MAX_FRAMES: usize = 64;

/// So many pings are read while their pongs, or a message before them, cannot leave. More than are read in one turn, and enough
/// for a peer that reads only when it has written.
const MAX_UNANSWERED: usize = 1024;
