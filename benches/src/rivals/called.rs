//! [`Called`]: an allocator whose code is kept out of its caller.

use std::alloc::{GlobalAlloc, Layout};

use super::Heap;

/// Calls that are not inlined, as those of an allocator behind `#[global_allocator]` or in C.
#[derive(Clone, Copy)]
pub(crate) struct Called<A>(pub(crate) A);

// SAFETY: every call is the allocator's own.
unsafe impl<A: Heap> GlobalAlloc for Called<A> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(block, layout) };
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.realloc(block, layout, new_size) }
    }
}

impl<A: Heap> Heap for Called<A> {
    const INLINED: bool = false;

    fn collect(self) {
        self.0.collect();
    }
}
