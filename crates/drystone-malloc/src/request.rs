//! What a caller asks for, judged: sizes and alignments as the family's functions take them.
#![forbid(unsafe_code)]

use drystone_core::NonZeroLayout;

/// What every block is aligned to.
pub(crate) const ALIGN: usize = 16;

/// The largest alignment that is served: above it no request can be met.
const ALIGN_MAX: usize = 1 << (usize::BITS - 2);

/// A block that somebody asks for.
///
/// R1: at least one byte at the alignment is a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    size: usize,
    align: usize,
}

impl Request {
    /// The bytes, of which there may be none.
    #[cfg(any(feature = "hardened", feature = "record"))]
    pub(crate) fn size(self) -> usize {
        self.size
    }

    /// What the block is aligned to: a power of two, at least [`ALIGN`].
    #[cfg(any(feature = "hardened", feature = "record"))]
    pub(crate) fn align(self) -> usize {
        self.align
    }

    /// No bytes are one byte: each such block has an address of its own. Always one (R1).
    #[inline(always)]
    pub(crate) fn layout(self) -> Option<NonZeroLayout> {
        NonZeroLayout::from_size_align(self.size.max(1), self.align).ok()
    }
}

/// A block of `size` bytes. `None` if no block is so large.
#[inline(always)]
pub(crate) fn plain(size: usize) -> Option<Request> {
    aligned(size, ALIGN)
}

/// A block of `size` bytes at an alignment, a power of two.
#[inline(always)]
pub(crate) fn aligned(size: usize, align: usize) -> Option<Request> {
    let align = align.max(ALIGN);
    let request = Request { size, align };
    request.layout().map(|_| request)
}

/// A block of `count` elements.
#[inline]
pub(crate) fn elements(count: usize, size: usize) -> Option<Request> {
    plain(count.checked_mul(size)?)
}

/// Why a request with an alignment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The alignment is none that the function takes.
    Alignment,
    /// No block is so large.
    Size,
}

/// For `posix_memalign`: a power of two that is a multiple of a pointer's size.
pub(crate) fn posix(size: usize, align: usize) -> Result<Request, Refused> {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<usize>()) {
        return Err(Refused::Alignment);
    }
    aligned(size, align).ok_or(Refused::Size)
}

/// For `aligned_alloc`: a power of two.
pub(crate) fn power_of_two(size: usize, align: usize) -> Result<Request, Refused> {
    if !align.is_power_of_two() {
        return Err(Refused::Alignment);
    }
    aligned(size, align).ok_or(Refused::Size)
}

/// For `memalign`, which rounds an alignment up to the next power of two.
pub(crate) fn rounded_up(size: usize, align: usize) -> Result<Request, Refused> {
    if align > ALIGN_MAX {
        return Err(Refused::Alignment);
    }
    aligned(size, align.next_power_of_two()).ok_or(Refused::Size)
}

/// For `pvalloc`: whole pages, at least one.
pub(crate) fn pages(size: usize, page: usize) -> Option<Request> {
    aligned(size.max(1).checked_next_multiple_of(page)?, page)
}
