//! What a checked heap believes of the lists that lie in its free blocks: nothing that its bits do not
//! confirm.
//!
//! A write to a free block may change an address in it. Before such an address is followed, it has to be
//! that of a block of the list's page, and the bits have to say that the block is where the list says it
//! is. So a changed address never leads outside of the page, nor to a block that the application has. One
//! that leads to another free block of the page is found when that goes out for the second time.

use core::ptr;

use super::{Heap, segment_of_page};
use crate::block_list::{Block, BlockList, node_room};
use crate::geometry::{SLICE_BYTES, block_bytes};
use crate::misuse;
use crate::page::Page;
use crate::reciprocal::is_multiple;
use crate::segment::Segment;

/// Whether the address is that of a block of this page.
fn is_of_page(segment: &Segment, first: usize, class: usize, block: *mut Block) -> bool {
    let page_bytes = segment.run_slices(first) * SLICE_BYTES;
    let start = segment.address() + first * SLICE_BYTES;
    let offset = block.addr().wrapping_sub(start);
    offset <= page_bytes - block_bytes(class) && is_multiple(offset, class)
}

impl Heap {
    /// Hands out so many blocks that are at home in a page. In a checked arena, only if the page's list is
    /// to be believed; ends the process if not.
    pub(super) fn take_home(&self, page: &Page, count: u32, mut each: impl FnMut(*mut Block)) {
        if self.core().level().is_checked() {
            (0..count).for_each(|_| each(take_believed(page)));
        } else {
            page.take(count, each);
        }
    }
}

/// Hands out a block that is at home in a page, of which there is one, if its list is to be believed.
fn take_believed(page: &Page) -> *mut Block {
    let segment = segment_of_page(page);
    let (first, class) = (segment.first_of_page(page), page.class());
    let is_free = |block: *mut Block| {
        is_of_page(segment, first, class, block) && segment.bits().is_free(block.addr())
    };
    // The first node was looked at when it came to be the first.
    let list = page.free.get();
    // SAFETY: blocks at home are the page's own.
    if !unsafe { list.has_room_for_its_count(node_room(block_bytes(class))) } {
        misuse::abort_damaged(list.head().addr());
    }
    let mut block = ptr::null_mut();
    page.take(1, |taken| block = taken);
    // P2. A list that ends too soon would be followed to null, one that ends too late is of other blocks.
    if page.free.get().is_empty() != (page.used.get() == page.carved.get()) {
        misuse::abort_damaged(block.addr());
    }
    for found in [block, page.free.get().head()] {
        if !found.is_null() && !is_free(found) {
            misuse::abort_damaged(found.addr());
        }
    }
    block
}

/// Marks the blocks of a list from other threads free, `count` of one page. Ends the process if the list
/// is not to be believed.
pub(super) fn settle(segment: &Segment, first: usize, blocks: BlockList, count: u32) {
    let class = segment.inbox(first).content().class();
    let is_sent = |block: *mut Block| {
        let is_block = match class {
            Some(class) => is_of_page(segment, first, class, block),
            None => block.addr() == segment.address() + first * SLICE_BYTES,
        };
        is_block && segment.bits().is_sent(block.addr())
    };
    let room = class.map_or(0, |class| node_room(block_bytes(class)));
    let mut found = 0;
    // SAFETY: the blocks are the page's, and were given up by who freed them.
    let walked = unsafe {
        blocks.for_each_believed(room, |block| {
            found += 1;
            let believed = found <= count && is_sent(block);
            if believed {
                segment.bits().take_remote(block.addr());
            }
            believed
        })
    };
    match walked {
        Ok(()) if found == count => {}
        Ok(()) => misuse::abort_damaged(blocks.head().addr()),
        Err(block) => misuse::abort_damaged(block.addr()),
    }
}
