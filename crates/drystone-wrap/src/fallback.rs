//! [`WithFallback`]: what the primary cannot serve, the secondary does.
//!
//! # What
//!
//! Every request goes to the primary. What it refuses goes to the secondary. A block is freed and
//! resized where it lives, found by asking the primary whether it owns the address; a block that
//! cannot be resized where it lives moves across.
//!
//! # Memory picture
//!
//! ```text
//! +---------+-----------+
//! | primary | secondary |     nothing of its own: no header, no record of blocks
//! +---------+-----------+
//! ```
//!
//! # Invariants
//!
//! - I1: a live block was handed out by the primary if and only if `primary.owns` its address.
//!
//! The primary's own blocks keep I1 by the law of `Owns`. A block of the secondary could break
//! it only if the secondary cuts its memory out of the primary's; each block that the secondary
//! returns is therefore checked before it is passed on, and one that lies in the primary's memory
//! is given back and the request refused. A block that was already resized into the primary's
//! memory is moved to the primary, or the process ends: that takes a secondary of which one part
//! lies inside the primary and another outside, which is no composition to keep.
//!
//! An allocator without `StableAddress` ends its blocks when it moves, so after a move there is no
//! live block that `owns` could misjudge. Raw callers carry that duty; safe faces ask for
//! `StableAddress`, which this type has if both parts have it.
//!
//! # Threads
//!
//! As its parts. No state of its own.
//!
//! # Cost
//!
//! Allocation: the primary's, and the branch on its result. Free and resize: one `owns`, which for
//! a layout over a range is a subtraction and a comparison against its size. The secondary's path
//! is out of line, and asks `owns` once more for each block that it returns.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Contents, Deallocator, NonZeroLayout, Owns, Reset, StableAddress,
    abort_after,
};

use crate::relocate::relocate;

/// Serves from `P`, and from `S` what `P` refuses.
///
/// `P` must know its own blocks; an allocator that does not cannot be a primary:
///
/// ```compile_fail,E0277
/// use drystone_backing::System;
/// use drystone_wrap::WithFallback;
///
/// WithFallback::new(System, System);
/// ```
///
/// A secondary that takes its memory from the primary (a slab cut out of the arena that is the
/// primary) never serves: its blocks could not be told from the primary's, so they are refused.
#[derive(Debug)]
pub struct WithFallback<P, S> {
    primary: P,
    secondary: S,
}

impl<P: Owns, S> WithFallback<P, S> {
    /// `primary` first, then `secondary`.
    #[inline]
    pub const fn new(primary: P, secondary: S) -> Self {
        Self { primary, secondary }
    }

    /// The allocator that is asked first.
    #[inline]
    pub const fn primary(&self) -> &P {
        &self.primary
    }

    /// The allocator that is asked second.
    #[inline]
    pub const fn secondary(&self) -> &S {
        &self.secondary
    }

    /// Both parts.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the part that it came from.
    #[inline]
    pub unsafe fn into_parts(self) -> (P, S) {
        (self.primary, self.secondary)
    }
}

/// What a request wants of the bytes that it adds.
#[derive(Clone, Copy)]
enum Fill {
    Any,
    Zero,
}

impl Fill {
    #[inline]
    fn allocate<A: Allocator>(
        self,
        allocator: &A,
        layout: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        match self {
            Self::Any => allocator.allocate(layout),
            Self::Zero => allocator.allocate_zeroed(layout),
        }
    }
}

/// How a block is resized.
#[derive(Clone, Copy)]
enum Resize {
    Grow(Fill),
    Shrink,
}

impl Resize {
    /// What a block that is newly allocated for the resize must hold beyond the kept bytes.
    #[inline]
    fn fill(self) -> Fill {
        match self {
            Self::Grow(fill) => fill,
            Self::Shrink => Fill::Any,
        }
    }

