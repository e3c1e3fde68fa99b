//! [`Source`]: where the ranges of an arena come from.

use core::fmt;
use core::ptr::NonNull;

use drystone_backing::{MmapBacked, MmapFlags};
use drystone_core::{
    Advice, AllocError, FixedRange, NonZeroLayout, OsBacked, OsError, Protection, SegmentSource,
    StableAddress, abort_on_unwind,
};

use std::boxed::Box;

/// Where the ranges of an arena come from.
pub(crate) enum Source {
    /// The operating system.
    Os,
    /// The user.
    User(Box<dyn AnySource>),
}

/// A [`SegmentSource`] of any kind.
pub(crate) trait AnySource: Send + Sync {
    fn range(&self, layout: NonZeroLayout) -> Result<Box<dyn AnyRange>, AllocError>;
}

/// A range of a [`SegmentSource`] of any kind.
pub(crate) trait AnyRange {
    fn base(&self) -> NonNull<u8>;
}

struct OfUser<S>(S);

struct RangeOf<R>(R);

impl<R: FixedRange + StableAddress> AnyRange for RangeOf<R> {
    fn base(&self) -> NonNull<u8> {
        self.0.base()
    }
}

impl<S> AnySource for OfUser<S>
where
    S: SegmentSource + Send + Sync,
    S::Segment: Send + 'static,
{
    fn range(&self, layout: NonZeroLayout) -> Result<Box<dyn AnyRange>, AllocError> {
        let range = abort_on_unwind(|| self.0.segment(layout))?;
        if range.commits_on_demand() {
            range.commit(0, layout.size().get())?;
        }
        Ok(Box::new(RangeOf(range)))
    }
}

impl Source {
    pub(crate) fn of_user<S>(source: S) -> Self
    where
        S: SegmentSource + Send + Sync + 'static,
        S::Segment: Send + 'static,
    {
        Self::User(Box::new(OfUser(source)))
    }

    /// A range of this size and alignment.
    pub(crate) fn range(&self, layout: NonZeroLayout) -> Result<Range, AllocError> {
        match self {
            Self::Os => Ok(Range::Os(MmapBacked::with_align(
                layout.size().get(),
                layout.align().get(),
                MmapFlags::new(),
            )?)),
            Self::User(source) => Ok(Range::User(source.range(layout)?)),
        }
    }

    /// Whether it is worth asking for more than one segment at once.
    pub(crate) fn is_os(&self) -> bool {
        matches!(self, Self::Os)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Os => "Os",
            Self::User(_) => "User",
        })
    }
}

/// One range of an arena.
pub(crate) enum Range {
    Os(MmapBacked),
    User(Box<dyn AnyRange>),
}

impl Range {
    pub(crate) fn base(&self) -> NonNull<u8> {
        match self {
            Self::Os(pages) => pages.base(),
            Self::User(range) => range.base(),
        }
    }

    /// Whether it has only zero bytes when it is new.
    pub(crate) fn is_zeroed(&self) -> bool {
        matches!(self, Self::Os(_))
    }

    /// Gives the memory of a part back, as far as the source can.
    ///
    /// # Safety
    ///
    /// Nothing in the part is read again before it is written.
    pub(crate) unsafe fn release(&self, offset: usize, len: usize) -> Released {
        match self {
            Self::Os(pages) => {
                // SAFETY: the caller's promise.
                let answer = unsafe { pages.release(offset, len) };
                match answer {
                    Ok(()) if RELEASED_IS_ZERO => Released::Zero,
                    Ok(()) => Released::Given,
                    Err(_) => Released::Not,
                }
            }
            Self::User(_) => Released::Not,
        }
    }

    /// Lets a part be used, or takes the access to it away. Whether it could.
    ///
    /// # Safety
    ///
    /// Nothing is in the part while there is no access to it.
    pub(crate) unsafe fn set_access(&self, offset: usize, len: usize, access: Protection) -> bool {
        match self {
            // SAFETY: the caller's promise.
            Self::Os(pages) => unsafe { pages.protect(offset, len, access) }.is_ok(),
            Self::User(_) => false,
        }
    }

    /// Moves whole pages from another range, without copying. Whether it could.
    ///
    /// # Safety
    ///
    /// Nobody uses either during the call, and nothing reads what is left before writing it.
    pub(crate) unsafe fn move_from(
        &self,
        offset: usize,
        from: &Self,
        from_offset: usize,
        len: usize,
    ) -> bool {
        match (self, from) {
            (Self::Os(to), Self::Os(from)) => {
                // SAFETY: the caller's promise.
                unsafe { to.move_pages_from(offset, from, from_offset, len) }.is_ok()
            }
            _ => false,
        }
    }

    /// Asks for huge pages.
    pub(crate) fn advise_huge_pages(&self) -> Result<(), OsError> {
        match self {
            Self::Os(pages) => pages.advise(0, pages.size(), Advice::HugePages),
            Self::User(_) => Err(OsError::Unsupported {
                what: "huge pages for memory of the caller's",
            }),
        }
    }
}

/// What became of memory that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// The system has it, and it has only zero bytes when it is used again.
    Zero,
    /// The system may take it.
    Given,
    /// It stays.
    Not,
}

/// Whether pages that were released read as zero.
const RELEASED_IS_ZERO: bool = cfg!(any(target_os = "linux", target_os = "android", miri));

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Range({:p})", self.base())
    }
}
