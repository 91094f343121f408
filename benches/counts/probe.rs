//! The border around what is counted.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

/// Counts what happens inside of [`Probe::collect`], and nothing else.
#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) allocations: usize,
    pub(crate) bytes: usize,
}

impl Probe {
    /// Does the work, inside of the function that callgrind looks at.
    pub(crate) fn collect(&mut self, mut work: impl FnMut()) {
        let region = Region::new(ALLOCATOR);
        onionskin_work_that_is_counted(&mut work);
        let Stats { allocations, reallocations, bytes_allocated, .. } = region.change();
        self.allocations += allocations + reallocations;
        self.bytes += bytes_allocated;
    }
}

/// The bytes that are allocated now.
pub(crate) fn live_bytes() -> usize {
    let Stats { bytes_allocated, bytes_deallocated, .. } = ALLOCATOR.stats();
    bytes_allocated - bytes_deallocated
}

/// Collecting begins where this is entered, and ends where it is left: see [`COLLECTED`].
#[inline(never)]
fn onionskin_work_that_is_counted(work: &mut dyn FnMut()) {
    work();
}

/// What the symbol of the function contains, and no other symbol does.
pub(crate) const COLLECTED: &str = "onionskin_work_that_is_counted";

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
