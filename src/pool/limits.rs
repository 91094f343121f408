//! How many connections, for how long.

use std::time::Duration;

/// The limits of a [`Pool`](super::Pool).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many may be idle in all; 128 unless set. The one that has been idle for the longest goes (LRU).
    pub idle: usize,
    /// How many may be idle to each peer; 32 unless set.
    pub idle_per_peer: usize,
    /// How long one may be idle; 60 seconds unless set. Below what the peer allows, so that it is we who close.
    pub idle_time: Duration,
    /// How old one may become and still be given out; an hour unless set. Names get other addresses, certificates run out.
    pub age: Duration,
    /// How often one may be given out; any number unless set.
    pub uses: u32,
    /// How many may be open to each peer, in use or idle; any number unless set. Whoever wants one more waits.
    pub open_per_peer: usize,
    /// How many may wait for each peer; 1,024 unless set.
    pub waiting_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: 128,
            idle_per_peer: 32,
            idle_time: Duration::from_secs(60),
            age: Duration::from_secs(3600),
            uses: u32::MAX,
            open_per_peer: usize::MAX,
            waiting_per_peer: 1024,
        }
    }
}

impl Limits {
    /// Sets how many may be idle, in all and to each peer. With 0 none is ever kept.
    #[must_use]
    pub fn with_idle(self, in_all: usize, per_peer: usize) -> Self {
        Self { idle: in_all, idle_per_peer: per_peer, ..self }
    }

    /// Sets how long one may be idle.
    #[must_use]
    pub fn with_idle_time(self, idle_time: Duration) -> Self {
        Self { idle_time, ..self }
    }

    /// Sets how old one may become.
    #[must_use]
    pub fn with_age(self, age: Duration) -> Self {
        Self { age, ..self }
    }

    /// Sets how often one may be given out.
    #[must_use]
    pub fn with_uses(self, uses: u32) -> Self {
        Self { uses, ..self }
    }

    /// Sets how many may be open to each peer (at least one), and how many may wait for one of them.
    #[must_use]
    pub fn with_open_per_peer(self, open: usize, waiting: usize) -> Self {
        Self { open_per_peer: open.max(1), waiting_per_peer: waiting, ..self }
    }
}
