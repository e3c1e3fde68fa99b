//! Sizes of segments, slices and runs, and what an address says about them.
//!
//! ```text
//!  segment, 4 MiB, at a multiple of its size
//!  ┌─────────┬─────────┬─────────┬─ ─ ─┬──────────┐
//!  │ slice 0 │ slice 1 │ slice 2 │     │ slice 63 │   64 KiB each; the first is the header
//!  └─────────┴─────────┴─────────┴─ ─ ─┴──────────┘
//! ```
#![forbid(unsafe_code)]

use drystone_core::{NonZeroLayout, SizeClass};

const SEGMENT_LOG2: u32 = 22;
const SLICE_LOG2: u32 = 16;

/// The bytes of a segment, and what its address is a multiple of.
pub(crate) const SEGMENT_BYTES: usize = 1 << SEGMENT_LOG2;

/// The bytes of a slice.
pub(crate) const SLICE_BYTES: usize = 1 << SLICE_LOG2;

/// The slices of a segment, the header included.
pub(crate) const SLICES: usize = SEGMENT_BYTES / SLICE_BYTES;

/// The largest run of slices: a larger block has a mapping of its own.
pub(crate) const RUN_SLICES_MAX: usize = SLICES / 2;

/// The largest block that is cut from a segment.
pub(crate) const LARGE_MAX: usize = RUN_SLICES_MAX * SLICE_BYTES;

/// The slices of a page of medium blocks.
const MEDIUM_SLICES: usize = 8;

/// The largest block of a page of one slice.
const SMALL_MAX: usize = 8 << 10;

/// The first class whose pages have several slices.
pub(crate) const MEDIUM_FIRST: usize = match SizeClass::from_size(SMALL_MAX + 1) {
    Some(class) => class.index(),
    None => unreachable!(),
};

/// How a block of some layout is found and cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of the blocks of a page: the class's index.
    Class(usize),
    /// A run of slices of its own, the first at a multiple of so many slices.
    Run { slices: usize, align_slices: usize },
    /// A mapping of its own.
    Huge,
}

impl Kind {
    /// What serves `layout`. A constant layout leaves nothing of this to run time.
    #[inline(always)]
    pub(crate) const fn of(layout: NonZeroLayout) -> Self {
        match class_of(layout.size().get(), layout.align().get()) {
            Some(class) => Self::Class(class),
            None => Self::of_large(layout),
        }
    }

    const fn of_large(layout: NonZeroLayout) -> Self {
        let (size, align) = (layout.size().get(), layout.align().get());
        if size > LARGE_MAX || align > LARGE_MAX {
            return Self::Huge;
        }
        Self::Run {
            slices: size.div_ceil(SLICE_BYTES),
            align_slices: align.div_ceil(SLICE_BYTES),
        }
    }
}

/// The index of the class that serves such a layout, if one does; none serves no bytes.
#[inline(always)]
pub(crate) const fn class_of(size: usize, align: usize) -> Option<usize> {
    match SizeClass::from_size_align(size, align) {
        Some(class) => Some(class.index()),
        None => None,
    }
}

/// The slices of a page of this class.
#[inline]
pub(crate) const fn page_slices(class: usize) -> usize {
    if class < MEDIUM_FIRST {
        1
    } else {
        MEDIUM_SLICES
    }
}

/// The most slices of a page.
pub(crate) const fn page_slices_max() -> usize {
    MEDIUM_SLICES
}

/// The block size of a class.
#[inline]
pub(crate) const fn block_bytes(class: usize) -> usize {
    match SizeClass::from_index(class) {
        Some(class) => class.block_size(),
        None => 0,
    }
}

/// The bytes of a block that was handed out for this layout.
#[inline]
pub(crate) fn usable_bytes(layout: NonZeroLayout) -> usize {
    match Kind::of(layout) {
        Kind::Class(class) => block_bytes(class),
        Kind::Run { slices, .. } => slices * SLICE_BYTES,
        Kind::Huge => layout.size().get().next_multiple_of(SLICE_BYTES),
    }
}

/// The address of the segment that a block lies in, or of the one that ends where a huge block
/// of a large alignment begins.
#[inline(always)]
pub(crate) const fn segment_address(block: usize) -> usize {
    // A block never lies in the first slice, so an address at a segment's border is that of a
    // huge block behind its header's segment.
    (block - 1) & !(SEGMENT_BYTES - 1)
}

/// The number of the slice that an address lies in, within its segment.
#[inline(always)]
pub(crate) const fn slice_index(address: usize) -> usize {
    (address >> SLICE_LOG2) % SLICES
}

/// A number for a segment's address; numbers of neighbours are neighbours.
#[inline(always)]
pub(crate) const fn segment_number(address: usize) -> usize {
    address >> SEGMENT_LOG2
}

/// A run of so many slices as bits, from bit 0.
#[inline]
pub(crate) const fn run_mask(slices: usize) -> u64 {
    debug_assert!(slices >= 1 && slices <= SLICES);
    u64::MAX >> (SLICES - slices)
}
