//! What the tests share.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

use core::ptr::NonNull;

use drystone_core::{AllocError, Allocator, NonZeroLayout};

pub(crate) mod composing;
pub(crate) mod content;
pub(crate) mod heap;
pub(crate) mod slots;
pub(crate) mod tally;

pub(crate) use heap::{Heap, OwnsAll};
pub(crate) use slots::{PAGE, Pages, SLOT, Slots};
pub(crate) use tally::Tally;

pub(crate) fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("a valid layout")
}

/// A live block, and the layout it was asked for with. Freed by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) ptr: NonNull<u8>,
    pub(crate) len: usize,
    pub(crate) layout: NonZeroLayout,
}

impl Block {
    pub(crate) fn new(block: NonNull<[u8]>, layout: NonZeroLayout) -> Self {
        assert!(block.len() >= layout.size().get(), "shorter than asked");
        let ptr = block.cast::<u8>();
        assert_eq!(ptr.addr().get() % layout.align(), 0, "misaligned");
        Self {
            ptr,
            len: block.len(),
            layout,
        }
    }

    /// Fills the requested bytes with a pattern that starts with `seed`.
    pub(crate) fn fill(self, seed: u8) {
        for i in 0..self.layout.size().get() {
            // SAFETY: the block is live and writable.
            unsafe { self.at(i).write(seed.wrapping_add(i as u8)) };
        }
    }

    /// Checks the first `len` bytes against the pattern.
    pub(crate) fn check(self, seed: u8, len: usize) {
        for i in 0..len {
            assert_eq!(
                self.byte(i),
                seed.wrapping_add(i as u8),
                "byte {i} of {self:?}"
            );
        }
    }

    pub(crate) fn check_zero_from(self, start: usize) {
        for i in start..self.len {
            assert_eq!(self.byte(i), 0, "byte {i} of {self:?}");
        }
    }

    fn byte(self, i: usize) -> u8 {
        // SAFETY: the block is live, and the tests read only what was written.
        unsafe { self.at(i).read() }
    }

    fn at(self, i: usize) -> NonNull<u8> {
        assert!(i < self.len);
        // SAFETY: inside the block.
        unsafe { self.ptr.add(i) }
    }
}

/// The methods of `Allocator` over [`Block`]. A test is responsible for the liveness of its
/// blocks; that is what each helper's safety comment refers to.
pub(crate) trait Blocks: Allocator {
    fn take(&self, size: usize, align: usize) -> Result<Block, AllocError> {
        let layout = layout(size, align);
        Ok(Block::new(self.allocate(layout)?, layout))
    }

    fn take_zeroed(&self, size: usize, align: usize) -> Result<Block, AllocError> {
        let layout = layout(size, align);
        Ok(Block::new(self.allocate_zeroed(layout)?, layout))
    }

    fn give(&self, block: Block) {
        // SAFETY: the test holds a live block of this allocator.
        unsafe { self.deallocate(block.ptr, block.layout) };
    }

    fn grow_to(&self, block: Block, size: usize) -> Result<Block, AllocError> {
        let new = layout(size, block.layout.align().get());
        // SAFETY: the test holds a live block of this allocator, and grows it.
        let grown = unsafe { self.grow(block.ptr, block.layout, new) }?;
        Ok(Block::new(grown, new))
    }

    fn grow_zeroed_to(&self, block: Block, size: usize) -> Result<Block, AllocError> {
        let new = layout(size, block.layout.align().get());
        // SAFETY: the test holds a live block of this allocator, and grows it.
        let grown = unsafe { self.grow_zeroed(block.ptr, block.layout, new) }?;
        Ok(Block::new(grown, new))
    }

    fn shrink_to(&self, block: Block, size: usize, align: usize) -> Result<Block, AllocError> {
        let new = layout(size, align);
        // SAFETY: the test holds a live block of this allocator, and shrinks it.
        let shrunk = unsafe { self.shrink(block.ptr, block.layout, new) }?;
        Ok(Block::new(shrunk, new))
    }

    fn usable(&self, block: Block) -> Option<usize> {
        // SAFETY: the test holds a live block of this allocator.
        unsafe { self.usable_size(block.ptr, block.layout) }
    }
}

impl<A: Allocator + ?Sized> Blocks for A {}
