//! Examining a slab: [`Inspect`] and the invariants, executed.

use core::ptr::NonNull;

use drystone_core::{
    BlockInfo, Corruption, FixedRange, FreelistProtection, Inspect, Misuse, Report, arith,
};

use super::Slab;
use super::digest::Digest;
use super::kernel::SlotKernel;
use super::record::State;
use super::slot_list::{Origin, is_none};

impl<T, M: FreelistProtection> SlotKernel<T, M> {
    /// The offsets on the free list. Ends with an error at the first link that breaks I4.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `origin`, for as long as the walk lasts.
    unsafe fn free_slots(&self, origin: Origin) -> FreeSlots<'_, T, M> {
        FreeSlots {
            kernel: self,
            origin,
            next: self.slots.first(origin),
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
    /// As said at [`SlotKernel`] of `origin`.
    pub(crate) unsafe fn validate(
        &self,
        origin: Origin,
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
        let live = if M::OCCUPANCY {
            // SAFETY: a carved slot is ready.
            (unsafe { self.state(origin.base(), self.index_of(offset)) }) == State::LIVE
        } else {
            // SAFETY: the caller's promise.
            !unsafe { self.free_slots(origin) }.any(|free| free == Ok(offset))
        };
        if !live {
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
    /// As said at [`SlotKernel`] of `range` and `origin`.
    pub(crate) unsafe fn verify<B: FixedRange>(
        &self,
        range: &B,
        origin: Origin,
    ) -> Result<Report, Corruption> {
        self.verify_bounds(range)?;
        let mut free_blocks = 0;
        // SAFETY: the caller's promise.
        for slot in unsafe { self.free_slots(origin) } {
            slot?;
            free_blocks += 1;
        }
        let live_blocks = if M::OCCUPANCY {
            // SAFETY: the caller's promise.
            unsafe { self.verify_states(range.base(), free_blocks) }?
        } else {
            self.carved_slots() - free_blocks
        };
        Ok(Report {
            live_blocks,
            free_blocks,
            untouched_bytes: self.end - self.slots.carved(),
        })
    }

    /// Checks I6 and I7, and returns how many slots are live. `listed` is the length of the list.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`.
    unsafe fn verify_states(&self, base: NonNull<u8>, listed: usize) -> Result<usize, Corruption> {
        let broken = |invariant, offset| Err(Corruption { invariant, offset });
        let ready_slots = self.record.ready_slots.get() as usize;
        if ready_slots != self.index_of(self.slots.ready()) {
            return broken(
                "I6: the record does not end with the ready slots",
                self.slots.ready(),
            );
        }
        let (mut free, mut live) = (0, 0);
        for index in 0..ready_slots {
            // SAFETY: the slot is ready.
            let state = unsafe { self.state(base, index) };
            match state {
                State::NEVER if index >= self.carved_slots() => {}
                State::FREE if index < self.carved_slots() => free += 1,
                State::LIVE if index < self.carved_slots() => live += 1,
                State::WITHHELD if index < self.carved_slots() => {}
                _ => {
                    return broken(
                        "I7: a slot in a state that it cannot have",
                        self.offset_at(index),
                    );
                }
            }
        }
        let all_listed = listed == free || (self.record.incomplete.get() && listed < free);
        if free != self.record.free_slots.get() as usize || !all_listed {
            return broken(
                "I7: the list is not that of the slots marked free",
                self.slots.head(),
            );
        }
        Ok(live)
    }

    /// Adds all bookkeeping to `digest`.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `origin`.
    pub(crate) unsafe fn digest(&self, origin: Origin, digest: &mut Digest) {
        for size in [
            self.start,
            self.end,
            self.slots.carved(),
            self.slots.ready(),
        ] {
            digest.add_size(size);
        }
        digest.add(self.corruption_events.get());
        let record = &self.record;
        digest.add(u64::from(record.ready_slots.get()));
        digest.add(u64::from(record.free_slots.get()));
        digest.add(u64::from(record.incomplete.get()));
        for (offset, len) in self.record_parts(0, record.ready_slots.get() as usize) {
            for at in offset..offset + len {
                // SAFETY: the record lies in the range (I2).
                let byte = unsafe { origin.base().add(at) };
                // SAFETY: it is written for the ready slots (I6).
                digest.add(u64::from(unsafe { byte.read() }));
            }
        }
        // SAFETY: the caller's promise.
        for slot in unsafe { self.free_slots(origin) } {
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
            || self.record.offset + Self::RECORD_BYTES * self.capacity() != self.start
            || !(self.end - self.start).is_multiple_of(Self::STRIDE)
        {
            return broken(
                "I2: the slots and their record do not fill the range",
                self.end,
            );
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
    /// Whether `ptr` is the start of a live block. With occupancy the answer is exact and takes one
    /// look; a withheld slot counts as free. Without it the free list is walked, and slots lost
    /// with a damaged list count as live.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        // SAFETY: the kernel was placed in this range, which the slab owns.
        unsafe { self.kernel.validate(self.origin(), self.offset_of(ptr)) }
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        // SAFETY: as above.
        unsafe { self.kernel.verify(&self.backing, self.origin()) }
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        // SAFETY: as above.
        unsafe { self.kernel.digest(self.origin(), &mut digest) };
        digest.finish()
    }
}

/// A walk along the free list.
struct FreeSlots<'a, T, M> {
    kernel: &'a SlotKernel<T, M>,
    /// Of the kernel's range.
    origin: Origin,
    next: Option<usize>,
    /// How many slots can still come: more means that the list runs in a circle.
    left: usize,
}

impl<T, M: FreelistProtection> FreeSlots<'_, T, M> {
    fn end_with(
        &mut self,
        offset: usize,
        invariant: &'static str,
    ) -> Option<Result<usize, Corruption>> {
        self.next = None;
        Some(Err(Corruption { invariant, offset }))
    }
}

impl<T, M: FreelistProtection> Iterator for FreeSlots<'_, T, M> {
    type Item = Result<usize, Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        let kernel = self.kernel;
        let offset = self.next?;
        if !kernel.is_carved_slot(offset) {
            return self.end_with(offset, "I4: a link to what is not a carved slot");
        }
        if self.left == 0 {
            return self.end_with(offset, "I4: the free list does not end");
        }
        self.left -= 1;
        self.next = if M::TAGGED || M::OCCUPANCY {
            // SAFETY: the slot is on the list, and `base` is what the walk was started with.
            match unsafe {
                kernel.read_link(self.origin.base(), offset, |state| state == State::FREE)
            } {
                Some(next) => (!is_none(next)).then_some(next),
                None => return self.end_with(offset, "I4: a link that does not verify"),
            }
        } else {
            // SAFETY: the slot is on the list, inside the range (I2) and aligned (I1).
            unsafe {
                kernel
                    .slots
                    .next_of(self.origin, offset, SlotKernel::<T, M>::SLOT_ALIGN)
            }
        };
        Some(Ok(offset))
    }
}
