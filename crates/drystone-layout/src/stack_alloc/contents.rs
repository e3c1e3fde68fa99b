//! [`Contents`] for [`StackAlloc`]: the bytes below the cursor of the arena underneath.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{AllocError, Contents, FixedRange, NonZeroLayout};

use super::StackAlloc;

// SAFETY: pointers come from the arena and reach its whole range; an aligned block shrinks where it
// lies; live blocks lie below the cursor (I3). The headers between them are read again only after a
// reset, which forgets them.
unsafe impl<B: FixedRange> Contents for StackAlloc<B> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        self.arena.at(self.arena.offset_of(block))
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let offset = self.arena.offset_of(ptr);
        self.resize_in_place(offset, new).ok_or(AllocError)
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        self.arena.is_aligned(self.arena.offset_of(ptr), new)
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the arena's blocks are the stack's, and the arena is reset or dropped with it.
        unsafe { self.arena.ending(visit) }
    }
}
