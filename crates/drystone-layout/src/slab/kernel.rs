//! [`SlotKernel`]: the bookkeeping of equal slots in a range whose base comes in with each call.
//!
//! # What
//!
//! The free list, the carve cursor and the guard of the links: everything that a slab is, except
//! the range. A slab over one range holds one kernel; a layout of many segments holds one for each.
//!
//! # Memory picture
//!
//! That of the [slab](super), but for the rest of the range.
//!
//! # Invariants
//!
//! I1 to I8 of the [slab](super).
//!
//! # Threads
//!
//! One at a time: the fields are cells.
//!
//! # Cost
//!
//! That of [`SlotList`]: with `NoProtection` every other step is a constant and folds away.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use drystone_core::{AllocError, FixedRange, FreelistProtection, NonZeroLayout, arith};

use super::link::TaggedLink;
use super::record::{Record, State};
use super::slot_index::Stride;
use super::slot_list::{Origin, SlotList};
use crate::SetupError;

/// How many bytes of slots are made ready at once: committed where that is on demand, and their
/// record written.
const READY_STEP_BYTES: usize = 64 << 10;

/// Slots for values of type `T`, by their offsets from a base that each call brings.
///
/// Every unsafe method requires of its `base`, `origin` or `range` the same: it is the range that
/// [`place`](Self::place) was asked about, wherever it is now, and nothing else uses the slots
/// that are not handed out. All calls bring the same kind of origin, of offsets if the slots are
/// guarded.
pub(crate) struct SlotKernel<T, M> {
    /// The free list and the carve cursor (I3, I4).
    pub(crate) slots: SlotList,
    /// The offset of the first slot (I1).
    pub(crate) start: usize,
    /// The offset after the last slot (I2).
    pub(super) end: usize,
    /// What is kept outside the slots (I6, I7).
    pub(super) record: Record,
    pub(super) corruption_events: Cell<u64>,
    pub(super) protection: M,
    blocks: PhantomData<fn() -> T>,
}

impl<T, M: FreelistProtection> SlotKernel<T, M> {
    /// The distance between two slots in bytes.
    pub(crate) const STRIDE: usize = {
        assert!(size_of::<T>() > 0, "a slab of a zero-sized type");
        let size = if size_of::<T>() < Self::LINK_SIZE {
            Self::LINK_SIZE
        } else {
            size_of::<T>()
        };
        match arith::align_up(size, align_of::<T>()) {
            Some(stride) => stride,
            None => panic!("the stride exceeds the address space"),
        }
    };

    /// The alignment of every slot in bytes: that of `T`, or up to 8 where the stride keeps that.
    pub(crate) const SLOT_ALIGN: usize = {
        let natural = arith::natural_align(Self::STRIDE);
        let kept = if natural < 8 { natural } else { 8 };
        if kept < align_of::<T>() {
            align_of::<T>()
        } else {
            kept
        }
    };

    /// The most slots: `u32::MAX - 1`, or as many as fit in `isize::MAX` bytes with their record.
    pub(crate) const CAPACITY_MAX: usize = {
        let gap_max = if Self::RECORD_BYTES == 0 {
            0
        } else {
            Self::SLOT_ALIGN - 1
        };
        let in_bytes = (arith::SIZE_MAX - gap_max) / (Self::STRIDE + Self::RECORD_BYTES);
        let indices = u32::MAX as usize - 1;
        if in_bytes < indices {
            in_bytes
        } else {
            indices
        }
    };

    const LINK_SIZE: usize = if M::TAGGED {
        size_of::<TaggedLink>()
    } else {
        size_of::<usize>()
    };

    /// Whether links are judged, states are kept, or both.
    const GUARDED: bool = M::TAGGED || M::OCCUPANCY;

    const INDEX: Stride = Stride::new(Self::STRIDE);

    /// How much is made ready at once, in whole slots.
    const READY_STEP: usize = {
        let slots = READY_STEP_BYTES / Self::STRIDE;
        if slots == 0 {
            Self::STRIDE
        } else {
            slots * Self::STRIDE
        }
    };

    /// The bytes that `capacity` slots and their record take from a base of the slot alignment.
    /// `None` above [`CAPACITY_MAX`](Self::CAPACITY_MAX).
    pub(crate) const fn bytes_for(capacity: usize) -> Option<usize> {
        if capacity > Self::CAPACITY_MAX {
            return None;
        }
        match arith::align_up(capacity * Self::RECORD_BYTES, Self::SLOT_ALIGN) {
            Some(start) => Some(start + capacity * Self::STRIDE),
            None => None,
        }
    }

