//! The two errors of the hot path: zero-sized, so that a `Result` around a pointer stays one word.

use core::fmt;

/// The allocator cannot serve this request.
///
/// Zero-sized on purpose: it travels on the allocation path. What a type can say beyond it (how
/// much was asked, how much is left, whether asking again can help) is said by the errors of its
/// constructors and by its statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllocError;

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory allocation failed")
    }
}

impl core::error::Error for AllocError {}

/// The size and alignment given cannot form a [`NonZeroLayout`](crate::NonZeroLayout).
///
/// The size is zero, the alignment is not a power of two, or the size rounded up to the
/// alignment exceeds `isize::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LayoutError;

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a block layout: the size must be above zero, the alignment a power of two, and \
             the size rounded up to the alignment at most isize::MAX",
        )
    }
}

impl core::error::Error for LayoutError {}

/// A request that no layout describes is one that no allocator can serve.
impl From<LayoutError> for AllocError {
    #[inline]
    fn from(_: LayoutError) -> Self {
        Self
    }
}
