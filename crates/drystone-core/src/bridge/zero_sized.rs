//! Requests by `Layout`, which may be zero-sized, made of requests that are not.
//!
//! A block of no bytes is a dangling pointer with the alignment asked for. No allocator hears of
//! it, neither when it is handed out nor when it is taken back.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use crate::{AllocError, Allocator, NonZeroLayout};

/// The block of no bytes.
#[inline]
fn nothing(layout: Layout) -> NonNull<[u8]> {
    let start = NonNull::new(ptr::without_provenance_mut(layout.align()));
    // The alignment of a layout is a power of two, so the default is never taken.
    NonNull::slice_from_raw_parts(start.unwrap_or(NonNull::dangling()), 0)
}

#[inline]
pub(super) fn allocate<A: Allocator>(
    allocator: &A,
    layout: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    match NonZeroLayout::from_layout(layout) {
        Some(layout) => allocator.allocate(layout),
        None => Ok(nothing(layout)),
    }
}

#[inline]
pub(super) fn allocate_zeroed<A: Allocator>(
    allocator: &A,
    layout: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    match NonZeroLayout::from_layout(layout) {
        Some(layout) => allocator.allocate_zeroed(layout),
        None => Ok(nothing(layout)),
    }
}

/// # Safety
///
/// As for `Deallocator::deallocate`, where `layout` is not zero-sized.
#[inline]
pub(super) unsafe fn deallocate<A: Allocator>(allocator: &A, ptr: NonNull<u8>, layout: Layout) {
    if let Some(layout) = NonZeroLayout::from_layout(layout) {
        // SAFETY: a block of `layout` is one of the allocator's own; the caller promises the rest.
        unsafe { allocator.deallocate(ptr, layout) };
    }
}

/// # Safety
///
/// As for `Allocator::grow`, where `old` is not zero-sized; `new.size() >= old.size()`.
#[inline]
pub(super) unsafe fn grow<A: Allocator>(
    allocator: &A,
    ptr: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    debug_assert!(new.size() >= old.size());
    match (
        NonZeroLayout::from_layout(old),
        NonZeroLayout::from_layout(new),
    ) {
        // SAFETY: a block of `old` is one of the allocator's own; the caller promises the rest.
        (Some(old), Some(new)) => unsafe { allocator.grow(ptr, old, new) },
        (_, _) => allocate(allocator, new),
    }
}

/// # Safety
///
/// As for [`grow`].
#[inline]
pub(super) unsafe fn grow_zeroed<A: Allocator>(
    allocator: &A,
    ptr: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    debug_assert!(new.size() >= old.size());
    match (
        NonZeroLayout::from_layout(old),
        NonZeroLayout::from_layout(new),
    ) {
        // SAFETY: a block of `old` is one of the allocator's own; the caller promises the rest.
        (Some(old), Some(new)) => unsafe { allocator.grow_zeroed(ptr, old, new) },
        (_, _) => allocate_zeroed(allocator, new),
    }
}

/// # Safety
///
/// As for `Allocator::shrink`, where neither layout is zero-sized; as for [`deallocate`], where only
/// `new` is; `new.size() <= old.size()`.
#[inline]
pub(super) unsafe fn shrink<A: Allocator>(
    allocator: &A,
    ptr: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    debug_assert!(new.size() <= old.size());
    match (
        NonZeroLayout::from_layout(old),
        NonZeroLayout::from_layout(new),
    ) {
        // SAFETY: a block of `old` is one of the allocator's own; the caller promises the rest.
        (Some(old), Some(new)) => unsafe { allocator.shrink(ptr, old, new) },
        (_, _) => {
            // SAFETY: the caller gives the block up, whether it has bytes or none.
            unsafe { deallocate(allocator, ptr, old) };
            Ok(nothing(new))
        }
    }
}
