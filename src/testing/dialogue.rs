//! Two protocols, and the wire between them.

use std::fmt;
use std::time::Duration;

use super::{Cut, Pair, Peer};
use crate::protocol::{Addresses, EndReason, Protocol, Session, Transport};
use crate::stack::Limits;

/// Two protocols that talk to each other over a [`Pair`], in its time and with its cuts.
///
/// ```
/// use onionskin::protocol::{Protocol, Result, Transport};
/// use onionskin::testing::{Cut, Dialogue};
///
/// struct Asks(Vec<u8>);
///
/// impl Protocol for Asks {
///     fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
///         transport.write(b"anybody there?")
///     }
///
///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
///         self.0.extend(transport.take_all());
///         Ok(())
///     }
/// }
///
/// struct Echoes;
///
/// impl Protocol for Echoes {
///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
///         let bytes = transport.take_all();
///         transport.write(&bytes)
///     }
/// }
///
/// let mut dialogue = Dialogue::new(Cut::Bytes, Asks(Vec::new()), Echoes);
/// dialogue.run();
/// assert_eq!(dialogue.left().0, b"anybody there?");
/// ```
pub struct Dialogue<L: Protocol, R: Protocol> {
    /// The stacks below the protocols and the wire between them: to hold a direction, to inject bytes, to look.
    pub pair: Pair,
    left: Session<L>,
    right: Session<R>,
}

impl<L: Protocol, R: Protocol> Dialogue<L, R> {
    /// Two protocols on stacks without layers. [`run`](Self::run) begins.
    pub fn new(cut: Cut, left: L, right: R) -> Self {
        Self::with_limits(cut, Limits::default(), left, right)
    }

    /// As [`new`](Self::new), with limits for the stacks.
    pub fn with_limits(cut: Cut, limits: Limits, left: L, right: R) -> Self {
        Self::over(Pair::with_limits(cut, limits), left, right)
    }

    /// Two protocols on the stacks of a pair that may have layers already.
    pub fn over(pair: Pair, left: L, right: R) -> Self {
        Self { pair, left: Session::new(left, Addresses::default()), right: Session::new(right, Addresses::default()) }
    }

    /// Lets both talk until neither has anything to say.
    ///
    /// # Panics
    ///
    /// If they never stop.
    pub fn run(&mut self) {
        for _ in 0..MAX_STEPS {
            if !self.step() {
                return;
            }
        }
        panic!("the dialogue does not come to rest: {:?} / {:?}", self.left, self.right);
    }

    /// Tells both what has happened, and moves what one read or one write each way moves; whether there was anything.
    pub fn step(&mut self) -> bool {
        let now = self.pair.now();
        let dispatched = self.left.dispatch(&mut self.pair.left.stack, now);
        let dispatched = self.right.dispatch(&mut self.pair.right.stack, now) | dispatched;
        let left_hangs_up = hang_up(&self.left, &mut self.pair.left, &mut self.pair.right);
        let right_hangs_up = hang_up(&self.right, &mut self.pair.right, &mut self.pair.left);
        self.pair.step() | dispatched | left_hangs_up | right_hangs_up
    }

    /// Lets time pass, and fires what is due on the way, in sequence.
    pub fn advance(&mut self, by: Duration) {
        self.run();
        let end = self.pair.now() + by;
        while let Some(due) = [self.left.poll_deadline(), self.right.poll_deadline(), self.pair.poll_deadline()]
            .into_iter()
            .flatten()
            .min()
            && due <= end
        {
            self.pass(due.saturating_duration_since(self.pair.now()));
        }
        self.pass(end - self.pair.now());
    }

    /// The protocol on the left.
    pub fn left(&self) -> &L {
        self.left.protocol()
    }

    /// The protocol on the right.
    pub fn right(&self) -> &R {
        self.right.protocol()
    }

    /// Why the left's connection is over, if it was told.
    pub fn left_reason(&self) -> Option<&EndReason> {
        self.left.reason()
    }

    /// Why the right's connection is over, if it was told.
    pub fn right_reason(&self) -> Option<&EndReason> {
        self.right.reason()
    }

    /// Has the left use its transport outside of any callback.
    pub fn with_left<T>(&mut self, act: impl FnOnce(&mut L, &mut Transport<'_>) -> T) -> T {
        let now = self.pair.now();
        self.left.with_transport(&mut self.pair.left.stack, now, act)
    }

    /// Has the right use its transport outside of any callback.
    pub fn with_right<T>(&mut self, act: impl FnOnce(&mut R, &mut Transport<'_>) -> T) -> T {
        let now = self.pair.now();
        self.right.with_transport(&mut self.pair.right.stack, now, act)
    }

    fn pass(&mut self, by: Duration) {
        self.pair.advance(by);
        self.run();
    }
}

impl<L: Protocol, R: Protocol> fmt::Debug for Dialogue<L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialogue")
            .field("pair", &self.pair)
            .field("left", &self.left)
            .field("right", &self.right)
            .finish()
    }
}

/// One whose connection is over drops its socket: the other sees the end, and nobody reads what comes.
fn hang_up<P: Protocol>(session: &Session<P>, own: &mut Peer, other: &mut Peer) -> bool {
    session.is_over() && {
        own.intercept();
        other.end_once()
    }
}

/// More steps than any test takes; each moves at least a byte or is a callback.
const MAX_STEPS: usize = 50_000_000;
