//! [`Global`]: an allocator as the program's own; [`GlobalSafe`]: which may be.
//!
//! # What
//!
//! A `#[global_allocator]` must not come back to itself: what it allocates from, and what it waits
//! for, must not be the global heap. Two promises say so in types. [`NoHeap`](crate::NoHeap) is for
//! every part, also those that are no allocator or of one thread: backings, sources, locks, layouts,
//! policies. [`GlobalSafe`] is for what can be a global allocator as it stands.
//!
//! # Memory picture
//!
//! `Global` is its inner allocator and nothing else.
//!
//! # Invariants
//!
//! None: there is no state.
//!
//! # Threads
//!
//! As the inner allocator, which is `Sync`.
//!
//! # Cost
//!
//! A comparison of the size with 0, and of the two sizes of a reallocation; both fold away where the
//! sizes are known.

use core::alloc::{GlobalAlloc, Layout};
use core::cmp::Ordering;
use core::ptr::{self, NonNull};

use crate::{Allocator, NonZeroLayout};

/// An allocator that may serve the global heap: it never allocates from it, nor waits for it.
///
/// Locks that put waiters to sleep in the heap's own tables, sources that take their segments from the
/// heap, and boxes lack it. A wrapper has it if its inner allocator has. [`NoHeap`](crate::NoHeap) says
/// the same of parts.
///
/// # Safety
///
/// The implementor promises what [`NoHeap`](crate::NoHeap) asks, of every method that an allocator has.
pub unsafe trait GlobalSafe: Allocator + Sync + 'static {}

/// `A`, as the program's `#[global_allocator]`.
///
/// ```
/// # use drystone_core::{AllocError, Allocator, Deallocator, Global, GlobalSafe, NonZeroLayout};
/// # use std::alloc::{GlobalAlloc, System};
/// # use std::ptr::NonNull;
/// # struct Mine;
/// # unsafe impl Deallocator for Mine {
/// #     unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
/// #         unsafe { System.dealloc(ptr.as_ptr(), layout.to_layout()) }
/// #     }
/// # }
/// # unsafe impl Allocator for Mine {
/// #     fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
/// #         let start = NonNull::new(unsafe { System.alloc(layout.to_layout()) }).ok_or(AllocError)?;
/// #         Ok(NonNull::slice_from_raw_parts(start, layout.size().get()))
/// #     }
/// # }
/// # unsafe impl GlobalSafe for Mine {}
/// #[global_allocator]
/// static HEAP: Global<Mine> = Global::new(Mine);
///
/// assert_eq!(vec![1, 2, 3].len(), 3);
/// ```
///
/// Every method goes to the one of the same meaning: a block that can be resized in place is, and a
/// zeroed request stays one. A request that is refused, of no bytes, or of more than `isize::MAX`
/// returns null; a resize that does leaves the block as it is. Freeing no bytes does nothing.
///
/// An allocator that may come back to the heap is refused:
///
/// ```compile_fail,E0277
/// # use drystone_core::{Allocator, Global};
/// fn any<A: Allocator + Sync + 'static>(allocator: A) {
///     Global::new(allocator);
/// }
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct Global<A> {
    inner: A,
}

impl<A: GlobalSafe> Global<A> {
    /// `inner`, as the program's allocator.
    #[inline]
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }

    /// `inner`, seen as the program's allocator: for wrappers that are one themselves.
    #[inline]
    pub const fn from_ref(inner: &A) -> &Self {
        // SAFETY: the type is transparent over `A`, so one reference is as good as the other.
        unsafe { &*ptr::from_ref(inner).cast::<Self>() }
    }

    /// The inner allocator: for its figures.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }
}

/// What a block's address is to `GlobalAlloc`.
#[inline]
fn address<E>(block: Result<NonNull<[u8]>, E>) -> *mut u8 {
    match block {
        Ok(block) => block.cast().as_ptr(),
        Err(_) => ptr::null_mut(),
    }
}

// SAFETY: no method unwinds or comes back to the global heap (`GlobalSafe`); a block returned fits its
// layout, and is the inner allocator's until it is freed.
unsafe impl<A: GlobalSafe> GlobalAlloc for Global<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match NonZeroLayout::from_layout(layout) {
            Some(layout) => address(self.inner.allocate(layout)),
            None => ptr::null_mut(),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match NonZeroLayout::from_layout(layout) {
            Some(layout) => address(self.inner.allocate_zeroed(layout)),
            None => ptr::null_mut(),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let Some(layout) = NonZeroLayout::from_layout(layout) else {
            return;
        };
        // SAFETY: the caller's block came from this allocator, which hands out no null block.
        let block = unsafe { NonNull::new_unchecked(ptr) };
        // SAFETY: the caller's block is live, was allocated here with this layout, and is not used
        // again. A static does not move.
        unsafe { self.inner.deallocate(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let resized = NonZeroLayout::from_size_align(new_size, layout.align());
        let (Some(old), Ok(new)) = (NonZeroLayout::from_layout(layout), resized) else {
            return ptr::null_mut();
        };
        // SAFETY: the caller's block came from this allocator, which hands out no null block.
        let block = unsafe { NonNull::new_unchecked(ptr) };
        match new.size().cmp(&old.size()) {
            // SAFETY: the caller's block is live, was allocated here with `old`, may be read, and is
            // used again only if this fails; the new size is larger.
            Ordering::Greater => address(unsafe { self.inner.grow(block, old, new) }),
            // SAFETY: as above; the new size is smaller.
            Ordering::Less => address(unsafe { self.inner.shrink(block, old, new) }),
            Ordering::Equal => ptr,
        }
    }
}

// SAFETY: every call goes to the allocator, which lives as long as the program.
unsafe impl<A: GlobalSafe + ?Sized> GlobalSafe for &'static A {}
