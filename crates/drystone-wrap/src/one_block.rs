//! An allocator for models: blocks of any size at one address, and a witness that loom watches.

use core::ptr::NonNull;

use drystone_core::{AllocError, Allocator, Deallocator, NonZeroLayout};
use drystone_sync::cell::UnsafeCell;

/// Hands out the same static bytes every time. A request and a free write to the witness, so two
/// that no wrapper keeps apart, or that are not ordered, are a race that loom reports.
pub(crate) struct OneBlock {
    witness: UnsafeCell<u32>,
    watched: bool,
}

// SAFETY: the block is a leaked static buffer, and the witness is loom's to judge.
unsafe impl Send for OneBlock {}
// SAFETY: as above.
unsafe impl Sync for OneBlock {}

impl OneBlock {
    /// Requests and frees must be ordered by the wrapper around.
    pub(crate) fn watched() -> Self {
        Self {
            witness: UnsafeCell::new(0),
            watched: true,
        }
    }

    /// Requests and frees may overlap.
    pub(crate) fn unwatched() -> Self {
        Self {
            watched: false,
            ..Self::watched()
        }
    }

    fn touch(&self) {
        if self.watched {
            self.witness.with_mut(|cell| {
                // SAFETY: whether the access is exclusive is what the model checks.
                unsafe { *cell += 1 };
            });
        }
    }
}

// SAFETY: no block is ever used.
unsafe impl Deallocator for OneBlock {
    unsafe fn deallocate(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) {
        self.touch();
    }
}

// SAFETY: the models never look at a block.
unsafe impl Allocator for OneBlock {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.touch();
        let start = NonNull::<u64>::dangling().cast();
        Ok(NonNull::slice_from_raw_parts(start, layout.size().get()))
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.touch();
        Ok(NonNull::slice_from_raw_parts(ptr, new.size().get()))
    }

    fn capacity_bytes(&self) -> Option<usize> {
        Some(100)
    }
}
