//! The errors as [`io::Error`], for functions that do I/O with the buffers.

use std::io;

use crate::{CapacityError, ConfigError, PoolError};

/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a request that can never be served,
/// [`OutOfMemory`](io::ErrorKind::OutOfMemory) for one that cannot be served now.
impl From<PoolError> for io::Error {
    fn from(error: PoolError) -> Self {
        let kind = match error {
            PoolError::Oversized => io::ErrorKind::InvalidInput,
            PoolError::Exhausted => io::ErrorKind::OutOfMemory,
        };
        Self::new(kind, error)
    }
}

/// [`WriteZero`](io::ErrorKind::WriteZero), as from a slice that is full.
impl From<CapacityError> for io::Error {
    fn from(error: CapacityError) -> Self {
        Self::new(io::ErrorKind::WriteZero, error)
    }
}

/// [`OutOfMemory`](io::ErrorKind::OutOfMemory) if there was no memory,
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for all that is wrong with a configuration.
impl From<ConfigError> for io::Error {
    fn from(error: ConfigError) -> Self {
        let kind = match error {
            ConfigError::OutOfMemory { .. } => io::ErrorKind::OutOfMemory,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
