//! How a hardened heap keeps free blocks: filled, without links in them, and in no foreseeable order.
//!
//! # What
//!
//! A block that is freed is filled and goes into the stash of its class, from which blocks go out at
//! random. What does not fit goes home: a bit says so. A stash that runs low takes blocks at home from
//! a random place of a page, and cuts new ones at places that the page draws when it begins. A block's
//! fill is looked at when it goes out.
//!
//! # Invariants
//!
//! - H2 holds with stashes for bins and bits for chains; nothing that the arena follows
//!   lies in a free block.
//!
//! # Threads
//!
//! As the heap's: what others free comes through inboxes, which only count.

use core::ptr::NonNull;

use super::Heap;
use super::home::{mark_home, put_home};

use crate::block_list::Block;
use crate::geometry::{SLICE_BYTES, block_bytes};
use crate::home_bits::words_of;
use crate::inbox::Inbox;
use crate::misuse;
use crate::page::Page;
use crate::segment::Segment;
use crate::stash::{self, Stash, StashesAt};

/// A stash that has fewer blocks than this is refilled, so that few blocks go out again at once.
fn low(class: usize) -> u32 {
    (stash::limit(class) / 4).max(1)
}

/// What a refill brings a stash to.
fn refilled(class: usize) -> u32 {
    stash::limit(class) / 2
}

impl Heap {
    /// Prepares a heap that begins.
    pub(super) fn begin_hardened(&self) {
        self.core().draw_fill();
        self.stashes().random().seed();
    }

    fn stashes(&self) -> StashesAt<'_> {
        debug_assert!(self.core().level().is_hardened());
        super::segment_of_header(core::ptr::from_ref(self).addr()).stashes()
    }

    /// The stashes, if the heap has any.
    fn any_stashes(&self) -> Option<StashesAt<'_>> {
        (!self.is_none() && self.core().level().is_hardened()).then(|| self.stashes())
    }

    /// The blocks in the stash of each class.
    pub(super) fn stashed(&self) -> impl Iterator<Item = usize> {
        let stashes = self.any_stashes().into_iter();
        stashes.flat_map(|stashes| stashes.iter().map(|stash| stash.len() as usize))
    }

    /// A block of this class, in which nothing has changed since it was freed; `None` if there is no memory.
    /// Ends the process if something has.
    ///
    /// # Safety
    ///
    /// The calling thread has the heap (H1), and it is an arena's.
    pub(crate) unsafe fn allocate_hardened(&self, class: usize) -> Option<NonNull<Block>> {
        let stashes = self.stashes();
        let stash = stashes.of(class);
        if stash.len() < low(class) {
            self.refill_stash(class, stash);
        }
        let block = stash.pop(stashes.random())?;
        let fill = self.core().fill();
        // SAFETY: the block is the heap's alone, of the class, and filled (K1).
        if let Some(offset) = unsafe { fill.first_change(block.cast(), block_bytes(class)) } {
            misuse::abort_written(block.addr() + offset);
        }
        NonNull::new(block)
    }

    /// Takes back a block of one of this heap's pages, which was filled.
    ///
    /// # Safety
    ///
    /// As [`free`](Self::free), and the block was marked free.
    pub(crate) unsafe fn free_hardened(&self, block: *mut Block, class: usize) {
        let stash = self.stashes().of(class);
        if stash.len() == stash::limit(class) {
            self.tick();
            self.send_all();
            self.shrink_stash(class, refilled(class));
        }
        stash.push(block);
    }

    #[cold]
    #[inline(never)]
    fn refill_stash(&self, class: usize, stash: &Stash) {
        self.tick();
        self.send_all();
        self.collect(None);
        let queued = || {
            // SAFETY: pages in a queue lie in segments of this heap, which live while they are in use.
            unsafe { self.queues.of(class).get().as_ref() }
        };
        let page = queued().or_else(|| match self.new_page(class) {
            // SAFETY: as above.
            Some(page) => unsafe { page.as_ref() },
            // The attempt has sent what was stashed home.
            None => queued(),
        });
        let Some(page) = page else {
            return;
        };
        let segment = super::segment_of_page(page);
        let first = segment.first_of_page(page);
        let wanted = refilled(class).saturating_sub(stash.len()).max(1);
        let mut taken = 0;
        if page.at_home() > 0 {
            let words = words_of(page.capacity.get());
            #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
            let start = self.stashes().random().below(words as u32) as usize;
            for words in [start..words, 0..start] {
                let put = |index| {
                    let offset = first * SLICE_BYTES + index * block_bytes(class);
                    stash.push(segment.at(offset).cast());
                };
                taken += segment.home_bits(first).take(words, wanted - taken, put).0;
            }
        }
        taken += self.cut(page, first * SLICE_BYTES, wanted - taken, stash);
        page.used.set(page.used.get() + taken);
        if page.is_full() {
            self.leave_queue(page);
        }
    }

    /// Cuts up to `most` further blocks of a page, fills them and stashes them. How many there were.
    fn cut(&self, page: &Page, page_offset: usize, most: u32, stash: &Stash) -> u32 {
        let segment = super::segment_of_page(page);
        let bytes = block_bytes(page.class());
        let count = most.min(page.capacity.get() - page.carved.get());
        for number in page.carved.get()..page.carved.get() + count {
            let index = page.place(number);
            let block = segment.at(page_offset + index as usize * bytes);
            // SAFETY: the block lies in the page, and was never handed out.
            unsafe { self.core().fill().write(block, bytes) };
            stash.push(block.cast());
        }
        page.carved.set(page.carved.get() + count);
        count
    }

    /// Sends blocks of the stash home until `keep` are left.
    pub(super) fn shrink_stash(&self, class: usize, keep: u32) {
        let stashes = self.stashes();
        let stash = stashes.of(class);
        while stash.len() > keep {
            if let Some(block) = stash.pop(stashes.random()) {
                let (segment, first) = self.place_of(block);
                // SAFETY: the block is of the page, counted as used, and in no other place (H2).
                unsafe { put_home(segment, first, class, block) };
                self.after_taking_back(segment, first);
            }
        }
    }

    /// Takes in the blocks that an inbox has counted.
    pub(super) fn collect_counted(&self, segment: &Segment, inbox: &Inbox, count: u32) {
        let first = segment.first_of_inbox(inbox);
        let start = segment.address() + first * SLICE_BYTES;
        let Some(class) = inbox.content().class() else {
            debug_assert_eq!(count, 1);
            segment.bits().take_remote(start);
            self.free_run(segment, first);
            return;
        };
        let slices = first..first + segment.run_slices(first);
        let mark = |offset| mark_home(segment, first, class, segment.at(offset).cast());
        if segment.bits().settle(slices, count, mark) < count {
            // Two threads freed a block at the same moment, and each took it for live.
            misuse::abort(crate::error::FreeError::DoubleFree, start);
        }
        self.came_home(segment, first, count);
    }

    /// Draws the order in which a new page is cut.
    pub(super) fn shuffle(&self, page: &Page) {
        page.shuffle(self.stashes().random());
    }
}