    /// Calls the method of `allocator` that this resize is.
    ///
    /// # Safety
    ///
    /// As that method.
    #[inline]
    unsafe fn call<A: Allocator>(
        self,
        allocator: &A,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        match self {
            // SAFETY: the caller's requirements are those of the method.
            Self::Grow(Fill::Any) => unsafe { allocator.grow(ptr, old, new) },
            // SAFETY: the caller's requirements are those of the method.
            Self::Grow(Fill::Zero) => unsafe { allocator.grow_zeroed(ptr, old, new) },
            // SAFETY: the caller's requirements are those of the method.
            Self::Shrink => unsafe { allocator.shrink(ptr, old, new) },
        }
    }
}

impl<P: Allocator + Owns, S: Allocator> WithFallback<P, S> {
    /// A block of the secondary that keeps I1.
    #[cold]
    fn allocate_secondary(
        &self,
        layout: NonZeroLayout,
        fill: Fill,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = fill.allocate(&self.secondary, layout)?;
        if self.primary.owns(block.cast()) {
            // SAFETY: the block was just handed out by the secondary for this layout.
            unsafe { self.secondary.deallocate(block.cast(), layout) };
            return Err(AllocError);
        }
        Ok(block)
    }

    /// Resizes a block where it lives, or moves it to the other part.
    ///
    /// # Safety
    ///
    /// As the method of `Allocator` that `resize` names.
    #[inline]
    unsafe fn resize(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
        resize: Resize,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if !self.primary.owns(ptr) {
            // SAFETY: by I1 the block is the secondary's; the rest is the caller's promise.
            return unsafe { self.resize_secondary(ptr, old, new, resize) };
        }
        // SAFETY: by I1 the block is the primary's; the rest is the caller's promise.
        match unsafe { resize.call(&self.primary, ptr, old, new) } {
            Ok(block) => Ok(block),
            Err(AllocError) => {
                let block = self.allocate_secondary(new, resize.fill())?;
                // SAFETY: the primary's block is live and unchanged after the error; the new
                // block is as long as `new`.
                unsafe { relocate(&self.primary, ptr, old, block, new) };
                Ok(block)
            }
        }
    }

    /// Resizes a block of the secondary, there or by moving it to the primary.
    ///
    /// # Safety
    ///
    /// As [`resize`](Self::resize), and the block is the secondary's.
    #[cold]
    unsafe fn resize_secondary(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
        resize: Resize,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the secondary's; the rest is the caller's promise.
        let (ptr, old, kept) = match unsafe { resize.call(&self.secondary, ptr, old, new) } {
            Ok(block) if !self.primary.owns(block.cast()) => return Ok(block),
            Ok(block) => (block.cast(), new, false),
            Err(AllocError) => (ptr, old, true),
        };
        let block = match resize.fill().allocate(&self.primary, new) {
            Ok(block) => block,
            Err(AllocError) if kept => return Err(AllocError),
            Err(AllocError) => broken_composition(),
        };
        // SAFETY: `ptr` is a live block of the secondary that `old` fits: the caller's after an
        // error, or the one that was just returned for `new`. The new block is as long as `new`.
        unsafe { relocate(&self.secondary, ptr, old, block, new) };
        Ok(block)
    }
}

/// Ends the process: the secondary resized a block into the primary's memory, the old block is
/// gone, and there is no place to which the new one could be moved. Allocates nothing: this may be the
/// program's own allocator.
#[cold]
fn broken_composition() -> ! {
    abort_after("the secondary of a WithFallback has memory inside the primary's")
}

// SAFETY: by I1 the block goes back to the part that handed it out; each part keeps the contract.
unsafe impl<P: Deallocator + Owns, S: Deallocator> Deallocator for WithFallback<P, S> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if self.primary.owns(ptr) {
            // SAFETY: by I1 the block is the primary's; the rest is the caller's promise.
            unsafe { self.primary.deallocate(ptr, layout) }
        } else {
            // SAFETY: by I1 the block is the secondary's; the rest is the caller's promise.
            unsafe { self.secondary.deallocate(ptr, layout) }
        }
    }
}

