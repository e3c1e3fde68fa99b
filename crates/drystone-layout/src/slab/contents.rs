//! [`Contents`] for [`Slab`]: the slots, through the slab's own base.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{AllocError, Contents, FixedRange, FreelistProtection, NonZeroLayout};

use super::Slab;
use super::kernel::SlotKernel;

// SAFETY: pointers come from the range's base and reach all of it; a slot never moves, and every
// layout that fits one shrinks there; the slots up to `carved` are all that was handed out (I3).
unsafe impl<T, B: FixedRange, M: FreelistProtection> Contents for Slab<T, B, M> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        // SAFETY: the kernel was placed in this range, and the offset is that of a live slot.
        unsafe { self.kernel.slot(self.backing.base(), self.offset_of(block)) }
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are the same.
        unsafe { self.in_place(ptr, old, new) }
    }

    /// With occupancy a wrong pointer or layout is found only by the call itself, so the answer is
    /// about right ones.
    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        _ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        SlotKernel::<T, M>::fits(new)
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        let (start, len) = self.kernel.carved_bytes();
        // SAFETY: the first slot lies in the range (I2).
        let start = unsafe { self.backing.base().add(start) };
        let mut slots = NonNull::slice_from_raw_parts(start.cast::<MaybeUninit<u8>>(), len);
        // SAFETY: the bytes are committed (I3), and nobody else uses them: the blocks end, and the
        // links in free slots are read again only after a reset.
        visit(unsafe { slots.as_mut() });
    }
}
