//! [`StdCompat`]: a drystone allocator for the collections of others.

use crate::{Allocator, AllocatorClone, StableAddress};

/// Defines an adapter type and what it has whatever trait it implements.
macro_rules! adapter {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub struct $name<A> {
            inner: A,
        }

        impl<A: Allocator + StableAddress> $name<A> {
            /// `inner`, as an allocator of the foreign traits.
            #[inline]
            pub const fn new(inner: A) -> Self {
                Self { inner }
            }

            /// The inner allocator.
            #[inline]
            pub const fn inner(&self) -> &A {
                &self.inner
            }

            /// The inner allocator.
            ///
            /// # Safety
            ///
            /// No block is live, or the caller frees each with the allocator returned.
            #[inline]
            pub unsafe fn into_inner(self) -> A {
                self.inner
            }
        }

        /// A clone is equivalent to the original: collections free with one what they got from the
        /// other.
        impl<A: AllocatorClone> Clone for $name<A> {
            #[inline]
            fn clone(&self) -> Self {
                Self {
                    inner: self.inner.clone(),
                }
            }
        }

        impl<A: AllocatorClone + Copy> Copy for $name<A> {}
    };
}

adapter! {
    /// `A`, as an allocator that other crates' collections know: of `allocator-api2` 0.4 (feature
    /// `allocator-api2-04`), of `allocator-api2` 0.2 (feature `allocator-api2-02`), and of the
    /// standard library (feature `nightly`, where the compiler has the trait).
    ///
    /// `allocator-api2` 0.2 has a feature that makes its trait the standard one. One type cannot
    /// implement one trait twice, so where both are there (`allocator-api2-02` and `nightly`, with
    /// such a compiler) `StdCompat` implements the standard trait, and [`StdCompat02`] that of 0.2.
    /// A library that wants 0.2 whatever features others turn on names `StdCompat02` from the start.
    ///
    #[cfg_attr(feature = "allocator-api2-04", doc = "```")]
    #[cfg_attr(not(feature = "allocator-api2-04"), doc = "```ignore")]
    /// # use drystone_core::{Allocator, StdCompat};
    /// use allocator_api2_04::boxed::Box; // the crate `allocator-api2`, 0.4
    ///
    /// fn boxed<A: Allocator>(arena: &A) -> Box<u32, StdCompat<&A>> {
    ///     Box::new_in(7, StdCompat::new(arena))
    /// }
    /// ```
    ///
    /// An allocator whose blocks die when it moves is refused. A reference to it is not: the
    /// collection then borrows it, and it cannot move.
    ///
    /// ```compile_fail,E0277
    /// # use drystone_core::{Allocator, StdCompat};
    /// fn by_value<A: Allocator>(arena: A) {
    ///     StdCompat::new(arena);
    /// }
    /// ```
    ///
    /// It is cloned only where a clone is equivalent: that an allocator is `Clone` does not say so.
    ///
    /// ```compile_fail,E0277
    /// # use drystone_core::{Allocator, StableAddress, StdCompat};
    /// fn cloned<A: Allocator + StableAddress + Clone>(compat: &StdCompat<A>) {
    ///     Clone::clone(compat);
    /// }
    /// ```
    StdCompat
}

#[cfg(feature = "allocator-api2-02")]
adapter! {
    /// `A`, as an allocator of `allocator-api2` 0.2, whatever other features are on.
    ///
    /// The same as [`StdCompat`] otherwise; hashbrown's collections take it.
    StdCompat02
}

/// Implements a foreign trait for an adapter.
#[cfg(any(
    feature = "allocator-api2-02",
    feature = "allocator-api2-04",
    std_allocator
))]
macro_rules! implement {
    ($foreign:path, $error:path, $adapter:ident) => {
        // SAFETY: the blocks are the inner allocator's, which keeps the same promises: aligned, long
        // enough, disjoint, untouched while live, zero where asked. They outlive moves because it is
        // `StableAddress`; its clones are equivalent because only an `AllocatorClone` is cloned. No
        // method unwinds. A block of no bytes needs no memory.
        unsafe impl<A: Allocator + StableAddress> $foreign for $adapter<A> {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
                zero_sized::allocate(&self.inner, layout).map_err(|AllocError| $error)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
                zero_sized::allocate_zeroed(&self.inner, layout).map_err(|AllocError| $error)
            }

            #[inline]
            unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: Layout) {
                // SAFETY: the foreign trait asks its callers for what the inner allocator asks.
                unsafe { zero_sized::deallocate(&self.inner, ptr, layout) };
            }

            #[inline]
            unsafe fn grow(
                &self,
                ptr: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: the foreign trait asks its callers for what the inner allocator asks.
                unsafe { zero_sized::grow(&self.inner, ptr, old, new) }.map_err(|AllocError| $error)
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                ptr: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: the foreign trait asks its callers for what the inner allocator asks.
                unsafe { zero_sized::grow_zeroed(&self.inner, ptr, old, new) }
                    .map_err(|AllocError| $error)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                ptr: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: the foreign trait asks its callers for what the inner allocator asks.
                unsafe { zero_sized::shrink(&self.inner, ptr, old, new) }
                    .map_err(|AllocError| $error)
            }
        }
    };
}

#[cfg(any(
    feature = "allocator-api2-02",
    feature = "allocator-api2-04",
    std_allocator
))]
mod implementations {
    use core::alloc::Layout;
    use core::ptr::NonNull;

    use super::*;
    use crate::AllocError;
    use crate::bridge::zero_sized;

    #[cfg(feature = "allocator-api2-02")]
    implement!(
        allocator_api2_02::alloc::Allocator,
        allocator_api2_02::alloc::AllocError,
        StdCompat02
    );
    #[cfg(all(feature = "allocator-api2-02", not(std_allocator)))]
    implement!(
        allocator_api2_02::alloc::Allocator,
        allocator_api2_02::alloc::AllocError,
        StdCompat
    );
    #[cfg(feature = "allocator-api2-04")]
    implement!(
        allocator_api2_04::alloc::Allocator,
        allocator_api2_04::alloc::AllocError,
        StdCompat
    );
    #[cfg(std_allocator)]
    implement!(core::alloc::Allocator, core::alloc::AllocError, StdCompat);
}

#[cfg(std_allocator_markers)]
mod markers {
    use super::*;
    use crate::StaticAllocator;

    // SAFETY: a clone is made by the inner allocator, whose clones are equivalent, keep blocks alive
    // and do not unwind.
    unsafe impl<A: AllocatorClone + StableAddress> core::alloc::AllocatorClone for StdCompat<A> {}

    // SAFETY: the blocks are the inner allocator's, which ends none of them by itself.
    unsafe impl<A: StaticAllocator + StableAddress> core::alloc::StaticAllocator for StdCompat<A> {}
}
