//! [`Segregate`]: small blocks from one allocator, large ones from another.
//!
//! # What
//!
//! A request up to a threshold goes to the small part, a larger one to the large part. A free goes
//! by the size in its layout. That is exact, because no block is handed out by the small part with
//! more bytes than the threshold: every size that a caller may free it with is small. A block that
//! is resized across the threshold moves.
//!
//! # Memory picture
//!
//! ```text
//! +-------+-------+-----------------+
//! | small | large | threshold_bytes |     no header, no record of blocks
//! +-------+-------+-----------------+
//! ```
//!
//! # Invariants
//!
//! - I1: a live block of the small part was handed out with at most `threshold_bytes` bytes; one of
//!   the large part was asked for with more.
//!
//! So a layout that fits a block is small if and only if the block is the small part's.
//!
//! # Threads
//!
//! As its parts. No state of its own.
//!
//! # Cost
//!
//! One comparison for each call. Nothing is asked of the parts, so neither need know its blocks.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Contents, Deallocator, NonZeroLayout, Owns, Reset, StableAddress,
};

use crate::relocate::relocate;

/// Serves sizes up to a threshold from `SMALL`, larger ones from `LARGE`.
///
/// ```
/// # use drystone_core::{Allocator, Deallocator, NonZeroLayout, Owns};
/// # use drystone_wrap::Segregate;
/// fn two_parts<A: Allocator + Owns>(small: A, large: A) {
///     let both = Segregate::new(small, large, 32);
///     let layout = NonZeroLayout::from_size_align(32, 8).unwrap();
///     let block = both.allocate(layout).expect("there is room").cast();
///     assert!(both.small().owns(block));
///     let wider = NonZeroLayout::from_size_align(33, 8).unwrap();
///     let block = unsafe { both.grow(block, layout, wider) }.expect("there is room").cast();
///     assert!(both.large().owns(block));
///     unsafe { both.deallocate(block, wider) };
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # two_parts(slots::Slots::new(4), slots::Slots::new(4));
/// ```
///
/// A part that is exhausted, or cannot serve an alignment, refuses: the other does not stand in, because a block could not be told
/// apart by its size then. For that, put a [`WithFallback`](crate::WithFallback) in the place of the
/// part. So shrinking a large block to a small size is refused, and the block stays as it was, if
/// the small part is full.
#[derive(Debug)]
pub struct Segregate<SMALL, LARGE> {
    small: SMALL,
    large: LARGE,
    threshold_bytes: usize,
}

impl<SMALL, LARGE> Segregate<SMALL, LARGE> {
    /// Sizes up to `threshold_bytes` from `small`, larger ones from `large`.
    #[inline]
    #[must_use]
    pub const fn new(small: SMALL, large: LARGE, threshold_bytes: usize) -> Self {
        Self {
            small,
            large,
            threshold_bytes,
        }
    }

    /// The allocator of small blocks.
    #[inline]
    pub const fn small(&self) -> &SMALL {
        &self.small
    }

    /// The allocator of large blocks.
    #[inline]
    pub const fn large(&self) -> &LARGE {
        &self.large
    }

    /// The largest size in bytes that is small.
    #[inline]
    pub const fn threshold_bytes(&self) -> usize {
        self.threshold_bytes
    }

    /// Both parts, the small one first.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the part that it came from.
    #[inline]
    pub unsafe fn into_parts(self) -> (SMALL, LARGE) {
        (self.small, self.large)
    }

    #[inline]
    const fn is_small(&self, layout: NonZeroLayout) -> bool {
        layout.size().get() <= self.threshold_bytes
    }

    /// A block of the small part, as long as I1 allows.
    #[inline]
    fn small_block(
        &self,
        outcome: Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = outcome?;
        let len = block.len().min(self.threshold_bytes);
        Ok(NonNull::slice_from_raw_parts(block.cast(), len))
    }
}

impl<SMALL: Allocator, LARGE: Allocator> Segregate<SMALL, LARGE> {
    /// Moves a block to the other part, into `block` there.
    ///
    /// # Safety
    ///
    /// As [`Allocator::grow`] or [`Allocator::shrink`]; `block` is a new block of at least the
    /// smaller of both sizes.
    #[cold]
    unsafe fn cross(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
        block: Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = block?;
        // SAFETY: the caller's requirements, and by I1 the old block is that of the part that its
        // layout says, to which `deallocate` of this wrapper sends it.
        unsafe { relocate(self, ptr, old, block, new) };
        Ok(block)
    }
}

// SAFETY: by I1 the block goes back to the part that handed it out; each part keeps the contract.
unsafe impl<SMALL: Deallocator, LARGE: Deallocator> Deallocator for Segregate<SMALL, LARGE> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if self.is_small(layout) {
            // SAFETY: by I1 the block is the small part's; the rest is the caller's promise.
            unsafe { self.small.deallocate(ptr, layout) }
        } else {
            // SAFETY: by I1 the block is the large part's; the rest is the caller's promise.
            unsafe { self.large.deallocate(ptr, layout) }
        }
    }
}

