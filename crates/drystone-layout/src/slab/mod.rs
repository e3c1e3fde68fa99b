//! [`Slab`]: blocks of one size, known at compile time.
//!
//! # What
//!
//! A slab cuts a range into slots for values of type `T` and hands them out one at a time. The
//! slot freed last is handed out first; slots that were never used come in address order. The
//! stride is a constant of `T`, so no division happens at run time.
//!
//! # Memory picture
//!
//! ```text
//!  base   start                       carved        end
//!   │       │                           │            │
//!   ┌───────┬────────┬────────┬────────┬─────────────┬──────┐
//!   │  pad  │ link   │ live T │ link   │ never used  │ rest │
//!   └───────┴────────┴────────┴────────┴─────────────┴──────┘
//!              │  ▲              ▲ │
//!              ▼  └──────────────┼─┘
//!             none            head
//! ```
//!
//! A free slot holds the byte offset of the next free slot, a `usize`. Under a protection with
//! tags it holds two 32-bit words instead: the index of the next free slot and the tag.
//!
//! # Invariants
//!
//! - I1: `start` is a multiple of the slot alignment, as an address and across moves of the range.
//! - I2: `start + capacity * stride == end <= range size`.
//! - I3: `start <= carved <= ready <= end`, each a whole number of strides after `start`; the
//!   bytes `start .. ready` are committed.
//! - I4: the free list ends, and each of its slots is carved, starts at a whole number of strides
//!   after `start`, is listed once and, with tags, has a tag that verifies.
//! - I5: `free + live + lost == carved slots`, where slots are lost only when a damaged list is
//!   abandoned, or when a protection calls back into the slab.
//!
//! # Threads
//!
//! One at a time: a slab is never `Sync`. It is `Send` if its range and its protection are. It
//! neither stores nor drops a `T`, so `T` has no say: whoever puts a `T` into a block and sends
//! the block to another thread promises that `T` may go there.
//!
//! # Cost
//!
//! A pop and a push of the list each read one word of the slab and one of the slot, and write one
//! of them. With [`NoProtection`] nothing is checked in release builds. A range that commits on
//! demand is committed in steps of 64 KiB, or of one slot where memory is short.

pub(crate) mod digest;
mod inspect;
pub(crate) mod slot_list;
mod tagged;

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, FreelistProtection, NoProtection,
    NonZeroLayout, Owns, Reset, StableAddress, arith,
};

use crate::SetupError;
use slot_list::SlotList;
use tagged::TaggedLink;

/// How much of a range that commits on demand is committed at once, in bytes.
const COMMIT_STEP_BYTES: usize = 64 << 10;

/// Blocks for values of type `T`, cut from the range `B`.
///
/// A slab serves every layout that fits a slot: a size up to
/// [`block_stride`](Self::block_stride) and an alignment up to
/// [`SLOT_ALIGN`](Self::SLOT_ALIGN). The slices it returns are a whole stride long. Blocks grow
/// and shrink in place within their slot. Values are the caller's: a slab drops none.
///
/// `M` guards the links of the free list; [`NoProtection`] removes the guard at compile time.
///
/// ```
/// use drystone_core::{Allocator, Deallocator, HeapSegment, NonZeroLayout};
/// use drystone_layout::Slab;
///
/// let range = HeapSegment::new(NonZeroLayout::array::<[u64; 4]>(100).unwrap())?;
/// let slab = Slab::<[u64; 4], _>::new(100, range)?;
/// let layout = NonZeroLayout::for_type::<[u64; 4]>().unwrap();
/// let block = slab.allocate(layout)?;
/// // SAFETY: the block is live, and it was allocated with this layout.
/// unsafe { slab.deallocate(block.cast(), layout) };
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
///
/// A zero-sized `T` does not compile:
///
/// ```compile_fail,E0080
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::Slab;
/// let range = HeapSegment::new(NonZeroLayout::from_size_align(64, 8).unwrap()).unwrap();
/// let slab = Slab::<(), _>::new(1, range);
/// ```
///
/// A slab cannot be shared between threads:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::Slab;
/// fn assert_sync<S: Sync>() {}
/// assert_sync::<Slab<u64, HeapSegment>>();
/// ```
pub struct Slab<T, B, M = NoProtection> {
    /// The free list and the carve cursor (I3, I4).
    slots: SlotList,
    /// The offset of the first slot (I1).
    start: usize,
    /// The offset after the last slot (I2).
    end: usize,
    corruption_events: Cell<u64>,
    protection: M,
    backing: B,
    blocks: PhantomData<fn() -> T>,
}

