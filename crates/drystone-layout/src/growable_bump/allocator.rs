//! [`Allocator`] for [`GrowableBump`]: raw blocks; the topmost one can be freed and resized.

use core::ptr::{self, NonNull};

use drystone_core::{
    AllocError, Allocator, Deallocator, NonZeroLayout, Owns, SegmentSource, arith,
};

use super::GrowableBump;

impl<S: SegmentSource> GrowableBump<S> {
    /// Whether a live block of `size` bytes is topmost: whether it ends at the cursor. A block of
    /// another segment does not, because a header lies below the cursor of the current one.
    #[inline]
    fn is_topmost(&self, ptr: NonNull<u8>, size: usize) -> bool {
        // The position of the block's end: the address of its last byte.
        ptr.addr().get().wrapping_add(size - 1) == self.cursor.get().addr()
    }

    /// Moves the cursor to `bytes` after the start of the topmost block, within the limit.
    #[inline]
    fn set_top(&self, ptr: NonNull<u8>, bytes: usize) {
        let end = ptr.addr().get() + bytes - 1;
        debug_assert!(end <= self.limit.get());
        self.cursor.set(self.cursor.get().with_addr(end));
    }

    /// A block that lies where `ptr` points, with provenance for the segment.
    #[inline]
    fn top_block(&self, ptr: NonNull<u8>, size: usize) -> NonNull<[u8]> {
        let start = self.cursor.get().with_addr(ptr.addr().get());
        // SAFETY: the address is that of a live block.
        NonNull::slice_from_raw_parts(unsafe { NonNull::new_unchecked(start) }, size)
    }

    #[inline]
    pub(super) fn is_aligned(ptr: NonNull<u8>, layout: NonZeroLayout) -> bool {
        arith::is_aligned(ptr.addr().get(), layout.align().get())
    }

    /// Grows a block to `new` where it lies. `None` if it is not topmost, there is no room, or its
    /// place has not the alignment of `new`.
    #[inline]
    pub(super) fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Option<NonNull<[u8]>> {
        if !self.is_topmost(ptr, old.size().get()) || !Self::is_aligned(ptr, new) {
            return None;
        }
        let size = new.size().get();
        let end = ptr.addr().get().checked_add(size - 1)?;
        if end <= self.limit.get() {
            self.set_top(ptr, size);
        } else {
            let current = self.current.get()?;
            let offset = ptr.addr().get() - current.address();
            let (_, end) = current.place(offset, new)?;
            self.extend_to(current, end).ok()?;
        }
        Some(self.top_block(ptr, size))
    }

    /// A new block of `new` with the first `kept` bytes of the block at `ptr`, whose space stays
    /// where it is until a reset.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block, valid for reads of `kept` bytes, and `kept <= new.size()`.
    unsafe fn relocate(
        &self,
        ptr: NonNull<u8>,
        new: NonZeroLayout,
        kept: usize,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.allocate(new)?;
        // SAFETY: the caller's pointer is valid for reads of `kept` bytes, and the new block holds
        // as many and overlaps no live one; bytes have no alignment and may be uninitialised in an
        // untyped copy.
        unsafe { ptr::copy_nonoverlapping(ptr.as_ptr(), block.as_ptr().cast::<u8>(), kept) };
        Ok(block)
    }
}

// SAFETY: never unwinds; uses the pointer for its address only. A block that is not topmost stays
// as it is, and giving the topmost one back orders itself before later calls: one thread at a time.
unsafe impl<S: SegmentSource> Deallocator for GrowableBump<S> {
    /// Gives the space of the topmost block back; nothing for any other.
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if self.is_topmost(ptr, layout.size().get()) {
            self.set_top(ptr, 0);
        }
    }
}

// SAFETY: a block starts at an aligned address, is as long as asked, lies above every live block
// of its segment (I3) and in committed bytes (I2). It dies by deallocation, reset or drop. Nothing
// unwinds or prints; only the source allocates elsewhere.
unsafe impl<S: SegmentSource> Allocator for GrowableBump<S> {
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
            // SAFETY: the block is live and valid for reads of `old.size()` bytes, and `new` is
            // not smaller.
            None => unsafe { self.relocate(ptr, new, old.size().get()) },
        }
    }

    /// Looks for the segment of a block that is not topmost.
    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        let size = new.size().get();
        if !Self::is_aligned(ptr, new) {
            // SAFETY: the block is live and valid for reads of `new.size()` bytes.
            return unsafe { self.relocate(ptr, new, size) };
        }
        if self.is_topmost(ptr, old.size().get()) {
            self.set_top(ptr, size);
            return Ok(self.top_block(ptr, size));
        }
        let segment = self.list().find(|segment| segment.contains(ptr));
        let segment = segment.ok_or(AllocError)?;
        let block = Self::at(segment, ptr.addr().get() - segment.address());
        Ok(NonNull::slice_from_raw_parts(block, size))
    }

    #[inline]
    unsafe fn usable_size(&self, _ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        Some(layout.size().get())
    }
}

// SAFETY: blocks lie in segments, and the segments are the arena's alone.
unsafe impl<S: SegmentSource> Owns for GrowableBump<S> {
    /// Looks at every segment.
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.list().any(|segment| segment.contains(ptr))
    }
}
