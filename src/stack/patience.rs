//! The peer's time: how long it may take for what a layer waits for.
//!
//! A deadline that begins when something is asked for bounds two things at once: the time that the peer takes to answer, and
//! the time that the question takes to leave. Behind a throttle, or behind megabytes for a peer that reads slowly, the second
//! is the longer one, and then a peer that answers at once is given up. So a layer does not say *until when* it waits but
//! *how long the peer may take* ([`Layer::awaits`](super::Layer::awaits)), and the stack, which alone knows what has left,
//! keeps the clock:
//!
//! ```text
//!                output of the layer, or below it, in the stack
//!      ┌─────────────┐ ────────────────────────────────▶ ┌──────────┐
//!      │ peer's turn │                                   │ our turn │
//!      │  it  runs   │ ◀──────────────────────────────── │ it waits │
//!      └─────────────┘          all has left             └──────────┘
//!             │ the limit has passed                            │ the wire has taken nothing for long
//!             ▼                                                 ▼
//!       Overdue::Answer                                  Overdue::Reading
//! ```
//!
//! What has left the stack is the peer's affair, but for what the system still holds, as far as the driver can tell
//! ([`Stack::set_backlog`]): while that becomes less, a peer that reads slowly has not yet got what it is to answer, and its
//! time begins anew. A peer that takes nothing at all of what the wire
//! has for it is not waited for without end: it has half a minute for some of it, or the limit if that is longer. What our
//! own layers hold back, such as a throttle, is never held against it.

use std::time::{Duration, Instant};

use super::layer::Failure;
use super::list::{NodeState, WIRE};
use super::{LayerError, LayerErrorKind, Order, Stack};

/// What a layer waits for from its peer, and how long the peer may take for it; see [`Layer::awaits`](super::Layer::awaits).
///
/// Two that are equal, but for [`held`](Self::held), are one and the same wait. The clock begins anew with one that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    what: &'static str,
    limit: Duration,
    behind_stop: bool,
    is_held: bool,
}

impl Patience {
    /// The peer may take `limit` for `what`, which is a phrase such as `the handshake`.
    #[must_use]
    pub fn new(what: &'static str, limit: Duration) -> Self {
        Self { what, limit, behind_stop: false, is_held: false }
    }

    /// As [`new`](Self::new), for the answer to a stop: it is not the peer's turn before the layer has met the
    /// [`Order::Stop`], behind all that was written before.
    #[must_use]
    pub fn behind_stop(mut self) -> Self {
        self.behind_stop = true;
        self
    }

    /// Whether the clock stands still, because the peer waits for our own application at the time.
    #[must_use]
    pub fn held(mut self, is_held: bool) -> Self {
        self.is_held = is_held;
        self
    }

    fn is_same(self, other: Self) -> bool {
        self.held(false) == other.held(false)
    }

    /// What is waited for.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// How long the peer may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

/// What the peer has not done in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overdue {
    /// It had all that we said and did not answer.
    Answer,
    /// It has taken nothing of what we said, for so long that it is not waited for any more.
    Reading,
}

/// The time that has passed of a [`Patience`].
#[derive(Debug)]
pub(crate) struct Clock {
    patience: Patience,
    passed: Duration,
    turn: Turn,
    /// When it last began anew because of what the system still held, and how much that was.
    spared: Option<(Instant, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Ours,
    /// The peer's, since then.
    Peers(Instant),
}

impl Clock {
    fn new(patience: Patience) -> Self {
        Self { patience, passed: Duration::ZERO, turn: Turn::Ours, spared: None }
    }

    fn give_turn(&mut self, is_ours: bool, now: Instant) {
        match (self.turn, is_ours) {
            (Turn::Ours, false) => self.turn = Turn::Peers(now),
            (Turn::Peers(since), true) => {
                self.passed = self.passed.saturating_add(now.saturating_duration_since(since));
                self.turn = Turn::Ours;
            }
            _ => {}
        }
    }
}

impl Stack {
    /// Asks a layer what it waits for, which may have changed.
    pub(super) fn ask_awaited(&mut self, index: usize) {
        let node = self.list.node_mut(index);
        let awaited = node.layer.awaits().filter(|_| node.state != NodeState::Failed);
        match (&mut node.clock, awaited) {
            (Some(clock), Some(awaited)) if clock.patience.is_same(awaited) => clock.patience = awaited,
            _ => node.clock = awaited.map(|awaited| Box::new(Clock::new(awaited))),
        }
        self.has_clocks |= awaited.is_some();
    }

