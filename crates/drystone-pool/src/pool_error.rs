//! [`PoolError`]: why a pool has no buffer for a request.

use core::fmt;

/// Why a pool has no buffer for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolError {
    /// The request is larger than the largest class: it can never be served.
    Oversized,
    /// Nothing is free now, and nothing may be created; a buffer that comes back changes that.
    Exhausted,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oversized => "requested capacity exceeds maximum buffer size",
            Self::Exhausted => "pool exhausted for required size class",
        })
    }
}

impl core::error::Error for PoolError {}
