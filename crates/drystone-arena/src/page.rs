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
//! - P1: `used` counts the blocks that are not at home: with the application, in
//!   a bin, in a remote cache or in an inbox. So a page with `used == 0` has no free in flight.
//! - P2: `carved - used` blocks are cut and at home: `listed` of them are in `list`, and of the others the
//!   [bits](crate::home_bits) are set, none below the word `lowest_home`. Under a checked profile the
//!   list is empty.
//! - P3: a page is in its class's queue exactly while it has blocks at home or room to cut more.

use core::cell::Cell;

use crate::block_list::{Block, BlockList, append};
use crate::geometry::{SLICE_BYTES, block_bytes, page_slices};
use crate::published::PublishedU32;
use crate::random::Random;

/// What the owner of a page knows of it. Only the owner reads or writes it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Page {
    /// Blocks at home that came as chains.
    list: Cell<BlockList>,
    /// Neighbours in the queue of the class.
    pub(crate) next: Cell<*const Page>,
    pub(crate) previous: Cell<*const Page>,
    pub(crate) used: PublishedU32,
    /// Blocks cut so far, from the page's start.
    pub(crate) carved: Cell<u32>,
    /// Blocks in the list.
    listed: Cell<u32>,
    /// Blocks that fit.
    pub(crate) capacity: Cell<u32>,
    /// The class, while it is a page.
    class: Cell<u8>,
    pub(crate) queued: Cell<bool>,
    /// The word of the home bits that the first block at home is in, or one before.
    pub(crate) lowest_home: Cell<u16>,
    /// In a hardened arena, where the block is that is cut first, and how far behind it the next.
    start: Cell<u16>,
    stride: Cell<u16>,
}

impl Page {
    /// Makes this the page of `class`, with nothing cut.
    pub(crate) fn begin(&self, class: usize) {
        let slices = page_slices(class);
        self.list.set(BlockList::EMPTY);
        self.listed.set(0);
        self.lowest_home.set(0);
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
        self.list.set(BlockList::EMPTY);
        self.listed.set(0);
        self.used.set(1);
        self.carved.set(1);
        self.capacity.set(1);
        self.queued.set(false);
    }

    /// The class of the page.
    pub(crate) fn class(&self) -> usize {
        usize::from(self.class.get())
    }

    /// How many blocks are at home.
    pub(crate) fn at_home(&self) -> u32 {
        self.carved.get() - self.used.get()
    }

    /// Whether nothing can be taken from it.
    pub(crate) fn is_full(&self) -> bool {
        self.used.get() == self.capacity.get()
    }

    /// Draws the order in which blocks are cut.
    pub(crate) fn shuffle(&self, random: &Random) {
        let capacity = self.capacity.get();
        let mut stride = 1 + random.below(capacity);
        while !are_coprime(stride, capacity) {
            stride += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most twice 8192")]
        self.stride.set(stride as u16);
        #[expect(clippy::cast_possible_truncation, reason = "below 8192")]
        self.start.set(random.below(capacity) as u16);
    }

    /// Where the block is that is cut after `number` others. Each place has its turn once.
    pub(crate) fn place(&self, number: u32) -> u32 {
        let steps = number * u32::from(self.stride.get());
        (u32::from(self.start.get()) + steps) % self.capacity.get()
    }

    /// Hands out so many blocks of the list, or all that there are. How many that was. The page's memory begins
    /// at `start`.
    #[inline]
    pub(crate) fn take_listed(
        &self,
        start: *mut u8,
        most: u32,
        each: impl FnMut(*mut Block),
    ) -> u32 {
        let count = most.min(self.listed.get());
        if count > 0 {
            let mut list = self.list.get();
            // SAFETY: blocks at home are the page's own, and there are as many.
            unsafe { list.pop_each(start, count, each) };
            self.list.set(list);
            self.listed.set(self.listed.get() - count);
            self.used.set(self.used.get() + count);
        }
        count
    }

    /// Takes back a list of `count` blocks of this page, whose last node is `last`. The page's memory begins at
    /// `start`.
    ///
    /// # Safety
    ///
    /// The blocks are this page's, not at home, and nobody else uses them.
    pub(crate) unsafe fn take_back_list(
        &self,
        start: *mut u8,
        blocks: BlockList,
        last: *mut Block,
        count: u32,
    ) {
        let list = self.list.get();
        if !list.is_empty() {
            // SAFETY: a block of this page that is the caller's to give up.
            unsafe { append(last, start.addr(), list.head()) };
        }
        self.list.set(blocks);
        self.listed.set(self.listed.get() + count);
        self.used.set(self.used.get() - count);
    }

    pub(crate) fn debug_assert_invariants(&self) {
        debug_assert!(self.used.get() <= self.carved.get(), "P1");
        debug_assert!(self.carved.get() <= self.capacity.get(), "P2");
        debug_assert!(self.listed.get() <= self.at_home(), "P2");
        debug_assert_eq!(self.list.get().is_empty(), self.listed.get() == 0, "P2");
    }
}

const fn are_coprime(mut a: u32, mut b: u32) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    use drystone_core::SizeClass;

    #[test]
    fn a_shuffled_page_cuts_each_block_once() {
        // Zero bytes are a page.
        // SAFETY: cells of numbers and null pointers.
        let page: Page = unsafe { core::mem::zeroed() };
        // SAFETY: a cell of a number.
        let random: Random = unsafe { core::mem::zeroed() };
        random.seed();
        for class in (0..SizeClass::COUNT).step_by(if cfg!(miri) { 30 } else { 1 }) {
            page.begin(class);
            page.shuffle(&random);
            let capacity = page.capacity.get();
            let mut cut = std::vec![false; capacity as usize];
            for number in 0..capacity {
                let place = page.place(number) as usize;
                assert!(!core::mem::replace(&mut cut[place], true), "{class}");
            }
        }
    }
}
