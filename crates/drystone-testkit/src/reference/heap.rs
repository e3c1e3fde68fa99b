//! [`Heap`]: the global heap as an allocator without a limit.

use core::ptr::NonNull;
use std::alloc;

use drystone_core::{AllocError, Allocator, Deallocator, NonZeroLayout, StableAddress};

/// The global heap. Returns exactly the bytes asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

impl Heap {
    /// The global heap.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

// SAFETY: the global heap takes its blocks back on any thread and does not unwind.
unsafe impl Deallocator for Heap {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the block is live, and the returned length is the requested one, so a layout
        // that fits is the one it was allocated with.
        unsafe { alloc::dealloc(ptr.as_ptr(), layout.to_layout()) };
    }
}

// SAFETY: the global heap's blocks are aligned, long enough, disjoint, and live until freed.
unsafe impl Allocator for Heap {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the layout is not zero-sized.
        let ptr = unsafe { alloc::alloc(layout.to_layout()) };
        let ptr = NonNull::new(ptr).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(ptr, layout.size().get()))
    }
}

// SAFETY: the blocks lie in the process-wide heap, not in the value.
unsafe impl StableAddress for Heap {}
