//! [`ArenaError`] and [`FreeError`]: why a request was refused.

use core::fmt;

/// Why an arena could not be made, or gave no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArenaError {
    /// A block of no bytes was asked for.
    ZeroSize,
    /// There is no memory, or no room under the arena's limit.
    OutOfMemory {
        /// The bytes that were asked for.
        requested: usize,
        /// The bytes that the limit leaves; `usize::MAX` without a limit.
        remaining: usize,
    },
    /// The cache is bound to another arena, and is not empty.
    WrongArena,
    /// A field of the configuration cannot be used.
    InvalidConfig {
        /// The field.
        field: &'static str,
        /// Its value.
        value: usize,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroSize => f.write_str("a block of no bytes was asked for"),
            Self::OutOfMemory {
                requested,
                remaining: usize::MAX,
            } => write!(f, "no memory for {requested} bytes"),
            Self::OutOfMemory {
                requested,
                remaining,
            } => write!(
                f,
                "no room for {requested} bytes: {remaining} remain under the limit"
            ),
            Self::WrongArena => {
                f.write_str("the thread cache is bound to another arena and is not empty")
            }
            Self::InvalidConfig {
                field,
                value,
                allowed,
            } => write!(f, "{field} is {value}, but {allowed}"),
        }
    }
}

impl core::error::Error for ArenaError {}

/// Why a block was not taken back. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FreeError {
    /// No arena has memory at this address.
    ForeignPointer,
    /// The address is not the beginning of a block.
    Misaligned,
    /// The block was not handed out for a layout like this one.
    SizeMismatch {
        /// The bytes that were named.
        provided: usize,
        /// The bytes of the block.
        recorded: usize,
    },
    /// The block is free: freed before and not handed out again since, or never handed out.
    DoubleFree,
    /// Another arena has the block, or the cache is bound to another arena and is not empty.
    WrongArena,
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignPointer => f.write_str("no arena has memory at this address"),
            Self::Misaligned => f.write_str("the pointer is not the beginning of a block"),
            Self::SizeMismatch { provided, recorded } => write!(
                f,
                "a block of {recorded} bytes was freed as one of {provided} bytes"
            ),
            Self::DoubleFree => f.write_str("the block is free already"),
            Self::WrongArena => f.write_str("the block or the cache belongs to another arena"),
        }
    }
}

impl core::error::Error for FreeError {}
