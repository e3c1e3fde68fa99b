//! [`ClassCache`]: what one thread keeps of one class: its ring, and its counts.

use core::ops::Deref;

use drystone_sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::asymmetric::Protocol;
use crate::batch::BATCH_MAX;
use crate::cache_ring::CacheRing;
use crate::origin::LaneNumber;
use crate::slot::Slot;

/// A thread's ring of one class, and what the thread has counted of the class's slow paths.
///
/// Only the thread writes the counts, by loads and stores; others read them for statistics.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ClassCache {
    pub(crate) ring: CacheRing<Slot>,
    pub(crate) misses: OwnCount,
    pub(crate) refills: OwnCount,
    pub(crate) spills: OwnCount,
    /// The thread's lane; 0 if it has none.
    pub(crate) lane: LaneNumber,
    /// How many slots the thread makes at its next miss.
    batch: AtomicU32,
}

impl ClassCache {
    pub(crate) fn new(capacity: u32, protocol: Protocol) -> Self {
        Self {
            ring: CacheRing::new(capacity, protocol),
            misses: OwnCount::default(),
            refills: OwnCount::default(),
            spills: OwnCount::default(),
            lane: 0,
            batch: AtomicU32::new(1),
        }
    }

    /// The cache of a thread that slots return to.
    pub(crate) fn on_lane(self, lane: LaneNumber) -> Self {
        Self { lane, ..self }
    }

    /// How many slots to take at a time; twice as many the next time, up to half the ring.
    pub(crate) fn next_batch(&self) -> u32 {
        let batch = self.batch.load(Ordering::Relaxed);
        let most = (self.ring.capacity() / 2).clamp(1, BATCH_MAX);
        self.batch.store((batch * 2).min(most), Ordering::Relaxed);
        batch.min(most)
    }

    /// The thread had more than it could keep: half as many the next time.
    pub(crate) fn has_too_many(&self) {
        let batch = self.batch.load(Ordering::Relaxed);
        self.batch.store((batch / 2).max(1), Ordering::Relaxed);
    }
}

impl Deref for ClassCache {
    type Target = CacheRing<Slot>;

    #[inline(always)]
    fn deref(&self) -> &CacheRing<Slot> {
        &self.ring
    }
}

/// A count that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct OwnCount(AtomicU64);

impl OwnCount {
    /// Adds one. Called by the thread that the count belongs to.
    #[inline]
    pub(crate) fn add_one(&self) {
        // Relaxed, and no read-modify-write: nobody else writes.
        self.0
            .store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The count at some moment.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
