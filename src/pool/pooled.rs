//! A connection that was taken from a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::event::{Dismissal, Event};
use super::peer::Origin;
use super::shelf::Item;
use super::watch::Bell;
use super::{Key, Shared};
use crate::connection::{Connection, Disturbance};
use crate::runtime::Socket;
use crate::stack::LayerId;

/// A connection of a [`Pool`](super::Pool), for as long as it is in use. It is read, written and looked at as the [`Connection`] that it is.
///
/// Give it back when what was said over it is whole, both ways ([`give_back`](Self::give_back)). Where it is dropped, for whatever
/// reason, nobody knows what is still to come over it, so it is closed and not used again.
pub struct Pooled {
    shared: Arc<Shared>,
    /// It leaves together with the handle.
    item: Option<Item<Box<Member>>>,
}

/// A connection and what it was when it was opened.
pub(super) struct Member {
    pub(super) connection: Connection<Socket>,
    pub(super) origin: Arc<Origin>,
    generation: u64,
    shape: Shape,
    pub(super) bell: Arc<Bell>,
}

/// What changes when a layer starts or stops: a new layer is always the innermost, and has an id of its own.
type Shape = (usize, Option<LayerId>);

impl Pooled {
    pub(super) fn new(shared: Arc<Shared>, mut item: Item<Box<Member>>) -> Self {
        item.uses += 1;
        Self { shared, item: Some(item) }
    }

    /// Gives it back for others. It is kept if it is quiet, if all that was written has left, and if it has the layers that it was
    /// opened with; otherwise it is closed. Whatever state the protocol on it is in, such as a user who has logged in,
    /// the next one finds: see [`Key::in_group`].
    pub fn give_back(mut self) {
        if let Some(item) = self.item.take() {
            self.shared.rest(item);
        }
    }

    /// The connection alone, which is not of the pool any more.
    #[must_use]
    pub fn into_connection(mut self) -> Connection<Socket> {
        let item = self.item.take().expect(IN_USE);
        self.shared.tell(&Event::Dismissed { key: &item.value.origin.key, why: Dismissal::Detached });
        let Item { value, .. } = item;
        value.connection
    }

    /// Whether it was used before: then its peer may have closed it unseen, and a failure of the first thing that is said says
    /// little of the peer.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.item().uses > 1
    }

    /// What makes it the same as others.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.item().value.origin.key
    }

    fn item(&self) -> &Item<Box<Member>> {
        self.item.as_ref().expect(IN_USE)
    }
}

impl Member {
    pub(super) fn new(connection: Connection<Socket>, origin: Arc<Origin>, generation: u64, bell: Arc<Bell>) -> Self {
        let shape = shape(&connection);
        Self { connection, origin, generation, shape, bell }
    }

    /// Whether it can be used by somebody else. If so, the task is woken when that changes.
    pub(super) fn check(&mut self, generation: u64, cx: &mut Context<'_>) -> Result<(), Dismissal> {
        if self.generation != generation {
            return Err(Dismissal::Outdated);
        }
        match self.connection.poll_disturbed(cx) {
            Poll::Ready(Disturbance::Data) => Err(Dismissal::Data),
            Poll::Ready(Disturbance::Ended(_)) => Err(Dismissal::Ended),
            Poll::Ready(Disturbance::Lost(_)) => Err(Dismissal::Lost),
            Poll::Pending if !self.connection.has_left() => Err(Dismissal::Unsent),
            Poll::Pending if shape(&self.connection) != self.shape => Err(Dismissal::Changed),
            Poll::Pending if !self.connection.is_writable() => Err(Dismissal::Ended),
            Poll::Pending => Ok(()),
        }
    }
}

fn shape(connection: &Connection<Socket>) -> Shape {
    (connection.depth(), connection.stack().layers().last().map(|(id, _)| id))
}

impl Deref for Pooled {
    type Target = Connection<Socket>;

    fn deref(&self) -> &Connection<Socket> {
        &self.item().value.connection
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection<Socket> {
        &mut self.item.as_mut().expect(IN_USE).value.connection
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            self.shared.tell(&Event::Dismissed { key: &item.value.origin.key, why: Dismissal::Dropped });
        }
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&self.item().value.connection.to_string()).finish()
    }
}

const IN_USE: &str = "it is taken out only where the handle is used up";
