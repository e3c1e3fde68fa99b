//! `Foreign02`, `Foreign04` and `ForeignStd`: allocators of others for drystone.

use core::ptr::NonNull;

#[cfg(any(feature = "allocator-api2-04", std_allocator))]
use crate::AllocatorClone;
use crate::{AllocError, Allocator, Deallocator, NonZeroLayout, StableAddress, abort_on_unwind};

/// Defines the adapter of one foreign trait.
macro_rules! foreign {
    ($(#[$meta:meta])* $name:ident, $foreign:path) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub struct $name<B> {
            inner: B,
        }

        impl<B: $foreign> $name<B> {
            /// `inner`, as a drystone allocator.
            #[inline]
            pub const fn new(inner: B) -> Self {
                Self { inner }
            }

            /// The inner allocator.
            #[inline]
            pub const fn inner(&self) -> &B {
                &self.inner
            }

            /// The inner allocator.
            ///
            /// # Safety
            ///
            /// No block is live, or the caller frees each with the allocator returned.
            #[inline]
            pub unsafe fn into_inner(self) -> B {
                self.inner
            }
        }

        impl<B: Clone> Clone for $name<B> {
            #[inline]
            fn clone(&self) -> Self {
                Self {
                    inner: abort_on_unwind(|| self.inner.clone()),
                }
            }
        }

        impl<B: Copy> Copy for $name<B> {}

        // SAFETY: the inner allocator takes back its own blocks; a panic of it ends the process.
        unsafe impl<B: $foreign> Deallocator for $name<B> {
            #[inline]
            unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
                abort_on_unwind(|| {
                    // SAFETY: the block is the inner allocator's; same requirements.
                    unsafe { self.inner.deallocate(ptr, layout.to_layout()) }
                });
            }
        }

        // SAFETY: the foreign trait promises the same of its blocks, and that they survive moves; a
        // panic of the inner allocator ends the process. `grow_zeroed` is the provided method, because
        // the foreign one need not zero what the old block had beyond its layout.
        unsafe impl<B: $foreign> Allocator for $name<B> {
            #[inline]
            fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
                let block = abort_on_unwind(|| self.inner.allocate(layout.to_layout()));
                block.map_err(|_| AllocError)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
                let block = abort_on_unwind(|| self.inner.allocate_zeroed(layout.to_layout()));
                block.map_err(|_| AllocError)
            }

            #[inline]
            unsafe fn grow(
                &self,
                ptr: NonNull<u8>,
                old: NonZeroLayout,
                new: NonZeroLayout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                let (old, new) = (old.to_layout(), new.to_layout());
                let block = abort_on_unwind(|| {
                    // SAFETY: the block is the inner allocator's; same requirements.
                    unsafe { self.inner.grow(ptr, old, new) }
                });
                block.map_err(|_| AllocError)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                ptr: NonNull<u8>,
                old: NonZeroLayout,
                new: NonZeroLayout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                let (old, new) = (old.to_layout(), new.to_layout());
                let block = abort_on_unwind(|| {
                    // SAFETY: the block is the inner allocator's; same requirements.
                    unsafe { self.inner.shrink(ptr, old, new) }
                });
                block.map_err(|_| AllocError)
            }
        }

        // SAFETY: the foreign trait promises that moving the allocator ends no block.
        unsafe impl<B: $foreign> StableAddress for $name<B> {}
    };
}

#[cfg(feature = "allocator-api2-02")]
foreign! {
    /// `B`, an allocator of `allocator-api2` 0.2, as a drystone allocator.
    ///
    /// Its blocks are stable. It owns none that it would know ([`Owns`](crate::Owns)), cannot be
    /// reset through this type, and is not [`AllocatorClone`](crate::AllocatorClone): where a feature
    /// of that crate makes its trait the standard one, a clone need not be equivalent. It gets the
    /// caller's pointers as they are; one that looks beside its blocks for a header relies on
    /// callers that have not narrowed them.
    ///
    /// ```
    /// use allocator_api2_02::alloc::Global; // the crate `allocator-api2`, 0.2
    /// use drystone_core::{AllocatedRegion, FixedRange, Foreign02, NonZeroLayout};
    ///
    /// let page = NonZeroLayout::from_size_align(4096, 4096)?;
    /// let region = AllocatedRegion::new(Foreign02::new(Global), page).expect("memory");
    /// assert_eq!(region.size(), 4096);
    /// # Ok::<(), drystone_core::LayoutError>(())
    /// ```
    Foreign02, allocator_api2_02::alloc::Allocator
}

#[cfg(feature = "allocator-api2-04")]
foreign! {
    /// `B`, an allocator of `allocator-api2` 0.4, as a drystone allocator.
    ///
    /// Its blocks are stable, and a clone is equivalent to the original. It owns none that it would
    /// know ([`Owns`](crate::Owns)), and cannot be reset through this type. It gets the caller's
    /// pointers as they are; one that looks beside its blocks for a header relies on callers that
    /// have not narrowed them.
    Foreign04, allocator_api2_04::alloc::Allocator
}

#[cfg(std_allocator)]
foreign! {
    /// `B`, an allocator of the standard library's trait, as a drystone allocator.
    ///
    /// Its blocks are stable, and a clone is equivalent to the original where the standard trait
    /// says so. It owns none that it would know ([`Owns`](crate::Owns)), and cannot be reset through
    /// this type. It gets the caller's pointers as they are; one that looks beside its blocks for a
    /// header relies on callers that have not narrowed them.
    ForeignStd, core::alloc::Allocator
}

// SAFETY: the foreign trait promises that a clone behaves like the original and ends no block; a
// panic in it ends the process.
#[cfg(feature = "allocator-api2-04")]
unsafe impl<B: allocator_api2_04::alloc::Allocator + Clone> AllocatorClone for Foreign04<B> {}

// SAFETY: as the trait was before it had the marker, it promised of every clone that it behaves like
// the original and ends no block; a panic in it ends the process.
#[cfg(all(std_allocator, not(std_allocator_markers)))]
unsafe impl<B: core::alloc::Allocator + Clone> AllocatorClone for ForeignStd<B> {}

// SAFETY: the inner allocator promises the same.
#[cfg(std_allocator_markers)]
unsafe impl<B: core::alloc::AllocatorClone> AllocatorClone for ForeignStd<B> {}

// SAFETY: the inner allocator promises the same.
#[cfg(std_allocator_markers)]
unsafe impl<B: core::alloc::StaticAllocator> crate::StaticAllocator for ForeignStd<B> {}
