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
//! Each direction is a [`Queue`]: bytes in sequence, and *marks* that stand between them. A mark is how
//! something that is no byte keeps its place in the order: that a layer's stream ended here
//! ([`End`], inbound), or that a layer is to stop here ([`Order`], outbound). Because a mark stands in the
//! queue, no flag can be seen too early or too late: what was written before it is in front of it.
//!
//! A queue has a limit, and who finds no room leaves the bytes where they are: that is all of the backpressure there is, from
//! the application to the socket and back.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, BytesMut};

use super::{LayerId, spare};

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
    pub(crate) fn join(&mut self, above: &mut Self) {
        self.inbound.set_limit(above.inbound.limit);
        if !above.inbound.is_empty() {
            std::mem::swap(&mut self.inbound, &mut above.inbound);
            self.inbound.append(&mut above.inbound);
        }
        self.outbound.set_limit(above.outbound.limit);
        self.outbound.append(&mut above.outbound);
    }

    pub(crate) fn release_idle(&mut self) {
        self.inbound.release_idle();
        self.outbound.release_idle();
    }

    pub(crate) fn changes(&self) -> (Changes, Changes) {
        (self.inbound.changes, self.outbound.changes)
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
    /// The stream below a layer ended before the layer's own did, so nobody knows whether anything is missing. Our own
    /// direction is open ([`Stack::truncated`](super::Stack::truncated)).
    Truncated,
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
    /// Close the write side of the wire, without a word of any layer.
    CloseWire,
}

/// One direction of a boundary: a bounded queue of bytes with marks between them.
///
/// The limit is kept by those who write: they ask for [`room`](Self::room) first. Control bytes (handshake
/// messages, alerts) may go over it, because what makes room may be waiting for just them.
///
/// Bytes lie in one run, so that a parser sees all of them, and one write sends what a batch has made.
pub struct Queue<M> {
    bytes: BytesMut,
    storage: Storage,
    marks: VecDeque<Marked<M>>,
    /// How many bytes have ever been consumed: the position of the front.
    front: u64,
    limit: usize,
    changes: Changes,
    /// Whether somebody has asked for room since it last grew. Atomic for one reason: so that a stack is `Sync`.
    asked: AtomicBool,
}

/// Counts what was done to a queue, so that the work loop knows whom to wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Bytes and marks were put in: who takes them has something to do.
    pub(crate) given: u32,
    /// They were taken out: who waits for room may go on.
    pub(crate) taken: u32,
}

/// What the bytes lie in. The capacity does not tell, because it begins where the bytes have been consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    Small,
    /// Not to be kept by a queue that is idle: much, or a part of much.
    Large,
}

#[derive(Debug)]
struct Marked<M> {
    at: u64,
    mark: M,
}

