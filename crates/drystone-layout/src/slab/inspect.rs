//! Examining a slab: [`Inspect`] and the invariants, executed.

use core::ptr::NonNull;

use drystone_core::{
    BlockInfo, Corruption, FixedRange, FreelistProtection, Inspect, Misuse, Owns, Report, arith,
};

use super::Slab;
use super::digest::Digest;
use super::slot_list::is_none;

impl<T, B: FixedRange, M: FreelistProtection> Slab<T, B, M> {
    /// Whether a slot that has been handed out starts at `offset`.
    pub(super) fn is_carved_slot(&self, offset: usize) -> bool {
        offset >= self.start
            && offset < self.slots.carved()
            && (offset - self.start).is_multiple_of(Self::STRIDE)
    }

    /// The offsets on the free list. Ends with an error at the first link that breaks I4.
    fn free_slots(&self) -> FreeSlots<'_, T, B, M> {
        FreeSlots {
            slab: self,
            next: self.slots.head(),
            left: (self.slots.carved() - self.start) / Self::STRIDE,
        }
    }

    /// Panics in debug builds if an invariant of the module's documentation is broken. Free in
    /// release builds.
    ///
    /// # Panics
    ///
    /// In debug builds, if [`verify_all`](Inspect::verify_all) fails.
    pub fn debug_assert_invariants(&self) {
        debug_assert_eq!(self.verify_all().err(), None);
    }

    fn verify_bounds(&self) -> Result<(), Corruption> {
        let broken = |invariant, offset| Err(Corruption { invariant, offset });
        let address = self.backing.base().addr().get().wrapping_add(self.start);
        if !arith::is_aligned(address, Self::SLOT_ALIGN) {
            return broken("I1: the first slot is not aligned", self.start);
        }
        if self.end < self.start
            || self.end > self.backing.size()
            || !(self.end - self.start).is_multiple_of(Self::STRIDE)
        {
            return broken("I2: the slots do not fill start .. end", self.end);
        }
        let (carved, ready) = (self.slots.carved(), self.slots.ready());
        let in_order = self.start <= carved && carved <= ready && ready <= self.end;
        if !in_order
            || !(carved - self.start).is_multiple_of(Self::STRIDE)
            || !(ready - carved).is_multiple_of(Self::STRIDE)
        {
            return broken("I3: start, carved, ready and end are out of order", carved);
        }
        Ok(())
    }
}

impl<T, B: FixedRange, M: FreelistProtection> Inspect for Slab<T, B, M> {
    /// Whether `ptr` is the start of a live block. Walks the free list. Slots lost with a damaged
    /// list count as live.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        if !self.owns(ptr) {
            return Err(Misuse::ForeignPointer);
        }
        let offset = self.offset_of(ptr);
        if offset >= self.slots.carved() {
            return Err(Misuse::NeverAllocated);
        }
        if !self.is_carved_slot(offset) {
            return Err(Misuse::InteriorPointer);
        }
        if self.free_slots().any(|free| free == Ok(offset)) {
            return Err(Misuse::DoubleFree);
        }
        Ok(BlockInfo {
            usable_bytes: Self::STRIDE,
        })
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        self.verify_bounds()?;
        let mut free_blocks = 0;
        for slot in self.free_slots() {
            slot?;
            free_blocks += 1;
        }
        Ok(Report {
            live_blocks: (self.slots.carved() - self.start) / Self::STRIDE - free_blocks,
            free_blocks,
            untouched_bytes: self.end - self.slots.carved(),
        })
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        for size in [
            self.start,
            self.end,
            self.slots.carved(),
            self.slots.ready(),
        ] {
            digest.add_size(size);
        }
        digest.add(self.corruption_events.get());
        for slot in self.free_slots() {
            match slot {
                Ok(offset) => digest.add_size(offset),
                Err(corruption) => digest.add_size(!corruption.offset),
            }
        }
        digest.finish()
    }
}

/// A walk along the free list.
struct FreeSlots<'a, T, B, M> {
    slab: &'a Slab<T, B, M>,
    next: usize,
    /// How many slots can still come: more means that the list runs in a circle.
    left: usize,
}

impl<T, B: FixedRange, M: FreelistProtection> FreeSlots<'_, T, B, M> {
    fn end_with(&mut self, invariant: &'static str) -> Option<Result<usize, Corruption>> {
        let offset = self.next;
        self.next = super::slot_list::NONE;
        Some(Err(Corruption { invariant, offset }))
    }
}

impl<T, B: FixedRange, M: FreelistProtection> Iterator for FreeSlots<'_, T, B, M> {
    type Item = Result<usize, Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        let slab = self.slab;
        let offset = self.next;
        if is_none(offset) {
            return None;
        }
        if !slab.is_carved_slot(offset) {
            return self.end_with("I4: a link to what is not a carved slot");
        }
        if self.left == 0 {
            return self.end_with("I4: the free list does not end");
        }
        self.left -= 1;
        self.next = if M::TAGGED {
            // The protection must not reach the slots that the walk has yet to visit.
            let head = slab.slots.take_head();
            let next = slab.verified_next(offset);
            slab.slots.set_head(head);
            match next {
                Some(next) => next,
                None => return self.end_with("I4: a link that does not verify"),
            }
        } else {
            // SAFETY: the slot is on the list, inside the range (I2) and aligned (I1).
            unsafe {
                slab.slots
                    .next_of(slab.backing.base(), offset, Slab::<T, B, M>::SLOT_ALIGN)
            }
        };
        Some(Ok(offset))
    }
}
