//! A block of your own, checked: up to 64 slots of any range, and one bit for each.
//!
//! `conformance` checks every promise of the contract, one by one, and names the one that is broken.
//! Run it with `cargo run -p drystone --features testing --example custom_allocator`.

use core::{cell::Cell, ptr::NonNull};

use drystone::testing::conformance::{self, Caps};
use drystone::{AllocError, Allocator, Deallocator, FixedRange, InlineBacked, NonZeroLayout, Owns};

const SLOT_BYTES: usize = 128;
const SLOTS: usize = 64;

struct Bitmap<B> {
    used: Cell<u64>,
    range: B,
}

// SAFETY: the address of a live block is that of a slot, whose bit is cleared; nothing unwinds.
unsafe impl<B: FixedRange> Deallocator for Bitmap<B> {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, _: NonZeroLayout) {
        let slot = (ptr.addr().get() - self.range.base().addr().get()) / SLOT_BYTES;
        self.used.set(self.used.get() & !(1 << slot));
    }
}

// SAFETY: a block is a slot of this value's own range whose bit was clear; nothing unwinds.
unsafe impl<B: FixedRange> Allocator for Bitmap<B> {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let slot = self.used.get().trailing_ones() as usize;
        let align = self.range.base_align().min(SLOT_BYTES);
        if slot == SLOTS || layout.size().get() > SLOT_BYTES || layout.align().get() > align {
            return Err(AllocError);
        }
        self.range.commit(slot * SLOT_BYTES, SLOT_BYTES)?;
        self.used.set(self.used.get() | 1 << slot);
        // SAFETY: `commit` has seen that the slot lies in the range.
        let start = unsafe { self.range.base().add(slot * SLOT_BYTES) };
        Ok(NonNull::slice_from_raw_parts(start, SLOT_BYTES))
    }
}

// SAFETY: all blocks are in the range, and the range is this value's alone.
unsafe impl<B: FixedRange> Owns for Bitmap<B> {
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.range.contains(ptr)
    }
}

pub(crate) fn main() {
    let make = || Bitmap {
        used: Cell::new(0),
        range: InlineBacked::<{ SLOTS * SLOT_BYTES }>::new(),
    };
    let caps = Caps::new(SLOT_BYTES, 16, SLOTS);
    conformance::check_allocator(make, caps.reuses_memory().bounded());
    conformance::owns(make, caps);
    println!("every promise of an allocator is kept, and it knows its own blocks");
}
