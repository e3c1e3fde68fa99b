//! [`System`]: the platform's allocator as a value.
//!
//! # What
//!
//! `std::alloc::System`, not the program's `#[global_allocator]`. What a layout cannot serve can
//! fall back to it, also inside a global allocator, without recursion.
//!
//! # Memory picture
//!
//! No range: blocks are wherever the C library puts them.
//!
//! # Invariants
//!
//! None: there is no state.
//!
//! # Threads
//!
//! Send and Sync. Waits on whatever the platform's allocator waits on.
//!
//! # Cost
//!
//! One call. Zeroed blocks are `calloc`'s, which need not be written; a block whose alignment
//! stays grows and shrinks by `realloc`, which may move pages instead of copying them.

use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use std::alloc::{GlobalAlloc, System as Platform};

use drystone_core::{
    AllocError, Allocator, AllocatorClone, Contents, Deallocator, NonZeroLayout, StableAddress,
    StaticAllocator,
};

/// The platform's allocator: `malloc` on Unix, `HeapAlloc` on Windows.
///
/// All its values are one allocator: a block of one may be freed through another.
///
/// ```
/// use drystone_backing::System;
/// use drystone_core::{Allocator, Deallocator, NonZeroLayout};
///
/// let layout = NonZeroLayout::from_size_align(100, 64)?;
/// let block = System.allocate_zeroed(layout)?;
/// // SAFETY: allocated above with this layout; not used afterwards.
/// unsafe { System.deallocate(block.cast(), layout) };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl System {
    /// The platform's allocator; the same as the unit value.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// The block of `layout.size()` bytes at `ptr`, unless it is null. Its provenance is exposed, for
/// [`Contents::own_pointer`].
#[inline]
fn block_at(ptr: *mut u8, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
    let ptr = NonNull::new(ptr).ok_or(AllocError)?;
    let _ = ptr.as_ptr().expose_provenance();
    Ok(NonNull::slice_from_raw_parts(ptr, layout.size().get()))
}

impl System {
    /// Gives the block a new size and alignment. On failure it is untouched.
    ///
    /// # Safety
    ///
    /// As [`Allocator::grow`] or [`Allocator::shrink`].
    unsafe fn resize(
        self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old.align() == new.align() {
            let new_bytes = new.size().get();
            // SAFETY: the block was allocated by this allocator with `old`: blocks are exactly as
            // long as asked, so a layout that fits is the layout it was allocated with. The new
            // size is not zero and, by the invariant of `new`, does not overflow when rounded up
            // to the same alignment.
            let resized = unsafe { Platform.realloc(ptr.as_ptr(), old.to_layout(), new_bytes) };
            return block_at(resized, new);
        }
        let block = self.allocate(new)?;
        let kept = old.size().min(new.size()).get();
        // SAFETY: `ptr` is valid for reads of `kept` bytes by the caller's promise, the new block
        // for writes of them, and they do not overlap; bytes have no alignment. The copy is
        // untyped, so uninitialised bytes may pass.
        unsafe { ptr::copy_nonoverlapping(ptr.as_ptr(), block.as_ptr().cast::<u8>(), kept) };
        // SAFETY: the caller gives the block up, with a layout that fits; it has been copied.
        unsafe { self.deallocate(ptr, old) };
        Ok(block)
    }
}

// SAFETY: the platform's allocator takes blocks back on any thread without unwinding, and orders
// a free before an allocation that reuses the memory.
unsafe impl Deallocator for System {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the block is live and this allocator's by the caller's promise; it is exactly as
        // long as was asked, so a layout that fits is the layout it was allocated with.
        unsafe { Platform.dealloc(ptr.as_ptr(), layout.to_layout()) };
    }
}

// SAFETY: blocks are the platform's: aligned, exclusive, live until freed. It calls nothing that
// this allocator could back: `std::alloc::System` is not the global allocator.
unsafe impl Allocator for System {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the layout is not zero-sized.
        let ptr = unsafe { Platform.alloc(layout.to_layout()) };
        block_at(ptr, layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the layout is not zero-sized.
        let ptr = unsafe { Platform.alloc_zeroed(layout.to_layout()) };
        block_at(ptr, layout)
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        // SAFETY: the caller's requirements are the same.
        unsafe { self.resize(ptr, old, new) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        // SAFETY: the caller's requirements are the same.
        unsafe { self.resize(ptr, old, new) }
    }
}

// SAFETY: the pointer to a block is found again by its address, because every block was exposed when
// it was handed out; blocks are exactly as long as asked; none ends with a value of this type.
unsafe impl Contents for System {
    /// One of two places where a pointer is made from an integer (the other is the arena's map of
    /// segments): the platform's allocator has no base that one could be derived from. Miri, which checks provenance strictly and knows no exposed
    /// one, gets the caller's pointer.
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        if cfg!(miri) {
            return block;
        }
        let own = ptr::with_exposed_provenance_mut(block.addr().get());
        // SAFETY: the address is that of a pointer that is not null.
        unsafe { NonNull::new_unchecked(own) }
    }

    unsafe fn ending(&mut self, _visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {}
}

// SAFETY: there is no state to move.
unsafe impl StableAddress for System {}

// SAFETY: all values are one allocator, and copying one does nothing.
unsafe impl AllocatorClone for System {}

// SAFETY: the platform's allocator lives as long as the process, and frees nothing by itself.
unsafe impl StaticAllocator for System {}
