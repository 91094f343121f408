//! Where chance comes from.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers for the jitter of delays, and for names that are made up: from outside in tests.
#[derive(Clone)]
pub(super) struct Random(Arc<dyn Fn() -> u32 + Send + Sync>);

impl Random {
    pub(super) fn new(next: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(next))
    }

    pub(super) fn next(&self) -> u32 {
        (self.0)()
    }
}

/// The keys of the standard library's hash tables, which the system makes at random. Nothing secret comes of them.
impl Default for Random {
    fn default() -> Self {
        let (state, count) = (RandomState::new(), AtomicU64::new(0));
        Self::new(move || {
            let mut hasher = state.build_hasher();
            hasher.write_u64(count.fetch_add(1, Ordering::Relaxed));
            (hasher.finish() >> 32) as u32
        })
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
