//! Two small allocators for tests: one that records its calls, one range that commits on demand.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::alloc::{GlobalAlloc, System};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use drystone_core::{AllocError, Allocator, Deallocator, FixedRange, NonZeroLayout, Owns};

/// Serves from the system heap, counts what is outstanding, and records which method was called.
#[derive(Default)]
pub(crate) struct Recording {
    pub(crate) calls: RefCell<Vec<&'static str>>,
    pub(crate) outstanding: Cell<usize>,
    pub(crate) refuse: Cell<bool>,
}

impl Recording {
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        self.calls.take()
    }

    fn note(&self, call: &'static str) {
        self.calls.borrow_mut().push(call);
    }

    fn serve(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if self.refuse.get() {
            return Err(AllocError);
        }
        // SAFETY: the layout is not zero-sized.
        let block = unsafe { System.alloc(layout.to_layout()) };
        let block = NonNull::new(block).ok_or(AllocError)?;
        self.outstanding.set(self.outstanding.get() + 1);
        Ok(NonNull::slice_from_raw_parts(block, layout.size().get()))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        assert_eq!(self.outstanding.get(), 0, "every block was given back");
    }
}

// SAFETY: blocks come from the system heap and go back with the layout given.
unsafe impl Deallocator for Recording {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        self.note("deallocate");
        self.outstanding.set(self.outstanding.get() - 1);
        // SAFETY: the block came from `System` with this layout (lengths are exact).
        unsafe { System.dealloc(ptr.as_ptr(), layout.to_layout()) };
    }
}

// SAFETY: as above; the provided methods are used for the work.
unsafe impl Allocator for Recording {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.note("allocate");
        self.serve(layout)
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.note("allocate_zeroed");
        let block = self.serve(layout)?;
        // SAFETY: the block is writable for its length.
        unsafe { block.as_ptr().cast::<u8>().write_bytes(0, block.len()) };
        Ok(block)
    }

    unsafe fn usable_size(&self, _ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        self.note("usable_size");
        Some(layout.size().get())
    }

    fn capacity_bytes(&self) -> Option<usize> {
        self.note("capacity_bytes");
        Some(77)
    }

    fn corruption_events(&self) -> u64 {
        self.note("corruption_events");
        5
    }
}

// SAFETY: for tests of forwarding only: no block is ever routed by the answer.
unsafe impl Owns for Recording {
    fn owns(&self, _ptr: NonNull<u8>) -> bool {
        self.note("owns");
        true
    }
}

/// A range of 4 KiB that must be committed before use; `fail` makes commits fail.
pub(crate) struct OnDemand {
    /// Owned: made from a box and given back on drop. A raw pointer, because a pointer taken from
    /// `&self` could not be written through.
    bytes: NonNull<[u8]>,
    pub(crate) committed: AtomicUsize,
    pub(crate) fail: AtomicBool,
}

impl OnDemand {
    pub(crate) fn new() -> Self {
        Self {
            bytes: NonNull::from(Box::leak(vec![0; 4096].into_boxed_slice())),
            committed: AtomicUsize::new(0),
            fail: AtomicBool::new(false),
        }
    }
}

impl Drop for OnDemand {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a box, and the range ends with its owner.
        drop(unsafe { Box::from_raw(self.bytes.as_ptr()) });
    }
}

// SAFETY: the box is reached by nothing else and does not move its content; the two settings are
// atomic, so that several threads may call at once (L7).
unsafe impl FixedRange for OnDemand {
    fn base(&self) -> NonNull<u8> {
        self.bytes.cast()
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn base_align(&self) -> usize {
        1
    }

    fn commit(&self, offset: usize, len: usize) -> Result<(), AllocError> {
        if self.fail.load(Relaxed) || offset + len > self.size() {
            return Err(AllocError);
        }
        self.committed.fetch_max(offset + len, Relaxed);
        Ok(())
    }
}
