//! Every handle that reaches an allocator by address is an allocator itself, equivalent to it.

use core::ptr::NonNull;

use crate::{
    AllocError, Allocator, AllocatorClone, Deallocator, NonZeroLayout, Owns, StableAddress,
    StaticAllocator,
};

macro_rules! forward {
    ($handle:ty) => {
        // SAFETY: every call goes to the same allocator, which keeps the contract.
        unsafe impl<A: Deallocator + ?Sized> Deallocator for $handle {
            #[inline]
            unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
                // SAFETY: the caller's requirements are those of the same allocator.
                unsafe { (**self).deallocate(ptr, layout) }
            }
        }

        // SAFETY: every call goes to the same allocator, which keeps the contract.
        unsafe impl<A: Allocator + ?Sized> Allocator for $handle {
            #[inline]
            fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
                (**self).allocate(layout)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
                (**self).allocate_zeroed(layout)
            }

            #[inline]
            unsafe fn grow(
                &self,
                ptr: NonNull<u8>,
                old: NonZeroLayout,
                new: NonZeroLayout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the caller's requirements are those of the same allocator.
                unsafe { (**self).grow(ptr, old, new) }
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                ptr: NonNull<u8>,
                old: NonZeroLayout,
                new: NonZeroLayout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the caller's requirements are those of the same allocator.
                unsafe { (**self).grow_zeroed(ptr, old, new) }
            }

            #[inline]
            unsafe fn shrink(
                &self,
                ptr: NonNull<u8>,
                old: NonZeroLayout,
                new: NonZeroLayout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the caller's requirements are those of the same allocator.
                unsafe { (**self).shrink(ptr, old, new) }
            }

            #[inline]
            unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
                // SAFETY: the caller's requirements are those of the same allocator.
                unsafe { (**self).usable_size(ptr, layout) }
            }

            #[inline]
            fn capacity_bytes(&self) -> Option<usize> {
                (**self).capacity_bytes()
            }

            #[inline]
            fn corruption_events(&self) -> u64 {
                (**self).corruption_events()
            }
        }

        // SAFETY: the answer is that of the same allocator.
        unsafe impl<A: Owns + ?Sized> Owns for $handle {
            #[inline]
            fn owns(&self, ptr: NonNull<u8>) -> bool {
                (**self).owns(ptr)
            }
        }

        // SAFETY: the blocks are those of the same allocator.
        unsafe impl<A: StaticAllocator + ?Sized> StaticAllocator for $handle {}
    };
}

forward!(&A);

// SAFETY: moving a reference does not move the allocator.
unsafe impl<A: ?Sized> StableAddress for &A {}

// SAFETY: a copy refers to the same allocator.
unsafe impl<A: Allocator + ?Sized> AllocatorClone for &A {}

/// The owning handles.
#[cfg(feature = "alloc")]
mod owning {
    use super::*;
    use crate::alloc_crate::boxed::Box;
    use crate::alloc_crate::rc::Rc;
    #[cfg(target_has_atomic = "ptr")]
    use crate::alloc_crate::sync::Arc;

    forward!(Box<A>);
    forward!(Rc<A>);
    #[cfg(target_has_atomic = "ptr")]
    forward!(Arc<A>);

    // SAFETY: moving a box does not move the allocator, but under the aliasing models it may end
    // pointers into the box's content, so the content has to survive moves by itself.
    unsafe impl<A: StableAddress + ?Sized> StableAddress for Box<A> {}

    // SAFETY: moving a handle does not move the shared allocator. The `&mut` that a sole handle can
    // give ends blocks as every `&mut` to an allocator does, not because of a move; whatever keeps
    // blocks safely keeps its handle to itself.
    unsafe impl<A: ?Sized> StableAddress for Rc<A> {}

    // SAFETY: a clone shares the same allocator and keeps it alive; counting up may abort.
    unsafe impl<A: Allocator + ?Sized> AllocatorClone for Rc<A> {}

    // SAFETY: as for `Rc`.
    #[cfg(target_has_atomic = "ptr")]
    unsafe impl<A: ?Sized> StableAddress for Arc<A> {}

    // SAFETY: as for `Rc`.
    #[cfg(target_has_atomic = "ptr")]
    unsafe impl<A: Allocator + ?Sized> AllocatorClone for Arc<A> {}
}
