//! How blocks go home to their pages, and how those that are at home go out again.
//!
//! A page knows by a bit that a block is at home. What other threads freed comes as a chain in the blocks
//! themselves, and stays one until it goes out, except where the profile does not trust what lies in free
//! blocks: there the chain is taken apart, and nothing of it is believed that the block bits do not confirm. A
//! write to a free block may change an address in it. Before such an address is followed, it has to be
//! that of a block of the chain's page which another thread has freed. So a changed address never leads
//! outside of the page, nor to a block that the application has.

use super::{Heap, segment_of_page};
use crate::block_bits::Taking;
use crate::block_list::{Block, BlockList, node_room};
use crate::geometry::{SLICE_BYTES, block_bytes};
use crate::home_bits::words_of;
use crate::misuse;
use crate::page::Page;
use crate::reciprocal::{block_index, is_multiple};
use crate::segment::Segment;

/// Hands out so many blocks that are at home in a page, which are there: what came as chains, then others in
/// the order of their addresses.
pub(super) fn take_home(page: &Page, count: u32, mut each: impl FnMut(*mut Block)) {
    let segment = segment_of_page(page);
    let first = segment.first_of_page(page);
    let start = segment.at(first * SLICE_BYTES);
    let left = count - page.take_listed(start, count, &mut each);
    if left == 0 {
        return;
    }
    let bytes = block_bytes(page.class());
    let words = usize::from(page.lowest_home.get())..words_of(page.carved.get());
    let show = |index| each(start.wrapping_add(index * bytes).cast());
    let (taken, word) = segment.home_bits(first).take(words, left, show);
    debug_assert_eq!(taken, left, "P2");
    #[expect(clippy::cast_possible_truncation, reason = "at most 256 words")]
    page.lowest_home.set(word as u16);
    page.used.set(page.used.get() + taken);
}

/// A block of this class is at home.
///
/// # Safety
///
/// It is a block of the page that begins with slice `first`, which nobody else uses, counted as used.
#[inline]
pub(super) unsafe fn put_home(segment: &Segment, first: usize, class: usize, block: *mut Block) {
    let page = segment.page(first);
    mark_home(segment, first, class, block);
    page.used.set(page.used.get() - 1);
}

/// Says of a block of this class that it is at home, and does not count it.
#[inline]
pub(super) fn mark_home(segment: &Segment, first: usize, class: usize, block: *mut Block) {
    debug_assert_eq!(segment.page(first).class(), class);
    let offset = block.addr() - segment.address() - first * SLICE_BYTES;
    let word = segment.home_bits(first).put(block_index(offset, class));
    let lowest = &segment.page(first).lowest_home;
    if word < usize::from(lowest.get()) {
        #[expect(clippy::cast_possible_truncation, reason = "below a number of 16 bits")]
        lowest.set(word as u16);
    }
}

impl Heap {
    /// Takes in a chain of other threads, `count` blocks of one run, of which nothing is believed. Ends the
    /// process if it is not one.
    pub(super) fn collect_doubted(
        &self,
        segment: &Segment,
        first: usize,
        chain: BlockList,
        count: u32,
    ) {
        let class = segment.inbox(first).content().class();
        let is_block = |block: *mut Block| match class {
            Some(class) => is_of_page(segment, first, class, block),
            None => block.addr() == segment.address() + first * SLICE_BYTES,
        };
        let room = class.map_or(0, |class| node_room(block_bytes(class)));
        let mut taking = Taking::new(segment.bits());
        let mut found = 0;
        // SAFETY: the blocks are the page's, and were given up by who freed them.
        let walked = unsafe {
            chain.for_each_believed(segment.at(first * SLICE_BYTES), room, |block| {
                found += 1;
                let believed = found <= count && is_block(block) && taking.take(block.addr());
                if let (true, Some(class)) = (believed, class) {
                    mark_home(segment, first, class, block);
                }
                believed
            })
        };
        taking.finish();
        match walked {
            Ok(()) if found == count => {}
            Ok(()) => misuse::abort_damaged(chain.head().addr()),
            Err(block) => misuse::abort_damaged(block.addr()),
        }
        match class {
            Some(_) => self.came_home(segment, first, count),
            None => self.free_run(segment, first),
        }
    }

    /// Counts blocks whose bits say that they are at home.
    pub(super) fn came_home(&self, segment: &Segment, first: usize, count: u32) {
        let used = &segment.page(first).used;
        used.set(used.get() - count);
        self.after_taking_back(segment, first);
    }
}

/// Whether the address is that of a block of this page.
fn is_of_page(segment: &Segment, first: usize, class: usize, block: *mut Block) -> bool {
    let page_bytes = segment.run_slices(first) * SLICE_BYTES;
    let start = segment.address() + first * SLICE_BYTES;
    let offset = block.addr().wrapping_sub(start);
    offset <= page_bytes - block_bytes(class) && is_multiple(offset, class)
}
