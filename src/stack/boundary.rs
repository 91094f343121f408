//! The gap between two neighbours, and the only place where bytes rest.
//!
//! ```text
//!        neighbour above
//!      ▲                 │
//!      │  inbound        ▼  outbound
//!   [ d c b a ]       [ e f g h ]
//!      ▲                 │
//!      │                 ▼
//!        neighbour below
//! ```
//!
//! Each direction is a [`Queue`]: bytes in order, and *marks* that stand between them. A mark is how
//! something that is no byte keeps its place in the order: that a layer's stream ended here
//! ([`End`], inbound), or that a layer is to stop here ([`Order`], outbound). Because a mark stands in the
//! queue, no flag can be seen too early or too late: what was written before it is in front of it.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, BytesMut};

use super::LayerId;

/// The two queues between a layer and its neighbour.
#[derive(Debug)]
pub(crate) struct Boundary {
    pub(crate) inbound: Queue<End>,
    pub(crate) outbound: Queue<Order>,
}

impl Boundary {
    pub(crate) fn new(limit: usize) -> Self {
        Self { inbound: Queue::new(limit), outbound: Queue::new(limit) }
    }

    /// Joins the boundary above a peeled layer to this one, which was below it.
    ///
    /// Inbound, what the layer had already passed up comes first; outbound, what it had already sent down. The limits are
    /// those of the boundary above, which the neighbour above knows.
    pub(crate) fn join(&mut self, above: Self) {
        let limit = above.inbound.limit;
        let below = std::mem::replace(&mut self.inbound, above.inbound);
        self.inbound.append(below);
        self.inbound.limit = limit;
        self.outbound.limit = above.outbound.limit;
        self.outbound.append(above.outbound);
    }

    pub(crate) fn release_idle(&mut self) {
        self.inbound.release_idle();
        self.outbound.release_idle();
    }

    pub(crate) fn version(&self) -> u64 {
        self.inbound.version.wrapping_add(self.outbound.version)
    }
}

/// A mark in an inbound queue: where a stream of bytes ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The layer's stream ended cleanly; bytes behind the mark belong to the layer below it.
    Layer(LayerId),
    /// End of file on the wire.
    Wire,
    /// The connection is lost, for the reason that the stack keeps.
    Lost,
}

/// A mark in an outbound queue: a command that takes effect behind the bytes written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Close the write half of this layer.
    Finish(LayerId),
    /// Stop this layer, to have it peeled.
    Stop(LayerId),
    /// Close every layer from here to the wire, then the write side of the wire.
    Close,
}

/// One direction of a boundary: a bounded queue of bytes with marks between them.
///
/// The limit is kept by those who write: they ask for [`room`](Self::room) first. Control bytes (handshake
/// messages, alerts) may go over it, because what makes room may be waiting for just them.
pub struct Queue<M> {
    bytes: BytesMut,
    marks: VecDeque<Marked<M>>,
    /// How many bytes have ever been consumed: the position of the front.
    front: u64,
    limit: usize,
    /// Changes with every change of the contents, so that the work loop knows whom to wake.
    version: u64,
}

#[derive(Debug)]
struct Marked<M> {
    at: u64,
    mark: M,
}

