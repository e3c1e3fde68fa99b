//! [`Source`]: where regions come from, without the source's type.

use core::fmt;
use core::ptr::NonNull;

use drystone_backing::{MmapBacked, MmapSource};
use drystone_core::{Advice, AllocError, FixedRange, OsBacked, OsError, SegmentSource};

use crate::local;
use crate::region::{Pages, Region, RegionPlan};

/// A new region, and how the system took the advice that was asked for.
pub(crate) type Created = Result<(NonNull<Region>, Result<(), OsError>), AllocError>;

/// Makes regions.
pub(crate) trait Source: Send + Sync {
    /// A region as `plan` says.
    fn region(&self, plan: RegionPlan) -> Created;
}

impl fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// Regions of the user's source: ranges, and no more.
pub(crate) struct Given<S>(pub(crate) S);

impl<S> Source for Given<S>
where
    S: SegmentSource + Send + Sync,
    S::Segment: Send,
{
    fn region(&self, plan: RegionPlan) -> Created {
        local::in_user_code(|| Region::create(&self.0, &PlainPages, plan))
    }
}

struct PlainPages;

impl<Seg> Pages<Seg> for PlainPages {
    const RELEASES: bool = false;

    fn advise(&self, _segment: &Seg) -> Result<(), OsError> {
        Ok(())
    }

    unsafe fn release(_segment: &Seg, _offset: usize, _len: usize) {}
}

/// Mapped regions, whose unused pages can go back one by one.
pub(crate) struct Mapped {
    pub(crate) huge_pages: bool,
}

impl Source for Mapped {
    fn region(&self, plan: RegionPlan) -> Created {
        Region::create(&MmapSource, self, plan)
    }
}

impl Pages<MmapBacked> for Mapped {
    const RELEASES: bool = true;

    fn advise(&self, segment: &MmapBacked) -> Result<(), OsError> {
        if !self.huge_pages {
            return Ok(());
        }
        segment.advise(0, segment.size(), Advice::HugePages)
    }

    unsafe fn release(segment: &MmapBacked, offset: usize, len: usize) {
        // SAFETY: nobody needs the content, by the caller's promise. A refusal leaves the pages as
        // they are, which costs their memory until the region goes.
        let _ = unsafe { segment.release(offset, len) };
    }
}
