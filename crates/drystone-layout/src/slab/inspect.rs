//! Examining a slab: [`Inspect`] and the invariants, executed.

use core::ptr::NonNull;

use drystone_core::{
    BlockInfo, Corruption, FixedRange, FreelistProtection, Inspect, Misuse, Report, arith,
};

use super::Slab;
use super::digest::Digest;
use super::kernel::SlotKernel;
use super::slot_list::is_none;

impl<T, M: FreelistProtection> SlotKernel<T, M> {
    /// The slots that were ever handed out.
    fn carved_slots(&self) -> usize {
        (self.slots.carved() - self.start) / Self::STRIDE
    }

    /// The offsets on the free list. Ends with an error at the first link that breaks I4.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`, for as long as the walk lasts.
    unsafe fn free_slots(&self, base: NonNull<u8>) -> FreeSlots<'_, T, M> {
        FreeSlots {
            kernel: self,
            base,
            next: self.slots.head(),
            left: self.carved_slots(),
        }
    }

    /// What is known of the slot at `offset`, counted from the base of the range.
    ///
    /// # Errors
    ///
    /// [`Misuse`] says why freeing it would be wrong.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`.
    pub(crate) unsafe fn validate(
        &self,
        base: NonNull<u8>,
        offset: usize,
    ) -> Result<BlockInfo, Misuse> {
        if !self.contains(offset) {
            return Err(Misuse::ForeignPointer);
        }
        if offset >= self.slots.carved() {
            return Err(Misuse::NeverAllocated);
        }
        if !self.is_carved_slot(offset) {
            return Err(Misuse::InteriorPointer);
        }
        // SAFETY: the caller's promise.
        let mut free_slots = unsafe { self.free_slots(base) };
        if free_slots.any(|free| free == Ok(offset)) {
            return Err(Misuse::DoubleFree);
        }
        Ok(BlockInfo {
            usable_bytes: Self::STRIDE,
        })
    }

    /// Checks every invariant.
    ///
    /// # Errors
    ///
    /// [`Corruption`] names the first that is broken.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `range`.
    pub(crate) unsafe fn verify<B: FixedRange>(&self, range: &B) -> Result<Report, Corruption> {
        self.verify_bounds(range)?;
        let mut free_blocks = 0;
        // SAFETY: the caller's promise.
        for slot in unsafe { self.free_slots(range.base()) } {
            slot?;
            free_blocks += 1;
        }
        Ok(Report {
            live_blocks: self.carved_slots() - free_blocks,
            free_blocks,
            untouched_bytes: self.end - self.slots.carved(),
        })
    }

    /// Adds all bookkeeping to `digest`.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`.
    pub(crate) unsafe fn digest(&self, base: NonNull<u8>, digest: &mut Digest) {
        for size in [
            self.start,
            self.end,
            self.slots.carved(),
            self.slots.ready(),
        ] {
            digest.add_size(size);
        }
        digest.add(self.corruption_events.get());
        // SAFETY: the caller's promise.
        for slot in unsafe { self.free_slots(base) } {
            match slot {
                Ok(offset) => digest.add_size(offset),
                Err(corruption) => digest.add_size(!corruption.offset),
            }
        }
    }

    fn verify_bounds<B: FixedRange>(&self, range: &B) -> Result<(), Corruption> {
        let broken = |invariant, offset| Err(Corruption { invariant, offset });
        let address = range.base().addr().get().wrapping_add(self.start);
        if !arith::is_aligned(address, Self::SLOT_ALIGN) {
            return broken("I1: the first slot is not aligned", self.start);
        }
        if self.end < self.start
            || self.end > range.size()
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

impl<T, B: FixedRange, M: FreelistProtection> Slab<T, B, M> {
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

impl<T, B: FixedRange, M: FreelistProtection> Inspect for Slab<T, B, M> {
    /// Whether `ptr` is the start of a live block. Walks the free list. Slots lost with a damaged
    /// list count as live.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        // SAFETY: the kernel was placed in this range, which the slab owns.
        unsafe {
            self.kernel
                .validate(self.backing.base(), self.offset_of(ptr))
        }
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        // SAFETY: as above.
        unsafe { self.kernel.verify(&self.backing) }
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        // SAFETY: as above.
        unsafe { self.kernel.digest(self.backing.base(), &mut digest) };
        digest.finish()
    }
}

/// A walk along the free list.
struct FreeSlots<'a, T, M> {
    kernel: &'a SlotKernel<T, M>,
    /// The base of the kernel's range.
    base: NonNull<u8>,
    next: usize,
    /// How many slots can still come: more means that the list runs in a circle.
    left: usize,
}

impl<T, M: FreelistProtection> FreeSlots<'_, T, M> {
    fn end_with(&mut self, invariant: &'static str) -> Option<Result<usize, Corruption>> {
        let offset = self.next;
        self.next = super::slot_list::NONE;
        Some(Err(Corruption { invariant, offset }))
    }
}

impl<T, M: FreelistProtection> Iterator for FreeSlots<'_, T, M> {
    type Item = Result<usize, Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        let kernel = self.kernel;
        let offset = self.next;
        if is_none(offset) {
            return None;
        }
        if !kernel.is_carved_slot(offset) {
            return self.end_with("I4: a link to what is not a carved slot");
        }
        if self.left == 0 {
            return self.end_with("I4: the free list does not end");
        }
        self.left -= 1;
        self.next = if M::TAGGED {
            // The protection must not reach the slots that the walk has yet to visit.
            let head = kernel.slots.take_head();
            // SAFETY: the slot is on the list, and `base` is what the walk was started with.
            let next = unsafe { kernel.verified_next(self.base, offset) };
            kernel.slots.set_head(head);
            match next {
                Some(next) => next,
                None => return self.end_with("I4: a link that does not verify"),
            }
        } else {
            // SAFETY: the slot is on the list, inside the range (I2) and aligned (I1).
            unsafe {
                kernel
                    .slots
                    .next_of(self.base, offset, SlotKernel::<T, M>::SLOT_ALIGN)
            }
        };
        Some(Ok(offset))
    }
}
