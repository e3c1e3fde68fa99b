//! [`CapacityError`]: a write that did not fit.

use core::fmt;

/// The bytes do not fit behind those that are there. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CapacityError {
    /// The bytes that were to be written.
    pub requested: usize,
    /// The bytes that there was room for.
    pub available: usize,
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requested,
            available,
        } = self;
        write!(
            f,
            "{requested} bytes do not fit: there is room for {available}"
        )
    }
}

impl core::error::Error for CapacityError {}
