//! [`NonZeroLayout`]: the size and alignment of a block, never zero-sized.

use core::alloc::Layout;
use core::fmt;
use core::num::NonZeroUsize;

use crate::LayoutError;

/// The size and alignment of a block: [`Layout`] that is not zero-sized.
///
/// Zero-sized requests are answered before they reach an allocator, so no allocator needs a case
/// for them.
///
/// # Invariants
///
/// - I1: `size > 0`.
/// - I2: the alignment is a power of two.
/// - I3: the size rounded up to the alignment is at most `isize::MAX`.
///
/// ```
/// use drystone_core::NonZeroLayout;
///
/// let block = NonZeroLayout::from_size_align(24, 8)?;
/// assert_eq!((block.size().get(), block.align().get()), (24, 8));
/// assert!(NonZeroLayout::for_type::<()>().is_none());
/// # Ok::<(), drystone_core::LayoutError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NonZeroLayout {
    // `Layout` keeps I2 and I3; its size is above zero by the constructors (I1).
    layout: Layout,
}

impl NonZeroLayout {
    /// A block of `size` bytes at a multiple of `align`.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] if `align` is not a power of two or `size` rounded up to it exceeds
    /// `isize::MAX`.
    #[inline]
    pub const fn new(size: NonZeroUsize, align: NonZeroUsize) -> Result<Self, LayoutError> {
        match Layout::from_size_align(size.get(), align.get()) {
            Ok(layout) => Ok(Self { layout }),
            Err(_) => Err(LayoutError),
        }
    }

    /// A block of `size` bytes at a multiple of `align`.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] if `size` is zero, `align` is not a power of two, or `size` rounded up to
    /// it exceeds `isize::MAX`.
    #[inline]
    pub const fn from_size_align(size: usize, align: usize) -> Result<Self, LayoutError> {
        match Layout::from_size_align(size, align) {
            Ok(layout) => match Self::from_layout(layout) {
                Some(layout) => Ok(layout),
                None => Err(LayoutError),
            },
            Err(_) => Err(LayoutError),
        }
    }

    /// The layout of a `T`; `None` if `T` is zero-sized.
    #[inline]
    #[must_use]
    pub const fn for_type<T>() -> Option<Self> {
        Self::from_layout(Layout::new::<T>())
    }

    /// The layout of `[T; n]`; `None` if it is zero-sized or exceeds `isize::MAX` bytes.
    #[inline]
    #[must_use]
    pub const fn array<T>(n: usize) -> Option<Self> {
        match Layout::array::<T>(n) {
            Ok(layout) => Self::from_layout(layout),
            Err(_) => None,
        }
    }

    /// The same layout; `None` if it is zero-sized.
    #[inline]
    #[must_use]
    pub const fn from_layout(layout: Layout) -> Option<Self> {
        if layout.size() == 0 {
            None
        } else {
            Some(Self { layout })
        }
    }

    /// The size in bytes.
    #[inline]
    #[must_use]
    pub const fn size(self) -> NonZeroUsize {
        // SAFETY: the value is not zero by I1.
        unsafe { NonZeroUsize::new_unchecked(self.layout.size()) }
    }

    /// The alignment in bytes, a power of two.
    #[inline]
    #[must_use]
    pub const fn align(self) -> NonZeroUsize {
        // SAFETY: the value is not zero: `Layout` keeps it a power of two (I2).
        unsafe { NonZeroUsize::new_unchecked(self.layout.align()) }
    }

    /// The same alignment with the size rounded up to a multiple of it. Cannot overflow (I3).
    #[inline]
    #[must_use]
    pub const fn pad_to_align(self) -> Self {
        Self {
            layout: self.layout.pad_to_align(),
        }
    }

    /// The same size and alignment as a [`Layout`].
    #[inline]
    #[must_use]
    pub const fn to_layout(self) -> Layout {
        self.layout
    }
}

impl fmt::Debug for NonZeroLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonZeroLayout")
            .field("size", &self.layout.size())
            .field("align", &self.layout.align())
            .finish()
    }
}

impl TryFrom<Layout> for NonZeroLayout {
    type Error = LayoutError;

    #[inline]
    fn try_from(layout: Layout) -> Result<Self, LayoutError> {
        Self::from_layout(layout).ok_or(LayoutError)
    }
}

impl From<NonZeroLayout> for Layout {
    #[inline]
    fn from(layout: NonZeroLayout) -> Self {
        layout.layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::SIZE_MAX;

    #[test]
    fn refuses_what_no_block_can_have() {
        assert_eq!(NonZeroLayout::from_size_align(0, 8), Err(LayoutError));
        assert_eq!(NonZeroLayout::from_size_align(8, 0), Err(LayoutError));
        for align in [3, 6, 12, usize::MAX] {
            assert_eq!(NonZeroLayout::from_size_align(8, align), Err(LayoutError));
        }
    }

    #[test]
    fn the_size_limit_is_exact_for_every_alignment() {
        for bit in 0..usize::BITS - 1 {
            let align = 1usize << bit;
            let limit = SIZE_MAX - (align - 1);
            let layout = NonZeroLayout::from_size_align(limit, align).expect("at the limit");
            assert!(layout.pad_to_align().size().get() <= SIZE_MAX);
            assert_eq!(
                NonZeroLayout::from_size_align(limit + 1, align),
                Err(LayoutError)
            );
        }
        assert_eq!(
            NonZeroLayout::from_size_align(1, 1 << (usize::BITS - 1)),
            Err(LayoutError)
        );
    }

    #[test]
    fn types_and_arrays() {
        assert_eq!(
            NonZeroLayout::for_type::<u64>(),
            NonZeroLayout::from_size_align(8, align_of::<u64>()).ok()
        );
        assert_eq!(NonZeroLayout::for_type::<[u64; 0]>(), None);
        assert_eq!(
            NonZeroLayout::array::<u32>(5),
            NonZeroLayout::from_size_align(20, 4).ok()
        );
        assert_eq!(NonZeroLayout::array::<u32>(0), None);
        assert_eq!(NonZeroLayout::array::<()>(9), None);
        assert_eq!(NonZeroLayout::array::<u32>(usize::MAX / 2), None);
        const FOLDED: Option<NonZeroLayout> = NonZeroLayout::for_type::<u16>();
        assert!(FOLDED.is_some());
    }

    #[test]
    fn padding_rounds_up_once() {
        let padded = NonZeroLayout::from_size_align(13, 8)
            .expect("valid")
            .pad_to_align();
        assert_eq!((padded.size().get(), padded.align().get()), (16, 8));
        assert_eq!(padded.pad_to_align(), padded);
    }

    #[test]
    fn converts_to_and_from_layout() {
        let layout = Layout::new::<u32>();
        let block = NonZeroLayout::try_from(layout).expect("not zero-sized");
        assert_eq!(Layout::from(block), layout);
        assert_eq!(block.to_layout(), layout);
        assert_eq!(
            NonZeroLayout::try_from(Layout::new::<()>()),
            Err(LayoutError)
        );
    }

    #[test]
    fn an_optional_layout_is_no_larger() {
        assert_eq!(
            size_of::<Option<NonZeroLayout>>(),
            size_of::<NonZeroLayout>()
        );
    }
}
