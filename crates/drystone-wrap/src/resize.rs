//! Resizing for wrappers that act on free: in place where the inner allocator can, else by a new
//! block, so that the old one passes through the wrapper's own `deallocate`.
//!
//! The inner allocator's `grow` and `shrink` would free the bytes that a move leaves behind before
//! the wrapper has seen them.

use core::ptr::{self, NonNull};

use drystone_core::{AllocError, Allocator, Contents, NonZeroLayout};

use crate::relocate::relocate;

/// [`Allocator::grow`] of `outer`, which is a wrapper of `inner`.
///
/// # Safety
///
/// As [`Allocator::grow`]; the block is a block of both.
#[inline]
pub(crate) unsafe fn grow<O: Allocator, A: Contents>(
    outer: &O,
    inner: &A,
    ptr: NonNull<u8>,
    old: NonZeroLayout,
    new: NonZeroLayout,
) -> Result<NonNull<[u8]>, AllocError> {
    // SAFETY: the caller's requirements are the same.
    if let Ok(block) = unsafe { inner.grow_in_place(ptr, old, new) } {
        return Ok(block);
    }
    // SAFETY: the caller's requirements; the block is live and unchanged.
    unsafe { moved(outer, ptr, old, new) }
}

/// [`Allocator::grow_zeroed`] of `outer`, which is a wrapper of `inner`.
///
/// # Safety
///
/// As [`grow`].
#[inline]
pub(crate) unsafe fn grow_zeroed<O: Allocator, A: Contents>(
    outer: &O,
    inner: &A,
    ptr: NonNull<u8>,
    old: NonZeroLayout,
    new: NonZeroLayout,
) -> Result<NonNull<[u8]>, AllocError> {
    // SAFETY: the caller's requirements are the same.
    if let Ok(block) = unsafe { inner.grow_in_place(ptr, old, new) } {
        // SAFETY: the block is at least as long as `new`, which is no smaller than `old`.
        unsafe { zero_from(block, old.size().get()) };
        return Ok(block);
    }
    // SAFETY: the caller's requirements; the block is live and unchanged.
    unsafe { moved_zeroed(outer, ptr, old, new) }
}

/// [`Allocator::shrink`] of `outer`, which is a wrapper of `inner`. Where the block stays, `cut` is
/// called before its tail is given back.
///
/// # Safety
///
/// As [`Allocator::shrink`]; the block is a block of both.
#[inline]
pub(crate) unsafe fn shrink<O: Allocator, A: Contents>(
    outer: &O,
    inner: &A,
    ptr: NonNull<u8>,
    old: NonZeroLayout,
    new: NonZeroLayout,
    cut: impl FnOnce(),
) -> Result<NonNull<[u8]>, AllocError> {
    // SAFETY: the caller's requirements are the same.
    if unsafe { inner.shrinks_in_place(ptr, old, new) } {
        cut();
        // SAFETY: the caller's requirements are the same.
        return unsafe { inner.shrink(ptr, old, new) };
    }
    // SAFETY: the caller's requirements; the block is live and unchanged.
    unsafe { moved(outer, ptr, old, new) }
}

/// A new block with the bytes that both sizes have; the old one is freed through `outer`.
///
/// # Safety
///
/// As [`Allocator::grow`] or [`Allocator::shrink`] of `outer`.
#[inline]
pub(crate) unsafe fn moved<O: Allocator>(
    outer: &O,
    ptr: NonNull<u8>,
    old: NonZeroLayout,
    new: NonZeroLayout,
) -> Result<NonNull<[u8]>, AllocError> {
    let block = outer.allocate(new)?;
    // SAFETY: the old block is live; the new one is as long as `new`.
    unsafe { relocate(outer, ptr, old, block, new) };
    Ok(block)
}

/// As [`moved`], with zero bytes behind those of the old block.
///
/// # Safety
///
/// As [`Allocator::grow_zeroed`] of `outer`.
#[inline]
pub(crate) unsafe fn moved_zeroed<O: Allocator>(
    outer: &O,
    ptr: NonNull<u8>,
    old: NonZeroLayout,
    new: NonZeroLayout,
) -> Result<NonNull<[u8]>, AllocError> {
    let block = outer.allocate_zeroed(new)?;
    // SAFETY: the old block is live; the new one is as long as `new`.
    unsafe { relocate(outer, ptr, old, block, new) };
    Ok(block)
}

/// Sets the bytes of a block from the offset `kept` on to zero.
///
/// # Safety
///
/// The block is writable for its whole length, which is at least `kept`.
#[inline]
pub(crate) unsafe fn zero_from(block: NonNull<[u8]>, kept: usize) {
    // SAFETY: the caller's promise.
    let tail = unsafe { block.cast::<u8>().add(kept) };
    // SAFETY: as above.
    unsafe { ptr::write_bytes(tail.as_ptr(), 0, block.len() - kept) };
}

/// How many bytes the block at `ptr` has in all.
///
/// # Safety
///
/// As [`Allocator::usable_size`].
#[inline]
pub(crate) unsafe fn block_bytes<A: Contents>(
    inner: &A,
    ptr: NonNull<u8>,
    layout: NonZeroLayout,
) -> usize {
    // SAFETY: the caller's requirements are the same.
    let usable = unsafe { inner.usable_size(ptr, layout) };
    // Where it is unknown, a block is exactly as long as asked (`Contents`).
    usable.unwrap_or(layout.size().get())
}
