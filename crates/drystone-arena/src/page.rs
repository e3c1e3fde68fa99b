//! [`Page`]: a run of slices cut into blocks of one class, as its owner sees it.
//!
//! # What
//!
//! A page hands out its blocks to the bins of its heap and takes them back from there. What its
//! owner changes and what other threads change ([`Inbox`](crate::inbox::Inbox)) lie in separate
//! arrays, so that neither's writes take a line from the other.
//!
//! # Invariants
//!
//! - P1: `used` counts the blocks that are outside the page's own list: with the application, in
//!   a bin, in a remote cache or in an inbox. So a page with `used == 0` has no free in flight.
//! - P2: `free` holds exactly the `carved - used` blocks that are cut and at home.
//! - P3: a page is in its class's queue exactly while it has blocks at home or room to cut more.

use core::cell::Cell;
use core::ptr;

use crate::geometry::{SLICE_BYTES, block_bytes, page_slices};
use crate::published::PublishedU32;

/// A free block: its first word is the next one.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) next: *mut Block,
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
    pub(crate) used: PublishedU32,
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

    /// Takes back `count` blocks of this page that are linked, in front of those at home.
    ///
    /// # Safety
    ///
    /// As [`take_back`](Self::take_back), for each block from `first` to `last`.
    pub(crate) unsafe fn take_back_chain(&self, first: *mut Block, last: *mut Block, count: u32) {
        if !self.free.get().is_null() {
            // SAFETY: a block of this page that is the caller's to give up.
            unsafe { (*last).next = self.free.get() };
        }
        self.free.set(first);
        self.used.set(self.used.get() - count);
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
