//! The protocol's side of the mailbox.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::super::mailbox::{Mailbox, Outgoing};
use super::super::message::{Delivery, Message, MessageId};
use super::super::{Error, Event};

/// What a [`Speaker`](super::Speaker) gets from the program, and gives to it. All methods take `&self`, so that a reader and
/// a writer may share it.
pub(in crate::streams) struct Port(Arc<Mailbox>);

/// What is wanted of a protocol.
#[derive(Debug)]
pub(in crate::streams) enum Wish {
    /// To send this. It is to be [settled](Port::settle) or [put back](Port::put_back).
    Send(Outgoing),
    /// To ask the peer whether it is there, if the protocol has something for that.
    Ping,
    /// A graceful end, and soon. It is said once.
    Close,
}

impl Port {
    pub(in crate::streams) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self(mailbox)
    }

    /// What is wanted next. Messages are given only to who has room for them.
    pub(in crate::streams) fn poll_wish(&self, has_room: bool, cx: &mut Context<'_>) -> Poll<Wish> {
        self.0.poll_wish(has_room, cx)
    }

    /// As [`poll_wish`](Self::poll_wish). Dropping it loses nothing.
    pub(in crate::streams) async fn wish(&self, has_room: bool) -> Wish {
        poll_fn(|cx| self.poll_wish(has_room, cx)).await
    }

    /// The next message, without the other wishes: for who leaves those to another. Dropping it loses nothing.
    pub(in crate::streams) async fn message(&self) -> Outgoing {
        poll_fn(|cx| self.0.poll_message(cx)).await
    }

    /// The next message, if one waits; and where none does, but a connection was asked for by hand, an empty one in its place.
    pub(in crate::streams) fn take_or_begin(&self) -> Option<Outgoing> {
        self.0.take_or_begin()
    }

    /// Makes a message that was taken the next one again: nothing of it was sent, or it may be sent twice.
    pub(in crate::streams) fn put_back(&self, message: Outgoing) {
        self.0.put_back(message);
    }

    /// Whether a message that was taken is still waited for: one that was given up meanwhile is not to be sent any more.
    pub(in crate::streams) fn is_wanted(&self, id: MessageId) -> bool {
        self.0.is_taken(id)
    }

    /// What became of a message.
    pub(in crate::streams) fn settle(&self, id: MessageId, outcome: Result<Delivery, Error>) {
        self.0.settle(id, outcome);
    }

    /// That the stream stands.
    pub(in crate::streams) fn connected(&self) {
        self.0.connected();
    }

    /// Something to be told that changes no state.
    pub(in crate::streams) fn tell(&self, event: Event) {
        self.0.tell(event);
    }

    /// A named value that came from the peer.
    pub(in crate::streams) fn set_value(&self, name: &str, value: String) {
        self.0.set_value(name, value);
        self.0.tell(Event::Value(name.to_owned()));
    }

    /// Waits until the program has taken enough of what was given to it.
    pub(in crate::streams) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_inbox_room(cx)
    }

    /// As [`poll_room`](Self::poll_room).
    pub(in crate::streams) async fn room(&self) {
        poll_fn(|cx| self.poll_room(cx)).await;
    }

    /// Gives the program what has arrived: after [`room`](Self::room).
    pub(in crate::streams) fn give(&self, message: Message) {
        self.0.give(message);
    }

    /// That the peer is there: it has answered, or said anything at all.
    pub(in crate::streams) fn heard(&self) {
        self.0.heard();
    }
}
