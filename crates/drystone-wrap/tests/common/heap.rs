//! `Heap`: the global heap as an allocator with a limit.

use core::cell::Cell;
use core::ptr::NonNull;

use drystone_backing::System;
use drystone_core::{AllocError, Allocator, Deallocator, NonZeroLayout, Owns, StableAddress};

/// The global heap, up to a number of live blocks. Does not know its own blocks.
#[derive(Debug)]
pub(crate) struct Heap {
    live: Cell<usize>,
    live_max: usize,
}

impl Heap {
    pub(crate) fn new(live_max: usize) -> Self {
        Self {
            live: Cell::new(0),
            live_max,
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }
}

// SAFETY: the block goes back to the heap it came from.
unsafe impl Deallocator for Heap {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        self.live.set(self.live.get() - 1);
        // SAFETY: the caller's block came from this heap.
        unsafe { System.deallocate(ptr, layout) };
    }
}

// SAFETY: the global heap keeps the contract.
unsafe impl Allocator for Heap {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if self.live.get() == self.live_max {
            return Err(AllocError);
        }
        let block = System.allocate(layout)?;
        self.live.set(self.live.get() + 1);
        Ok(block)
    }
}

// SAFETY: the blocks are on the heap.
unsafe impl StableAddress for Heap {}

/// Claims every address: a primary that thinks the secondary's blocks are its own, as one does
/// whose memory the secondary was cut from. Serves nothing itself.
#[derive(Debug)]
pub(crate) struct OwnsAll;

// SAFETY: never called, because no block is handed out.
unsafe impl Deallocator for OwnsAll {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, _layout: NonZeroLayout) {
        unreachable!("{ptr:?} is not a block of this allocator");
    }
}

// SAFETY: no block is handed out.
unsafe impl Allocator for OwnsAll {
    fn allocate(&self, _layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        Err(AllocError)
    }
}

// SAFETY: stands for an allocator whose memory is all of the heap's.
unsafe impl Owns for OwnsAll {
    fn owns(&self, _ptr: NonNull<u8>) -> bool {
        true
    }
}
