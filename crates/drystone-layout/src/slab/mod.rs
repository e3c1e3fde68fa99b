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
//!  base  record   start                       carved       ready  end
//!   │      │        │                           │            │     │
//!   ┌──────┬────────┬────────┬────────┬────────┬─────────────┬─────┬──────┐
//!   │ pad  │ states,│ link   │ live T │ link   │ never used        │ rest │
//!   │      │ epochs │        │        │        │                   │      │
//!   └──────┴────────┴────────┴────────┴────────┴───────────────────┴──────┘
//!                      │  ▲              ▲ │
//!                      ▼  └──────────────┼─┘
//!                     none            head
//! ```
//!
//! A free slot holds a `usize`: where the next free slot is. That is its address in a range that
//! [keeps its base](FixedRange::keeps_base), and its byte offset in others and under a protection
//! without tags. Under one with tags there are two 32-bit words instead: the index of the next free
//! slot and the tag.
//!
//! A protection with occupancy or epochs has a *record* of each slot, a byte or more, in front of
//! the first slot: a write past the end of a block runs away from it. Others have none, and the
//! first slot lies where the range begins.
//!
//! # Invariants
//!
//! - I1: `start` is a multiple of the slot alignment, as an address and across moves of the range.
//! - I2: `start + capacity * stride == end <= range size`, and the record ends at `start`.
//! - I3: `start <= carved <= ready <= end`, each a whole number of strides after `start`; the
//!   bytes `start .. ready` are committed.
//! - I4: the free list ends, and each of its slots is carved, starts at a whole number of strides
//!   after `start`, is listed once and, with tags, has a tag that verifies.
//! - I5: `free + live + lost == carved slots`. Without occupancy slots are lost when a damaged list
//!   is abandoned, or when a protection calls back into the slab. With it only withheld slots are
//!   lost, those whose link was damaged.
//! - I6: with a record, that of the slots below `ready` is committed and written, and a count says
//!   how many those are.
//! - I7: with occupancy, slots from `carved` on are marked as never handed out, and the others as
//!   free, live or withheld; a count says how many are free. The free ones are those on the list,
//!   and those that a call back of the protection freed.
//! - I8: with occupancy, the head of the list is none or a slot marked free, and becomes live
//!   before its block is handed out. A link is followed only to a slot marked free.
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
//! of them. With [`NoProtection`] nothing is checked in release builds. A protection with
//! occupancy reads and writes a byte of the record more at each call, and at a pop one of the next
//! slot's. A range that commits on demand is committed in steps of 64 KiB, or of one slot where
//! memory is short; a record is written in the same steps. Mending a damaged list, and a reset
//! with occupancy, take time in proportion to the slots carved.

mod contents;
pub(crate) mod digest;
mod guarded;
mod inspect;
pub(crate) mod kernel;
mod link;
mod record;
mod repair;
mod slot_index;
pub(crate) mod slot_list;

use core::fmt;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, FreelistProtection, NoProtection,
    NonZeroLayout, Owns, Reset, StableAddress,
};

use crate::SetupError;
use kernel::SlotKernel;
use slot_list::Origin;

/// Blocks for values of type `T`, cut from the range `B`.
///
/// A slab serves every layout that fits a slot: a size up to
/// [`block_stride`](Self::block_stride) and an alignment up to
/// [`SLOT_ALIGN`](Self::SLOT_ALIGN). The slices it returns are a whole stride long. Blocks grow
/// and shrink in place within their slot. Values are the caller's: a slab drops none.
///
/// `M` guards the free list and notices misuse. The default, [`NoProtection`], removes every check
/// at compile time: a wrong free is then the caller's breach, found by debug assertions only, and a
/// block that is handed out again begins with the offset or the address that its link was. `Checked` and
/// `SipHashMac` find wrong frees and damaged links in release builds too; a wrong call then changes
/// nothing but [`corruption_events`](Allocator::corruption_events), and tells the protection's
/// policy. A fresh block shows nothing of its link under them.
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
/// A slab that counts misuse instead of suffering it:
///
/// ```
/// use drystone_core::{Allocator, Checked, Deallocator, HeapSegment, NonZeroLayout};
/// use drystone_layout::Slab;
///
/// let layout = NonZeroLayout::for_type::<[u64; 4]>().unwrap();
/// let bytes = Slab::<[u64; 4], (), Checked>::bytes_for(100).unwrap();
/// let range = HeapSegment::new(NonZeroLayout::from_size_align(bytes, 8).unwrap())?;
/// let slab = Slab::<[u64; 4], _, _>::with_protection(100, range, Checked)?;
/// let block = slab.allocate(layout)?.cast();
/// // SAFETY: the block is live, and it was allocated with this layout.
/// unsafe { slab.deallocate(block, layout) };
/// // SAFETY: none, the block was freed. The slab notices and does nothing.
/// unsafe { slab.deallocate(block, layout) };
/// assert_eq!(slab.corruption_events(), 1);
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
    kernel: SlotKernel<T, M>,
    backing: B,
}

impl<T, B, M: FreelistProtection> Slab<T, B, M> {
    /// The distance between two blocks in bytes: the size of `T`, at least that of a free-list
    /// link, rounded up to the alignment of `T`. A record adds nothing to it.
    ///
    /// A link takes 4 bytes on a 32-bit target and 8 on a 64-bit one; with tags always 8.
    pub const STRIDE: usize = SlotKernel::<T, M>::STRIDE;

    /// The alignment of every block in bytes: that of `T`, or up to 8 where the stride keeps that
    /// too.
    pub const SLOT_ALIGN: usize = SlotKernel::<T, M>::SLOT_ALIGN;

