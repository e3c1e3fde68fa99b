//! [`ArenaConfig`]: what an arena may take, and what it keeps.

use core::time::Duration;

use crate::error::ArenaError;
use crate::geometry::{SEGMENT_BYTES, SLICE_BYTES};

/// What an arena may take, and what its caches keep.
///
/// ```
/// use drystone_arena::{Arena, ArenaConfig};
///
/// let arena = Arena::new(ArenaConfig {
///     arena_size: 256 << 20,
///     ..ArenaConfig::default()
/// })?;
/// # Ok::<(), drystone_arena::ArenaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArenaConfig {
    /// The most bytes of blocks and of room for blocks, counted in slices of 64 KiB;
    /// [`UNLIMITED`](Self::UNLIMITED) by default. At least one slice.
    pub arena_size: usize,
    /// Every block is aligned to this, whatever its layout says: a power of two up to the size of a
    /// segment, 4 MiB. 1 by default: blocks are aligned as their layouts ask.
    pub alignment: usize,
    /// How many bytes a cache cuts from a page at once when it has run dry, at least one block.
    /// 4 KiB by default; at least 1.
    pub refill_target_bytes: usize,
    /// How many bytes of free blocks of one class a cache may come to keep, at least eight blocks.
    /// 256 KiB by default.
    pub local_cache_target_bytes: usize,
    /// How long memory that nothing uses is kept before it is given back: one second by default. A
    /// heap looks at the time once in 64 of its slow paths, so it may be later. With
    /// [`Duration::MAX`] memory goes back only when [`trim`](crate::Arena::trim) is called, and
    /// beyond 64 MiB of idle segments and 64 MiB of kept huge blocks.
    pub purge_delay: Duration,
}

impl ArenaConfig {
    /// An [`arena_size`](Self::arena_size) without limit.
    pub const UNLIMITED: usize = usize::MAX;

    /// The values of [`Default`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            arena_size: Self::UNLIMITED,
            alignment: 1,
            refill_target_bytes: 4 << 10,
            local_cache_target_bytes: 256 << 10,
            purge_delay: Duration::from_secs(1),
        }
    }

    /// Judges the fields.
    ///
    /// # Errors
    ///
    /// [`ArenaError::InvalidConfig`] names the first field that cannot be used, its value and what
    /// is allowed.
    pub const fn validate(&self) -> Result<(), ArenaError> {
        if self.arena_size < SLICE_BYTES {
            return Err(ArenaError::InvalidConfig {
                field: "arena_size",
                value: self.arena_size,
                allowed: "it must be at least 65536 bytes",
            });
        }
        if !self.alignment.is_power_of_two() || self.alignment > SEGMENT_BYTES {
            return Err(ArenaError::InvalidConfig {
                field: "alignment",
                value: self.alignment,
                allowed: "it must be a power of two up to 4194304",
            });
        }
        if self.refill_target_bytes == 0 {
            return Err(ArenaError::InvalidConfig {
                field: "refill_target_bytes",
                value: 0,
                allowed: "it must be at least 1",
            });
        }
        Ok(())
    }
}

impl Default for ArenaConfig {
    fn default() -> Self {
        Self::new()
    }
}
