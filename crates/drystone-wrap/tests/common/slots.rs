//! `Slots`: a small allocator that keeps every promise a layout can keep, for testing wrappers.

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Contents, Deallocator, FixedRange, NonZeroLayout, OverPages, Owns,
    Reset, StableAddress,
};

pub(crate) use pages::{PAGE, Pages};

#[path = "pages.rs"]
mod pages;

/// The size and alignment in bytes of a slot, unless one says so.
pub(crate) const SLOT: usize = 64;

/// Up to 64 slots, the lowest free one first. A block is the beginning of a slot, in steps of 64
/// bytes, and grows and shrinks in place up to the whole slot.
#[derive(Debug)]
pub(crate) struct Slots {
    range: Pages,
    count: u32,
    /// The size and alignment in bytes of a slot, a power of two.
    slot: usize,
    /// Bit `i`: slot `i` is live.
    live: Cell<u64>,
    corruption: Cell<u64>,
}

impl Slots {
    /// Slots of 64 bytes.
    pub(crate) fn new(count: u32) -> Self {
        Self::sized(count, SLOT)
    }

    /// Slots of `slot` bytes.
    pub(crate) fn sized(count: u32, slot: usize) -> Self {
        assert!((1..=64).contains(&count) && slot.is_power_of_two() && slot >= PAGE);
        let layout = NonZeroLayout::from_size_align(count as usize * slot, slot).expect("small");
        Self {
            range: Pages::new(layout),
            count,
            slot,
            live: Cell::new(0),
            corruption: Cell::new(0),
        }
    }

    /// What `corruption_events` answers from now on.
    pub(crate) fn set_corruption(&self, events: u64) {
        self.corruption.set(events);
    }

    /// Live slots.
    pub(crate) fn live(&self) -> u32 {
        self.live.get().count_ones()
    }

    fn fits(&self, layout: NonZeroLayout) -> bool {
        layout.size().get() <= self.slot && layout.align().get() <= self.slot
    }

    /// A block of `layout` in slot `index`.
    fn block(&self, index: u32, layout: NonZeroLayout) -> NonNull<[u8]> {
        let len = layout.size().get().next_multiple_of(SLOT).min(self.slot);
        // SAFETY: `index < count`, so the offset is inside the range.
        let start = unsafe { self.range.base().add(index as usize * self.slot) };
        NonNull::slice_from_raw_parts(start, len)
    }

    fn index(&self, ptr: NonNull<u8>) -> u32 {
        let offset = ptr.addr().get() - self.range.base().addr().get();
        assert_eq!(offset % self.slot, 0, "not the start of a slot");
        let index = u32::try_from(offset / self.slot).expect("small");
        assert!(
            self.live.get() & 1 << index != 0,
            "slot {index} is not live"
        );
        index
    }

    fn resize(&self, ptr: NonNull<u8>, new: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let index = self.index(ptr);
        if !self.fits(new) {
            return Err(AllocError);
        }
        Ok(self.block(index, new))
    }
}

// SAFETY: the slot's bit is cleared; the block is not touched.
unsafe impl Deallocator for Slots {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        assert!(self.fits(layout));
        self.live.set(self.live.get() & !(1 << self.index(ptr)));
    }
}

// SAFETY: slots are disjoint, at multiples of their size, and handed out while their bit is clear.
unsafe impl Allocator for Slots {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let index = self.live.get().trailing_ones();
        if !self.fits(layout) || index >= self.count {
            return Err(AllocError);
        }
        self.live.set(self.live.get() | 1 << index);
        Ok(self.block(index, layout))
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.resize(ptr, new)
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.resize(ptr, new)
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>, _layout: NonZeroLayout) -> Option<usize> {
        self.index(ptr);
        Some(self.slot)
    }

    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.count as usize * self.slot)
    }

    fn corruption_events(&self) -> u64 {
        self.corruption.get()
    }
}

// SAFETY: the range's base reaches every slot; slots do not move; what was handed out since the last
// reset lies in the range.
unsafe impl Contents for Slots {
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        self.block(self.index(block), layout).cast()
    }

    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.resize(ptr, new)
    }

    unsafe fn shrinks_in_place(
        &self,
        _ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        self.fits(new)
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        let start = self.range.base().cast::<MaybeUninit<u8>>();
        let mut slots = NonNull::slice_from_raw_parts(start, self.count as usize * self.slot);
        // SAFETY: every block ends, and the range is this allocator's alone.
        visit(unsafe { slots.as_mut() });
    }
}

// SAFETY: every slot is in the range, and the range is this allocator's alone.
unsafe impl Owns for Slots {
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.range.contains(ptr)
    }
}

// SAFETY: every slot is in the range, and the range is this allocator's alone; live slots are left
// alone.
unsafe impl OverPages for Slots {
    type Pages = Pages;

    fn pages(&self) -> &Pages {
        &self.range
    }
}

// SAFETY: the range is on the heap.
unsafe impl StableAddress for Slots {}

impl Reset for Slots {
    fn reset(&mut self) {
        self.live.set(0);
    }
}