    /// The most blocks that a slab of this type can have: `u32::MAX - 1`, or as many as fit in
    /// `isize::MAX` bytes with their record.
    pub const CAPACITY_MAX: usize = SlotKernel::<T, M>::CAPACITY_MAX;

    /// The bytes that a range needs for `capacity` blocks, if its base is a multiple of
    /// [`SLOT_ALIGN`](Self::SLOT_ALIGN); up to `SLOT_ALIGN - 1` more if it is not.
    ///
    /// `capacity * STRIDE`, and before it what the protection keeps out of band: a byte for each
    /// block with [occupancy](FreelistProtection::OCCUPANCY), four with
    /// [epochs](FreelistProtection::EPOCHS), rounded up to `SLOT_ALIGN`. It does not depend on the
    /// range type, so `Slab::<T, (), M>::bytes_for` can name the size of one.
    ///
    /// `None` above [`CAPACITY_MAX`](Self::CAPACITY_MAX).
    ///
    /// ```
    /// use drystone_core::{Checked, NoProtection};
    /// use drystone_layout::Slab;
    ///
    /// assert_eq!(Slab::<[u64; 8], (), NoProtection>::bytes_for(100), Some(6400));
    /// assert_eq!(Slab::<[u64; 8], (), Checked>::bytes_for(100), Some(6504));
    /// ```
    pub const fn bytes_for(capacity: usize) -> Option<usize> {
        SlotKernel::<T, M>::bytes_for(capacity)
    }

    /// The number of blocks.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.kernel.capacity()
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
    /// The range needs [`bytes_for(capacity)`](Self::bytes_for) bytes, and up to
    /// [`SLOT_ALIGN`](Self::SLOT_ALIGN) `- 1` more if its base is not aligned. Nothing is written
    /// to it, and nothing committed.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if `capacity` is 0 or above [`CAPACITY_MAX`](Self::CAPACITY_MAX), if the
    /// range is too small, or if it can move and guarantees less than the slot alignment. The
    /// range is dropped.
    pub fn with_protection(capacity: usize, backing: B, protection: M) -> Result<Self, SetupError> {
        let kernel = SlotKernel::new(capacity, &backing, protection)?;
        let slab = Self { kernel, backing };
        slab.debug_assert_invariants();
        Ok(slab)
    }

    /// What the links count from.
    #[inline]
    fn origin(&self) -> Origin {
        SlotKernel::<T, M>::origin(&self.backing)
    }

    /// The block at `offset`, as long as its slot.
    #[inline]
    fn block(&self, offset: usize) -> NonNull<[u8]> {
        // SAFETY: the kernel was placed in this range, and every offset in use is that of a slot.
        let slot = unsafe { self.kernel.slot(self.backing.base(), offset) };
        NonNull::slice_from_raw_parts(slot, Self::STRIDE)
    }

    /// The offset of `ptr`, by its address.
    #[inline]
    fn offset_of(&self, ptr: NonNull<u8>) -> usize {
        ptr.addr()
            .get()
            .wrapping_sub(self.backing.base().addr().get())
    }

    /// The block at `ptr`, which was allocated with `old`, if blocks of `new` fit its slot.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block of this slab, and `old` fits it.
    #[inline]
    unsafe fn in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let (base, offset) = (self.backing.base(), self.offset_of(ptr));
        if M::OCCUPANCY {
            // SAFETY: the kernel was placed in this range.
            if let Err(misuse) = unsafe { self.kernel.check_live(base, offset, old) } {
                self.kernel.report(misuse, base, offset);
                return Err(AllocError);
            }
        }
        // All slots are alike: a layout that does not fit this one fits none.
        if SlotKernel::<T, M>::fits(new) {
            Ok(self.block(offset))
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
        let offset = self.offset_of(ptr);
        // SAFETY: the kernel was placed in this range, and the caller gives up a live block of it.
        unsafe { self.kernel.free(self.origin(), offset, layout) };
    }
}

// SAFETY: slots are disjoint, aligned and inside the range by I1 and I2, and committed by I3; a
// slot is handed out only from the list (I4) or the cursor, and is then on neither.
unsafe impl<T, B: FixedRange, M: FreelistProtection> Allocator for Slab<T, B, M> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if !SlotKernel::<T, M>::fits(layout) {
            return Err(AllocError);
        }
        // SAFETY: the kernel was placed in this range.
        let slot = unsafe { self.kernel.allocate(&self.backing) }?;
        Ok(NonNull::slice_from_raw_parts(slot, Self::STRIDE))
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        // SAFETY: the caller's requirements are the same.
        unsafe { self.in_place(ptr, old, new) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        // SAFETY: the caller's requirements are the same.
        unsafe { self.in_place(ptr, old, new) }
    }

    #[inline]
    unsafe fn usable_size(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) -> Option<usize> {
        Some(Self::STRIDE)
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.kernel.bytes())
    }

    #[inline]
    fn corruption_events(&self) -> u64 {
        self.kernel.corruption_events()
    }
}

// SAFETY: every block lies in `start .. end` by I2, and no other memory does.
unsafe impl<T, B: FixedRange, M: FreelistProtection> Owns for Slab<T, B, M> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.kernel.contains(self.offset_of(ptr))
    }
}

// SAFETY: the slab keeps offsets only, and blocks lie in the range.
unsafe impl<T, B: StableAddress, M> StableAddress for Slab<T, B, M> {}

impl<T, B: FixedRange, M: FreelistProtection> Reset for Slab<T, B, M> {
    fn reset(&mut self) {
        // SAFETY: the kernel was placed in this range; with `&mut` to the slab all its blocks end.
        unsafe { self.kernel.reset(self.backing.base()) };
    }
}

impl<T, B, M> fmt::Debug for Slab<T, B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab")
            .field("kernel", &self.kernel)
            .finish_non_exhaustive()
    }
}
