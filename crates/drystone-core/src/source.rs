//! [`SegmentSource`]: where a layout that grows gets its next range.

use crate::{AllocError, AllocatedRegion, Allocator, FixedRange, NonZeroLayout, StableAddress};

/// Supplies ranges on demand.
///
/// Layouts that grow take a source; backings and allocators implement it. That is how a layout
/// grows without knowing any backing.
///
/// # Safety
///
/// The implementor promises that a segment is at least `layout.size()` bytes long, starts at a
/// multiple of `layout.align()`, and shares no byte with any other segment that lives.
pub unsafe trait SegmentSource {
    /// One range. Dropping it gives the memory back.
    type Segment: FixedRange + StableAddress;

    /// A new segment of at least `layout.size()` bytes at a multiple of `layout.align()`.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if there is no memory for it.
    fn segment(&self, layout: NonZeroLayout) -> Result<Self::Segment, AllocError>;

    /// How many bytes are worth asking for at once, where a segment is shorter: 0, the default, if
    /// every segment may as well be a range of its own.
    ///
    /// A hint. A layout that needs many short segments may take a range about so long and cut it; what
    /// it takes ahead stays in proportion to what it has.
    fn run_bytes(&self) -> usize {
        0
    }
}

/// Segments taken from any allocator whose handle can be cloned (`&A`, `Rc<A>`, `Arc<A>`, a unit
/// type).
///
/// Each segment keeps a handle of its own and gives its block back through it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceFrom<A> {
    allocator: A,
}

impl<A: Allocator + StableAddress + Clone> SourceFrom<A> {
    /// Segments from `allocator`.
    #[inline]
    pub const fn new(allocator: A) -> Self {
        Self { allocator }
    }
}

// SAFETY: each segment is a block of the allocator: aligned, long enough, and disjoint from every
// other live block, by the contract of `Allocator`. Allocated and freed through the same handle.
unsafe impl<A: Allocator + StableAddress + Clone> SegmentSource for SourceFrom<A> {
    type Segment = AllocatedRegion<A>;

    fn segment(&self, layout: NonZeroLayout) -> Result<Self::Segment, AllocError> {
        AllocatedRegion::new(self.allocator.clone(), layout)
    }
}
