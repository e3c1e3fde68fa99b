//! [`FirstFit`]: the textbook allocator over one range, with its book outside the range.

use core::hash::{Hash, Hasher};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::DefaultHasher;

use drystone_core::{
    AllocError, Allocator, BlockInfo, Contents, Corruption, Deallocator, FixedRange, HeapSegment,
    Inspect, Misuse, NonZeroLayout, Owns, Report, Reset, StableAddress, arith,
};

/// Hands out the lowest free bytes that fit, and knows every live block.
///
/// Keeps its book in a map on the global heap, so nothing a user writes can damage it. Linear in
/// the number of live blocks; for tests.
///
/// # Invariants
///
/// - I1: the blocks in the book lie inside the range and do not overlap.
#[derive(Debug)]
pub struct FirstFit {
    range: HeapSegment,
    /// The live blocks: offset to length.
    live: RefCell<BTreeMap<usize, usize>>,
}

impl FirstFit {
    /// An allocator over `bytes` bytes of the global heap, aligned to 4096.
    ///
    /// # Panics
    ///
    /// If `bytes` is 0, exceeds what an allocation may be, or is not to be had.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let layout = NonZeroLayout::from_size_align(bytes, 4096).expect("a valid size");
        Self {
            range: HeapSegment::new(layout).expect("memory for a test"),
            live: RefCell::default(),
        }
    }

    /// Live blocks.
    #[must_use]
    pub fn live_blocks(&self) -> usize {
        self.live.borrow().len()
    }

    fn offset_of(&self, ptr: NonNull<u8>) -> usize {
        ptr.addr().get() - self.range.base().addr().get()
    }

    /// The lowest offset with room for `layout`.
    fn find(&self, layout: NonZeroLayout) -> Option<usize> {
        let (size, align) = (layout.size().get(), layout.align().get());
        let mut free_from = 0;
        for (&offset, &len) in self.live.borrow().iter() {
            let start = self.range.align_offset(free_from, align)?;
            if start.checked_add(size)? <= offset {
                return Some(start);
            }
            free_from = offset + len;
        }
        let start = self.range.align_offset(free_from, align)?;
        arith::range_fits(start, size, self.range.size()).then_some(start)
    }
}

// SAFETY: a block leaves the book and nothing else happens. One thread: the type is not `Sync`.
unsafe impl Deallocator for FirstFit {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, _layout: NonZeroLayout) {
        self.live.borrow_mut().remove(&self.offset_of(ptr));
    }
}

// SAFETY: by I1 and `find` a block lies in the range, aligned, apart from every live one.
unsafe impl Allocator for FirstFit {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let offset = self.find(layout).ok_or(AllocError)?;
        let size = layout.size().get();
        self.live.borrow_mut().insert(offset, size);
        // SAFETY: `find` keeps `offset + size` within the range.
        let ptr = unsafe { self.range.base().add(offset) };
        Ok(NonNull::slice_from_raw_parts(ptr, size))
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>, _layout: NonZeroLayout) -> Option<usize> {
        self.live.borrow().get(&self.offset_of(ptr)).copied()
    }

    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.range.size())
    }
}

// SAFETY: true exactly for the addresses of the range.
unsafe impl Owns for FirstFit {
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.range.contains(ptr)
    }
}

// SAFETY: pointers come from the range's base; the book holds every live block.
unsafe impl Contents for FirstFit {
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        // SAFETY: the offset of a live block lies in the range.
        unsafe { self.range.base().add(self.offset_of(block)) }
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        for (&offset, &len) in self.live.get_mut().iter() {
            // SAFETY: the offset of a live block lies in the range.
            let start = unsafe { self.range.base().add(offset) };
            let mut block = NonNull::slice_from_raw_parts(start.cast::<MaybeUninit<u8>>(), len);
            // SAFETY: the block ends, and nobody else has it.
            visit(unsafe { block.as_mut() });
        }
    }
}

// SAFETY: the range is on the heap and does not move with the value.
unsafe impl StableAddress for FirstFit {}

impl Reset for FirstFit {
    fn reset(&mut self) {
        self.live.get_mut().clear();
    }
}

impl Inspect for FirstFit {
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        if !self.owns(ptr) {
            return Err(Misuse::ForeignPointer);
        }
        let offset = self.offset_of(ptr);
        match self.live.borrow().range(..=offset).next_back() {
            Some((&start, &len)) if start == offset => Ok(BlockInfo { usable_bytes: len }),
            Some((&start, &len)) if offset < start + len => Err(Misuse::InteriorPointer),
            _ => Err(Misuse::NeverAllocated),
        }
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        let live = self.live.borrow();
        let mut end = 0;
        for (&offset, &len) in live.iter() {
            if offset < end || !arith::range_fits(offset, len, self.range.size()) {
                return Err(Corruption {
                    invariant: "I1: blocks lie inside the range and do not overlap",
                    offset,
                });
            }
            end = offset + len;
        }
        Ok(Report {
            live_blocks: live.len(),
            ..Report::default()
        })
    }

    fn state_digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.live.borrow().hash(&mut hasher);
        hasher.finish()
    }
}
