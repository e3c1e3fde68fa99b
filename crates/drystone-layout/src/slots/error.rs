//! [`SlabError`]: why slots cannot be had, taken or given back.

use core::fmt;

use drystone_core::AllocError;

/// Why [`Slots`](super::Slots) or a [`SlabCache`](crate::SlabCache) refused.
///
/// A refusal changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlabError {
    /// No slot is free, or the provider has no memory. May be different later.
    OutOfMemory,
    /// The pointer is not the start of a slot: foreign, interior, or beyond the last slot.
    InvalidPointer,
    /// The slot is free already: given back before and not handed out since, or never handed out.
    AlreadyFree,
    /// The buffer cannot hold a single slot and its share of the occupancy map.
    BufferTooSmall {
        /// The bytes needed from this start for one slot; `usize::MAX` where the number does not
        /// fit.
        needed_bytes: usize,
        /// The bytes that the buffer has.
        available_bytes: usize,
    },
    /// The provider answered with memory that does not start at a multiple of the slab's size. It
    /// was given back at once.
    Misaligned {
        /// The alignment asked for, in bytes.
        align: usize,
    },
}

impl fmt::Display for SlabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OutOfMemory => f.write_str("no free slot and no memory for more"),
            Self::InvalidPointer => f.write_str("not the start of a slot"),
            Self::AlreadyFree => f.write_str("the slot is free already"),
            Self::BufferTooSmall {
                needed_bytes,
                available_bytes,
            } => write!(
                f,
                "the buffer has {available_bytes} bytes, and one slot needs {needed_bytes}"
            ),
            Self::Misaligned { align } => write!(
                f,
                "the provider's memory does not start at a multiple of {align}"
            ),
        }
    }
}

impl core::error::Error for SlabError {}

impl From<SlabError> for AllocError {
    #[inline]
    fn from(_: SlabError) -> Self {
        Self
    }
}