impl<M> Queue<M> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            storage: Storage::Small,
            marks: VecDeque::new(),
            front: 0,
            limit,
            changes: Changes::default(),
            asked: AtomicBool::new(false),
        }
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
            self.advanced(count);
        }
    }

    /// Takes `count` bytes off the front, as a piece of their own: the very storage they lie in (zero-copy).
    ///
    /// For the bytes of a large unit that are changed in place, or cut out of it, and then [given](Self::give) to another queue.
    /// Storage of their own has its price, so a few thousand bytes and less are better copied ([`front`](Self::front),
    /// [`push`](Self::push), [`consume`](Self::consume)).
    ///
    /// # Panics
    ///
    /// As [`consume`](Self::consume).
    pub fn take(&mut self, count: usize) -> BytesMut {
        assert!(count <= self.front_len(), "took {count} of {} bytes", self.front_len());
        self.storage = Storage::Large;
        let all = count == self.bytes.len();
        let piece = if all { std::mem::take(&mut self.bytes) } else { self.bytes.split_to(count) };
        self.advanced(count);
        piece
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

    /// The last mark, if no bytes stand behind it.
    pub(crate) fn mark_behind(&self) -> Option<&M> {
        let back = self.back();
        self.marks.back().filter(|marked| marked.at == back).map(|marked| &marked.mark)
    }

    /// The position behind the last byte. It never goes back.
    pub(crate) fn back(&self) -> u64 {
        self.front + self.len() as u64
    }

    /// How many bytes stand behind a position.
    pub(crate) fn len_behind(&self, position: u64) -> usize {
        self.len().saturating_sub(usize::try_from(position.saturating_sub(self.front)).unwrap_or(usize::MAX))
    }

    /// Takes the first mark, if no bytes stand in front of it.
    pub fn take_mark(&mut self) -> Option<M> {
        self.mark()?;
        self.mark_taken();
        self.marks.pop_front().map(|marked| marked.mark)
    }

    /// Puts bytes at the back.
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.mark_given();
        self.reserve(bytes.len());
        append(&mut self.bytes, bytes);
    }

    /// Puts bytes at the back: their storage (zero-copy), where that saves a copy worth saving.
    ///
    /// A few bytes are copied all the same, so that they do not keep a large piece of storage that nobody else needs; and so are those
    /// that come behind others, since all bytes of a queue lie in one run.
    pub fn give(&mut self, piece: BytesMut) {
        if piece.len() < COPY_THRESHOLD || !self.bytes.is_empty() {
            self.push(&piece);
            return;
        }
        self.mark_given();
        self.bytes = piece;
        self.storage = Storage::Large;
    }

    /// Puts `count` bytes off the front of `piece` at the back: their storage, if they are many and nothing is before them.
    pub(crate) fn give_of(&mut self, piece: &mut BytesMut, count: usize) {
        if count < COPY_THRESHOLD || !self.bytes.is_empty() {
            self.push(&piece[..count]);
            piece.advance(count);
        } else if count == piece.len() {
            self.give(std::mem::take(piece));
        } else {
            self.give(piece.split_to(count));
        }
    }

    /// Has `give` take up to so many bytes off the front, with their storage.
    pub(crate) fn give_front<R>(&mut self, give: impl FnOnce(&mut BytesMut, usize) -> R) -> R {
        let (before, most) = (self.bytes.len(), self.front_len());
        let given = give(&mut self.bytes, most);
        let count = before - self.bytes.len();
        if count > 0 {
            debug_assert!(count <= most, "marks keep their places");
            self.storage = Storage::Large;
            self.advanced(count);
        }
        given
    }

    /// Takes `count` bytes off the front, and puts them behind those of `to`: their storage, as above.
    pub(crate) fn take_to(&mut self, to: &mut BytesMut, count: usize) {
        self.give_front(|bytes, most| move_front(bytes, to, count.min(most)));
    }

    /// Puts a mark at the back.
    pub fn push_mark(&mut self, mark: M) {
        self.marks.push_back(Marked { at: self.front + self.len() as u64, mark });
        self.mark_given();
    }

    /// Lets `write` fill up to `count` bytes of zeros at the back; the number it returns first is kept.
    pub fn fill<R>(&mut self, count: usize, write: impl FnOnce(&mut [u8]) -> (usize, R)) -> R {
        self.reserve(count);
        let len = self.bytes.len();
        self.bytes.resize(len + count, 0);
        let (written, result) = write(&mut self.bytes[len..]);
        self.bytes.truncate(len + written.min(count));
        if written > 0 {
            self.mark_given();
        }
        result
    }

    /// How many more bytes may be pushed before the limit. Who has asked is called again when room is made.
    #[must_use]
    pub fn room(&self) -> usize {
        self.asked.store(true, Ordering::Relaxed);
        self.limit.saturating_sub(self.len())
    }

    /// The number of bytes in the queue, behind marks too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are bytes in the queue, behind marks too.
    pub(crate) fn has_bytes(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Whether the queue holds neither bytes nor marks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.marks.is_empty()
    }

    /// Moves what `other` holds to the back of this queue, as far as there is room; marks move with their bytes.
    pub fn take_from(&mut self, other: &mut Self) {
        if other.is_empty() {
            return;
        }
        loop {
            let count = other.front_len().min(self.room());
            if count >= COPY_THRESHOLD {
                // The usual case of a layer that only looks: the storage is handed on.
                let piece = other.take(count);
                self.give(piece);
            } else {
                self.push(&other.bytes[..count]);
                other.consume(count);
            }
            // What has no room waits, and so does a mark behind it.
            match other.take_mark() {
                Some(mark) => self.push_mark(mark),
                None => return,
            }
        }
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.mark_taken();
    }

    /// Drops all bytes and those marks that `keep` does not name; the number of bytes dropped.
    pub(crate) fn clear(&mut self, keep: impl Fn(&M) -> bool) -> usize {
        let dropped = self.len();
        self.front += dropped as u64;
        self.bytes.clear();
        self.marks.retain(|marked| keep(&marked.mark));
        for marked in &mut self.marks {
            marked.at = self.front;
        }
        self.mark_taken();
        dropped
    }

    pub(crate) fn drain_all(&mut self) -> Vec<u8> {
        self.marks.clear();
        Vec::from(std::mem::take(&mut self.bytes))
    }

    /// All marks, from the front to the back, without their places.
    pub fn marks(&self) -> impl Iterator<Item = &M> {
        self.marks.iter().map(|marked| &marked.mark)
    }

    fn append(&mut self, other: &mut Self) {
        if other.is_empty() {
            return;
        }
        let back = self.front + self.len() as u64;
        let moved = other.marks.drain(..).map(|marked| Marked { at: back + (marked.at - other.front), ..marked });
        self.marks.extend(moved);
        self.give(std::mem::take(&mut other.bytes));
        self.mark_given();
    }

    fn front_len(&self) -> usize {
        match self.marks.front() {
            // Marks stand at or behind the front and not behind the back, so the distance fits.
            Some(marked) => (marked.at - self.front) as usize,
            None => self.len(),
        }
    }

    /// The front has moved on.
    fn advanced(&mut self, count: usize) {
        self.front += count as u64;
        self.mark_taken();
    }

    /// Makes space for so many bytes at the back.
    pub(crate) fn reserve(&mut self, count: usize) {
        if count >= COPY_THRESHOLD && self.bytes.is_empty() && self.bytes.capacity() < count {
            self.bytes = spare::take(count);
        }
        self.bytes.reserve(count);
        if self.bytes.capacity() > KEPT_WHEN_IDLE {
            self.storage = Storage::Large;
        }
    }

    fn release_idle(&mut self) {
        if self.bytes.is_empty() && self.storage == Storage::Large {
            spare::keep(std::mem::take(&mut self.bytes));
            self.storage = Storage::Small;
        }
    }

    /// Whether somebody waits for the room that has been made; it is told once.
    pub(crate) fn take_asked(&mut self) -> bool {
        std::mem::take(self.asked.get_mut())
    }

    fn mark_given(&mut self) {
        self.changes.given = self.changes.given.wrapping_add(1);
    }

    fn mark_taken(&mut self) {
        self.changes.taken = self.changes.taken.wrapping_add(1);
    }
}

