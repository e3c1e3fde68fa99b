//! [`HeapSource`]: segments from the global heap.

use crate::alloc_crate::alloc;
use core::ptr::NonNull;

use crate::{AllocError, FixedRange, NonZeroLayout, SegmentSource, StableAddress, arith};

/// One block of the global heap, freed on drop.
#[derive(Debug)]
pub struct HeapSegment {
    // I1: `base` is a live block of the global heap, allocated with `layout`.
    base: NonNull<u8>,
    layout: NonZeroLayout,
}

// SAFETY: the block is owned exclusively, like a `Box<[MaybeUninit<u8>]>`.
unsafe impl Send for HeapSegment {}
// SAFETY: through `&self` only the immutable fields can be read.
unsafe impl Sync for HeapSegment {}

impl HeapSegment {
    /// A block of `layout`, uninitialised.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the global heap is out of memory.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one home of the global heap's raw calls"
    )]
    pub fn new(layout: NonZeroLayout) -> Result<Self, AllocError> {
        // SAFETY: the layout is not zero-sized.
        let base = unsafe { alloc::alloc(layout.to_layout()) };
        let base = NonNull::new(base).ok_or(AllocError)?;
        Ok(Self { base, layout })
    }

    /// A block of `layout`, all zero.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the global heap is out of memory.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one home of the global heap's raw calls"
    )]
    pub fn new_zeroed(layout: NonZeroLayout) -> Result<Self, AllocError> {
        // SAFETY: the layout is not zero-sized.
        let base = unsafe { alloc::alloc_zeroed(layout.to_layout()) };
        let base = NonNull::new(base).ok_or(AllocError)?;
        Ok(Self { base, layout })
    }

    /// The layout that was asked for.
    #[inline]
    pub fn layout(&self) -> NonZeroLayout {
        self.layout
    }
}

impl Drop for HeapSegment {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one home of the global heap's raw calls"
    )]
    fn drop(&mut self) {
        // SAFETY: by I1 the block is live and was allocated with this layout.
        unsafe { alloc::dealloc(self.base.as_ptr(), self.layout.to_layout()) };
    }
}

// SAFETY: the block is exclusive and valid until the drop (L3, L4), its fields never change (L1,
// L7), `Layout` bounds its size (L2), the heap gives provenance for all of it (L5), and the
// alignment answered is that of the address (L6).
unsafe impl FixedRange for HeapSegment {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    #[inline]
    fn size(&self) -> usize {
        self.layout.size().get()
    }

    #[inline]
    fn base_align(&self) -> usize {
        arith::natural_align(self.base.addr().get())
    }

    #[inline]
    fn keeps_base(&self) -> bool {
        true
    }

    #[inline]
    fn commits_on_demand(&self) -> bool {
        false
    }

    #[inline]
    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        arith::align_offset_at(self.base.addr().get(), offset, align)
    }
}

// SAFETY: moving the handle does not move the block.
unsafe impl StableAddress for HeapSegment {}

/// Segments from the global heap.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapSource;

impl HeapSource {
    /// The source; the same as the unit value.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

// SAFETY: the global heap hands out blocks that are aligned, long enough and disjoint.
unsafe impl SegmentSource for HeapSource {
    type Segment = HeapSegment;

    #[inline]
    fn segment(&self, layout: NonZeroLayout) -> Result<HeapSegment, AllocError> {
        HeapSegment::new(layout)
    }

    /// 256 KiB: common heaps leave a gap as long as the block before one that is aligned to its
    /// length, and take blocks so long from the system.
    #[inline]
    fn run_bytes(&self) -> usize {
        256 << 10
    }
}
