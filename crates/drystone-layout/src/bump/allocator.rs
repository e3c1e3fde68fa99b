//! [`Allocator`] for [`BumpArena`]: raw blocks; the topmost one can be freed and resized.

use core::ptr::{self, NonNull};

use drystone_core::{AllocError, Allocator, Deallocator, FixedRange, NonZeroLayout, Owns};

use super::BumpArena;
use super::typed::Take;

impl<B: FixedRange> BumpArena<B> {
    /// The offset of a live block of `size` bytes, and whether it is topmost: whether it ends at
    /// the cursor. Then every other live block ends at or below its start (I3).
    #[inline]
    fn locate(&self, ptr: NonNull<u8>, size: usize) -> (usize, bool) {
        let offset = self.offset_of(ptr);
        // Wraps for a pointer that is not ours; the comparison is then false or harmless, but the
        // call was a breach of the contract.
        let end = offset.wrapping_add(size);
        let used = self.allocated_bytes();
        debug_assert!(offset <= end && end <= used);
        (offset, end == used)
    }

    /// Whether the block at `offset` has the alignment of `layout`, for as long as it lives.
    #[inline]
    pub(crate) fn is_aligned(&self, offset: usize, layout: NonZeroLayout) -> bool {
        self.backing.align_offset(offset, layout.align().get()) == Some(offset)
    }

    /// Grows the topmost block to `new`, where it lies. `None` if it is not topmost, there is no
    /// room, or its place has not the alignment of `new`.
    #[inline]
    pub(super) fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Option<NonNull<[u8]>> {
        let (offset, topmost) = self.locate(ptr, old.size().get());
        if !topmost || !self.is_aligned(offset, new) {
            return None;
        }
        let end = offset.checked_add(new.size().get())?;
        self.extend_to(end).ok()?;
        Some(NonNull::slice_from_raw_parts(
            self.at(offset),
            new.size().get(),
        ))
    }

    /// A new block of `new` with the first `kept` bytes of the block at `ptr`. The old block is
    /// not topmost after that, so its space stays where it is until a reset.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block of this arena of at least `kept` bytes, and `kept <= new.size()`.
    unsafe fn relocate(
        &self,
        ptr: NonNull<u8>,
        new: NonZeroLayout,
        kept: usize,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.allocate(new)?;
        let old = self.at(self.offset_of(ptr));
        // SAFETY: both hold at least `kept` bytes by the caller's promise; the new block overlaps
        // no live one; bytes have no alignment and may be uninitialised in an untyped copy.
        unsafe { ptr::copy_nonoverlapping(old.as_ptr(), block.as_ptr().cast::<u8>(), kept) };
        Ok(block)
    }
}

// SAFETY: never unwinds; uses the pointer for its address only. A block that is not topmost stays
// as it is, and giving the topmost one back orders itself before later calls: one thread at a time.
unsafe impl<B: FixedRange> Deallocator for BumpArena<B> {
    /// Gives the space of the topmost block back; nothing for any other.
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let (offset, topmost) = self.locate(ptr, layout.size().get());
        if topmost {
            self.set_cursor(offset);
        }
    }
}

// SAFETY: a block starts at an offset that the range aligned, is as long as asked, lies above every
// live block (I3) and below `limit` (I1, I2). It dies by deallocation, reset, drop, the end of its
// scope, or a move of the arena if the range moves. Nothing unwinds, prints or allocates elsewhere.
unsafe impl<B: FixedRange> Allocator for BumpArena<B> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.take(layout).ok_or(AllocError)?;
        // SAFETY: `take` returns no null pointer.
        let block = unsafe { NonNull::new_unchecked(block) };
        Ok(NonNull::slice_from_raw_parts(block, layout.size().get()))
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        match self.grow_in_place(ptr, old, new) {
            Some(block) => Ok(block),
            // SAFETY: the block is live with `old.size()` bytes, and `new` is not smaller.
            None => unsafe { self.relocate(ptr, new, old.size().get()) },
        }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        let (offset, topmost) = self.locate(ptr, old.size().get());
        let size = new.size().get();
        if !self.is_aligned(offset, new) {
            // SAFETY: the block is live with `old.size() >= size` bytes.
            return unsafe { self.relocate(ptr, new, size) };
        }
        if topmost {
            self.set_cursor(offset + size);
        }
        Ok(NonNull::slice_from_raw_parts(self.at(offset), size))
    }

    #[inline]
    unsafe fn usable_size(&self, _ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        Some(layout.size().get())
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.usable_bytes())
    }
}

// SAFETY: blocks start inside the range, and the range is the arena's alone.
unsafe impl<B: FixedRange> Owns for BumpArena<B> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.backing.contains(ptr)
    }
}

// SAFETY: a block that `take` returns is one that `allocate` would have returned.
unsafe impl<B: FixedRange> Take for BumpArena<B> {
    #[inline]
    fn take(&self, layout: NonZeroLayout) -> Option<*mut u8> {
        BumpArena::take(self, layout)
    }
}
