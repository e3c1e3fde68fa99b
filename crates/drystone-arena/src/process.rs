//! The process-wide arena of the profile [`Checked`] as functions, for callers without layouts.

use core::ptr::NonNull;

use drystone_core::{Checked, NonZeroLayout};

use crate::error::{ArenaError, FreeError};
use crate::global::GlobalArena;
use crate::stats::ArenaStats;

/// What every block is aligned to.
const ALIGN: usize = 16;

/// A block of at least `size` bytes, aligned to 16. Any thread may free it, with [`deallocate`] or
/// [`deallocate_with_size`].
///
/// # Errors
///
/// [`ArenaError::ZeroSize`], [`ArenaError::OutOfMemory`].
///
/// ```
/// let block = drystone_arena::allocate(100)?;
/// // SAFETY: the block is live, and nobody uses it afterwards.
/// unsafe { drystone_arena::deallocate_with_size(block, 100) }?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn allocate(size: usize) -> Result<NonNull<u8>, ArenaError> {
    if size == 0 {
        return Err(ArenaError::ZeroSize);
    }
    layout(size)
        .and_then(|layout| GlobalArena::<Checked>::try_allocate(layout.to_layout()))
        .ok_or(ArenaError::OutOfMemory {
            requested: size,
            remaining: usize::MAX,
        })
}

/// Takes back a block.
///
/// # Errors
///
/// [`FreeError`]: the address is no live block of this arena. Nothing has changed then.
///
/// # Safety
///
/// If the address is that of a live block, then nobody uses it any more. A block that was freed and
/// handed out again since is live. If it is not, no other thread gives the memory there back to the
/// system meanwhile.
pub unsafe fn deallocate(ptr: NonNull<u8>) -> Result<(), FreeError> {
    // SAFETY: the caller's promise.
    unsafe { GlobalArena::<Checked>::try_free(ptr, None) }
}

/// Takes back a block of which the caller knows the size.
///
/// # Errors
///
/// As [`deallocate`]; [`FreeError::SizeMismatch`] if no block of `size` bytes would have the size of
/// this one. Sizes are told apart as far as blocks of them differ.
///
/// # Safety
///
/// As [`deallocate`].
pub unsafe fn deallocate_with_size(ptr: NonNull<u8>, size: usize) -> Result<(), FreeError> {
    let Some(layout) = layout(size) else {
        return Err(FreeError::SizeMismatch {
            provided: size,
            // SAFETY: the caller's promise.
            recorded: unsafe { GlobalArena::<Checked>::block_bytes(ptr) }?,
        });
    };
    // SAFETY: the caller's promise.
    unsafe { GlobalArena::<Checked>::try_free(ptr, Some(layout)) }
}

/// What the arena holds.
#[must_use]
pub fn global_stats() -> ArenaStats {
    GlobalArena::<Checked>::new().stats()
}

/// Gives back all memory that nothing uses, with what the calling thread keeps, but not what other living
/// threads keep. The answer is how many bytes were unmapped; more may have been given back without that.
pub fn trim() -> usize {
    GlobalArena::<Checked>::new().trim()
}

fn layout(size: usize) -> Option<NonZeroLayout> {
    NonZeroLayout::from_size_align(size, ALIGN).ok()
}
