//! A layer that takes its time.
//!
//! Each direction has a bucket of credit that fills at the rate, up to the burst. A byte that passes takes one byte of
//! credit. What finds none stays where it is, in the boundary, with every mark in its place; so the boundary fills, and
//! the peer, or the writer above, learns of it by backpressure as of any full buffer. The layer itself holds nothing.
//!
//! Credit is counted in bytes times nanoseconds, so that no rate loses anything to rounding however often it is asked.

use std::fmt;
use std::time::{Duration, Instant};

use crate::stack::{Ends, Failure, Layer, LayerError, Opens, Queue, Way};

/// Lets no more than so many bytes a second pass, each way by itself.
///
/// The rates can be changed, and lifted, while data flows ([`Stack::with_layer`](crate::stack::Stack::with_layer)).
///
/// ```
/// use std::time::Duration;
/// use onionskin::layer::{Rate, Throttle};
/// use onionskin::testing::{Cut, Pair};
///
/// let mut pair = Pair::new(Cut::Whole);
/// pair.left.splice(Throttle::new().outbound(Rate::per_second(1000).burst(100)));
/// pair.left.write(&[b'x'; 1000]);
/// pair.run();
/// assert_eq!(pair.right.read().len(), 100);
/// pair.advance(Duration::from_millis(500));
/// assert_eq!(pair.right.read().len(), 500);
/// ```
#[derive(Debug, Default)]
pub struct Throttle {
    inbound: Valve,
    outbound: Valve,
}

/// How many bytes may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u64,
    burst: Option<u64>,
}

impl Rate {
    /// So many bytes a second. None at all holds everything back.
    #[must_use]
    pub fn per_second(bytes: u64) -> Self {
        Self { per_second: bytes, burst: None }
    }

    /// How many bytes may pass at once after a silence: what flows in a tenth of a second unless set, and never less
    /// than what flows in a millisecond, because time is not cut finer.
    #[must_use]
    pub fn burst(mut self, bytes: u64) -> Self {
        self.burst = Some(bytes);
        self
    }

    fn most(self) -> u64 {
        let most = self.burst.unwrap_or(self.per_second / 10);
        most.max(self.per_second.div_ceil(1000))
    }
}

impl Throttle {
    /// No limit in either direction.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits what comes from the peer.
    #[must_use]
    pub fn inbound(mut self, rate: Rate) -> Self {
        self.set_inbound(Some(rate));
        self
    }

    /// Limits what goes to the peer.
    #[must_use]
    pub fn outbound(mut self, rate: Rate) -> Self {
        self.set_outbound(Some(rate));
        self
    }

    /// Changes the limit on what comes from the peer; `None` lifts it. A new rate begins with a full burst.
    pub fn set_inbound(&mut self, rate: Option<Rate>) {
        self.inbound = Valve::new(rate);
    }

    /// Changes the limit on what goes to the peer; `None` lifts it. A new rate begins with a full burst.
    pub fn set_outbound(&mut self, rate: Option<Rate>) {
        self.outbound = Valve::new(rate);
    }
}

impl Opens for Throttle {
    type Facts = ();
}

impl Layer for Throttle {
    fn name(&self) -> &'static str {
        "throttle"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "throttle {} in {} out", self.inbound, self.outbound)
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let now = ends.now();
        let Way { from, to } = ends.all().inbound;
        self.inbound.pass(now, from, to);
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let now = ends.now();
        let Way { from, to } = ends.all().outbound;
        self.outbound.pass(now, from, to);
        Ok(())
    }

    fn detach(&mut self, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        [self.inbound.until, self.outbound.until].into_iter().flatten().min()
    }

    fn timeout(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.inbound(ends)?;
        self.outbound(ends)
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Valve {
    bucket: Option<Bucket>,
    /// When there is credit again for what waits; none while nothing does.
    until: Option<Instant>,
}

impl Valve {
    fn new(rate: Option<Rate>) -> Self {
        Self { bucket: rate.map(Bucket::new), until: None }
    }

    fn pass<M>(&mut self, now: Instant, from: &mut Queue<M>, to: &mut Queue<M>) {
        self.until = None;
        let Some(bucket) = &mut self.bucket else {
            to.take_from(from);
            return;
        };
        bucket.fill(now);
        loop {
            let passed = bucket.take(from.front().len().min(to.room()));
            to.push(&from.front()[..passed]);
            from.consume(passed);
            match from.take_mark() {
                Some(mark) => to.push_mark(mark),
                None => break,
            }
        }
        // Whoever makes room calls; only for credit time is needed.
        let waiting = from.front().len().min(to.room());
        self.until = bucket.enough_at(now, waiting);
    }
}

impl fmt::Display for Valve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bucket {
            Some(bucket) => write!(f, "{} B/s", bucket.rate.per_second),
            None => f.write_str("no limit"),
        }
    }
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// In bytes times nanoseconds.
    credit: u128,
    filled_at: Option<Instant>,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        Self { rate, credit: u128::from(rate.most()) * SECOND, filled_at: None }
    }

    fn fill(&mut self, now: Instant) {
        let since = self.filled_at.map(|then| now.saturating_duration_since(then)).unwrap_or_default();
        self.filled_at = Some(now);
        let more = since.as_nanos().saturating_mul(u128::from(self.rate.per_second));
        self.credit = self.credit.saturating_add(more).min(u128::from(self.rate.most()) * SECOND);
    }

    /// Takes credit for up to `wanted` bytes; for how many there was some.
    fn take(&mut self, wanted: usize) -> usize {
        let whole = usize::try_from(self.credit / SECOND).unwrap_or(usize::MAX);
        let taken = wanted.min(whole);
        self.credit -= taken as u128 * SECOND;
        taken
    }

    /// When there is credit for a part of `waiting` bytes that is worth the waking.
    fn enough_at(&self, now: Instant, waiting: usize) -> Option<Instant> {
        if waiting == 0 || self.rate.per_second == 0 {
            return None;
        }
        let worth = (self.rate.per_second / TICKS).min(self.rate.most()).max(1);
        let missing = (u128::from(worth).min(waiting as u128) * SECOND).saturating_sub(self.credit);
        let nanos = missing.div_ceil(u128::from(self.rate.per_second));
        let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(FINEST);
        now.checked_add(wait)
    }
}

/// Nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// A slow stream moves so many times a second, and not for every byte.
const TICKS: u64 = 20;

/// A deadline is never nearer, so that it moves on whatever the clock's grain.
const FINEST: Duration = Duration::from_millis(1);
