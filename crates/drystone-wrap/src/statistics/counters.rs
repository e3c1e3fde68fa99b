//! [`Counters`]: plain while one thread counts, atomic once several do.

use drystone_core::Stats;
use drystone_sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use drystone_sync::{CachePadded, thread_mark};

use super::{Event, Record};

/// `owner`: nobody has counted yet.
const VACANT: usize = 0;
/// `owner`: more than one thread has counted.
const SHARED: usize = 1;

/// The counts of one `Statistics`. The invariants are those of its module.
///
/// Every operation is Relaxed: a count orders nothing, and each cell is either written by one
/// thread or changed by additions, which do not lose each other.
#[derive(Debug)]
pub struct Counters {
    owner: AtomicUsize,
    solo: Counts,
    shared: CachePadded<Shared>,
}

/// One set of counts.
#[derive(Debug)]
struct Counts {
    allocations: AtomicU64,
    deallocations: AtomicU64,
    reallocations: AtomicU64,
    failures: AtomicU64,
    allocated_bytes: AtomicU64,
    deallocated_bytes: AtomicU64,
    /// The highest live bytes seen; compared as a signed number, never below 0.
    peak: AtomicU64,
}

/// The counts of several threads.
#[derive(Debug)]
struct Shared {
    counts: Counts,
    /// Allocated minus deallocated bytes, in two's complement: the thread that frees need not be
    /// the one that allocated, and the owner may have allocated alone.
    live: AtomicU64,
}

impl Counts {
    const_unless_loom! {
        const fn new() -> Self {
            Self {
                allocations: AtomicU64::new(0),
                deallocations: AtomicU64::new(0),
                reallocations: AtomicU64::new(0),
                failures: AtomicU64::new(0),
                allocated_bytes: AtomicU64::new(0),
                deallocated_bytes: AtomicU64::new(0),
                peak: AtomicU64::new(0),
            }
        }
    }

    /// The bytes counted as live. Below 0 where frees named larger sizes than allocations.
    #[inline]
    fn live(&self) -> i64 {
        let allocated = self.allocated_bytes.load(Relaxed);
        allocated.wrapping_sub(self.deallocated_bytes.load(Relaxed)) as i64
    }

    /// The cell that counts events like `event`.
    #[inline]
    fn events(&self, event: Event) -> &AtomicU64 {
        match event {
            Event::Allocated(_) => &self.allocations,
            Event::Deallocated(_) => &self.deallocations,
            Event::Grown(_) | Event::Shrunk(_) => &self.reallocations,
            Event::Failed => &self.failures,
        }
    }

    /// Counts `event`; only the thread that writes these counts calls it.
    #[inline]
    fn count_alone(&self, event: Event) {
        add_alone(self.events(event), 1);
        match event {
            Event::Allocated(bytes) | Event::Grown(bytes) => {
                let allocated = add_alone(&self.allocated_bytes, bytes as u64);
                let live = allocated.wrapping_sub(self.deallocated_bytes.load(Relaxed)) as i64;
                if live > self.peak.load(Relaxed) as i64 {
                    self.peak.store(live as u64, Relaxed);
                }
            }
            Event::Deallocated(bytes) | Event::Shrunk(bytes) => {
                add_alone(&self.deallocated_bytes, bytes as u64);
            }
            Event::Failed => {}
        }
    }
}

impl Shared {
    /// Counts `event`; `solo_live` are the live bytes that the solo counts know of.
    fn count(&self, event: Event, solo_live: i64) {
        self.counts.events(event).fetch_add(1, Relaxed);
        let change = match event {
            Event::Allocated(bytes) | Event::Grown(bytes) => {
                let bytes = bytes as u64;
                self.counts.allocated_bytes.fetch_add(bytes, Relaxed);
                bytes
            }
            Event::Deallocated(bytes) | Event::Shrunk(bytes) => {
                let bytes = bytes as u64;
                self.counts.deallocated_bytes.fetch_add(bytes, Relaxed);
                bytes.wrapping_neg()
            }
            Event::Failed => return,
        };
        let before = self.live.fetch_add(change, Relaxed);
        // The level before counts too: the owner may have raised its part unseen, in a call that
        // overlapped the change of I2.
        let high = (before as i64)
            .max(before.wrapping_add(change) as i64)
            .wrapping_add(solo_live);
        if high > self.counts.peak.load(Relaxed) as i64 {
            self.counts.peak.fetch_max(high as u64, Relaxed);
        }
    }
}