impl<M> Queue<M> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), marks: VecDeque::new(), front: 0, limit, version: 0 }
    }

    /// The bytes that can be consumed: all up to the first mark.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        &self.bytes[..self.front_len()]
    }

    /// As [`front`](Self::front), for decryption in place.
    pub fn front_mut(&mut self) -> &mut [u8] {
        let len = self.front_len();
        &mut self.bytes[..len]
    }

    /// Takes `count` bytes off the front.
    ///
    /// # Panics
    ///
    /// If `count` is more than [`front`](Self::front) holds: a layer consumes only what it has seen.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.front_len(), "consumed {count} of {} bytes", self.front_len());
        if count > 0 {
            self.bytes.advance(count);
            self.front += count as u64;
            self.version += 1;
        }
    }

    /// The first mark, if no bytes stand in front of it.
    #[must_use]
    pub fn mark(&self) -> Option<&M> {
        self.marks.front().filter(|marked| marked.at == self.front).map(|marked| &marked.mark)
    }

    /// The first mark, wherever it stands: where [`front`](Self::front) ends, more bytes than it holds
    /// will never come if this is some.
    #[must_use]
    pub fn next_mark(&self) -> Option<&M> {
        self.marks.front().map(|marked| &marked.mark)
    }

    /// Takes the first mark, if no bytes stand in front of it.
    pub fn take_mark(&mut self) -> Option<M> {
        self.mark()?;
        self.version += 1;
        self.marks.pop_front().map(|marked| marked.mark)
    }

    /// Puts bytes at the back.
    pub fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.extend_from_slice(bytes);
            self.version += 1;
        }
    }

    /// Puts a mark at the back.
    pub fn push_mark(&mut self, mark: M) {
        self.marks.push_back(Marked { at: self.front + self.bytes.len() as u64, mark });
        self.version += 1;
    }

    /// Lets `write` fill up to `count` bytes of zeros at the back; the number it returns first is kept.
    pub fn fill<R>(&mut self, count: usize, write: impl FnOnce(&mut [u8]) -> (usize, R)) -> R {
        let len = self.bytes.len();
        self.bytes.resize(len + count, 0);
        let (written, result) = write(&mut self.bytes[len..]);
        self.bytes.truncate(len + written.min(count));
        if written > 0 {
            self.version += 1;
        }
        result
    }

    /// How many more bytes may be pushed before the limit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// The number of bytes in the queue, behind marks too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the queue holds neither bytes nor marks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.marks.is_empty()
    }

    /// Moves what `other` holds to the back of this queue, as far as there is room; marks move with their bytes.
    pub fn take_from(&mut self, other: &mut Self) {
        loop {
            let count = other.front_len().min(self.room());
            if count > 0 {
                if self.bytes.is_empty() && count == other.bytes.len() {
                    // Hand the storage on: the usual case of a layer that only looks.
                    std::mem::swap(&mut self.bytes, &mut other.bytes);
                    other.front += count as u64;
                    other.version += 1;
                    self.version += 1;
                } else {
                    self.push(&other.bytes[..count]);
                    other.consume(count);
                }
            }
            match other.take_mark() {
                Some(mark) => self.push_mark(mark),
                None => return,
            }
        }
    }

    /// Has the neighbours on both sides called again, though nothing has changed.
    pub(crate) fn touch(&mut self) {
        self.version += 1;
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.version += 1;
    }

    /// Drops all bytes and those marks that `keep` does not name; the number of bytes dropped.
    pub(crate) fn clear(&mut self, keep: impl Fn(&M) -> bool) -> usize {
        let dropped = self.bytes.len();
        self.front += dropped as u64;
        self.bytes.clear();
        self.marks.retain(|marked| keep(&marked.mark));
        for marked in &mut self.marks {
            marked.at = self.front;
        }
        self.version += 1;
        dropped
    }

    pub(crate) fn drain_all(&mut self) -> Vec<u8> {
        self.marks.clear();
        Vec::from(std::mem::take(&mut self.bytes))
    }

    pub(crate) fn marks(&self) -> impl Iterator<Item = &M> {
        self.marks.iter().map(|marked| &marked.mark)
    }

    fn append(&mut self, other: Self) {
        let back = self.front + self.bytes.len() as u64;
        let moved = other.marks.into_iter().map(|marked| Marked { at: back + (marked.at - other.front), ..marked });
        self.marks.extend(moved);
        if self.bytes.is_empty() {
            self.bytes = other.bytes;
        } else {
            self.bytes.extend_from_slice(&other.bytes);
        }
        self.version += 1;
    }

    fn front_len(&self) -> usize {
        match self.marks.front() {
            // Marks stand at or behind the front and not behind the back, so the distance fits.
            Some(marked) => (marked.at - self.front) as usize,
            None => self.bytes.len(),
        }
    }

    fn release_idle(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_WHEN_IDLE {
            self.bytes = BytesMut::new();
        }
    }
}

impl<M: fmt::Debug> fmt::Debug for Queue<M> {
    /// Counts only: the bytes may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("bytes", &self.bytes.len())
            .field("marks", &self.marks)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// An idle queue gives back storage above this many bytes.
const KEPT_WHEN_IDLE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_ends_at_the_first_mark() {
        let mut queue = Queue::new(16);
        queue.push(b"abc");
        queue.push_mark(End::Wire);
        queue.push(b"de");
        assert_eq!(queue.front(), b"abc");
        assert_eq!(queue.mark(), None);
        assert_eq!(queue.next_mark(), Some(&End::Wire));
        queue.consume(3);
        assert_eq!(queue.front(), b"");
        assert_eq!(queue.take_mark(), Some(End::Wire));
        assert_eq!(queue.front(), b"de");
        assert_eq!(queue.take_mark(), None);
    }

    #[test]
    fn a_move_respects_the_room_and_keeps_marks_in_place() {
        let (mut from, mut to) = (Queue::new(16), Queue::new(4));
        from.push(b"abc");
        from.push_mark(End::Wire);
        from.push(b"defg");
        to.take_from(&mut from);
        assert_eq!((to.len(), from.len()), (4, 3));
        assert_eq!(to.front(), b"abc");
        to.consume(3);
        assert_eq!(to.take_mark(), Some(End::Wire));
        to.take_from(&mut from);
        assert_eq!(to.front(), b"defg");
        assert!(from.is_empty());
    }

    #[test]
    fn join_puts_the_bytes_of_above_before_inbound_and_behind_outbound() {
        let (mut below, mut above) = (Boundary::new(64), Boundary::new(32));
        below.inbound.push(b"leftover");
        below.inbound.push_mark(End::Wire);
        above.inbound.push(b"late");
        above.inbound.push_mark(End::Lost);
        below.outbound.push(b"close_notify ");
        above.outbound.push(b"after");
        above.outbound.push_mark(Order::Close);
        below.join(above);
        assert_eq!(below.inbound.front(), b"late");
        below.inbound.consume(4);
        assert_eq!(below.inbound.take_mark(), Some(End::Lost));
        assert_eq!(below.inbound.front(), b"leftover");
        below.inbound.consume(8);
        assert_eq!(below.inbound.take_mark(), Some(End::Wire));
        assert_eq!(below.outbound.front(), b"close_notify after");
        assert_eq!(below.outbound.next_mark(), Some(&Order::Close));
    }

    #[test]
    fn fill_keeps_what_was_written() {
        let mut queue: Queue<End> = Queue::new(16);
        queue.push(b"a");
        let result = queue.fill(8, |space| {
            space[..2].copy_from_slice(b"bc");
            (2, "done")
        });
        assert_eq!((result, queue.front()), ("done", &b"abc"[..]));
    }

    #[test]
    #[should_panic(expected = "consumed 2 of 1 bytes")]
    fn consuming_across_a_mark_is_a_bug_that_shows() {
        let mut queue = Queue::new(16);
        queue.push(b"a");
        queue.push_mark(End::Wire);
        queue.push(b"b");
        queue.consume(2);
    }
}
