//! Two stacks and the wire between them.

use std::fmt;
use std::iter;
use std::time::{Duration, Instant};

use super::{Cut, Dice, MemoryWire};
use crate::stack::{CommandError, Event, Layer, LayerId, Limits, Readable, Reason, Stack, Stop};

/// Two peers on one wire, with their own time.
///
/// ```
/// use onionskin::testing::{Cut, Pair};
///
/// let mut pair = Pair::new(Cut::Bytes);
/// pair.left.write(b"hello");
/// pair.run();
/// assert_eq!(pair.right.read(), b"hello");
/// ```
#[derive(Debug)]
pub struct Pair {
    /// One peer.
    pub left: Peer,
    /// The other.
    pub right: Peer,
    cut: Cut,
    dice: Dice,
}

/// One end of a [`Pair`]: a stack, and what is on the wire towards it.
pub struct Peer {
    /// The stack itself, for whatever the methods here do not do.
    pub stack: Stack,
    now: Instant,
    wire: MemoryWire,
    sent: Vec<u8>,
}

impl Pair {
    /// Two stacks without layers.
    #[must_use]
    pub fn new(cut: Cut) -> Self {
        Self::with_limits(cut, Limits::default())
    }

    /// Two stacks without layers, with limits of their own.
    #[must_use]
    pub fn with_limits(cut: Cut, limits: Limits) -> Self {
        let now = Instant::now();
        let (left, right) = (Peer::new("left", now, limits), Peer::new("right", now, limits));
        Self { left, right, cut, dice: cut.dice() }
    }

    /// The time that both sides see.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.left.now
    }

    /// Lets both sides talk until neither has anything to say.
    ///
    /// # Panics
    ///
    /// If they never stop: two stacks that keep each other busy without their applications are a bug.
    pub fn run(&mut self) {
        for _ in 0..MAX_STEPS {
            if !self.step() {
                return;
            }
        }
        panic!("the pair does not come to rest: {:?} / {:?}", self.left.stack, self.right.stack);
    }

    /// Moves what one read or one write each way moves; whether anything moved.
    pub fn step(&mut self) -> bool {
        let sent = self.left.send_to(&mut self.right) | self.right.send_to(&mut self.left);
        let delivered = match self.cut {
            Cut::Coalesced if sent => true,
            Cut::Whole | Cut::Coalesced => self.left.deliver(usize::MAX) | self.right.deliver(usize::MAX),
            Cut::Bytes => self.left.deliver(1) | self.right.deliver(1),
            Cut::Pieces(size) => self.left.deliver(size.max(1)) | self.right.deliver(size.max(1)),
            Cut::Random(_) => {
                let (left, right) = (self.dice.piece(), self.dice.piece());
                match self.dice.below(3) {
                    0 => self.left.deliver(left) || self.right.deliver(right),
                    1 => self.right.deliver(right) || self.left.deliver(left),
                    _ => self.left.deliver(left) | self.right.deliver(right),
                }
            }
        };
        let left_went_on = self.left.resume();
        self.right.resume() | left_went_on | sent | delivered
    }

    /// Writes all of `bytes` on the left, as fast as there is room, while the right reads; what it read.
    ///
    /// # Panics
    ///
    /// If the left refuses the write, or neither side gets any further before all is written.
    pub fn left_to_right(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (mut rest, mut arrived) = (bytes, Vec::new());
        loop {
            let written = self.left.write_some(rest);
            rest = &rest[written..];
            self.run();
            let read = self.right.read();
            if read.is_empty() && written == 0 {
                assert!(rest.is_empty(), "{} bytes find no room: {:?}", rest.len(), self.left.stack);
                return arrived;
            }
            arrived.extend(read);
        }
    }

    /// As [`left_to_right`](Self::left_to_right), the other way.
    ///
    /// # Panics
    ///
    /// As [`left_to_right`](Self::left_to_right).
    pub fn right_to_left(&mut self, bytes: &[u8]) -> Vec<u8> {
        std::mem::swap(&mut self.left, &mut self.right);
        let arrived = self.left_to_right(bytes);
        std::mem::swap(&mut self.left, &mut self.right);
        arrived
    }

    /// Runs, then lets time pass and fires what is due on the way in sequence, and runs. What was written before has left
    /// before any time passes.
    pub fn advance(&mut self, by: Duration) {
        self.run();
        let end = self.now() + by;
        while let Some(due) = self.poll_deadline()
            && due <= end
        {
            self.set_now(due);
        }
        self.set_now(end);
    }

    /// When the next layer of either side is due.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        [&self.left, &self.right].into_iter().filter_map(|peer| peer.stack.poll_deadline()).min()
    }

    fn set_now(&mut self, now: Instant) {
        for peer in [&mut self.left, &mut self.right] {
            peer.now = now.max(peer.now);
            if peer.stack.poll_deadline().is_some_and(|due| due <= now) {
                peer.stack.handle_timeout(now);
            }
        }
        self.run();
    }
}

