//! How blocks come into the bins of a heap from its pages, and go back.
//!
//! A bin that ran dry is refilled from one page: with blocks at home, or else with new ones. A bin that
//! is full gives its older half home. A bin that does both in turn may hold more from then on, and gets
//! a longer array for that, which is a block of the heap's own.

use core::ptr::{self, NonNull};

use drystone_core::SizeClass;

use super::home::{put_home, take_home};
use super::{Heap, segment_of_page};
use crate::bin::{array_bytes, block_slots, first_slots};
use crate::block_list::Block;
use crate::geometry::{SLICE_BYTES, block_bytes, page_slices};
use crate::page::Page;
use crate::segment::Segment;

impl Heap {
    /// A block of this class, whose bin is empty; `None` if there is no memory.
    #[cold]
    #[inline(never)]
    pub(super) fn refill(&self, class: usize) -> Option<NonNull<Block>> {
        if self.core.get().is_null() {
            // The heap of a thread that has none.
            return None;
        }
        self.tick();
        self.send_all();
        if self.flushed.of(class).replace(false) {
            self.widen(class);
        }
        self.collect(Some(class));
        let bin = self.bin(class);
        if bin.is_empty() && !self.refill_from_pages(class) {
            return None;
        }
        bin.pop()
    }

    fn refill_from_pages(&self, class: usize) -> bool {
        // In want of room, what was cached is given home before the attempt fails.
        let Some(page) = self
            .first_page(class)
            .or_else(|| self.new_page(class))
            .or_else(|| self.first_page(class))
        else {
            return false;
        };
        // SAFETY: pages in a queue lie in segments of this heap, which live while they are in use.
        let page = unsafe { &*page };
        let at_home = page.at_home();
        if at_home == 0 {
            self.fill_with_new(page, class);
        } else {
            let bin = self.bin(class);
            let count = at_home.min(bin.keep());
            take_home(page, count, bin.fill(count));
        }
        if page.is_full() {
            self.leave_queue(page);
        }
        true
    }

    /// A page that has blocks at home, or room to cut some.
    fn first_page(&self, class: usize) -> Option<*const Page> {
        let page = self.queues.of(class).get();
        (!page.is_null()).then_some(page)
    }

    /// Fills the bin with blocks that were never handed out, and are not touched for it.
    fn fill_with_new(&self, page: &Page, class: usize) {
        let room = page.capacity.get() - page.carved.get();
        #[expect(clippy::cast_possible_truncation, reason = "at most `room`")]
        let count = (self.carve_bytes.get() / block_bytes(class)).clamp(1, room as usize) as u32;
        let bin = self.bin(class);
        let count = count.min(bin.keep());
        let mut put = bin.fill(count);
        (0..count).for_each(|_| put(self.cut_one(page, class)));
    }

    /// A block that was never handed out, of a page with room.
    fn cut_one(&self, page: &Page, class: usize) -> *mut Block {
        let segment = segment_of_page(page);
        let start = segment.first_of_page(page) * SLICE_BYTES;
        let index = page.carved.get();
        debug_assert!(index < page.capacity.get());
        page.carved.set(index + 1);
        page.used.set(page.used.get() + 1);
        segment
            .at(start + index as usize * block_bytes(class))
            .cast()
    }

    /// Puts a block into a bin that is full: its older half goes home.
    #[cold]
    #[inline(never)]
    pub(super) fn free_into_full(&self, block: *mut Block, class: usize) {
        self.tick();
        self.send_all();
        self.flushed.of(class).set(true);
        let bin = self.bin(class);
        self.give_oldest_home(class, bin.keep());
        bin.push(block);
    }

    /// Gives all but the newest `kept` blocks of the bin home.
    pub(super) fn give_oldest_home(&self, class: usize, kept: u32) {
        let bin = self.bin(class);
        let count = bin.len().saturating_sub(kept);
        let page_bytes = page_slices(class) * SLICE_BYTES;
        // Neighbours in a bin are often of one page, which is looked up once for all of them.
        let mut home: Option<(&Segment, usize)> = None;
        let mut start = 0;
        bin.take_oldest(count, |block| {
            let (segment, first) = match home {
                Some(home) if block.addr().wrapping_sub(start) < page_bytes => home,
                last => {
                    if let Some((segment, first)) = last {
                        self.after_taking_back(segment, first);
                    }
                    let (segment, first) = self.place_of(block);
                    start = segment.address() + first * SLICE_BYTES;
                    home = Some((segment, first));
                    (segment, first)
                }
            };
            // SAFETY: the block is of the page, counted as used, and in no other place (H2).
            unsafe { put_home(segment, first, class, block) };
        });
        if let Some((segment, first)) = home {
            self.after_taking_back(segment, first);
        }
    }

    /// Gives a block that was a bin's array back to its page.
    fn give_home(&self, block: *mut Block) {
        let (segment, first) = self.place_of(block);
        let class = segment.page(first).class();
        // SAFETY: the block is of the page, counted as used, and in no other place (H2).
        unsafe { put_home(segment, first, class, block) };
        self.after_taking_back(segment, first);
    }

    /// The empty bin of the class ran dry soon after it had been full: it may hold four times as much, if
    /// there is memory for that.
    fn widen(&self, class: usize) {
        let bin = self.bin(class);
        let limit = bin.widened(class, self.cache_bytes.get());
        if limit > self.slots(class) {
            let bytes = array_bytes(limit);
            let Some(array_class) = SizeClass::from_size(bytes).map(SizeClass::index) else {
                return;
            };
            let Some(array) = self.take_from_page(array_class) else {
                return;
            };
            self.give_array_home(class);
            self.array_blocks.set(self.array_blocks.get() + 1);
            self.array_bytes
                .set(self.array_bytes.get() + block_bytes(array_class));
            // SAFETY: the block has so many bytes, and is in no other place.
            unsafe { bin.use_block(array, limit) };
        } else {
            // SAFETY: there are as many slots.
            unsafe { bin.set_limit(limit) };
        }
    }

    /// How many slots the bin has.
    fn slots(&self, class: usize) -> u32 {
        match self.bin(class).array(class, &self.first_slots) {
            None => first_slots(class),
            Some(array) => {
                let (segment, first) = self.place_of(array);
                block_slots(block_bytes(segment.page(first).class()))
            }
        }
    }

    /// The empty bin uses its first array again.
    pub(super) fn give_array_home(&self, class: usize) {
        let bin = self.bin(class);
        let array = bin.array(class, &self.first_slots);
        bin.use_first(class, &self.first_slots);
        if let Some(array) = array {
            let (segment, first) = self.place_of(array);
            let array_class = segment.page(first).class();
            self.array_blocks.set(self.array_blocks.get() - 1);
            self.array_bytes
                .set(self.array_bytes.get() - block_bytes(array_class));
            // SAFETY: the block is the heap's own, of this class. No address stays behind in it.
            unsafe { array.cast::<u8>().write_bytes(0, block_bytes(array_class)) };
            self.give_home(array);
        }
    }

    /// A block for the heap itself, past the bin of its class, if that needs no more room than the heap
    /// has.
    fn take_from_page(&self, class: usize) -> Option<*mut Block> {
        // SAFETY: pages in a queue lie in segments of this heap, which live while they are in use.
        let page = unsafe {
            &*self
                .first_page(class)
                .or_else(|| self.new_page_if_room(class))?
        };
        let mut block = ptr::null_mut();
        if page.at_home() == 0 {
            block = self.cut_one(page, class);
        } else {
            take_home(page, 1, |taken| block = taken);
        }
        if page.is_full() {
            self.leave_queue(page);
        }
        Some(block)
    }
}
