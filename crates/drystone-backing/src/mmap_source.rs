//! [`MmapSource`]: segments that are mappings of their own.

use drystone_core::{AllocError, NonZeroLayout, SegmentSource};

use crate::{MmapBacked, MmapFlags};

/// Each segment is a mapping of its own, unmapped when the segment is dropped.
///
/// Sizes are rounded up to pages. Every alignment is served: above the page size by mapping more
/// and using the aligned part, see [`MmapBacked::with_align`]. A segment costs two system calls
/// over its life, so ask for large ones.
///
/// ```
/// use drystone_backing::MmapSource;
/// use drystone_core::{FixedRange, NonZeroLayout, SegmentSource};
///
/// let segment = MmapSource.segment(NonZeroLayout::from_size_align(1 << 20, 1 << 20)?)?;
/// assert!(segment.base_align() >= 1 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MmapSource;

impl MmapSource {
    /// The source; the same as the unit value.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

// SAFETY: see `segment_with`: mappings of one's own share nothing.
unsafe impl SegmentSource for MmapSource {
    type Segment = MmapBacked;

    fn segment(&self, layout: NonZeroLayout) -> Result<MmapBacked, AllocError> {
        segment_with(layout, MmapFlags::new())
    }
}

/// As [`MmapSource`], with every segment mapped as the flags say.
///
/// Its errors are [`AllocError`], which cannot say that a flag is refused; map once with
/// [`MmapBacked::with_flags`] to learn that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlaggedMmapSource {
    flags: MmapFlags,
}

impl FlaggedMmapSource {
    /// Segments mapped as `flags` say.
    #[must_use]
    pub const fn new(flags: MmapFlags) -> Self {
        Self { flags }
    }
}

// SAFETY: as `MmapSource`.
unsafe impl SegmentSource for FlaggedMmapSource {
    type Segment = MmapBacked;

    fn segment(&self, layout: NonZeroLayout) -> Result<MmapBacked, AllocError> {
        segment_with(layout, self.flags)
    }
}

/// A mapping of at least the size of `layout`, at a multiple of its alignment.
fn segment_with(layout: NonZeroLayout, flags: MmapFlags) -> Result<MmapBacked, AllocError> {
    let (bytes, align) = (layout.size().get(), layout.align().get());
    Ok(MmapBacked::with_align(bytes, align, flags)?)
}