// SAFETY: every block comes from a part, which keeps the contract; I1 says which. A resize that
// moves across copies the kept bytes before it frees the old block, and leaves it alone on error.
unsafe impl<P: Allocator + Owns, S: Allocator> Allocator for WithFallback<P, S> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        match self.primary.allocate(layout) {
            Ok(block) => Ok(block),
            Err(AllocError) => self.allocate_secondary(layout, Fill::Any),
        }
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        match self.primary.allocate_zeroed(layout) {
            Ok(block) => Ok(block),
            Err(AllocError) => self.allocate_secondary(layout, Fill::Zero),
        }
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are the same.
        unsafe { self.resize(ptr, old, new, Resize::Grow(Fill::Any)) }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are the same.
        unsafe { self.resize(ptr, old, new, Resize::Grow(Fill::Zero)) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are the same.
        unsafe { self.resize(ptr, old, new, Resize::Shrink) }
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        if self.primary.owns(ptr) {
            // SAFETY: by I1 the block is the primary's; the rest is the caller's promise.
            unsafe { self.primary.usable_size(ptr, layout) }
        } else {
            // SAFETY: by I1 the block is the secondary's; the rest is the caller's promise.
            unsafe { self.secondary.usable_size(ptr, layout) }
        }
    }

    /// The sum of both; `None` if a part has no limit or the sum exceeds `usize`.
    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        let primary = self.primary.capacity_bytes()?;
        primary.checked_add(self.secondary.capacity_bytes()?)
    }

    /// The sum of both.
    #[inline]
    fn corruption_events(&self) -> u64 {
        let primary = self.primary.corruption_events();
        primary.saturating_add(self.secondary.corruption_events())
    }
}

// SAFETY: a live block is owned by the part that handed it out, and an address that neither part
// owns is in no memory of this allocator.
unsafe impl<P: Owns, S: Owns> Owns for WithFallback<P, S> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.primary.owns(ptr) || self.secondary.owns(ptr)
    }
}

// SAFETY: by I1 each block is that of the part which is asked, and the part answers.
unsafe impl<P: Contents + Owns, S: Contents> Contents for WithFallback<P, S> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        if self.primary.owns(block) {
            // SAFETY: by I1 the block is the primary part's; the rest is the caller's promise.
            unsafe { self.primary.own_pointer(block, layout) }
        } else {
            // SAFETY: by I1 the block is the secondary part's; the rest is the caller's promise.
            unsafe { self.secondary.own_pointer(block, layout) }
        }
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.primary.owns(ptr) {
            // SAFETY: by I1 the block is the primary's; the rest is the caller's promise.
            unsafe { self.primary.grow_in_place(ptr, old, new) }
        } else {
            // SAFETY: by I1 the block is the secondary's, and stays where it is, outside the
            // primary; the rest is the caller's promise.
            unsafe { self.secondary.grow_in_place(ptr, old, new) }
        }
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        if self.primary.owns(ptr) {
            // SAFETY: by I1 the block is the primary's; the rest is the caller's promise.
            unsafe { self.primary.shrinks_in_place(ptr, old, new) }
        } else {
            // SAFETY: by I1 the block is the secondary's; the rest is the caller's promise.
            unsafe { self.secondary.shrinks_in_place(ptr, old, new) }
        }
    }

    #[inline]
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the part is reset or dropped with the whole.
        unsafe { self.primary.ending(visit) };
        // SAFETY: as above.
        unsafe { self.secondary.ending(visit) };
    }
}

// SAFETY: every block is a block of a part, and both keep theirs in place when they move.
unsafe impl<P: StableAddress, S: StableAddress> StableAddress for WithFallback<P, S> {}

impl<P: Reset, S: Reset> Reset for WithFallback<P, S> {
    #[inline]
    fn reset(&mut self) {
        self.primary.reset();
        self.secondary.reset();
    }
}
