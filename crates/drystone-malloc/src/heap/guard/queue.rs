//! The free slots of a level, in the order in which they were freed.
//!
//! # Invariants
//!
//! - W1: a slot that was used is in use, in the ring, or lost; `fresh` and later ones never were.
//! - W2: a slot that comes out of the ring has seen at least [`wait`](Queue::wait) later frees of its level.

use core::ptr::NonNull;

use drystone_sync::atomic::{AtomicU32, Ordering};

/// How many slots of a level wait at least, where the level has twice as many.
pub(super) const WAIT_MAX: usize = 1024;

/// A ring with room for every slot of the level.
pub(super) struct Queue {
    ring: NonNull<AtomicU32>,
    slots: usize,
    first: usize,
    len: usize,
    fresh: usize,
}

// SAFETY: the ring is a mapping of the region's, which stays.
unsafe impl Send for Queue {}

impl Queue {
    /// # Safety
    ///
    /// The ring has so many words, which stay, and are this value's alone.
    pub(super) unsafe fn new(ring: NonNull<AtomicU32>, slots: usize) -> Self {
        Self {
            ring,
            slots,
            first: 0,
            len: 0,
            fresh: 0,
        }
    }

    /// How many slots stay in the ring.
    fn wait(&self) -> usize {
        (self.slots / 2).min(WAIT_MAX)
    }

    fn entry(&self, index: usize) -> &AtomicU32 {
        // SAFETY: inside the ring.
        let entry = unsafe { self.ring.add(index % self.slots) };
        // SAFETY: as above; shared access is all there is.
        unsafe { entry.as_ref() }
    }

    /// A slot: one that has waited, or a fresh one.
    pub(super) fn take(&mut self) -> Option<usize> {
        if self.len > self.wait() {
            let slot = self.entry(self.first).load(Ordering::Relaxed);
            self.first = (self.first + 1) % self.slots;
            self.len -= 1;
            return usize::try_from(slot).ok();
        }
        let slot = self.fresh;
        if slot == self.slots {
            return None;
        }
        self.fresh += 1;
        Some(slot)
    }

    /// Takes a slot back, as the last.
    pub(super) fn give(&mut self, slot: usize) {
        debug_assert!(self.len < self.slots, "W1");
        let Ok(number) = u32::try_from(slot) else {
            return;
        };
        self.entry(self.first + self.len)
            .store(number, Ordering::Relaxed);
        self.len += 1;
    }

    /// The slots that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
