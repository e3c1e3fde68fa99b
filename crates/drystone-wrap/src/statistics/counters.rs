//! [`Counters`]: plain while one thread counts, atomic and spread over shards once several do.

use drystone_core::Stats;
use drystone_sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use drystone_sync::{CachePadded, thread_mark};

use super::{Event, Record};

/// `owner`: nobody has counted yet.
const VACANT: usize = 0;
/// `owner`: more than one thread has counted.
const SHARED: usize = 1;

/// How many threads have counts of their own, once there are several. Models are shorter with fewer, and without
/// `std` no thread could be told its own.
const SHARDS: usize = if cfg!(loom) {
    2
} else if cfg!(feature = "std") {
    8
} else {
    0
};

/// The counts of one `Statistics`. The invariants are those of its module.
///
/// Every operation is Relaxed: a count orders nothing, and each cell is either written by one
/// thread or changed by additions, which do not lose each other. A shard whose thread has ended is
/// taken over, with its mark, as the solo counts are.
#[derive(Debug)]
pub struct Counters {
    owner: AtomicUsize,
    solo: Counts,
    /// The highest live bytes of the solo counts; compared as a signed number, never below 0.
    solo_peak: AtomicU64,
    /// The mark of the thread that each shard belongs to, 0 while it is nobody's. Away from the counts:
    /// who looks for a shard must not take the lines of those that count.
    marks: [AtomicUsize; SHARDS],
    level: CachePadded<Level>,
    shards: [CachePadded<Counts>; SHARDS],
    /// Of the threads that found no shard.
    crowd: CachePadded<Counts>,
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
}

/// What the shards cannot tell without the order of their requests.
#[derive(Debug)]
struct Level {
    /// Allocated minus deallocated bytes of shards and crowd, in two's complement: the thread that frees need
    /// not be the one that allocated, and the owner may have allocated alone.
    live: AtomicU64,
    /// The highest live bytes seen, those of the solo counts among them.
    peak: AtomicU64,
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

    /// Counts `event`, and gives the change of the live bytes. Only the thread that writes these counts
    /// calls it.
    #[inline]
    fn count_alone(&self, event: Event) -> i64 {
        add_alone(self.events(event), 1);
        match event {
            Event::Allocated(bytes) | Event::Grown(bytes) => {
                add_alone(&self.allocated_bytes, bytes as u64);
                bytes as i64
            }
            Event::Deallocated(bytes) | Event::Shrunk(bytes) => {
                add_alone(&self.deallocated_bytes, bytes as u64);
                -(bytes as i64)
            }
            Event::Failed => 0,
        }
    }

    /// The same for counts that several threads write.
    fn count_beside(&self, event: Event) -> i64 {
        self.events(event).fetch_add(1, Relaxed);
        match event {
            Event::Allocated(bytes) | Event::Grown(bytes) => {
                self.allocated_bytes.fetch_add(bytes as u64, Relaxed);
                bytes as i64
            }
            Event::Deallocated(bytes) | Event::Shrunk(bytes) => {
                self.deallocated_bytes.fetch_add(bytes as u64, Relaxed);
                -(bytes as i64)
            }
            Event::Failed => 0,
        }
    }
}

/// Whether a shard with `owner` for its mark is that of `mark`, or becomes it.
#[inline]
fn is_of(owner: &AtomicUsize, mark: usize) -> bool {
    let now = owner.load(Relaxed);
    now == mark
        || now == VACANT
            && owner
                .compare_exchange(VACANT, mark, Relaxed, Relaxed)
                .is_ok()
}

impl Level {
    /// Moves by `change`; `solo_live` are the live bytes that the solo counts know of.
    fn change(&self, change: i64, solo_live: i64) {
        let change = change as u64;
        let before = self.live.fetch_add(change, Relaxed);
        // The level before counts too: the owner may have raised its part unseen, in a call that
        // overlapped the change of I2.
        let high = (before as i64)
            .max(before.wrapping_add(change) as i64)
            .wrapping_add(solo_live);
        if high > self.peak.load(Relaxed) as i64 {
            self.peak.fetch_max(high as u64, Relaxed);
        }
    }
}