    /// The offset of the first of `capacity` slots in `range`.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if `capacity` is 0 or above [`CAPACITY_MAX`](Self::CAPACITY_MAX), if the
    /// range is too small, or if it can move and guarantees less than the slot alignment.
    pub(crate) fn place<B: FixedRange>(capacity: usize, range: &B) -> Result<usize, SetupError> {
        if capacity == 0 {
            return Err(SetupError::ZeroCapacity);
        }
        if capacity > Self::CAPACITY_MAX {
            return Err(SetupError::CapacityAboveLimit {
                capacity,
                limit: Self::CAPACITY_MAX,
            });
        }
        // The capacity is within its limit, so the products do not overflow.
        let record = capacity * Self::RECORD_BYTES;
        let Some(start) = range.align_offset(record, Self::SLOT_ALIGN) else {
            return Err(SetupError::AlignmentUnavailable {
                align: Self::SLOT_ALIGN,
                base_align: range.base_align(),
            });
        };
        let bytes = capacity * Self::STRIDE;
        if !arith::range_fits(start, bytes, range.size()) {
            return Err(SetupError::RangeTooSmall {
                needed_bytes: start.saturating_add(bytes),
                available_bytes: range.size(),
            });
        }
        Ok(start)
    }

    /// `capacity` slots, all free, in `range`.
    ///
    /// # Errors
    ///
    /// As [`place`](Self::place).
    pub(crate) fn new<B: FixedRange>(
        capacity: usize,
        range: &B,
        protection: M,
    ) -> Result<Self, SetupError> {
        let start = Self::place(capacity, range)?;
        let end = start + capacity * Self::STRIDE;
        let at_once = Self::RECORD_BYTES == 0 && !range.commits_on_demand();
        let ready = if at_once { end } else { start };
        Ok(Self {
            slots: SlotList::new(start, ready),
            start,
            end,
            record: Record::new(start - capacity * Self::RECORD_BYTES),
            corruption_events: Cell::new(0),
            protection,
            blocks: PhantomData,
        })
    }

    /// Whether blocks of `layout` fit a slot. Folds away where the layout is a constant.
    #[inline]
    pub(crate) fn fits(layout: NonZeroLayout) -> bool {
        layout.size().get() <= Self::STRIDE && layout.align().get() <= Self::SLOT_ALIGN
    }

    /// What the links in `range` count from, for a slab that is alone with it.
    #[inline]
    pub(crate) fn origin<B: FixedRange>(range: &B) -> Origin {
        if Self::GUARDED {
            Origin::of_offsets(range.base())
        } else {
            Origin::of(range)
        }
    }

