//! [`Counters`]: plain while one thread counts, atomic once several do.

use drystone_core::Stats;
use drystone_sync::CachePadded;
use drystone_sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::{Record, thread_mark};

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

    /// The bytes counted as live. Below 0 where other threads' allocations were freed here.
    #[inline]
    fn live(&self) -> i64 {
        let allocated = self.allocated_bytes.load(Relaxed);
        allocated.wrapping_sub(self.deallocated_bytes.load(Relaxed)) as i64
    }
}

/// Adds to a cell that only this thread writes.
#[inline]
fn add_alone(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Counters {
    const_unless_loom! {
        #[inline]
        pub(super) const fn new() -> Self {
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

    /// Whether the calling thread is the only one that has counted: it may then write `solo`.
    #[inline]
    fn is_solo(&self) -> bool {
        let owner = self.owner.load(Relaxed);
        thread_mark::current() == Some(owner) || (owner != SHARED && self.claim())
    }

    /// Makes the calling thread the owner if there was none; otherwise ends the ownership.
    #[cold]
    #[inline(never)]
    fn claim(&self) -> bool {
        if let Some(mark) = thread_mark::current() {
            let claim = self.owner.compare_exchange(VACANT, mark, Relaxed, Relaxed);
            if claim.is_ok() {
                return true;
            }
        }
        self.owner.store(SHARED, Relaxed);
        false
    }

    /// Counts bytes handed out, alone, with the peak.
    #[inline]
    fn take_alone(&self, bytes: u64) {
        add_alone(&self.solo.allocated_bytes, bytes);
        let live = self.solo.live();
        if live > self.solo.peak.load(Relaxed) as i64 {
            self.solo.peak.store(live as u64, Relaxed);
        }
    }

    /// Counts an event of any kind but a refusal when several threads count.
    #[cold]
    #[inline(never)]
    fn count_shared(&self, event: impl FnOnce(&Counts) -> &AtomicU64, taken: u64, given: u64) {
        let shared = &*self.shared;
        event(&shared.counts).fetch_add(1, Relaxed);
        if taken > 0 {
            shared.counts.allocated_bytes.fetch_add(taken, Relaxed);
        }
        if given > 0 {
            shared.counts.deallocated_bytes.fetch_add(given, Relaxed);
        }
        let change = taken.wrapping_sub(given);
        let before = shared.live.fetch_add(change, Relaxed);
        // The level before counts too: the owner may have raised its part unseen, in a call that
        // overlapped the change of I2.
        let high = (before as i64).max(before.wrapping_add(change) as i64) + self.solo.live();
        if high > shared.counts.peak.load(Relaxed) as i64 {
            shared.counts.peak.fetch_max(high as u64, Relaxed);
        }
    }

    /// The highest live bytes.
    fn peak(&self) -> u64 {
        let solo = self.solo.peak.load(Relaxed);
        if self.owner.load(Relaxed) != SHARED {
            return solo;
        }
        // The present level counts too, for the reason given in `count_shared`.
        let now = self.solo.live() + self.shared.live.load(Relaxed) as i64;
        let shared = self.shared.counts.peak.load(Relaxed);
        solo.max(shared).max(now.max(0) as u64)
    }

    /// The sum of one count.
    fn sum(&self, count: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        let solo = count(&self.solo).load(Relaxed);
        solo.wrapping_add(count(&self.shared.counts).load(Relaxed))
    }

    /// Writes the counts into `stats`.
    pub(super) fn read(&self, stats: &mut Stats) {
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
    fn allocated(&self, bytes: usize) {
        let bytes = bytes as u64;
        if self.is_solo() {
            add_alone(&self.solo.allocations, 1);
            self.take_alone(bytes);
        } else {
            self.count_shared(|counts| &counts.allocations, bytes, 0);
        }
    }

    #[inline]
    fn deallocated(&self, bytes: usize) {
        let bytes = bytes as u64;
        if self.is_solo() {
            add_alone(&self.solo.deallocations, 1);
            add_alone(&self.solo.deallocated_bytes, bytes);
        } else {
            self.count_shared(|counts| &counts.deallocations, 0, bytes);
        }
    }

    #[inline]
    fn grown(&self, bytes: usize) {
        let bytes = bytes as u64;
        if self.is_solo() {
            add_alone(&self.solo.reallocations, 1);
            self.take_alone(bytes);
        } else {
            self.count_shared(|counts| &counts.reallocations, bytes, 0);
        }
    }

    #[inline]
    fn shrunk(&self, bytes: usize) {
        let bytes = bytes as u64;
        if self.is_solo() {
            add_alone(&self.solo.reallocations, 1);
            add_alone(&self.solo.deallocated_bytes, bytes);
        } else {
            self.count_shared(|counts| &counts.reallocations, 0, bytes);
        }
    }

    #[cold]
    fn failed(&self) {
        if self.is_solo() {
            add_alone(&self.solo.failures, 1);
        } else {
            self.shared.counts.failures.fetch_add(1, Relaxed);
        }
    }

    fn all_deallocated(&mut self) {
        let mut stats = Stats::default();
        self.read(&mut stats);
        super::end_all(&mut stats);
        self.restart_from(&stats);
    }
}
