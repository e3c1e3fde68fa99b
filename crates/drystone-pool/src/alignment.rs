//! [`Alignment`]: what an alignment may be given as.

use core::fmt;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use drystone_core::arith;

/// A number of bytes that an address is to be a multiple of: a `usize` or a [`NonZeroUsize`].
///
/// Sealed: the two types are all.
pub trait Alignment: Copy + fmt::Display + sealed::Sealed {
    /// The number, if it is a power of two.
    #[doc(hidden)]
    fn to_alignment(self) -> Option<NonZeroUsize>;
}

impl Alignment for usize {
    #[inline]
    fn to_alignment(self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self).filter(|align| align.is_power_of_two())
    }
}

impl Alignment for NonZeroUsize {
    #[inline]
    fn to_alignment(self) -> Option<NonZeroUsize> {
        self.get().to_alignment()
    }
}

/// The alignment as a power of two.
///
/// # Panics
///
/// If it is none.
#[inline]
pub(crate) fn checked_align(align: impl Alignment) -> NonZeroUsize {
    align
        .to_alignment()
        .unwrap_or_else(|| panic!("an alignment must be a power of two, not {align}"))
}

/// Whether the address is a multiple of `align`.
///
/// # Panics
///
/// If `align` is not a power of two.
#[inline]
pub(crate) fn is_aligned(ptr: NonNull<u8>, align: impl Alignment) -> bool {
    arith::is_aligned(ptr.addr().get(), checked_align(align).get())
}

mod sealed {
    use core::num::NonZeroUsize;

    #[allow(unnameable_types, reason = "the seal")]
    pub trait Sealed {}

    impl Sealed for usize {}
    impl Sealed for NonZeroUsize {}
}
