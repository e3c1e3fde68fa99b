//! [`BackingError`]: why a backing was not made.

use core::fmt;

use drystone_core::{AllocError, OsError};

/// Why a backing was not made. Nothing is left behind.
///
/// `ZeroSize`, `Alignment` and `TooLarge` will never succeed; `OutOfMemory` and `Os` may at another
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackingError {
    /// A range of no bytes was asked for.
    ZeroSize,
    /// The alignment is not a power of two.
    Alignment {
        /// What was asked for, in bytes.
        align: usize,
    },
    /// More bytes than a range may have with this alignment.
    TooLarge {
        /// What was asked for.
        bytes: usize,
        /// The most that can be asked for.
        limit: usize,
    },
    /// The global heap has no block of this size.
    OutOfMemory {
        /// What was asked for.
        bytes: usize,
    },
    /// The operating system refused.
    Os(OsError),
}

impl fmt::Display for BackingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ZeroSize => f.write_str("a backing of no bytes was asked for"),
            Self::Alignment { align } => write!(f, "the alignment {align} is not a power of two"),
            Self::TooLarge { bytes, limit } => {
                write!(
                    f,
                    "{bytes} bytes were asked for; the limit is {limit} bytes"
                )
            }
            Self::OutOfMemory { bytes } => write!(f, "the heap has no block of {bytes} bytes"),
            Self::Os(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BackingError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Os(error) => Some(error),
            Self::ZeroSize
            | Self::Alignment { .. }
            | Self::TooLarge { .. }
            | Self::OutOfMemory { .. } => None,
        }
    }
}

impl From<OsError> for BackingError {
    fn from(error: OsError) -> Self {
        Self::Os(error)
    }
}

impl From<BackingError> for AllocError {
    fn from(_: BackingError) -> Self {
        Self
    }
}