impl<M: fmt::Debug> fmt::Debug for Queue<M> {
    /// Counts only: the bytes may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("bytes", &self.len())
            .field("marks", &self.marks)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// An idle queue gives back storage above this many bytes.
const KEPT_WHEN_IDLE: usize = 1024;

/// Below this many bytes, a copy is cheaper than storage of their own. And who sends many small pieces could have us
/// keep far more than the bytes that count.
pub(crate) const COPY_THRESHOLD: usize = 4096;

/// Moves `count` bytes off the front of `from` behind those of `to`: their storage (zero-copy), if they are many and nothing is before
/// them.
pub(crate) fn move_front(from: &mut BytesMut, to: &mut BytesMut, count: usize) {
    if count < COPY_THRESHOLD || !to.is_empty() {
        extend(to, &from[..count]);
        from.advance(count);
    } else {
        let piece = if count == from.len() { std::mem::take(from) } else { from.split_to(count) };
        spare::keep(std::mem::replace(to, piece));
    }
}

/// Puts bytes behind others, with storage from the pool where there is none yet.
pub(crate) fn extend(to: &mut BytesMut, bytes: &[u8]) {
    if bytes.len() >= COPY_THRESHOLD && to.is_empty() && to.capacity() < bytes.len() {
        *to = spare::take(bytes.len());
    }
    to.reserve(bytes.len());
    append(to, bytes);
}

/// Copies in parts; see [`COPY_CHUNK`].
fn append(to: &mut BytesMut, bytes: &[u8]) {
    for part in bytes.chunks(COPY_CHUNK) {
        to.extend_from_slice(part);
    }
}

/// Copies in parts; see [`COPY_CHUNK`]. `to` is as long as `bytes`.
pub(crate) fn copy_to_slice(to: &mut [u8], bytes: &[u8]) {
    for (to, part) in to.chunks_mut(COPY_CHUNK).zip(bytes.chunks(COPY_CHUNK)) {
        to.copy_from_slice(part);
    }
}

/// The largest part of a copy. From 2 KiB on, glibc has it done by one instruction of the processor, and where source and
/// destination lie a few bytes apart modulo the size of a page, as plaintext and record do, that is ten times slower than
/// small copies.
pub(crate) const COPY_CHUNK: usize = 1984;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

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
        below.join(&mut above);
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

