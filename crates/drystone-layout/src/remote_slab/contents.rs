//! [`Contents`] for [`SlabOwner`]: the slots, through the slab's own base.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{AllocError, Contents, FixedRange, NonZeroLayout};

use super::owner::SlabOwner;
use super::queue::RemoteQueue;

// SAFETY: pointers come from the range's base and reach all of it; a slot never moves, and every
// layout that fits one shrinks there; blocks do not end with the owner.
unsafe impl<T, B: FixedRange, Q: RemoteQueue> Contents for SlabOwner<T, B, Q> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        self.own_slot(block)
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are the same, and slots do not move.
        unsafe { drystone_core::Allocator::grow(self, ptr, old, new) }
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        _ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        Self::fits(new)
    }

    /// Nothing: boxes may hold blocks after the owner is gone.
    unsafe fn ending(&mut self, _visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {}
}
