//! Examining a slab: [`Inspect`] and the invariants, executed.

use core::ptr::NonNull;

use drystone_core::{BlockInfo, Corruption, FixedRange, Inspect, Misuse, Report};

use super::{Generation, GenerationalSlab, NONE};
use crate::slab::digest::Digest;

impl<T, B: FixedRange, G: Generation> GenerationalSlab<T, B, G> {
    /// Panics in debug builds if an invariant of the module's documentation is broken. Free in
    /// release builds.
    ///
    /// # Panics
    ///
    /// In debug builds, if [`verify_all`](Inspect::verify_all) fails.
    pub fn debug_assert_invariants(&self) {
        debug_assert_eq!(self.verify_all().err(), None);
    }

    fn broken(&self, invariant: &'static str, index: u32) -> Corruption {
        Corruption {
            invariant,
            offset: self.start() + index as usize * Self::STRIDE,
        }
    }

    fn generation(&self, index: u32) -> G {
        debug_assert!(index < self.carved);
        // SAFETY: every caller's slot is carved, so it has a generation (I3).
        unsafe { self.slots().generation(index) }
    }

    /// The length of the free list.
    fn verify_free(&self) -> Result<u32, Corruption> {
        let (mut next, mut free) = (self.free, 0);
        while next != NONE {
            if next >= self.carved || self.generation(next).live().is_some() {
                return Err(self.broken("I5: listed slots are carved and even", next));
            }
            if free == self.carved {
                return Err(self.broken("I5: the list ends", next));
            }
            free += 1;
            // SAFETY: the slot is carved and even, so it holds a link.
            next = unsafe { self.slots().next_free(next) };
        }
        Ok(free)
    }
}

impl<T, B: FixedRange, G: Generation> Inspect for GenerationalSlab<T, B, G> {
    /// Whether a value starts at `ptr`.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        // SAFETY: slot 0 exists, because the capacity is not 0.
        let first = unsafe { self.slots().value(0) };
        let offset = ptr.addr().get().wrapping_sub(first.addr().get());
        let index = offset / Self::STRIDE;
        if index >= self.capacity() {
            return Err(Misuse::ForeignPointer);
        }
        if index >= self.carved as usize {
            return Err(Misuse::NeverAllocated);
        }
        if !offset.is_multiple_of(Self::STRIDE) {
            return Err(Misuse::InteriorPointer);
        }
        match self.generation(index as u32).live() {
            Some(_) => Ok(BlockInfo {
                usable_bytes: size_of::<T>(),
            }),
            None => Err(Misuse::DoubleFree),
        }
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        if self.carved > self.ready || self.ready > self.capacity {
            return Err(self.broken("I3: carved <= ready <= capacity", self.carved));
        }
        let live = (0..self.carved).filter(|&index| self.generation(index).live().is_some());
        if live.count() != self.len() {
            return Err(self.broken("I4: odd generations are those of live values", 0));
        }
        let free = self.verify_free()?;
        if self.live + free + self.retired != self.carved {
            return Err(self.broken("I6: live + free + retired == carved", self.carved));
        }
        Ok(Report {
            live_blocks: self.len(),
            free_blocks: free as usize,
            untouched_bytes: (self.capacity - self.carved) as usize * Self::STRIDE,
        })
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        for word in [self.carved, self.ready, self.free, self.live, self.retired] {
            digest.add(word.into());
        }
        for index in 0..self.carved {
            digest.add(self.generation(index).to_u64());
        }
        let mut next = self.free;
        while next != NONE {
            // SAFETY: a slot of the free list is carved and holds a link (I5).
            next = unsafe { self.slots().next_free(next) };
            digest.add(next.into());
        }
        digest.finish()
    }
}