/// All zero.
#[cfg(not(loom))]
const fn fresh_shards() -> [CachePadded<Counts>; SHARDS] {
    [const { CachePadded::new(Counts::new()) }; SHARDS]
}

/// All nobody's.
#[cfg(not(loom))]
const fn fresh_marks() -> [AtomicUsize; SHARDS] {
    [const { AtomicUsize::new(VACANT) }; SHARDS]
}

/// All zero; loom has no constants.
#[cfg(loom)]
fn fresh_shards() -> [CachePadded<Counts>; SHARDS] {
    core::array::from_fn(|_| CachePadded::new(Counts::new()))
}

/// All nobody's.
#[cfg(loom)]
fn fresh_marks() -> [AtomicUsize; SHARDS] {
    core::array::from_fn(|_| AtomicUsize::new(VACANT))
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
                solo_peak: AtomicU64::new(0),
                marks: fresh_marks(),
                level: CachePadded::new(Level {
                    live: AtomicU64::new(0),
                    peak: AtomicU64::new(0),
                }),
                shards: fresh_shards(),
                crowd: CachePadded::new(Counts::new()),
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

    /// Counts `event`; only the owner calls it.
    #[inline]
    fn count_solo(&self, event: Event) {
        self.solo.count_alone(event);
        if let Event::Allocated(_) | Event::Grown(_) = event {
            let live = self.solo.live();
            if live > self.solo_peak.load(Relaxed) as i64 {
                self.solo_peak.store(live as u64, Relaxed);
            }
        }
    }

    /// The highest live bytes.
    fn peak(&self) -> u64 {
        let solo = self.solo_peak.load(Relaxed);
        if self.owner.load(Relaxed) != SHARED {
            return solo;
        }
        // The present level counts too, for the reason given in `Level::change`.
        let now = self
            .solo
            .live()
            .wrapping_add(self.level.live.load(Relaxed) as i64);
        solo.max(self.level.peak.load(Relaxed))
            .max(now.max(0) as u64)
    }

    /// The shard of the calling thread, if it has or gets one.
    #[inline]
    fn shard(&self) -> Option<&Counts> {
        let mark = thread_mark()?;
        // Marks lie in different pages. Neighbours in the order of a multiplied hash are tried in turn.
        let home = ((mark as u64 >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        // A model is the same in every run, and the addresses of its marks are not.
        let home = if cfg!(loom) { 0 } else { home };
        let home = home.checked_rem(SHARDS)?;
        let (before, from_home) = self.marks.split_at(home);
        let mut in_turn = from_home.iter().chain(before);
        let at = in_turn.position(|owner| is_of(owner, mark))?;
        let shard = self.shards.get((home + at).checked_rem(SHARDS)?)?;
        Some(shard)
    }

    /// Counts `event` where several threads count.
    fn count_shared(&self, event: Event) {
        let change = match self.shard() {
            Some(shard) => shard.count_alone(event),
            None => self.crowd.count_beside(event),
        };
        if change != 0 {
            self.level.change(change, self.solo.live());
        }
    }

    /// The sum of one count.
    fn sum(&self, count: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        let shards = self.shards.iter().map(|shard| &**shard);
        let sets = shards.chain([&self.solo, &*self.crowd]);
        sets.map(|set| count(set).load(Relaxed))
            .fold(0, u64::wrapping_add)
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
        };
        self.solo_peak = AtomicU64::new(stats.peak_live_bytes);
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
            self.count_solo(event);
        }
        alone
    }

    fn count_together(&self, event: Event) {
        if self.claim() {
            self.count_solo(event);
        } else {
            self.count_shared(event);
        }
    }

    fn end_all(&mut self) {
        let mut stats = Stats::default();
        self.read(&mut stats);
        super::end_all(&mut stats);
        self.restart_from(&stats);
    }
}
