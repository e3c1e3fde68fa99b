//! Blocks cut to the size that was asked for, and what sizes differ by.
//!
//! A caller may free a block with any size from the requested to the returned one. A wrapper that
//! counts bytes, or routes by size, hands out exactly the bytes that were asked for: one size fits
//! then, and what comes back is what went out.

use core::ptr::NonNull;

use drystone_core::{AllocError, NonZeroLayout};

/// The requested bytes of a block that may be longer.
#[inline]
pub(crate) fn exactly(
    outcome: Result<NonNull<[u8]>, AllocError>,
    layout: NonZeroLayout,
) -> Result<NonNull<[u8]>, AllocError> {
    let block = outcome?.cast();
    Ok(NonNull::slice_from_raw_parts(block, layout.size().get()))
}

/// How much larger `large` is. Saturating, because a caller's breach must not make a panic here.
#[inline]
pub(crate) fn difference(large: NonZeroLayout, small: NonZeroLayout) -> usize {
    large.size().get().saturating_sub(small.size().get())
}
