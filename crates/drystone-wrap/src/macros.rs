//! What every wrapper would otherwise repeat: forwarding the promises that it keeps.
//!
//! A wrapper names the promises it passes on in one line. What it does not name it does not
//! keep: `FixedRange` and `OsBacked` are never passed on, because the range belongs to the
//! allocator inside.

/// Implements promises for a wrapper by asking the one allocator inside it.
///
/// `forward_promises!([A, P] Faulty<A, P>, inner: Owns, Reset, StableAddress);` The first
/// parameter in brackets is the inner allocator's, with at most one bound of its own; the rest are
/// copied with their bounds.
macro_rules! forward_promises {
    ($generics:tt $wrapper:ty, $inner:ident: $($promise:ident),+ $(,)?) => {
        $( forward_promises!(@$promise $generics $wrapper, $inner); )+
    };
    (@Owns [$a:ident $(: $bound:ident)? $(, $($rest:tt)+)?] $wrapper:ty, $inner:ident) => {
        // SAFETY: the wrapper's blocks are those of the inner allocator, which answers.
        unsafe impl<$a: drystone_core::Owns $(+ $bound)? $(, $($rest)+)?> drystone_core::Owns
            for $wrapper
        {
            #[inline]
            fn owns(&self, ptr: core::ptr::NonNull<u8>) -> bool {
                self.$inner.owns(ptr)
            }
        }
    };
    (@Reset [$a:ident $(: $bound:ident)? $(, $($rest:tt)+)?] $wrapper:ty, $inner:ident) => {
        impl<$a: drystone_core::Reset $(+ $bound)? $(, $($rest)+)?> drystone_core::Reset for $wrapper {
            #[inline]
            fn reset(&mut self) {
                self.$inner.reset();
            }
        }
    };
    (@StableAddress [$a:ident $(: $bound:ident)? $(, $($rest:tt)+)?] $wrapper:ty, $inner:ident) => {
        // SAFETY: the wrapper's blocks are those of the inner allocator, which keeps them in
        // place when it moves; the wrapper itself stores no bytes of them.
        unsafe impl<$a: drystone_core::StableAddress $(+ $bound)? $(, $($rest)+)?>
            drystone_core::StableAddress for $wrapper
        {
        }
    };
}

/// The methods of `Allocator` that only ask, passed on to the inner allocator as they are.
macro_rules! forward_queries {
    ($inner:ident) => {
        #[inline]
        unsafe fn usable_size(
            &self,
            ptr: core::ptr::NonNull<u8>,
            layout: drystone_core::NonZeroLayout,
        ) -> Option<usize> {
            // SAFETY: the caller's block is a block of the inner allocator; same requirements.
            unsafe { self.$inner.usable_size(ptr, layout) }
        }

        #[inline]
        fn capacity_bytes(&self) -> Option<usize> {
            self.$inner.capacity_bytes()
        }

        #[inline]
        fn corruption_events(&self) -> u64 {
            self.$inner.corruption_events()
        }
    };
}

/// The methods of `Contents` that only ask, passed on to the inner allocator as they are.
macro_rules! forward_contents {
    ($inner:ident) => {
        #[inline]
        unsafe fn own_pointer(
            &self,
            block: core::ptr::NonNull<u8>,
            layout: drystone_core::NonZeroLayout,
        ) -> core::ptr::NonNull<u8> {
            // SAFETY: the block is a block of the inner allocator; same requirements.
            unsafe { self.$inner.own_pointer(block, layout) }
        }

        #[inline]
        unsafe fn shrinks_in_place(
            &self,
            ptr: core::ptr::NonNull<u8>,
            old: drystone_core::NonZeroLayout,
            new: drystone_core::NonZeroLayout,
        ) -> bool {
            // SAFETY: the block is a block of the inner allocator; same requirements.
            unsafe { self.$inner.shrinks_in_place(ptr, old, new) }
        }

        #[inline]
        unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [core::mem::MaybeUninit<u8>])) {
            // SAFETY: the inner allocator is reset or dropped with the wrapper.
            unsafe { self.$inner.ending(visit) }
        }
    };
}

