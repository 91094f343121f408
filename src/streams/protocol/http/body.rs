//! The body of a request, whole or in pieces.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use hyper::body::{Body as HyperBody, Frame, SizeHint};

use super::super::super::message::Delivery;
use super::super::Port;

/// What goes out behind the head of a request.
pub(super) enum Body {
    /// Of a length that is known.
    Whole(Option<Bytes>),
    /// Piece by piece, as the program sends them.
    Pieces(mpsc::Receiver<Bytes>),
}

impl Body {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl HyperBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Whole(bytes) => bytes.take(),
            Self::Pieces(pieces) => ready!(pieces.poll_next_unpin(cx)),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Brings the pieces of a message to the body of its request.
pub(super) struct Pieces {
    sender: mpsc::Sender<Bytes>,
    first: Option<Bytes>,
    last: Option<Bytes>,
    /// Whether the program has more to send.
    is_open: bool,
}

impl Pieces {
    /// A body that begins with `first`; `last` comes behind all that the program sends, which `is_open` says.
    pub(super) fn new(first: Bytes, last: Option<Bytes>, is_open: bool) -> (Self, Body) {
        let (sender, receiver) = mpsc::channel(0);
        (Self { sender, first: Some(first), last, is_open }, Body::Pieces(receiver))
    }

    /// Sends until the last piece is taken, or nobody takes them any more. Each piece but the first is a message of the program,
    /// and settled when it is taken.
    pub(super) async fn feed(mut self, port: &Port) {
        let first = self.first.take();
        if !self.put(first).await {
            return;
        }
        while self.is_open {
            let piece = port.message().await;
            if piece.message.is_first {
                // The next message begins, so this one is over.
                port.put_back(piece);
                break;
            }
            self.is_open = !piece.message.is_last;
            if !self.put(Some(piece.message.payload)).await {
                return;
            }
            port.settle(piece.id, Ok(Delivery::Sent));
        }
        let last = self.last.take();
        self.put(last).await;
    }

    /// Whether somebody has taken it.
    async fn put(&mut self, piece: Option<Bytes>) -> bool {
        match piece {
            Some(piece) if !piece.is_empty() => self.sender.send(piece).await.is_ok(),
            _ => true,
        }
    }
}