    /// The number of slots.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes() / Self::STRIDE
    }

    /// The bytes of all slots.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.end - self.start
    }

    /// Where the slots that were ever handed out since the last reset begin, and how many bytes
    /// they have.
    pub(super) fn carved_bytes(&self) -> (usize, usize) {
        (self.start, self.slots.carved() - self.start)
    }

    /// Whether `offset`, counted from the base of the range, lies in a slot.
    #[inline]
    pub(crate) fn contains(&self, offset: usize) -> bool {
        offset.wrapping_sub(self.start) < self.bytes()
    }

    /// How many damages were found.
    #[inline]
    pub(crate) fn corruption_events(&self) -> u64 {
        self.corruption_events.get()
    }

    /// Takes a free slot: the one freed last, or the next never used.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if all slots are live, or no more can be committed.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `range`.
    #[inline]
    pub(crate) unsafe fn allocate<B: FixedRange>(
        &self,
        range: &B,
    ) -> Result<NonNull<u8>, AllocError> {
        let origin = Self::origin(range);
        // SAFETY: the caller's promise about `range`.
        if let Some(offset) = unsafe { self.pop(origin) } {
            // On each way by itself: here the base cancels out.
            // SAFETY: the offset is that of a slot.
            return Ok(unsafe { self.slot(origin.base(), offset) });
        }
        // SAFETY: as above.
        let mut offset = unsafe { self.carve(range) };
        if M::OCCUPANCY && offset.is_err() {
            // SAFETY: as above.
            offset = unsafe { self.find_missing(origin.base()) }.ok_or(AllocError);
        }
        // SAFETY: the offset is that of a slot.
        Ok(unsafe { self.slot(origin.base(), offset?) })
    }

    /// Takes the slot that was freed last.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `origin`.
    #[inline]
    pub(crate) unsafe fn pop(&self, origin: Origin) -> Option<usize> {
        if Self::GUARDED {
            // SAFETY: the caller's promise about `origin`.
            return unsafe { self.pop_guarded(origin.base()) };
        }
        // SAFETY: the links count from this origin, and the slots of I4 are aligned by I1 and the
        // stride.
        unsafe { self.slots.pop(origin, Self::SLOT_ALIGN) }
    }

    /// Cuts off the next slot never used.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if there is none, or it cannot be committed.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `range`.
    #[inline]
    pub(crate) unsafe fn carve<B: FixedRange>(&self, range: &B) -> Result<usize, AllocError> {
        let offset = match self.slots.carve(Self::STRIDE) {
            Some(offset) => offset,
            None if Self::RECORD_BYTES > 0 || range.commits_on_demand() => {
                // SAFETY: the caller's promise.
                unsafe { self.make_ready_and_carve(range) }?
            }
            None => return Err(AllocError),
        };
        if M::OCCUPANCY {
            // SAFETY: what is carved is ready (I3).
            unsafe { self.set_state(range.base(), self.index_of(offset), State::LIVE) };
        }
        Ok(offset)
    }

    /// Makes the next step of the range ready, or one slot where that is all there is memory for.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `range`.
    #[cold]
    #[inline(never)]
    unsafe fn make_ready_and_carve<B: FixedRange>(&self, range: &B) -> Result<usize, AllocError> {
        let ready = self.slots.ready();
        let step = Self::READY_STEP.min(self.end - ready);
        if step == 0 {
            return Err(AllocError);
        }
        // SAFETY: the caller's promise, and the slots are the next.
        let step = match unsafe { self.make_ready(range, ready, step) } {
            Ok(()) => step,
            Err(AllocError) => {
                // SAFETY: as above.
                unsafe { self.make_ready(range, ready, Self::STRIDE) }?;
                Self::STRIDE
            }
        };
        self.slots.set_carve(self.slots.carved(), ready + step);
        self.slots.carve(Self::STRIDE).ok_or(AllocError)
    }

    /// Commits `bytes` of slots from `from` on with their record, and writes the record.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `range`; these are the slots after the ready ones.
    unsafe fn make_ready<B: FixedRange>(
        &self,
        range: &B,
        from: usize,
        bytes: usize,
    ) -> Result<(), AllocError> {
        let (first, end) = (self.index_of(from), self.index_of(from + bytes));
        if range.commits_on_demand() {
            range.commit(from, bytes)?;
            for (offset, len) in self.record_parts(first, end) {
                range.commit(offset, len)?;
            }
        }
        if Self::RECORD_BYTES > 0 {
            // SAFETY: the record was just committed, and describes slots not ready yet.
            unsafe { self.write_record(range.base(), first, end) };
            #[expect(clippy::cast_possible_truncation, reason = "the capacity fits a u32")]
            self.record.ready_slots.set(end as u32);
        }
        Ok(())
    }

    /// Takes the slot at `offset` back. With occupancy a wrong call changes nothing and is
    /// reported.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `origin`; the slot at `offset` was handed out by this kernel,
    /// its holder gives it up, and `layout` fits it.
    #[inline]
    pub(crate) unsafe fn free(&self, origin: Origin, offset: usize, layout: NonZeroLayout) {
        let base = origin.base();
        if M::OCCUPANCY {
            // SAFETY: the caller's promise about `base`.
            match unsafe { self.check_live(base, offset, layout) } {
                // SAFETY: the slot is live, and the caller gives it up.
                Ok(index) => unsafe { self.push_guarded(base, offset, index) },
                Err(misuse) => self.report(misuse, base, offset),
            }
            return;
        }
        debug_assert!(Self::fits(layout), "the layout does not fit a slot");
        debug_assert!(self.is_carved_slot(offset), "not a block of this slab");
        if M::TAGGED {
            // SAFETY: the caller gives up a live slot.
            unsafe { self.push_guarded(base, offset, self.index_of(offset)) };
        } else {
            // SAFETY: the caller gives up a live slot, so `offset` is a slot by I2, aligned by I1,
            // not on the list, and a stride holds a link.
            unsafe { self.slots.push(origin, offset, Self::SLOT_ALIGN) };
        }
    }

    /// Whether a slot that has been handed out starts at `offset`.
    #[inline]
    pub(crate) fn is_carved_slot(&self, offset: usize) -> bool {
        self.index_of(offset) < self.carved_slots()
    }

    /// How many slots were ever handed out since the last reset.
    #[inline]
    pub(super) fn carved_slots(&self) -> usize {
        self.index_of(self.slots.carved())
    }

    /// The index of the slot at `offset`. For what is the offset of no slot it is not below the
    /// capacity.
    #[inline]
    pub(super) fn index_of(&self, offset: usize) -> usize {
        Self::INDEX.index(offset.wrapping_sub(self.start))
    }

    /// The offset of the slot with this index.
    #[inline]
    pub(super) fn offset_at(&self, index: usize) -> usize {
        self.start + index * Self::STRIDE
    }

    /// A pointer to the slot at `offset`.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; `offset` is that of a slot.
    #[inline]
    pub(crate) unsafe fn slot(&self, base: NonNull<u8>, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.end);
        // SAFETY: by I2 the slot lies in the range.
        unsafe { base.add(offset) }
    }

    /// Frees every slot at once.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; nothing uses a slot that was handed out.
    pub(crate) unsafe fn reset(&mut self, base: NonNull<u8>) {
        if M::OCCUPANCY {
            // SAFETY: the caller's promise; carved slots are ready.
            unsafe { self.clear_states(base, self.carved_slots()) };
        }
        self.slots.take_head();
        self.slots.set_carve(self.start, self.slots.ready());
    }
}

impl<T, M> fmt::Debug for SlotKernel<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotKernel")
            .field("slots", &self.slots)
            .field("start", &self.start)
            .field("end", &self.end)
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}
