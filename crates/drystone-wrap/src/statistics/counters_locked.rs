//! [`Counters`] for targets without 64-bit atomics: 64-bit counts behind a spin lock.

use drystone_core::Stats;
use drystone_sync::cell::UnsafeCell;
use drystone_sync::{RawGuard, SpinLock};

use super::{Event, Record};

/// The counts of one `Statistics`.
#[derive(Debug)]
pub struct Counters {
    // I1: `counts` is reached through `&self` only by a thread that holds `lock`.
    lock: SpinLock,
    /// `None`: nothing counted yet. `Stats` has no constant of its own.
    counts: UnsafeCell<Option<Stats>>,
}

// SAFETY: by I1 threads reach the counts, plain data, one after the other.
unsafe impl Sync for Counters {}

impl Counters {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            lock: SpinLock::new(),
            counts: UnsafeCell::new(None),
        }
    }

    /// Calls `change` with the counts, then renews the peak.
    fn update(&self, change: impl FnOnce(&mut Stats)) {
        let _held = RawGuard::lock(&self.lock);
        self.counts.with_mut(|counts| {
            // SAFETY: the lock is held (I1), so no other reference to the counts exists; the
            // pointer is the cell's.
            let counts = unsafe { &mut *counts }.get_or_insert_default();
            change(counts);
            counts.peak_live_bytes = counts.peak_live_bytes.max(counts.live_bytes());
        });
    }

    /// Writes the counts into `stats`.
    pub(crate) fn read(&self, stats: &mut Stats) {
        self.update(|counts| *stats = *counts);
    }

    /// Nothing to do: the counts belong to no thread.
    pub(super) fn rebind(&mut self) {}
}

impl Record for Counters {
    const COUNTS: bool = true;

    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "each use makes new counters, which is what it is for"
    )]
    const NEW: Self = Self::new();

    #[inline]
    fn count_alone(&self, _event: Event) -> bool {
        false
    }

    fn count_together(&self, event: Event) {
        self.update(|counts| match event {
            Event::Allocated(bytes) => {
                counts.allocations += 1;
                counts.allocated_bytes += bytes as u64;
            }
            Event::Deallocated(bytes) => {
                counts.deallocations += 1;
                counts.deallocated_bytes += bytes as u64;
            }
            Event::Grown(bytes) => {
                counts.reallocations += 1;
                counts.allocated_bytes += bytes as u64;
            }
            Event::Shrunk(bytes) => {
                counts.reallocations += 1;
                counts.deallocated_bytes += bytes as u64;
            }
            Event::Failed => counts.failures += 1,
        });
    }

    fn end_all(&mut self) {
        self.update(super::end_all);
    }
}
