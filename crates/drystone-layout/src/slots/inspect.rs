//! Examining slots: [`Inspect`] and the invariants, executed.

use core::ptr::NonNull;

use drystone_core::{BlockInfo, Corruption, Inspect, Misuse, Report, arith};

use super::Slots;
use crate::slab::digest::Digest;

impl<T> Slots<'_, T> {
    /// Panics in debug builds if an invariant of the module's documentation is broken. Free in
    /// release builds.
    ///
    /// # Panics
    ///
    /// In debug builds, if [`verify_all`](Inspect::verify_all) fails.
    pub fn debug_assert_invariants(&self) {
        debug_assert_eq!(self.verify_all().err(), None);
    }
}

impl<T> Inspect for Slots<'_, T> {
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        let offset = ptr.addr().get().wrapping_sub(self.base.addr().get());
        if offset / Self::STRIDE >= self.map.slots as usize {
            return Err(Misuse::ForeignPointer);
        }
        let Ok(index) = self.index_of(ptr.addr().get()) else {
            return Err(Misuse::InteriorPointer);
        };
        // SAFETY: the occupancy was made for this map; the index is below the number of slots.
        match unsafe { self.occupancy.is_free(self.map, index) } {
            Some(false) => Ok(BlockInfo {
                usable_bytes: Self::STRIDE,
            }),
            Some(true) => Err(Misuse::DoubleFree),
            None => Err(Misuse::NeverAllocated),
        }
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        let broken = |invariant, offset| Corruption { invariant, offset };
        if !arith::is_aligned(self.base.addr().get(), align_of::<T>()) {
            return Err(broken("I1: the first slot is not aligned", 0));
        }
        // SAFETY: the occupancy was made for this map.
        let live = unsafe { self.occupancy.verify(self.map) }
            .map_err(|(invariant, word)| broken(invariant, word as usize))?;
        if live != self.live.get() {
            return Err(broken(
                "I2: live is not the slots handed out",
                live as usize,
            ));
        }
        Ok(Report {
            live_blocks: live as usize,
            free_blocks: self.get_free_slots() as usize,
            untouched_bytes: 0,
        })
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        // SAFETY: the occupancy was made for this map.
        unsafe { self.occupancy.digest(self.map, |figure| digest.add(figure)) };
        digest.finish()
    }
}