impl<T, B, M: FreelistProtection> Slab<T, B, M> {
    /// The distance between two blocks in bytes: the size of `T`, at least that of a free-list
    /// link, rounded up to the alignment of `T`.
    ///
    /// A link takes 4 bytes on a 32-bit target and 8 on a 64-bit one; with tags always 8.
    pub const STRIDE: usize = {
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

    /// The alignment of every block in bytes: that of `T`, or up to 8 where the stride keeps that
    /// too.
    pub const SLOT_ALIGN: usize = {
        let natural = arith::natural_align(Self::STRIDE);
        let kept = if natural < 8 { natural } else { 8 };
        if kept < align_of::<T>() {
            align_of::<T>()
        } else {
            kept
        }
    };

    /// The most blocks that a slab of this type can have: `u32::MAX - 1`, or as many as fit in
    /// `isize::MAX` bytes.
    pub const CAPACITY_MAX: usize = {
        let in_bytes = arith::SIZE_MAX / Self::STRIDE;
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

    /// How much is committed at once, in whole slots.
    const COMMIT_STEP: usize = {
        let slots = COMMIT_STEP_BYTES / Self::STRIDE;
        if slots == 0 {
            Self::STRIDE
        } else {
            slots * Self::STRIDE
        }
    };

    /// The number of blocks.
    #[inline]
    pub fn capacity(&self) -> usize {
        (self.end - self.start) / Self::STRIDE
    }

    /// The distance between two blocks in bytes, which is also the size of every block:
    /// [`STRIDE`](Self::STRIDE).
    #[inline]
    pub const fn block_stride(&self) -> usize {
        Self::STRIDE
    }

    /// The range that the blocks are cut from.
    #[inline]
    pub const fn backing(&self) -> &B {
        &self.backing
    }
}

impl<T, B: FixedRange> Slab<T, B> {
    /// A slab of `capacity` blocks, without protection of its links.
    ///
    /// # Errors
    ///
    /// As [`with_protection`](Self::with_protection).
    #[inline]
    pub fn new(capacity: usize, backing: B) -> Result<Self, SetupError> {
        Self::with_protection(capacity, backing, NoProtection)
    }
}

impl<T, B: FixedRange, M: FreelistProtection> Slab<T, B, M> {
    /// A slab of `capacity` blocks whose links are guarded by `protection`.
    ///
    /// The range needs `capacity` times [`STRIDE`](Self::STRIDE) bytes, and up to
    /// [`SLOT_ALIGN`](Self::SLOT_ALIGN) `- 1` more if its base is not aligned. Nothing is written
    /// to it, and nothing committed.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if `capacity` is 0 or above [`CAPACITY_MAX`](Self::CAPACITY_MAX), if the
    /// range is too small, or if it can move and guarantees less than the slot alignment. The
    /// range is dropped.
    pub fn with_protection(capacity: usize, backing: B, protection: M) -> Result<Self, SetupError> {
        let (start, end) = Self::place(capacity, &backing)?;
        let ready = if backing.commits_on_demand() {
            start
        } else {
            end
        };
        let slab = Self {
            slots: SlotList::new(start, ready),
            start,
            end,
            corruption_events: Cell::new(0),
            protection,
            backing,
            blocks: PhantomData,
        };
        slab.debug_assert_invariants();
        Ok(slab)
    }

    /// Where the first slot starts and the last one ends.
    fn place(capacity: usize, backing: &B) -> Result<(usize, usize), SetupError> {
        if capacity == 0 {
            return Err(SetupError::ZeroCapacity);
        }
        if capacity > Self::CAPACITY_MAX {
            return Err(SetupError::CapacityAboveLimit {
                capacity,
                limit: Self::CAPACITY_MAX,
            });
        }
        let Some(start) = backing.align_offset(0, Self::SLOT_ALIGN) else {
            return Err(SetupError::AlignmentUnavailable {
                align: Self::SLOT_ALIGN,
                base_align: backing.base_align(),
            });
        };
        // The capacity is within its limit, so the product does not overflow.
        let bytes = capacity * Self::STRIDE;
        if !arith::range_fits(start, bytes, backing.size()) {
            return Err(SetupError::RangeTooSmall {
                needed_bytes: start.saturating_add(bytes),
                available_bytes: backing.size(),
            });
        }
        Ok((start, start + bytes))
    }

    /// Whether blocks of `layout` fit a slot. Folds away where the layout is a constant.
    #[inline]
    fn fits(layout: NonZeroLayout) -> bool {
        layout.size().get() <= Self::STRIDE && layout.align().get() <= Self::SLOT_ALIGN
    }

    /// A pointer to the slot at `offset`.
    #[inline]
    fn slot(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.end);
        // SAFETY: every offset in use is that of a slot, which by I2 lies in the range.
        unsafe { self.backing.base().add(offset) }
    }

    /// The block at `offset`, as long as its slot.
    #[inline]
    fn block(&self, offset: usize) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.slot(offset), Self::STRIDE)
    }

    /// The offset of `ptr`, by its address.
    #[inline]
    fn offset_of(&self, ptr: NonNull<u8>) -> usize {
        ptr.addr()
            .get()
            .wrapping_sub(self.backing.base().addr().get())
    }

    /// Takes the slot that was freed last.
    #[inline]
    fn pop(&self) -> Option<usize> {
        if M::TAGGED {
            return self.pop_tagged();
        }
        // SAFETY: the offsets on the list count from this base, and the slots of I4 are aligned
        // by I1 and the stride.
        unsafe { self.slots.pop(self.backing.base(), Self::SLOT_ALIGN) }
    }

    /// Cuts off the next slot never used.
    #[inline]
    fn carve(&self) -> Result<usize, AllocError> {
        match self.slots.carve(Self::STRIDE) {
            Some(offset) => Ok(offset),
            None if self.backing.commits_on_demand() => self.commit_and_carve(),
            None => Err(AllocError),
        }
    }

    /// Commits the next step of the range, or one slot where that is all there is memory for.
    #[cold]
    #[inline(never)]
    fn commit_and_carve(&self) -> Result<usize, AllocError> {
        let ready = self.slots.ready();
        let step = Self::COMMIT_STEP.min(self.end - ready);
        if step == 0 {
            return Err(AllocError);
        }
        let step = match self.backing.commit(ready, step) {
            Ok(()) => step,
            Err(AllocError) => {
                self.backing.commit(ready, Self::STRIDE)?;
                Self::STRIDE
            }
        };
        self.slots.set_carve(self.slots.carved(), ready + step);
        self.slots.carve(Self::STRIDE).ok_or(AllocError)
    }

    /// The block at `ptr`, if blocks of `new` fit its slot.
    #[inline]
    fn in_place(&self, ptr: NonNull<u8>, new: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        // All slots are alike: a layout that does not fit this one fits none.
        if Self::fits(new) {
            Ok(self.block(self.offset_of(ptr)))
        } else {
            Err(AllocError)
        }
    }
}

