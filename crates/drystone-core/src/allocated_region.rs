//! [`AllocatedRegion`]: a range taken from any allocator, which is how layouts stack.

use core::fmt;
use core::ptr::NonNull;

use crate::{AllocError, Allocator, FixedRange, NonZeroLayout, StableAddress, arith};

/// A block of `A`, used as a range and given back on drop.
///
/// `Slab::new(64, AllocatedRegion::new(&bump, layout)?)` cuts a slab out of an arena.
pub struct AllocatedRegion<A: Allocator + StableAddress> {
    // I1: `base .. base + size` is a live block of `allocator`, handed out for `layout`.
    // I2: `layout.size() <= size <= isize::MAX`.
    allocator: A,
    base: NonNull<u8>,
    size: usize,
    layout: NonZeroLayout,
}

// SAFETY: the block is owned exclusively, like a `Box<[u8]>` in `A`; freeing it on another thread
// is what `A: Send` allows.
unsafe impl<A: Allocator + StableAddress + Send> Send for AllocatedRegion<A> {}
// SAFETY: through `&self` only the immutable fields can be read (`A` is not reachable).
unsafe impl<A: Allocator + StableAddress> Sync for AllocatedRegion<A> {}

impl<A: Allocator + StableAddress> AllocatedRegion<A> {
    /// Takes a block of `layout` from `allocator`. The range is as long as the block returned,
    /// which may be more than asked.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if `allocator` refuses.
    pub fn new(allocator: A, layout: NonZeroLayout) -> Result<Self, AllocError> {
        let block = allocator.allocate(layout)?;
        Ok(Self {
            allocator,
            base: block.cast(),
            size: block.len().min(arith::SIZE_MAX),
            layout,
        })
    }

    /// The layout that was asked for.
    #[inline]
    pub fn layout(&self) -> NonZeroLayout {
        self.layout
    }
}

impl<A: Allocator + StableAddress> Drop for AllocatedRegion<A> {
    fn drop(&mut self) {
        // SAFETY: by I1 the block is live and `layout` fits it; dropping the region ends every
        // use of it; `A` is `StableAddress`, so moves of the region did not end the block.
        unsafe { self.allocator.deallocate(self.base, self.layout) };
    }
}

impl<A: Allocator + StableAddress> fmt::Debug for AllocatedRegion<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllocatedRegion")
            .field("base", &self.base)
            .field("size", &self.size)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

// SAFETY: by I1 and the contract of `Allocator` the block is exclusive, valid for reads and writes
// and does not change its place while the region owns it (L1 to L5); the fields are immutable (L7);
// the alignment answered is that of the address (L6).
unsafe impl<A: Allocator + StableAddress> FixedRange for AllocatedRegion<A> {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    #[inline]
    fn size(&self) -> usize {
        self.size
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

// SAFETY: the block belongs to a `StableAddress` allocator, so it survives a move of the handle.
unsafe impl<A: Allocator + StableAddress> StableAddress for AllocatedRegion<A> {}