// SAFETY: every block comes from a part, which keeps the contract, or is the beginning of such a
// one; I1 says which. A resize across the threshold copies what is kept before it frees the old
// block, and leaves it alone on error.
unsafe impl<SMALL: Allocator, LARGE: Allocator> Allocator for Segregate<SMALL, LARGE> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if self.is_small(layout) {
            self.small_block(self.small.allocate(layout))
        } else {
            self.large.allocate(layout)
        }
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if self.is_small(layout) {
            self.small_block(self.small.allocate_zeroed(layout))
        } else {
            self.large.allocate_zeroed(layout)
        }
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.is_small(new) {
            // SAFETY: `old` is no larger, so by I1 the block is the small part's; same requirements.
            self.small_block(unsafe { self.small.grow(ptr, old, new) })
        } else if self.is_small(old) {
            // SAFETY: the caller's requirements; a block of `new` is at least as long as `old`.
            unsafe { self.cross(ptr, old, new, self.large.allocate(new)) }
        } else {
            // SAFETY: by I1 the block is the large part's; same requirements.
            unsafe { self.large.grow(ptr, old, new) }
        }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.is_small(new) {
            // SAFETY: `old` is no larger, so by I1 the block is the small part's; same requirements.
            self.small_block(unsafe { self.small.grow_zeroed(ptr, old, new) })
        } else if self.is_small(old) {
            // SAFETY: the caller's requirements; a block of `new` is at least as long as `old`.
            unsafe { self.cross(ptr, old, new, self.large.allocate_zeroed(new)) }
        } else {
            // SAFETY: by I1 the block is the large part's; same requirements.
            unsafe { self.large.grow_zeroed(ptr, old, new) }
        }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.is_small(old) {
            // SAFETY: by I1 the block is the small part's; same requirements.
            self.small_block(unsafe { self.small.shrink(ptr, old, new) })
        } else if self.is_small(new) {
            let block = self.small_block(self.small.allocate(new));
            // SAFETY: the caller's requirements; a block of `new` has that many bytes.
            unsafe { self.cross(ptr, old, new, block) }
        } else {
            // SAFETY: by I1 the block is the large part's; same requirements.
            unsafe { self.large.shrink(ptr, old, new) }
        }
    }

    /// The answer of the part; for a small block at most the threshold.
    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        if self.is_small(layout) {
            // SAFETY: by I1 the block is the small part's; the rest is the caller's promise.
            let usable = unsafe { self.small.usable_size(ptr, layout) };
            usable.map(|bytes| bytes.min(self.threshold_bytes))
        } else {
            // SAFETY: by I1 the block is the large part's; the rest is the caller's promise.
            unsafe { self.large.usable_size(ptr, layout) }
        }
    }

    /// The sum of both; `None` if a part has no limit or the sum exceeds `usize`.
    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        let small = self.small.capacity_bytes()?;
        small.checked_add(self.large.capacity_bytes()?)
    }

    /// The sum of both.
    #[inline]
    fn corruption_events(&self) -> u64 {
        let small = self.small.corruption_events();
        small.saturating_add(self.large.corruption_events())
    }
}

// SAFETY: by I1 each block is that of the part which is asked, and the part answers.
unsafe impl<SMALL: Contents, LARGE: Contents> Contents for Segregate<SMALL, LARGE> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        if self.is_small(layout) {
            // SAFETY: by I1 the block is the small part's; the rest is the caller's promise.
            unsafe { self.small.own_pointer(block, layout) }
        } else {
            // SAFETY: by I1 the block is the large part's; the rest is the caller's promise.
            unsafe { self.large.own_pointer(block, layout) }
        }
    }

    /// Declines where the block would have to change its part.
    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.is_small(new) {
            // SAFETY: `old` is no larger, so by I1 the block is the small part's; same requirements.
            self.small_block(unsafe { self.small.grow_in_place(ptr, old, new) })
        } else if self.is_small(old) {
            Err(AllocError)
        } else {
            // SAFETY: by I1 the block is the large part's; same requirements.
            unsafe { self.large.grow_in_place(ptr, old, new) }
        }
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        if self.is_small(old) {
            // SAFETY: by I1 the block is the small part's; same requirements.
            unsafe { self.small.shrinks_in_place(ptr, old, new) }
        } else if self.is_small(new) {
            false
        } else {
            // SAFETY: by I1 the block is the large part's; same requirements.
            unsafe { self.large.shrinks_in_place(ptr, old, new) }
        }
    }

    #[inline]
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the part is reset or dropped with the whole.
        unsafe { self.small.ending(visit) };
        // SAFETY: as above.
        unsafe { self.large.ending(visit) };
    }
}

// SAFETY: a live block is owned by the part that handed it out, and an address that neither part
// owns is in no memory of this allocator.
unsafe impl<SMALL: Owns, LARGE: Owns> Owns for Segregate<SMALL, LARGE> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.small.owns(ptr) || self.large.owns(ptr)
    }
}

// SAFETY: every block is a block of a part, and both keep theirs in place when they move.
unsafe impl<SMALL: StableAddress, LARGE: StableAddress> StableAddress for Segregate<SMALL, LARGE> {}

impl<SMALL: Reset, LARGE: Reset> Reset for Segregate<SMALL, LARGE> {
    #[inline]
    fn reset(&mut self) {
        self.small.reset();
        self.large.reset();
    }
}
