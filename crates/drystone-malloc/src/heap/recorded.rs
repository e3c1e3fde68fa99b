//! The heap, recorded: each function does what the one below does, and says so.

use core::ptr::NonNull;

use super::{Wrong, imp};
#[cfg(feature = "hardened")]
use crate::kind::Kind;
use crate::record;
use crate::request::Request;

/// None while operations are recorded, which is the slow way.
#[inline(always)]
pub(crate) fn allocate_at_once(size: usize) -> Option<NonNull<u8>> {
    if record::is_still() {
        return imp::allocate_at_once(size);
    }
    None
}

#[inline(always)]
pub(crate) fn allocate(request: Request) -> *mut u8 {
    record::allocated(request, false, imp::allocate(request))
}

#[inline(always)]
pub(crate) fn allocate_zeroed(request: Request) -> *mut u8 {
    record::allocated(request, true, imp::allocate_zeroed(request))
}

#[cfg(feature = "hardened")]
pub(crate) fn allocate_of(request: Request, kind: Kind) -> *mut u8 {
    record::allocated(request, false, imp::allocate_of(request, kind))
}

/// Not while operations are recorded.
///
/// # Safety
///
/// As [`free`].
#[inline(always)]
#[must_use]
pub(crate) unsafe fn free_at_once(block: NonNull<u8>) -> bool {
    // SAFETY: the caller's promise.
    record::is_still() && unsafe { imp::free_at_once(block) }
}

/// # Errors
///
/// [`Wrong`], as far as the build finds out.
///
/// # Safety
///
/// Nobody uses the block any more. What the build does not find out is the caller's duty.
pub(crate) unsafe fn free(block: NonNull<u8>) -> Result<(), Wrong> {
    record::frees(block);
    // SAFETY: the caller's promise.
    if unsafe { imp::free_at_once(block) } {
        return Ok(());
    }
    // SAFETY: the caller's promise; nothing has changed.
    unsafe { imp::free(block) }
}

/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// As [`free`].
#[cfg(feature = "hardened")]
pub(crate) unsafe fn free_of(block: NonNull<u8>, kind: Kind) -> Result<(), Wrong> {
    record::frees(block);
    // SAFETY: the caller's promise.
    unsafe { imp::free_of(block, kind) }
}

/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// As [`free`].
pub(crate) unsafe fn reallocate(block: NonNull<u8>, request: Request) -> Result<*mut u8, Wrong> {
    record::resized(block, request, || {
        // SAFETY: the caller's promise.
        unsafe { imp::reallocate(block, request) }
    })
}
