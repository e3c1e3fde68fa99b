//! [`mimalloc_heap!`](crate::mimalloc_heap): mimalloc, of whichever version a crate binds.

/// A [`Heap`](crate::rivals::Heap) over the mimalloc that the crate `$sys` binds: called plainly
/// where the alignment allows, and freed with its size. These are its best calls, which the
/// wrappers in common use do not make.
#[macro_export]
macro_rules! mimalloc_heap {
    ($(#[$attribute:meta])* $visibility:vis $name:ident, $sys:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Copy)]
        $visibility struct $name;

        // SAFETY: the calls are those of mimalloc, which keeps the contract for alignments up to 16
        // by its plain calls and above by its aligned ones.
        unsafe impl ::std::alloc::GlobalAlloc for $name {
            #[inline(always)]
            unsafe fn alloc(&self, layout: ::std::alloc::Layout) -> *mut u8 {
                if layout.align() <= 16 {
                    // SAFETY: any size may be asked for.
                    unsafe { $sys::mi_malloc(layout.size()) }.cast()
                } else {
                    // SAFETY: the alignment is a power of two.
                    unsafe { $sys::mi_malloc_aligned(layout.size(), layout.align()) }.cast()
                }
            }

            #[inline(always)]
            unsafe fn alloc_zeroed(&self, layout: ::std::alloc::Layout) -> *mut u8 {
                if layout.align() <= 16 {
                    // SAFETY: any size may be asked for.
                    unsafe { $sys::mi_zalloc(layout.size()) }.cast()
                } else {
                    // SAFETY: the alignment is a power of two.
                    unsafe { $sys::mi_zalloc_aligned(layout.size(), layout.align()) }.cast()
                }
            }

            #[inline(always)]
            unsafe fn dealloc(&self, block: *mut u8, layout: ::std::alloc::Layout) {
                if layout.align() <= 16 {
                    // SAFETY: the block is live and has this size.
                    unsafe { $sys::mi_free_size(block.cast(), layout.size()) };
                } else {
                    // SAFETY: the block is live and has this size and alignment.
                    unsafe {
                        $sys::mi_free_size_aligned(block.cast(), layout.size(), layout.align())
                    };
                }
            }

            #[inline(always)]
            unsafe fn realloc(
                &self,
                block: *mut u8,
                layout: ::std::alloc::Layout,
                new_size: usize,
            ) -> *mut u8 {
                if layout.align() <= 16 {
                    // SAFETY: the block is live.
                    unsafe { $sys::mi_realloc(block.cast(), new_size) }.cast()
                } else {
                    // SAFETY: the block is live, and the alignment is a power of two.
                    unsafe { $sys::mi_realloc_aligned(block.cast(), new_size, layout.align()) }
                        .cast()
                }
            }
        }

        impl $crate::rivals::Heap for $name {
            const INLINED: bool = false;

            fn collect(self) {
                // SAFETY: it may be called at any time.
                unsafe { $sys::mi_collect(true) };
            }
        }
    };
}