impl Peer {
    fn new(label: &str, now: Instant, limits: Limits) -> Self {
        let mut stack = Stack::new(limits);
        stack.name_wire(label);
        Self { stack, now, wire: MemoryWire::new(), sent: Vec::new() }
    }

    /// Writes all of `bytes`.
    ///
    /// # Panics
    ///
    /// If the stack refuses, or has no room.
    pub fn write(&mut self, bytes: &[u8]) {
        let written = self.write_some(bytes);
        assert_eq!(written, bytes.len(), "the stack has room");
    }

    /// Writes as many of `bytes` as there is room for, and returns how many.
    ///
    /// # Panics
    ///
    /// If the stack refuses.
    pub fn write_some(&mut self, bytes: &[u8]) -> usize {
        self.stack.write(self.now, bytes).expect("the stack takes writes")
    }

    /// Takes what can be read, up to the next end.
    pub fn read(&mut self) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Readable::Bytes(bytes) = self.stack.readable() {
            taken.extend_from_slice(bytes);
            let count = bytes.len();
            self.stack.consume(self.now, count);
        }
        taken
    }

    /// Takes up to `count` bytes, and leaves what is behind them unread.
    pub fn read_some(&mut self, count: usize) -> Vec<u8> {
        let Readable::Bytes(bytes) = self.stack.readable() else { return Vec::new() };
        let taken = bytes[..bytes.len().min(count)].to_vec();
        self.stack.consume(self.now, taken.len());
        taken
    }

    /// The layer whose end is next to read, if one is.
    #[must_use]
    pub fn ended(&self) -> Option<LayerId> {
        match self.stack.readable() {
            Readable::Ended(id) => Some(id),
            _ => None,
        }
    }

    /// Why the connection is lost, once everything before the loss has been read.
    #[must_use]
    pub fn lost(&self) -> Option<&Reason> {
        match self.stack.readable() {
            Readable::Lost(reason) => Some(reason),
            _ => None,
        }
    }

    /// Splices a layer in.
    ///
    /// # Panics
    ///
    /// If the stack refuses.
    pub fn splice(&mut self, layer: impl Layer) -> LayerId {
        self.stack.splice(self.now, Box::new(layer)).expect("the stack takes another layer")
    }

    /// Stops the innermost layer that can be.
    ///
    /// # Errors
    ///
    /// As [`Stack::stop`]; also when there is none.
    pub fn stop(&mut self, stop: Stop) -> Result<LayerId, CommandError> {
        let id = self.stack.innermost_stoppable().ok_or(crate::stack::CommandErrorKind::NothingToStop)?;
        self.stack.stop(self.now, id, stop)?;
        Ok(id)
    }

    /// Continues below the end that is next to read.
    ///
    /// # Errors
    ///
    /// As [`Stack::pass_end`].
    pub fn pass_end(&mut self) -> Result<LayerId, CommandError> {
        self.stack.pass_end(self.now)
    }

    /// The peer's view of a clean close of the socket by the other side.
    pub fn end_input(&mut self) {
        self.wire.arrive_end();
    }

    /// As [`end_input`](Self::end_input), if that did not come before; whether it did not.
    pub(super) fn end_once(&mut self) -> bool {
        let is_new = !self.wire.is_end_arriving() && !self.stack.is_input_closed();
        if is_new {
            self.wire.arrive_end();
        }
        is_new
    }

    /// Puts bytes on the wire towards this peer that the other did not send.
    pub fn inject(&mut self, bytes: &[u8]) {
        self.wire.arrive(bytes);
    }

    /// Takes the bytes that are on the wire towards this peer off it.
    pub fn intercept(&mut self) -> Vec<u8> {
        self.wire.intercept()
    }

    /// While held, nothing arrives at this peer; it piles up on the wire.
    pub fn hold(&mut self, hold: bool) {
        self.wire.hold(hold);
    }

    /// The events since this was last asked.
    pub fn events(&mut self) -> Vec<Event> {
        iter::from_fn(|| self.stack.poll_event()).collect()
    }

    /// Everything this peer ever put on the wire.
    #[must_use]
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// This peer's time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    fn send_to(&mut self, other: &mut Self) -> bool {
        let moved = self.wire.send(&mut self.stack, self.now);
        let sent = self.wire.take_sent();
        other.wire.arrive(&sent);
        self.sent.extend(sent);
        if self.wire.take_shutdown() {
            other.wire.arrive_end();
        }
        moved
    }

    fn deliver(&mut self, most: usize) -> bool {
        self.wire.deliver(&mut self.stack, self.now, most)
    }

    fn resume(&mut self) -> bool {
        self.wire.resume(&mut self.stack, self.now)
    }
}

impl fmt::Debug for Peer {
    /// Counts only: a test may send megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("stack", &self.stack)
            .field("wire", &self.wire)
            .field("sent", &self.sent.len())
            .finish_non_exhaustive()
    }
}

/// More steps than any test takes; each moves at least a byte.
const MAX_STEPS: usize = 50_000_000;
