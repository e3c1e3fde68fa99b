//! [`State`]: what the master's lock guards, and the ring of slabs that have a free slot.

use drystone_core::Stats;

use super::header::SlabRef;

/// Under the master's lock. Whoever has `&mut State` holds the lock.
///
/// The methods that take a slab reach its header, so they ask that it is formatted and attached.
///
/// The order of the fields matters: were the two figures that a deallocation counts neighbours,
/// they would be added to as one vector, which has to wait for the store that the allocation
/// before made to the one of them.
#[repr(C)]
pub(super) struct State {
    /// The slab that serves: the first of the ring. While every slab is full it is the master, which
    /// then has nothing ready, so that asking needs no test for "none".
    root: SlabRef,
    /// `peak_live` less the slots live now: one subtraction counts an allocation.
    below_peak: u64,
    /// Slabs in the ring.
    open_slabs: usize,
    /// Handles on the cache.
    pub(super) handles: usize,
    /// Slabs besides the master that the provider has not got back.
    pub(super) slaves: usize,
    deallocations: u64,
    /// The most slots that were live at once.
    peak_live: u64,
    pub(super) failures: u64,
    pub(super) corruption_events: u64,
}

impl State {
    /// One handle on `master`, no slab in the ring.
    pub(super) const fn new(master: SlabRef) -> Self {
        Self {
            root: master,
            open_slabs: 0,
            handles: 1,
            slaves: 0,
            peak_live: 0,
            below_peak: 0,
            deallocations: 0,
            failures: 0,
            corruption_events: 0,
        }
    }

    #[inline]
    pub(super) fn count_allocation(&mut self) {
        let (below, new_peak) = self.below_peak.overflowing_sub(1);
        self.below_peak = below;
        if new_peak {
            self.below_peak = 0;
            self.peak_live += 1;
        }
    }

    #[inline]
    pub(super) fn count_deallocation(&mut self) {
        self.below_peak += 1;
        self.deallocations += 1;
    }

    /// The figures, for values of `size` bytes.
    pub(super) fn stats(&self, size: usize) -> Stats {
        let live = self.peak_live - self.below_peak;
        let bytes = |count: u64| count.saturating_mul(size as u64);
        let allocations = self.deallocations + live;
        let mut stats = Stats::default();
        stats.allocations = allocations;
        stats.deallocations = self.deallocations;
        stats.failures = self.failures;
        stats.allocated_bytes = bytes(allocations);
        stats.deallocated_bytes = bytes(self.deallocations);
        stats.peak_live_bytes = bytes(self.peak_live);
        stats.corruption_events = self.corruption_events;
        stats
    }

    /// The slab that serves; the master, full, if there is none.
    #[inline]
    pub(super) fn root(&self) -> SlabRef {
        self.root
    }

    /// The first slab of the ring.
    pub(super) fn first(&self) -> Option<SlabRef> {
        (self.open_slabs > 0).then_some(self.root)
    }

    /// Puts a slab that was full behind the one that serves. That one goes on until it is full, so
    /// the others gather free slots meanwhile, and a word of them is worth opening.
    ///
    /// # Safety
    ///
    /// The slab is attached and not in the ring; `master` is the master.
    pub(super) unsafe fn push_partial(&mut self, slab: SlabRef, master: SlabRef) {
        let first = self.first();
        self.open_slabs += 1;
        let Some(root) = first else {
            // SAFETY: passed on.
            unsafe { link(slab, slab, slab) };
            self.root = slab;
            return;
        };
        // SAFETY: a slab in the ring is attached, and the lock is held.
        let header = unsafe { root.header() };
        // SAFETY: both are in the ring, one after the other.
        unsafe { link(root, slab, header.next.get()) };
        if header.holds.get() == 0 && root != master {
            // An empty slave serves only while it is alone.
            self.root = slab;
        }
    }

    /// Puts a slab behind all others.
    ///
    /// # Safety
    ///
    /// The slab is attached and not in the ring.
    pub(super) unsafe fn push_back(&mut self, slab: SlabRef) {
        let first = self.first();
        self.open_slabs += 1;
        let Some(root) = first else {
            // SAFETY: passed on.
            unsafe { link(slab, slab, slab) };
            self.root = slab;
            return;
        };
        // SAFETY: a slab in the ring is attached, and the lock is held.
        let last = unsafe { root.header() }.prev.get();
        // SAFETY: both are in the ring, one after the other.
        unsafe { link(last, slab, root) };
    }

    /// Takes a slab out of the ring.
    ///
    /// # Safety
    ///
    /// The slab is in the ring; `master` is the master.
    pub(super) unsafe fn unlink(&mut self, slab: SlabRef, master: SlabRef) {
        // SAFETY: a slab in the ring is attached, and the lock is held.
        let header = unsafe { slab.header() };
        let (next, prev) = (header.next.get(), header.prev.get());
        self.open_slabs -= 1;
        if self.root == slab {
            self.root = if next == slab { master } else { next };
        }
        // SAFETY: a slab in the ring is attached.
        unsafe { next.header() }.prev.set(prev);
        // SAFETY: as above.
        unsafe { prev.header() }.next.set(next);
    }

    /// Moves a slab behind all others.
    ///
    /// # Safety
    ///
    /// The slab is in the ring; `master` is the master.
    pub(super) unsafe fn move_to_back(&mut self, slab: SlabRef, master: SlabRef) {
        // SAFETY: passed on.
        unsafe { self.unlink(slab, master) };
        // SAFETY: the slab is attached, and just left the ring.
        unsafe { self.push_back(slab) };
    }

    /// The empty slave that is kept: if there is one, it is the last of the ring.
    pub(super) fn kept_empty(&self, master: SlabRef) -> Option<SlabRef> {
        let root = self.first()?;
        // SAFETY: a slab in the ring is attached, and the lock is held.
        let last = unsafe { root.header() }.prev.get();
        // SAFETY: as above.
        let empty = unsafe { last.header() }.holds.get() == 0;
        (empty && last != master).then_some(last)
    }
}

/// Puts `slab` between two neighbours of the ring, or between itself and itself.
///
/// # Safety
///
/// All three are attached, the lock is held, and `slab` is not in the ring yet.
unsafe fn link(prev: SlabRef, slab: SlabRef, next: SlabRef) {
    // SAFETY: passed on.
    let header = unsafe { slab.header() };
    header.next.set(next);
    header.prev.set(prev);
    // SAFETY: passed on.
    unsafe { prev.header() }.next.set(slab);
    // SAFETY: passed on.
    unsafe { next.header() }.prev.set(slab);
}