/// An allocator that passes every call on as it is, and every promise that does not need more: for
/// wrappers whose work is done when they are made.
macro_rules! forward_every_call {
    ([$a:ident, $($rest:tt)+] $wrapper:ty, $inner:ident) => {
        // SAFETY: every call goes to the inner allocator, which keeps the contract.
        unsafe impl<$a: drystone_core::Deallocator, $($rest)+> drystone_core::Deallocator for $wrapper {
            #[inline]
            unsafe fn deallocate(
                &self,
                ptr: core::ptr::NonNull<u8>,
                layout: drystone_core::NonZeroLayout,
            ) {
                // SAFETY: the block is the inner allocator's; same requirements.
                unsafe { self.$inner.deallocate(ptr, layout) }
            }
        }

        // SAFETY: every call goes to the inner allocator, which keeps the contract.
        unsafe impl<$a: drystone_core::Allocator, $($rest)+> drystone_core::Allocator for $wrapper {
            #[inline]
            fn allocate(
                &self,
                layout: drystone_core::NonZeroLayout,
            ) -> Result<core::ptr::NonNull<[u8]>, drystone_core::AllocError> {
                self.$inner.allocate(layout)
            }

            #[inline]
            fn allocate_zeroed(
                &self,
                layout: drystone_core::NonZeroLayout,
            ) -> Result<core::ptr::NonNull<[u8]>, drystone_core::AllocError> {
                self.$inner.allocate_zeroed(layout)
            }

            forward_every_call!(@resize $inner grow);
            forward_every_call!(@resize $inner grow_zeroed);
            forward_every_call!(@resize $inner shrink);
            forward_queries!($inner);
        }

        // SAFETY: the blocks are those of the inner allocator, which answers.
        unsafe impl<$a: drystone_core::Contents, $($rest)+> drystone_core::Contents for $wrapper {
            forward_contents!($inner);
            forward_every_call!(@resize $inner grow_in_place);
        }

        // SAFETY: the blocks and the range are those of the inner allocator, which this value owns.
        unsafe impl<$a: drystone_core::OverPages, $($rest)+> drystone_core::OverPages for $wrapper {
            type Pages = $a::Pages;

            #[inline]
            fn pages(&self) -> &$a::Pages {
                self.$inner.pages()
            }
        }

        forward_promises!([$a, $($rest)+] $wrapper, $inner: Owns, Reset, StableAddress);
    };
    (@resize $inner:ident $method:ident) => {
        #[inline]
        unsafe fn $method(
            &self,
            ptr: core::ptr::NonNull<u8>,
            old: drystone_core::NonZeroLayout,
            new: drystone_core::NonZeroLayout,
        ) -> Result<core::ptr::NonNull<[u8]>, drystone_core::AllocError> {
            // SAFETY: the block is the inner allocator's; same requirements.
            unsafe { self.$inner.$method(ptr, old, new) }
        }
    };
}

/// `Allocator` and `Contents` of a wrapper that passes each request on and counts it, by a method of its
/// own: `counted(outcome, layout, event)`, with the request's outcome, the layout that the block has by
/// it, and the [`Event`](crate::statistics::Event) that success is.
#[cfg(target_has_atomic = "32")]
macro_rules! count_each_request {
    ([$a:ident, $($rest:tt)+] $wrapper:ty, $inner:ident) => {
        // SAFETY: every block is the inner allocator's, or the beginning of one that is at least as
        // long as asked; counting touches no block.
        unsafe impl<$a: drystone_core::Allocator, $($rest)+> drystone_core::Allocator for $wrapper {
            #[inline]
            fn allocate(
                &self,
                layout: drystone_core::NonZeroLayout,
            ) -> Result<core::ptr::NonNull<[u8]>, drystone_core::AllocError> {
                let event = crate::statistics::Event::Allocated(layout.size().get());
                self.counted(self.$inner.allocate(layout), layout, event)
            }

            #[inline]
            fn allocate_zeroed(
                &self,
                layout: drystone_core::NonZeroLayout,
            ) -> Result<core::ptr::NonNull<[u8]>, drystone_core::AllocError> {
                let event = crate::statistics::Event::Allocated(layout.size().get());
                self.counted(self.$inner.allocate_zeroed(layout), layout, event)
            }

            count_each_request!(@resize $inner grow);
            count_each_request!(@resize $inner grow_zeroed);
            count_each_request!(@resize $inner shrink);
            forward_queries!($inner);
        }

        // SAFETY: the blocks are those of the inner allocator, which answers.
        unsafe impl<$a: drystone_core::Contents, $($rest)+> drystone_core::Contents for $wrapper {
            /// Counted where the block grows. To decline is no failure.
            #[inline]
            unsafe fn grow_in_place(
                &self,
                ptr: core::ptr::NonNull<u8>,
                old: drystone_core::NonZeroLayout,
                new: drystone_core::NonZeroLayout,
            ) -> Result<core::ptr::NonNull<[u8]>, drystone_core::AllocError> {
                // SAFETY: the block is the inner allocator's; same requirements.
                let block = unsafe { self.$inner.grow_in_place(ptr, old, new) }?;
                self.counted(Ok(block), new, crate::statistics::Event::grow(old, new))
            }

            forward_contents!($inner);
        }
    };
    (@resize $inner:ident $method:ident) => {
        #[inline]
        unsafe fn $method(
            &self,
            ptr: core::ptr::NonNull<u8>,
            old: drystone_core::NonZeroLayout,
            new: drystone_core::NonZeroLayout,
        ) -> Result<core::ptr::NonNull<[u8]>, drystone_core::AllocError> {
            // SAFETY: the block is the inner allocator's; same requirements.
            let outcome = unsafe { self.$inner.$method(ptr, old, new) };
            self.counted(outcome, new, crate::statistics::Event::$method(old, new))
        }
    };
}

/// A constructor that is `const`, except under loom, whose atomics cannot be made in a `const`.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis const fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $($rest)*

        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $($rest)*
    };
}
