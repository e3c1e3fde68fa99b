//! [`Contents`] for [`BumpArena`]: the bytes below the cursor.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{AllocError, Contents, FixedRange, NonZeroLayout};

use super::BumpArena;

// SAFETY: pointers come from the range's base and reach all of it; an aligned block shrinks where it
// lies; live blocks lie below the cursor (I3).
unsafe impl<B: FixedRange> Contents for BumpArena<B> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        self.at(self.offset_of(block))
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        BumpArena::grow_in_place(self, ptr, old, new).ok_or(AllocError)
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        self.is_aligned(self.offset_of(ptr), new)
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        let start = self.at(0).cast::<MaybeUninit<u8>>();
        let mut used = NonNull::slice_from_raw_parts(start, self.allocated_bytes());
        // SAFETY: the bytes below the cursor are committed (I2), and every block in them ends.
        visit(unsafe { used.as_mut() });
    }
}
