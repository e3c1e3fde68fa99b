//! [`ScrubOnFree`]: no byte of a block leaves its owner as it was.
//!
//! # What
//!
//! Overwrites what a caller gives up, before the inner allocator gets it: a freed block over its
//! whole usable size, the tail that is cut off when a block shrinks, the old place of a block that
//! moves when it is resized. Blocks that are never freed are overwritten when the wrapper is reset
//! or dropped, where that ends them. What is written is the parameter `W`: a pattern for
//! [`PoisonOnFree`](crate::PoisonOnFree), zeros for `ZeroizeOnFree`.
//!
//! # Memory picture
//!
//! ```text
//!            size asked for     usable size
//!  block  ┌─────────────────────┬─────┐
//!         │ written by the caller     │  free:   all of it
//!         └──────────┬──────────┴─────┘
//!                    │ <── shrink ──> │  shrink: what is cut off
//! ```
//!
//! # Invariants
//!
//! - I1: whatever byte of a block the inner allocator gets back was overwritten since the caller had
//!   it.
//!
//! A block stays in place where it can. One that cannot grow or shrink where it lies is moved by the
//! wrapper itself: a move by the inner allocator would free the old place first.
//!
//! # Threads
//!
//! As the inner allocator.
//!
//! # Cost
//!
//! Nothing for an allocation. A free asks the inner allocator for its own pointer to the block and
//! for the usable size, both constant for most layouts, and fills the block at the speed of
//! `memset`. At [`Off`](crate::Off) no instruction is added.

use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};

use drystone_core::{AllocError, Allocator, Contents, Deallocator, NonZeroLayout, Reset};

use crate::resize::{self, block_bytes};
use crate::switch::{Keep, Kept};
use crate::{On, Switch};

/// What freed bytes are overwritten with. Sealed.
pub trait Scrub: sealed::Scrub {}

pub(crate) mod sealed {
    use core::mem::MaybeUninit;

    pub trait Scrub {
        /// Overwrites every byte, for sure: not only if somebody reads them.
        fn scrub(&self, bytes: &mut [MaybeUninit<u8>]);
    }
}

/// Sets every byte to `value`, in one call of `memset`. The compiler may leave it out where it can
/// show that nobody looks; the callers prevent that.
#[inline]
pub(crate) fn fill(bytes: &mut [MaybeUninit<u8>], value: u8) {
    // SAFETY: the reference is valid for writes of its whole length.
    unsafe { ptr::write_bytes(bytes.as_mut_ptr(), value, bytes.len()) };
}

/// `A`, whose bytes are overwritten by `W` when their owner gives them up.
///
/// Known by the names [`PoisonOnFree`](crate::PoisonOnFree) and `ZeroizeOnFree`.
///
/// The inner allocator must let its bytes be [reached](Contents). Blocks of a handle (`&A`, `Rc<A>`)
/// or of the system's allocator do not end with the wrapper, so they are overwritten when they are
/// freed and not otherwise; those of a layout or a wrapper by value also at a reset and a drop.
pub struct ScrubOnFree<A: Contents, W: Scrub, S: Switch = On> {
    inner: A,
    scrub: S::Keep<W>,
}

impl<A: Contents, W: Scrub> ScrubOnFree<A, W> {
    #[inline]
    pub(crate) const fn from_parts(inner: A, scrub: W) -> Self {
        Self {
            inner,
            scrub: Kept(scrub),
        }
    }

    /// What freed bytes are overwritten with.
    #[inline]
    pub(crate) const fn scrub(&self) -> &W {
        &self.scrub.0
    }
}

impl<A: Contents, W: Scrub, S: Switch> ScrubOnFree<A, W, S> {
    #[inline]
    pub(crate) fn switched(inner: A, scrub: W) -> Self {
        Self {
            inner,
            scrub: S::Keep::keep(scrub),
        }
    }