    /// What a queue is: all bytes, and marks at places between them.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Model {
        bytes: Vec<u8>,
        marks: VecDeque<(usize, u32)>,
    }

    impl Model {
        fn front(&self) -> &[u8] {
            &self.bytes[..self.marks.front().map_or(self.bytes.len(), |&(at, _)| at)]
        }

        fn consume(&mut self, count: usize) -> Vec<u8> {
            self.marks.iter_mut().for_each(|(at, _)| *at -= count);
            self.bytes.drain(..count).collect()
        }

        fn take_mark(&mut self) -> Option<u32> {
            let is_here = self.marks.front().is_some_and(|&(at, _)| at == 0);
            if is_here { self.marks.pop_front().map(|(_, mark)| mark) } else { None }
        }

        fn append(&mut self, other: Self) {
            let back = self.bytes.len();
            self.bytes.extend(other.bytes);
            self.marks.extend(other.marks.into_iter().map(|(at, mark)| (back + at, mark)));
        }
    }

    fn assert_same(queue: &Queue<u32>, model: &Model, case: &str) {
        assert!(queue.front() == model.front(), "{case}");
        // A layer that sees nothing has nothing to consume.
        assert_eq!(queue.front().is_empty(), model.front().is_empty(), "{case}");
        assert_eq!((queue.len(), queue.room()), (model.bytes.len(), LIMIT.saturating_sub(model.bytes.len())), "{case}");
        assert_eq!(queue.is_empty(), model.bytes.is_empty() && model.marks.is_empty(), "{case}");
        assert!(queue.marks().eq(model.marks.iter().map(|(_, mark)| mark)), "{case}");
        assert_eq!(queue.next_mark(), model.marks.front().map(|(_, mark)| mark), "{case}");
        let here = model.marks.front().filter(|&&(at, _)| at == 0).map(|(_, mark)| mark);
        assert_eq!(queue.mark(), here, "{case}");
    }

    const LIMIT: usize = 60_000;

    #[test]
    fn a_queue_is_bytes_and_marks_in_whatever_pieces_they_lie() {
        for seed in 0..200 {
            let dice = &mut Dice::new(seed);
            let new = || Queue::new(LIMIT);
            let (mut queue, mut model) = (new(), Model::default());
            let mut next = 0_u32;
            for step in 0..200 {
                let len =
                    [dice.below(10), dice.below(COPY_THRESHOLD), COPY_THRESHOLD + dice.below(20_000)][dice.below(3)];
                let bytes: Vec<u8> = (0..len).map(|at| (at as u32 ^ next.wrapping_mul(77)) as u8).collect();
                let upto = dice.below(model.front().len() + 1);
                let (changes, before) = (queue.changes, model.clone());
                let action = dice.below(14);
                let case = format!("seed {seed}, step {step}, action {action}");
                next += 1;
                match action {
                    0 | 1 => {
                        queue.push(&bytes);
                        model.bytes.extend(&bytes);
                    }
                    2 | 3 => {
                        // As a part of something larger that somebody else has the rest of.
                        let mut whole = BytesMut::from(&[&bytes[..], b"tail"].concat()[..]);
                        let piece = whole.split_to(len);
                        queue.give(piece);
                        model.bytes.extend(&bytes);
                    }
                    4 => {
                        let written = dice.below(len + 1);
                        let result = queue.fill(len, |space| {
                            assert!(space.len() == len && space.iter().all(|&byte| byte == 0), "{case}");
                            space.copy_from_slice(&bytes);
                            (written, next)
                        });
                        assert_eq!(result, next);
                        model.bytes.extend(&bytes[..written]);
                    }
                    5 | 6 => {
                        queue.push_mark(next);
                        model.marks.push_back((model.bytes.len(), next));
                    }
                    7 => assert_eq!(queue.take_mark(), model.take_mark(), "{case}"),
                    8 => {
                        queue.consume(upto);
                        model.consume(upto);
                    }
                    9 | 10 => {
                        let count = upto.min(queue.front().len());
                        assert!(queue.take(count) == model.consume(count), "{case}");
                    }
                    11 => {
                        let (mut other, mut other_model) = (new(), Model::default());
                        other.give(BytesMut::from(&b"consumed"[..]));
                        other.consume(8);
                        for part in [&bytes[..], b"behind"] {
                            other.push_mark(next);
                            other_model.marks.push_back((other_model.bytes.len(), next));
                            other.give(BytesMut::from(part));
                            other_model.bytes.extend(part);
                        }
                        queue.append(&mut other);
                        model.append(other_model);
                    }
                    12 => {
                        // Into one that is nearly full, and the rest behind it.
                        let mut to = new();
                        to.set_limit(dice.below(LIMIT));
                        to.take_from(&mut queue);
                        assert!(to.len() <= to.limit, "{case}");
                        let mut rest = std::mem::replace(&mut queue, to);
                        queue.append(&mut rest);
                        queue.set_limit(LIMIT);
                    }
                    _ if dice.one_in(4) => {
                        let dropped = queue.clear(|mark| mark % 2 == 0);
                        assert_eq!(dropped, model.bytes.len(), "{case}");
                        model.bytes.clear();
                        model.marks.retain(|(_, mark)| mark % 2 == 0);
                        model.marks.iter_mut().for_each(|(at, _)| *at = 0);
                    }
                    _ => queue.release_idle(),
                }
                assert_same(&queue, &model, &case);
                // Whoever waits for a change is told. Action 12 has made another queue of it.
                assert!(model == before || queue.changes != changes || action == 12, "{case}");
            }
            assert!(queue.drain_all() == model.bytes, "seed {seed}");
        }
    }

    #[test]
    fn large_pieces_are_handed_on_without_a_copy() {
        let (mut below, mut above) = (Queue::<End>::new(LIMIT), Queue::<End>::new(LIMIT));
        below.push(&[7; 3 * COPY_THRESHOLD]);
        let at = below.front().as_ptr();
        above.give(below.take(2 * COPY_THRESHOLD));
        assert_eq!((above.front().as_ptr(), below.front().as_ptr()), (at, at.wrapping_add(2 * COPY_THRESHOLD)));
        // Small ones are not: they would keep all of it.
        above.consume(2 * COPY_THRESHOLD);
        above.give(below.take(COPY_THRESHOLD - 1));
        assert_ne!(above.front().as_ptr(), at.wrapping_add(2 * COPY_THRESHOLD));
        // And what must lie in one piece behind other bytes is not either.
        above.give(below.take(below.len()));
        assert_eq!(above.front(), [7; COPY_THRESHOLD]);
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
