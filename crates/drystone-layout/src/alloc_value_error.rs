//! [`AllocValueError`]: the error that gives back the value for which there was no room.

use core::fmt;

use drystone_core::AllocError;

/// There was no room for a value; the value is inside, unharmed.
///
/// ```
/// # use core::mem::MaybeUninit;
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::BumpArena;
/// # let arena = BumpArena::new(HeapSegment::new(NonZeroLayout::array::<u8>(8).unwrap())?);
/// let too_long = [1u8; 100];
/// let error = arena.try_alloc_value(too_long).unwrap_err();
/// assert_eq!(error.into_value(), [1; 100]);
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AllocValueError<T> {
    value: T,
}

impl<T> AllocValueError<T> {
    #[inline]
    pub(crate) const fn new(value: T) -> Self {
        Self { value }
    }

    /// The value that was not stored.
    #[inline]
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> fmt::Debug for AllocValueError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllocValueError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for AllocValueError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        AllocError.fmt(f)
    }
}

impl<T> core::error::Error for AllocValueError<T> {}

/// Drops the value.
impl<T> From<AllocValueError<T>> for AllocError {
    #[inline]
    fn from(_: AllocValueError<T>) -> Self {
        Self
    }
}