    /// The inner allocator. A block that is freed through it is not overwritten.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The inner allocator. Overwrites nothing.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner(self) -> A {
        let this = ManuallyDrop::new(self);
        // SAFETY: the wrapper is not used or dropped afterwards; the rest of it needs no drop.
        unsafe { ptr::read(&raw const this.inner) }
    }

    /// Overwrites the block at `ptr` from the offset `from` on.
    ///
    /// # Safety
    ///
    /// As [`Deallocator::deallocate`], but for the end of the block; nobody uses the bytes from
    /// `from` on, which is at most `layout.size()`.
    #[inline]
    unsafe fn scrub_from(&self, scrub: &W, ptr: NonNull<u8>, layout: NonZeroLayout, from: usize) {
        // SAFETY: the caller's block is live, and the layout fits it.
        let bytes = unsafe { block_bytes(&self.inner, ptr, layout) };
        // SAFETY: as above.
        let start = unsafe { self.inner.own_pointer(ptr, layout) };
        // SAFETY: `from` is at most the size of the block.
        let tail = unsafe { start.add(from) }.cast::<MaybeUninit<u8>>();
        let mut tail = NonNull::slice_from_raw_parts(tail, bytes - from);
        // SAFETY: the inner allocator's pointer is valid for the whole block (`Contents`), of which
        // the caller has given these bytes up.
        scrub.scrub(unsafe { tail.as_mut() });
    }

    /// Overwrites the blocks that end with the inner allocator.
    ///
    /// # Safety
    ///
    /// The inner allocator is only reset or dropped afterwards.
    unsafe fn scrub_ending(&mut self) {
        if let Some(scrub) = self.scrub.get() {
            // SAFETY: the blocks end, and the rest is the caller's promise.
            unsafe { self.inner.ending(&mut |bytes| scrub.scrub(bytes)) };
        }
    }
}

// SAFETY: the block goes back to the inner allocator; before that it is written through the inner
// allocator's own pointer, at a time when it belongs to nobody else.
unsafe impl<A: Contents, W: Scrub, S: Switch> Deallocator for ScrubOnFree<A, W, S> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if let Some(scrub) = self.scrub.get() {
            // SAFETY: the caller gives the whole block up.
            unsafe { self.scrub_from(scrub, ptr, layout, 0) };
        }
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.deallocate(ptr, layout) }
    }
}

// SAFETY: every block is the inner allocator's. A move copies the kept bytes before the old block is
// freed, and an error leaves it alone: it is overwritten only after the new block is there, or after
// the inner allocator has said that the block will shrink in place.
unsafe impl<A: Contents, W: Scrub, S: Switch> Allocator for ScrubOnFree<A, W, S> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.inner.allocate(layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.inner.allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.scrub.get().is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.grow(ptr, old, new) };
        }
        // SAFETY: the caller's requirements are the same.
        unsafe { resize::grow(self, &self.inner, ptr, old, new) }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.scrub.get().is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.grow_zeroed(ptr, old, new) };
        }
        // SAFETY: the caller's requirements are the same.
        unsafe { resize::grow_zeroed(self, &self.inner, ptr, old, new) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(scrub) = self.scrub.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.shrink(ptr, old, new) };
        };
        let cut = || {
            // SAFETY: the block is live, and the caller gives up what is beyond the new size.
            unsafe { self.scrub_from(scrub, ptr, old, new.size().get()) };
        };
        // SAFETY: the caller's requirements are the same.
        unsafe { resize::shrink(self, &self.inner, ptr, old, new, cut) }
    }

    forward_queries!(inner);
}

// SAFETY: the blocks are those of the inner allocator, which answers. A block that grows in place
// leaves nothing behind; `shrink` stays in place where the inner allocator says so.
unsafe impl<A: Contents, W: Scrub, S: Switch> Contents for ScrubOnFree<A, W, S> {
    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.grow_in_place(ptr, old, new) }
    }

    forward_contents!(inner);
}

forward_promises!([A: Contents, W: Scrub, S: Switch] ScrubOnFree<A, W, S>, inner: Owns, StableAddress);

impl<A: Contents + Reset, W: Scrub, S: Switch> Reset for ScrubOnFree<A, W, S> {
    /// Overwrites every block that is live, then ends it.
    fn reset(&mut self) {
        // SAFETY: the inner allocator is reset next.
        unsafe { self.scrub_ending() };
        self.inner.reset();
    }
}

impl<A: Contents, W: Scrub, S: Switch> Drop for ScrubOnFree<A, W, S> {
    /// Overwrites every live block that ends with the inner allocator.
    fn drop(&mut self) {
        // SAFETY: the inner allocator is dropped next.
        unsafe { self.scrub_ending() };
    }
}

impl<A: Contents + fmt::Debug, W: Scrub, S: Switch> fmt::Debug for ScrubOnFree<A, W, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrubOnFree")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
