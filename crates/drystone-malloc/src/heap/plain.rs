//! The arena as it is.

use core::ptr::{self, NonNull};

use std::alloc::GlobalAlloc as _;

use drystone_arena::{ArenaStats, GlobalArena};

use super::Wrong;
use crate::request::Request;

#[cfg(not(feature = "unchecked"))]
type Profile = drystone_arena::Checked;
#[cfg(feature = "unchecked")]
type Profile = drystone_arena::Fast;

type Arena = GlobalArena<Profile>;

const ARENA: Arena = Arena::new();

/// A block of at least `size` bytes, which are not none, aligned to 16, if there is one without a call of the
/// system.
#[inline(always)]
pub(crate) fn allocate_at_once(size: usize) -> Option<NonNull<u8>> {
    Arena::allocate_at_once(size)
}

/// A block; null if there is no memory.
#[inline(always)]
pub(crate) fn allocate(request: Request) -> *mut u8 {
    let Some(layout) = request.layout() else {
        return ptr::null_mut();
    };
    // SAFETY: the layout has bytes.
    unsafe { ARENA.alloc(layout.to_layout()) }
}

/// A block of zero bytes; null if there is no memory.
#[inline(always)]
pub(crate) fn allocate_zeroed(request: Request) -> *mut u8 {
    let Some(layout) = request.layout() else {
        return ptr::null_mut();
    };
    // SAFETY: the layout has bytes.
    unsafe { ARENA.alloc_zeroed(layout.to_layout()) }
}

/// Takes back a block if that needs no call of the system. Otherwise nothing has changed.
///
/// # Safety
///
/// As [`free`].
#[inline(always)]
#[must_use]
pub(crate) unsafe fn free_at_once(block: NonNull<u8>) -> bool {
    // SAFETY: the caller's promise.
    unsafe { Arena::free_at_once(block) }
}

/// Takes back a block.
///
/// # Errors
///
/// [`Wrong`], as far as the build finds out.
///
/// # Safety
///
/// Nobody uses the block any more. What the build does not find out is the caller's duty.
pub(crate) unsafe fn free(block: NonNull<u8>) -> Result<(), Wrong> {
    // SAFETY: the caller's promise.
    Ok(unsafe { Arena::free(block) }?)
}

/// Makes a block serve another request; null if there is no memory, and then nothing has changed.
///
/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// As [`free`].
pub(crate) unsafe fn reallocate(block: NonNull<u8>, request: Request) -> Result<*mut u8, Wrong> {
    let Some(layout) = request.layout() else {
        return Ok(ptr::null_mut());
    };
    // SAFETY: the caller's promise; the alignment is that of every block.
    let moved = unsafe { Arena::reallocate(block, layout) }?;
    Ok(moved.map_or(ptr::null_mut(), NonNull::as_ptr))
}

/// The bytes of a live block that its owner may use.
///
/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// The block is not freed meanwhile.
pub(crate) unsafe fn usable_bytes(block: NonNull<u8>) -> Result<usize, Wrong> {
    // SAFETY: the caller's promise.
    Ok(unsafe { Arena::block_bytes(block) }?)
}

/// Whether a block of so many usable bytes may have been asked for as one of `size`.
pub(crate) fn fits(usable: usize, size: usize) -> bool {
    size <= usable
}

/// The size of the blocks that lie where the address is.
pub(crate) fn block_bytes_around(address: usize) -> Option<usize> {
    Arena::block_bytes_around(address)
}

pub(crate) fn stats() -> ArenaStats {
    ARENA.stats()
}

/// Gives back what nothing uses and what the calling thread keeps. Whether memory was unmapped.
pub(crate) fn trim() -> bool {
    ARENA.trim() > 0
}
