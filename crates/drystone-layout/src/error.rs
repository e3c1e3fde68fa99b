//! [`SetupError`]: why a layout could not be made.

use core::fmt;

use drystone_core::AllocError;

/// Why a layout could not be set up over a range.
///
/// The range was passed by value and has been dropped: its memory is back where it came from, and
/// nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SetupError {
    /// A capacity of 0 blocks was asked for.
    ZeroCapacity,
    /// More blocks were asked for than this layout can have over any range.
    CapacityAboveLimit {
        /// The blocks asked for.
        capacity: usize,
        /// The most that are possible.
        limit: usize,
    },
    /// The range is smaller than what was asked for.
    RangeTooSmall {
        /// The bytes needed, counted from the base of the range. `usize::MAX` where the exact
        /// number does not fit.
        needed_bytes: usize,
        /// The bytes that the range has.
        available_bytes: usize,
    },
    /// The range guarantees less alignment, across its moves, than the blocks need.
    AlignmentUnavailable {
        /// The alignment needed, in bytes.
        align: usize,
        /// The alignment that the range guarantees, in bytes.
        base_align: usize,
    },
    /// A class table without classes, or with more than a table may have.
    ClassCount {
        /// The classes given.
        classes: usize,
        /// The most that a table may have.
        limit: usize,
    },
    /// A class size that is zero, not a multiple of 8, above the limit, or not larger than the
    /// class before it.
    ClassSize {
        /// The position of the offending class in the table.
        class: usize,
        /// Its size in bytes.
        size_bytes: usize,
    },
    /// The heap has no memory for the layout's own bookkeeping.
    OutOfMemory,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ZeroCapacity => f.write_str("the capacity must be above zero"),
            Self::CapacityAboveLimit { capacity, limit } => {
                write!(
                    f,
                    "capacity {capacity} is above the limit of {limit} blocks"
                )
            }
            Self::RangeTooSmall {
                needed_bytes,
                available_bytes,
            } => write!(
                f,
                "the range has {available_bytes} bytes, and {needed_bytes} are needed"
            ),
            Self::AlignmentUnavailable { align, base_align } => write!(
                f,
                "blocks need an alignment of {align} bytes, and the range guarantees only \
                 {base_align}"
            ),
            Self::ClassCount { classes, limit } => write!(
                f,
                "a class table has between 1 and {limit} classes, and this one has {classes}"
            ),
            Self::ClassSize { class, size_bytes } => write!(
                f,
                "class {class} has {size_bytes} bytes: class sizes must rise, be multiples of 8, \
                 above zero and at most {}",
                crate::size_classed::CLASS_SIZE_MAX
            ),
            Self::OutOfMemory => f.write_str("there is no memory for the bookkeeping"),
        }
    }
}

impl core::error::Error for SetupError {}

impl From<SetupError> for AllocError {
    #[inline]
    fn from(_: SetupError) -> Self {
        Self
    }
}
