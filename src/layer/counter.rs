//! A layer that counts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::stack::{Ends, Facts, Failure, Layer, LayerError, LayerId, Opens};

/// Counts the bytes that pass it, each way, and changes nothing.
///
/// Where it stands decides what it counts: next to the wire what the socket carries, above TLS the plaintext. It can be
/// put in and taken out ([`Stack::remove`](crate::stack::Stack::remove)) at any time.
///
/// ```
/// use onionskin::layer::Counter;
/// use onionskin::testing::{Cut, Pair};
///
/// let mut pair = Pair::new(Cut::Whole);
/// let counter = Counter::new();
/// let counts = counter.counts();
/// pair.left.splice(counter);
/// pair.left.write(b"hello");
/// pair.run();
/// assert_eq!((counts.inbound(), counts.outbound()), (0, 5));
/// ```
#[derive(Debug, Default)]
pub struct Counter {
    counts: Counts,
}

impl Counter {
    /// Counts from nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on counting where others stand: the sum over many connections, if they share one.
    #[must_use]
    pub fn with_counts(counts: Counts) -> Self {
        Self { counts }
    }

    /// The counts, to be read from anywhere while the layer lives and when it is gone.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }
}

/// The counts are the facts: they go on.
impl Opens for Counter {
    type Facts = Counts;
}

impl Layer for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counter {} in {} out", self.counts.inbound(), self.counts.outbound())
    }

    fn opened(&self, _layer: LayerId) -> Option<Facts> {
        Some(Facts::of::<Self>(self.counts()))
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let before = ends.inbound_below().len();
        ends.pass_inbound();
        let passed = before - ends.inbound_below().len();
        self.counts.0.inbound.fetch_add(passed as u64, Ordering::Relaxed);
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let before = ends.outbound_above().len();
        ends.pass_outbound();
        let passed = before - ends.outbound_above().len();
        self.counts.0.outbound.fetch_add(passed as u64, Ordering::Relaxed);
        Ok(())
    }

    fn detach(&mut self, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Ok(())
    }
}

/// How many bytes passed a [`Counter`]. Clones show the same counts; cheap to clone and to read.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Tally>);

#[derive(Debug, Default)]
struct Tally {
    inbound: AtomicU64,
    outbound: AtomicU64,
}

impl Counts {
    /// The bytes that came from the peer.
    #[must_use]
    pub fn inbound(&self) -> u64 {
        self.0.inbound.load(Ordering::Relaxed)
    }

    /// The bytes that went to the peer.
    #[must_use]
    pub fn outbound(&self) -> u64 {
        self.0.outbound.load(Ordering::Relaxed)
    }
}
