//! [`Page`]: a run of slices cut into blocks of one class; [`Inbox`]: what other threads write of it.
//!
//! # What
//!
//! A page hands out its blocks to the bins of its heap and takes them back from there. What its
//! owner changes and what other threads change lie in separate arrays, so that neither's writes
//! take a line from the other.
//!
//! # Invariants
//!
//! - P1: `used` counts the blocks that are outside the page's own list: with the application, in
//!   a bin, in a remote cache or in an inbox. So a page with `used == 0` has no free in flight.
//! - P2: `free` holds exactly the `carved - used` blocks that are cut and at home.
//! - P3: a page is in its class's queue exactly while it has blocks at home or room to cut more.
//! - P4: an inbox is on its owner's pending list, or about to be put there by the thread that found
//!   it empty, exactly while it is not empty. It is emptied only after it was taken off that list.

use core::cell::Cell;
use core::ptr;

use drystone_core::SizeClass;
use drystone_sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

use crate::geometry::{SLICE_BYTES, block_bytes, page_slices};

/// A free block: its first word is the next one.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) next: *mut Block,
}

/// What a run of slices is, in a byte: nothing, one block, or a page of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use(u8);

impl Use {
    /// No run begins here. Zero bytes say so.
    pub(crate) const NONE: Self = Self(0);
    /// The run is one block.
    pub(crate) const BLOCK: Self = Self(u8::MAX);

    /// The run is a page of this class.
    #[inline(always)]
    pub(crate) const fn page(class: usize) -> Self {
        debug_assert!(class < SizeClass::COUNT);
        #[expect(clippy::cast_possible_truncation, reason = "below 80")]
        Self(class as u8 + 1)
    }

    /// The class, if the run is a page.
    #[inline(always)]
    pub(crate) const fn class(self) -> Option<usize> {
        if 0 < self.0 && self.0 <= SizeClass::COUNT as u8 {
            Some(self.0 as usize - 1)
        } else {
            None
        }
    }

    #[inline]
    pub(crate) const fn is_block(self) -> bool {
        self.0 == Self::BLOCK.0
    }

    pub(crate) const fn to_byte(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }
}

/// What the owner of a page knows of it. Only the owner reads or writes it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Page {
    /// Blocks at home.
    pub(crate) free: Cell<*mut Block>,
    /// Neighbours in the queue of the class.
    pub(crate) next: Cell<*const Page>,
    pub(crate) previous: Cell<*const Page>,
    pub(crate) used: Cell<u32>,
    /// Blocks cut so far, from the page's start.
    pub(crate) carved: Cell<u32>,
    /// Blocks that fit.
    pub(crate) capacity: Cell<u32>,
    /// The class, while it is a page.
    class: Cell<u8>,
    pub(crate) queued: Cell<bool>,
}

impl Page {
    /// Makes this the page of `class`, with nothing cut.
    pub(crate) fn begin(&self, class: usize) {
        let slices = page_slices(class);
        self.free.set(ptr::null_mut());
        self.used.set(0);
        self.carved.set(0);
        #[expect(clippy::cast_possible_truncation, reason = "at most 8192 blocks")]
        self.capacity
            .set((slices * SLICE_BYTES / block_bytes(class)) as u32);
        #[expect(clippy::cast_possible_truncation, reason = "below 80")]
        self.class.set(class as u8);
        self.queued.set(false);
    }

    /// Makes this a run that is one block, which is handed out at once.
    pub(crate) fn begin_run(&self) {
        self.free.set(ptr::null_mut());
        self.used.set(1);
        self.carved.set(1);
        self.capacity.set(1);
        self.queued.set(false);
    }

    /// The class of the page.
    pub(crate) fn class(&self) -> usize {
        usize::from(self.class.get())
    }

    /// Whether nothing can be taken from it.
    pub(crate) fn is_full(&self) -> bool {
        self.free.get().is_null() && self.carved.get() == self.capacity.get()
    }

    /// Takes back a block of this page.
    ///
    /// # Safety
    ///
    /// The block is one of this page's that is not at home, and nobody else uses it.
    #[inline]
    pub(crate) unsafe fn take_back(&self, block: *mut Block) {
        // SAFETY: a block of this page that is the caller's to give up.
        unsafe { (*block).next = self.free.get() };
        self.free.set(block);
        self.used.set(self.used.get() - 1);
    }

    pub(crate) fn debug_assert_invariants(&self) {
        debug_assert!(self.used.get() <= self.carved.get(), "P1");
        debug_assert!(self.carved.get() <= self.capacity.get(), "P2");
        debug_assert_eq!(
            self.free.get().is_null(),
            self.used.get() == self.carved.get(),
            "P2"
        );
    }
}

/// What other threads may write of a page: blocks that they freed.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Inbox {
    /// The chain of blocks: the offset of the first in the segment, in the low half, and how many
    /// there are, in the high half. 0 while there are none.
    pub(crate) chain: AtomicU64,
    /// The next inbox of the pending list. Written by the thread that found the chain empty, and read by
    /// the owner, which has taken the list then.
    pub(crate) next: AtomicPtr<Inbox>,
    /// What the run is, and of how many slices, for threads that may not read the page.
    content: AtomicU8,
    slices: AtomicU8,
}

impl Inbox {
    #[inline(always)]
    pub(crate) fn content(&self) -> Use {
        // Relaxed: who has a block of the run got it after this was stored.
        Use::from_byte(self.content.load(Ordering::Relaxed))
    }

    pub(crate) fn set_content(&self, content: Use, slices: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
        self.slices.store(slices as u8, Ordering::Relaxed);
        self.content.store(content.to_byte(), Ordering::Relaxed);
    }

    pub(crate) fn slices(&self) -> usize {
        // Relaxed: as `content`.
        usize::from(self.slices.load(Ordering::Relaxed))
    }
}

/// The chain word: `count` blocks from the one at `offset`.
#[inline]
pub(crate) const fn pack(offset: usize, count: u32) -> u64 {
    offset as u64 | (count as u64) << 32
}

/// The offset of the first block, and the count.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves of the word")]
pub(crate) const fn unpack(chain: u64) -> (usize, u32) {
    (chain as u32 as usize, (chain >> 32) as u32)
}
