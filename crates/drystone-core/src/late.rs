//! [`Late`]: an allocator that comes later.
//!
//! # What
//!
//! A place for one allocator, empty at first. Until the allocator is there every request is refused;
//! from then on it serves them. A heap whose memory is known only after boot can so be a `static`.
//!
//! # Memory picture
//!
//! ```text
//! +-----------------+
//! | nothing | inner |
//! +-----------------+
//! ```
//!
//! # Invariants
//!
//! - I1: once an allocator is in, it stays, and is reached by `&` only.
//!
//! # Threads
//!
//! Of one thread; a `Locked` around it shares it, as the example shows. No atomic operation.
//!
//! # Cost
//!
//! A comparison for each call.

use core::cell::OnceCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::{
    AllocError, Allocator, Contents, Deallocator, NoHeap, NonZeroLayout, Owns, Reset, StableAddress,
};

/// `A`, as soon as it is there.
///
/// It passes on what does not need the allocator to be there: not `OverPages`, for there are no pages yet.
///
/// ```
/// # use drystone_core::{AllocError, Allocator, Deallocator, Late, NonZeroLayout};
/// # use std::ptr::NonNull;
/// # struct Heap;
/// # unsafe impl Deallocator for Heap {
/// #     unsafe fn deallocate(&self, _: NonNull<u8>, _: NonZeroLayout) {}
/// # }
/// # unsafe impl Allocator for Heap {
/// #     fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
/// #         Ok(NonNull::slice_from_raw_parts(NonNull::dangling(), layout.size().get()))
/// #     }
/// # }
/// let heap = Late::new();
/// let layout = NonZeroLayout::for_type::<u8>().expect("not zero-sized");
/// assert!(heap.allocate(layout).is_err());
///
/// heap.set(Heap).map_err(drop).expect("the first");
/// assert!(heap.allocate(layout).is_ok());
/// assert!(heap.set(Heap).is_err());
/// ```
#[derive(Debug)]
pub struct Late<A> {
    inner: OnceCell<A>,
}

impl<A> Late<A> {
    /// Nothing yet.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            inner: OnceCell::new(),
        }
    }

    /// Puts the allocator in.
    ///
    /// # Errors
    ///
    /// The allocator, if there is one already.
    pub fn set(&self, inner: A) -> Result<(), A> {
        self.inner.set(inner)
    }

    /// The allocator, if it is there.
    #[inline]
    pub fn get(&self) -> Option<&A> {
        self.inner.get()
    }

    #[inline]
    fn served(&self) -> Result<&A, AllocError> {
        self.get().ok_or(AllocError)
    }
}

impl<A> Default for Late<A> {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: every block is the inner allocator's; before it is there, there is none.
unsafe impl<A: Deallocator> Deallocator for Late<A> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if let Some(inner) = self.get() {
            // SAFETY: the block is the inner allocator's; same requirements.
            unsafe { inner.deallocate(ptr, layout) };
        }
    }
}

// SAFETY: every block is the inner allocator's; a request before it is there changes nothing.
unsafe impl<A: Allocator> Allocator for Late<A> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.served()?.allocate(layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.served()?.allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.served()?.grow(ptr, old, new) }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.served()?.grow_zeroed(ptr, old, new) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.served()?.shrink(ptr, old, new) }
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.get()?.usable_size(ptr, layout) }
    }

    /// That of the inner allocator; 0 before it is there.
    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        self.get().map_or(Some(0), Allocator::capacity_bytes)
    }

    #[inline]
    fn corruption_events(&self) -> u64 {
        self.get().map_or(0, Allocator::corruption_events)
    }
}

// SAFETY: the blocks are those of the inner allocator, which answers; before it is there, there is none.
unsafe impl<A: Contents> Contents for Late<A> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        match self.get() {
            // SAFETY: the block is the inner allocator's; same requirements.
            Some(inner) => unsafe { inner.own_pointer(block, layout) },
            None => block,
        }
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.served()?.grow_in_place(ptr, old, new) }
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        // SAFETY: the block is the inner allocator's; same requirements.
        self.get()
            .is_some_and(|inner| unsafe { inner.shrinks_in_place(ptr, old, new) })
    }

    #[inline]
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        if let Some(inner) = self.inner.get_mut() {
            // SAFETY: the inner allocator is reset or dropped with the value.
            unsafe { inner.ending(visit) };
        }
    }
}

// SAFETY: the blocks are those of the inner allocator, which answers; before it is there, there is none.
unsafe impl<A: Owns> Owns for Late<A> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.get().is_some_and(|inner| inner.owns(ptr))
    }
}

impl<A: Reset> Reset for Late<A> {
    #[inline]
    fn reset(&mut self) {
        if let Some(inner) = self.inner.get_mut() {
            inner.reset();
        }
    }
}

// SAFETY: the blocks are those of the inner allocator, which keeps them in place when it moves.
unsafe impl<A: StableAddress> StableAddress for Late<A> {}
// SAFETY: it adds a comparison.
unsafe impl<A: NoHeap> NoHeap for Late<A> {}