// SAFETY: the pointer is used for its address, the link is written through the slab's own base,
// and nothing here unwinds (a protection that does is stopped by an abort).
unsafe impl<T, B: FixedRange, M: FreelistProtection> Deallocator for Slab<T, B, M> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let base = self.backing.base();
        let offset = self.offset_of(ptr);
        debug_assert!(Self::fits(layout), "the layout does not fit a slot");
        debug_assert!(self.is_carved_slot(offset), "not a block of this slab");
        if M::TAGGED {
            // SAFETY: the caller gives up a live block of this slab.
            unsafe { self.push_tagged(offset) };
        } else {
            // SAFETY: the caller gives up a live block of this slab, so `offset` is a slot by I2,
            // aligned by I1, not on the list, and a stride holds a link.
            unsafe { self.slots.push(base, offset, Self::SLOT_ALIGN) };
        }
    }
}

// SAFETY: slots are disjoint, aligned and inside the range by I1 and I2, and committed by I3; a
// slot is handed out only from the list (I4) or the cursor, and is then on neither.
unsafe impl<T, B: FixedRange, M: FreelistProtection> Allocator for Slab<T, B, M> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if !Self::fits(layout) {
            return Err(AllocError);
        }
        let offset = match self.pop() {
            Some(offset) => offset,
            None => self.carve()?,
        };
        Ok(self.block(offset))
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        self.in_place(ptr, new)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        self.in_place(ptr, new)
    }

    #[inline]
    unsafe fn usable_size(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) -> Option<usize> {
        Some(Self::STRIDE)
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.end - self.start)
    }

    #[inline]
    fn corruption_events(&self) -> u64 {
        self.corruption_events.get()
    }
}

// SAFETY: every block lies in `start .. end` by I2, and no other memory does.
unsafe impl<T, B: FixedRange, M> Owns for Slab<T, B, M> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        let first = self.backing.base().addr().get().wrapping_add(self.start);
        ptr.addr().get().wrapping_sub(first) < self.end - self.start
    }
}

// SAFETY: the slab keeps offsets only, and blocks lie in the range.
unsafe impl<T, B: StableAddress, M> StableAddress for Slab<T, B, M> {}

impl<T, B, M> Reset for Slab<T, B, M> {
    fn reset(&mut self) {
        self.slots.take_head();
        self.slots.set_carve(self.start, self.slots.ready());
    }
}

impl<T, B, M> fmt::Debug for Slab<T, B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab")
            .field("slots", &self.slots)
            .field("start", &self.start)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