    /// Lets the clocks run or stand, by whose turn it is now.
    pub(super) fn turn_clocks(&mut self, now: Instant) {
        let is_offered = self.list.node(WIRE).above.outbound.has_bytes();
        self.untaken_since = self.untaken_since.filter(|_| is_offered).or(is_offered.then_some(now));
        self.has_clocks = false;
        // The peer's answer may be among what our own layers have not come to yet.
        let mut unsent = is_offered || self.is_unfinished();
        let mut cursor = self.list.above(WIRE);
        while let Some(index) = cursor {
            if self.list.node(index).clock.is_some() {
                let is_ours = unsent || self.is_held(index) || self.awaits_own_stop(index);
                if let Some(clock) = &mut self.list.node_mut(index).clock {
                    clock.give_turn(is_ours, now);
                }
                self.has_clocks = true;
            }
            unsent |= self.list.node(index).above.outbound.has_bytes();
            cursor = self.list.above(index);
        }
        if !self.has_clocks {
            self.untaken_since = None;
        }
    }

    /// The wire has taken something.
    pub(super) fn wire_has_taken(&mut self) {
        self.untaken_since = None;
    }

    fn is_held(&self, index: usize) -> bool {
        self.list.node(index).clock.as_ref().is_some_and(|clock| clock.patience.is_held)
    }

    /// Whether the order that a layer's clock waits for is still on its way down to it. One that the layer leaves standing
    /// before it has come.
    fn awaits_own_stop(&self, index: usize) -> bool {
        let node = self.list.node(index);
        if !node.clock.as_ref().is_some_and(|clock| clock.patience.behind_stop) {
            return false;
        }
        let stop = Order::Stop(self.list.id(index));
        let mut boundaries = self.list.upwards(index).map(|index| &self.list.node(index).above.outbound);
        node.above.outbound.mark() != Some(&stop) && boundaries.any(|queue| queue.marks().any(|order| *order == stop))
    }

    /// When what a layer waits for will be overdue, if nothing happens until then.
    pub(super) fn overdue_at(&self, index: usize) -> Option<Instant> {
        let clock = self.list.node(index).clock.as_ref()?;
        let limit = clock.patience.limit;
        match clock.turn {
            Turn::Peers(since) => since.checked_add(limit.saturating_sub(clock.passed)),
            Turn::Ours => self.untaken_since?.checked_add(limit.max(STALL_TIMEOUT)),
        }
    }

    /// Begins a clock that has run out anew, if the system still holds some of what was sent, and holds less than the last
    /// time; nobody knows how that was before the first time.
    fn spare_slow_peer(&mut self, index: usize, now: Instant) -> bool {
        let (backlog, untaken_since) = (self.backlog, self.untaken_since);
        let Some(clock) = &mut self.list.node_mut(index).clock else { return false };
        let began = match clock.turn {
            Turn::Peers(since) => Some(since),
            Turn::Ours => untaken_since,
        };
        // What was seen before anything else has passed says nothing of now.
        let before = clock.spared.filter(|&(when, _)| Some(when) == began);
        if backlog == 0 || before.is_some_and(|(_, before)| backlog >= before) {
            return false;
        }
        clock.spared = Some((now, backlog));
        match clock.turn {
            Turn::Peers(_) => (clock.turn, clock.passed) = (Turn::Peers(now), Duration::ZERO),
            Turn::Ours => self.untaken_since = Some(now),
        }
        true
    }

    /// Tells a layer that what it waits for is overdue, if it is.
    pub(super) fn run_out(&mut self, index: usize, now: Instant) {
        if self.overdue_at(index).is_none_or(|overdue| overdue > now) {
            return;
        }
        if self.spare_slow_peer(index, now) {
            return;
        }
        let Some(clock) = self.list.node_mut(index).clock.take() else { return };
        let Clock { patience, turn, .. } = *clock;
        let overdue = match turn {
            Turn::Peers(_) => Overdue::Answer,
            Turn::Ours => Overdue::Reading,
        };
        let id = self.list.id(index);
        self.call(index, now, |layer, ends| layer.overdue(overdue, ends));
        if self.list.find(id).is_err() || self.list.node(index).state == NodeState::Failed {
            return;
        }
        self.wake(index);
        self.ask_awaited(index);
        if self.list.node(index).clock.as_ref().is_some_and(|clock| clock.patience.is_same(patience)) {
            let message = format!("the layer waits on for {}, although the time for it is over", patience.what);
            self.fail(index, now, Failure::lose(LayerError::new(LayerErrorKind::Limit, message)));
        }
    }
}

/// How long a peer may take nothing at all of what is there for it, while something waits for it to leave. Buffers of the
/// system make a slow reader look like one who takes much at once, and nothing in between.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