/// Adds to a cell that only this thread writes, and gives the sum.
#[inline]
fn add_alone(cell: &AtomicU64, n: u64) -> u64 {
    let sum = cell.load(Relaxed).wrapping_add(n);
    cell.store(sum, Relaxed);
    sum
}

impl Counters {
    const_unless_loom! {
        #[inline]
        pub(crate) const fn new() -> Self {
            Self {
                owner: AtomicUsize::new(VACANT),
                solo: Counts::new(),
                shared: CachePadded::new(Shared {
                    counts: Counts::new(),
                    live: AtomicU64::new(0),
                }),
            }
        }
    }

    /// Makes the calling thread the owner if there was none, and says whether it did; otherwise
    /// ends the ownership.
    fn claim(&self) -> bool {
        if self.owner.load(Relaxed) == SHARED {
            return false;
        }
        let claimed = thread_mark().is_some_and(|mark| {
            self.owner
                .compare_exchange(VACANT, mark, Relaxed, Relaxed)
                .is_ok()
        });
        if !claimed {
            self.owner.store(SHARED, Relaxed);
        }
        claimed
    }

    /// The highest live bytes.
    fn peak(&self) -> u64 {
        let solo = self.solo.peak.load(Relaxed);
        if self.owner.load(Relaxed) != SHARED {
            return solo;
        }
        // The present level counts too, for the reason given in `Shared::count`.
        let now = self
            .solo
            .live()
            .wrapping_add(self.shared.live.load(Relaxed) as i64);
        let shared = self.shared.counts.peak.load(Relaxed);
        solo.max(shared).max(now.max(0) as u64)
    }

    /// The sum of one count.
    fn sum(&self, count: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        let solo = count(&self.solo).load(Relaxed);
        solo.wrapping_add(count(&self.shared.counts).load(Relaxed))
    }

    /// Writes the counts into `stats`.
    pub(crate) fn read(&self, stats: &mut Stats) {
        stats.allocations = self.sum(|counts| &counts.allocations);
        stats.deallocations = self.sum(|counts| &counts.deallocations);
        stats.reallocations = self.sum(|counts| &counts.reallocations);
        stats.failures = self.sum(|counts| &counts.failures);
        stats.allocated_bytes = self.sum(|counts| &counts.allocated_bytes);
        stats.deallocated_bytes = self.sum(|counts| &counts.deallocated_bytes);
        stats.peak_live_bytes = self.peak();
    }

    /// Makes the counts solo again, with nobody as owner.
    pub(super) fn rebind(&mut self) {
        let mut stats = Stats::default();
        self.read(&mut stats);
        self.restart_from(&stats);
    }

    /// Solo counts of `stats`, with nobody as owner.
    fn restart_from(&mut self, stats: &Stats) {
        *self = Self::new();
        self.solo = Counts {
            allocations: AtomicU64::new(stats.allocations),
            deallocations: AtomicU64::new(stats.deallocations),
            reallocations: AtomicU64::new(stats.reallocations),
            failures: AtomicU64::new(stats.failures),
            allocated_bytes: AtomicU64::new(stats.allocated_bytes),
            deallocated_bytes: AtomicU64::new(stats.deallocated_bytes),
            peak: AtomicU64::new(stats.peak_live_bytes),
        };
    }
}

impl Record for Counters {
    const COUNTS: bool = true;

    #[cfg(not(loom))]
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "each use makes new counters, which is what it is for"
    )]
    const NEW: Self = Self::new();

    #[cfg(loom)]
    fn fresh() -> Self {
        Self::new()
    }

    #[inline]
    fn count_alone(&self, event: Event) -> bool {
        let alone = thread_mark() == Some(self.owner.load(Relaxed));
        if alone {
            self.solo.count_alone(event);
        }
        alone
    }

    fn count_together(&self, event: Event) {
        if self.claim() {
            self.solo.count_alone(event);
        } else {
            self.shared.count(event, self.solo.live());
        }
    }

    fn end_all(&mut self) {
        let mut stats = Stats::default();
        self.read(&mut stats);
        super::end_all(&mut stats);
        self.restart_from(&stats);
    }
}
