//! [`HeapBacked`]: one block of the global heap.
//!
//! # What
//!
//! A range whose size is known at run time, from the program's global allocator.
//!
//! # Memory picture
//!
//! ```text
//! +--- HeapBacked ---+         one block of the global heap
//! |  base  |  layout |  ---->  +--------------------------------+
//! +------------------+         0                              size
//! ```
//!
//! # Invariants
//!
//! Those of [`HeapSegment`], which it wraps with errors that say what was asked.
//!
//! # Threads
//!
//! Send and Sync: the methods only describe the range.
//!
//! # Cost
//!
//! One allocation, one deallocation. Must not lie under a `#[global_allocator]`, which it calls.

use core::ptr::NonNull;

use drystone_core::arith::SIZE_MAX;
use drystone_core::{AllocError, FixedRange, HeapSegment, NonZeroLayout, StableAddress};

use crate::BackingError;

/// The alignment of [`HeapBacked::new`] in bytes: enough for every primitive type.
const ALIGN_DEFAULT: usize = 16;

/// One block of the global heap, freed on drop.
///
/// ```
/// use drystone_backing::HeapBacked;
/// use drystone_core::FixedRange;
///
/// let backing = HeapBacked::with_align(64 * 1024, 4096)?;
/// assert_eq!(backing.size(), 64 * 1024);
/// assert!(backing.base_align() >= 4096);
/// # Ok::<(), drystone_backing::BackingError>(())
/// ```
#[derive(Debug)]
pub struct HeapBacked {
    block: HeapSegment,
}

impl HeapBacked {
    /// `bytes` uninitialised bytes at a multiple of 16.
    ///
    /// # Errors
    ///
    /// As [`with_align`](HeapBacked::with_align).
    pub fn new(bytes: usize) -> Result<Self, BackingError> {
        Self::with_align(bytes, ALIGN_DEFAULT)
    }

    /// `bytes` zero bytes at a multiple of 16.
    ///
    /// # Errors
    ///
    /// As [`with_align`](HeapBacked::with_align).
    pub fn new_zeroed(bytes: usize) -> Result<Self, BackingError> {
        Self::with_align_zeroed(bytes, ALIGN_DEFAULT)
    }

    /// `bytes` uninitialised bytes at a multiple of `align`.
    ///
    /// # Errors
    ///
    /// [`BackingError`]: no bytes, an alignment that is not a power of two, more than
    /// `isize::MAX` bytes when rounded up to the alignment, or a heap that is out of memory.
    pub fn with_align(bytes: usize, align: usize) -> Result<Self, BackingError> {
        Self::from_heap(bytes, align, HeapSegment::new)
    }

    /// `bytes` zero bytes at a multiple of `align`.
    ///
    /// # Errors
    ///
    /// As [`with_align`](HeapBacked::with_align).
    pub fn with_align_zeroed(bytes: usize, align: usize) -> Result<Self, BackingError> {
        Self::from_heap(bytes, align, HeapSegment::new_zeroed)
    }

    fn from_heap(
        bytes: usize,
        align: usize,
        take: fn(NonZeroLayout) -> Result<HeapSegment, AllocError>,
    ) -> Result<Self, BackingError> {
        let layout = block_layout(bytes, align)?;
        match take(layout) {
            Ok(block) => Ok(Self { block }),
            Err(AllocError) => Err(BackingError::OutOfMemory { bytes }),
        }
    }
}

/// The layout of a block, or what is wrong with it.
fn block_layout(bytes: usize, align: usize) -> Result<NonZeroLayout, BackingError> {
    if bytes == 0 {
        return Err(BackingError::ZeroSize);
    }
    if !align.is_power_of_two() {
        return Err(BackingError::Alignment { align });
    }
    NonZeroLayout::from_size_align(bytes, align).map_err(|_| BackingError::TooLarge {
        bytes,
        // An alignment above `isize::MAX` leaves no size at all.
        limit: SIZE_MAX.saturating_sub(align - 1),
    })
}

// SAFETY: every answer is that of the segment, which is owned here.
unsafe impl FixedRange for HeapBacked {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        self.block.base()
    }

    #[inline]
    fn size(&self) -> usize {
        self.block.size()
    }

    #[inline]
    fn base_align(&self) -> usize {
        self.block.base_align()
    }

    #[inline]
    fn keeps_base(&self) -> bool {
        true
    }

    #[inline]
    fn commits_on_demand(&self) -> bool {
        self.block.commits_on_demand()
    }

    #[inline]
    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        self.block.align_offset(offset, align)
    }
}

// SAFETY: the segment is stable, and moving this value moves only the handle.
unsafe impl StableAddress for HeapBacked {}
