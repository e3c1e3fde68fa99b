//! What every wrapper would otherwise repeat: forwarding the promises that it keeps.
//!
//! A wrapper names the promises it passes on in one line. What it does not name it does not
//! keep: `FixedRange` and `OsBacked` are never passed on, because the range belongs to the
//! allocator inside.

/// Implements promises for a wrapper by asking the one allocator inside it.
///
/// `forward_promises!([A, P] Faulty<A, P>, inner: Owns, Reset, StableAddress);` The first
/// parameter in brackets is the inner allocator's; the rest are copied with their bounds.
macro_rules! forward_promises {
    ($generics:tt $wrapper:ty, $inner:ident: $($promise:ident),+ $(,)?) => {
        $( forward_promises!(@$promise $generics $wrapper, $inner); )+
    };
    (@Owns [$a:ident $(, $($rest:tt)+)?] $wrapper:ty, $inner:ident) => {
        // SAFETY: the wrapper's blocks are those of the inner allocator, which answers.
        unsafe impl<$a: drystone_core::Owns $(, $($rest)+)?> drystone_core::Owns for $wrapper {
            #[inline]
            fn owns(&self, ptr: core::ptr::NonNull<u8>) -> bool {
                self.$inner.owns(ptr)
            }
        }
    };
    (@Reset [$a:ident $(, $($rest:tt)+)?] $wrapper:ty, $inner:ident) => {
        impl<$a: drystone_core::Reset $(, $($rest)+)?> drystone_core::Reset for $wrapper {
            #[inline]
            fn reset(&mut self) {
                self.$inner.reset();
            }
        }
    };
    (@StableAddress [$a:ident $(, $($rest:tt)+)?] $wrapper:ty, $inner:ident) => {
        // SAFETY: the wrapper's blocks are those of the inner allocator, which keeps them in
        // place when it moves; the wrapper itself stores no bytes of them.
        unsafe impl<$a: drystone_core::StableAddress $(, $($rest)+)?> drystone_core::StableAddress
            for $wrapper
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
