//! [`ClassCache`]: what one thread keeps of one class: its ring, and its counts.

use core::ops::Deref;

use drystone_sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::asymmetric::Protocol;
use crate::cache_ring::CacheRing;
use crate::event::{Event, Events};
use crate::origin::LaneNumber;
use crate::slot::Slot;
use crate::spares::Spares;

/// The most slots that a thread makes at a time.
const MADE_MAX: u32 = if cfg!(loom) { 3 } else { 63 };

/// A thread's ring of one class, and what the thread has counted of the class's slow paths.
///
/// Only the thread writes the counts, by loads and stores; others read them for statistics.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ClassCache {
    pub(crate) ring: CacheRing<Slot>,
    pub(crate) events: Events,
    pub(crate) spares: Spares,
    /// The thread's lane; 0 if it has none.
    pub(crate) lane: LaneNumber,
    /// How many slots the thread makes at its next miss.
    batch: AtomicU32,
    /// The misses that there had been when the thread last had too many.
    misses_at_spill: AtomicU64,
}

impl ClassCache {
    pub(crate) fn new(capacity: u32, protocol: Protocol) -> Self {
        Self {
            ring: CacheRing::new(capacity, protocol),
            events: Events::new(),
            spares: Spares::new(),
            lane: 0,
            batch: AtomicU32::new(1),
            misses_at_spill: AtomicU64::new(u64::MAX),
        }
    }

    /// The cache of a thread that slots return to.
    pub(crate) fn on_lane(self, lane: LaneNumber) -> Self {
        Self { lane, ..self }
    }

    /// How many slots to make at a time; twice as many the next time, up to half the ring.
    pub(crate) fn next_batch(&self) -> u32 {
        let batch = self.batch.load(Ordering::Relaxed);
        let most = (self.ring.capacity() / 2).clamp(1, MADE_MAX);
        self.batch.store((batch * 2).min(most), Ordering::Relaxed);
        batch.min(most)
    }

    /// The thread has more than it can keep: how many to let go. Half of the ring; all but an eighth if the
    /// thread has not missed one since the last time, and so only gives back what others take.
    ///
    /// It makes half as many the next time.
    pub(crate) fn next_spill(&self) -> u32 {
        let batch = self.batch.load(Ordering::Relaxed);
        self.batch.store((batch / 2).max(1), Ordering::Relaxed);
        let misses = self.events.get(Event::Miss);
        let only_gives = self.misses_at_spill.load(Ordering::Relaxed) == misses;
        self.misses_at_spill.store(misses, Ordering::Relaxed);
        let capacity = self.ring.capacity();
        if only_gives {
            capacity - capacity / 8
        } else {
            capacity.div_ceil(2)
        }
    }
}

impl Deref for ClassCache {
    type Target = CacheRing<Slot>;

    #[inline(always)]
    fn deref(&self) -> &CacheRing<Slot> {
        &self.ring
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_only_gives_lets_more_go() {
        let cache = ClassCache::new(9, Protocol::of_process());
        assert_eq!(cache.next_spill(), 5, "the first time");
        assert_eq!(cache.next_spill(), 8, "nothing was missed since");
        cache.events.add_own(Event::Miss);
        assert_eq!(cache.next_spill(), 5, "it takes as well");
        assert_eq!(cache.next_spill(), 8);
    }
}
