//! [`BlockList`]: free blocks of one page, listed in the blocks themselves.
//!
//! # What
//!
//! Blocks on their way from one thread to another are listed without memory of anybody else. Some of them
//! are nodes: a node says where the next one is and where up to 63 others are, as far as it has room. So of
//! 30 blocks of 64 bytes that go from one core to another, one is written and read for that.
//!
//! # Memory picture
//!
//! ```text
//!  head ──> [ next | 3 | block | block | block |   ] ──> [ none | 0 | ... ]
//!             16 bits each, offsets in the page in units of 8 bytes
//! ```
//!
//! # Invariants
//!
//! - L1: the second number of a node says how many blocks follow, and whether the first one is that of
//!   the next node.

use core::ptr;

use crate::geometry::{SLICE_BYTES, page_slices_max};

/// What offsets in a page are multiples of.
const UNIT_BYTES: usize = 8;

const _: () = assert!(page_slices_max() * SLICE_BYTES / UNIT_BYTES - 1 <= u16::MAX as usize);

/// The most blocks that a node lists beside itself.
const ROOM_MAX: usize = 63;

/// In a node's second number: there is a next one.
const HAS_NEXT: u16 = 1 << 15;

/// A free block. As a node it begins with these.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Block {
    next: u16,
    count: u16,
}

/// How many others a node of so many bytes has room for.
#[inline]
pub(crate) const fn node_room(bytes: usize) -> usize {
    let room = (bytes - size_of::<Block>()) / size_of::<u16>();
    if room > ROOM_MAX { ROOM_MAX } else { room }
}

/// A list of free blocks of a page. A copy is the same list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockList {
    head: *mut Block,
}

/// The number that a block has in the page that begins at an address.
#[inline(always)]
pub(crate) fn number_of(block: *mut Block, page: usize) -> u16 {
    let units = (block.addr() - page) / UNIT_BYTES;
    debug_assert!(u16::try_from(units).is_ok(), "a block of another page");
    #[expect(clippy::cast_possible_truncation, reason = "a page has no more units")]
    let number = units as u16;
    number
}

/// The block with this number of the page. Any number gives a pointer.
#[inline(always)]
fn block_at(page: *mut u8, number: u16) -> *mut Block {
    page.wrapping_add(usize::from(number) * UNIT_BYTES).cast()
}

/// Where a node has the number of the block at this place, from 0 on.
///
/// # Safety
///
/// The node has room for it.
#[inline(always)]
unsafe fn place(node: *mut Block, index: usize) -> *mut u16 {
    // SAFETY: the caller's promise.
    unsafe { first_place(node).add(index) }
}

impl BlockList {
    pub(crate) const EMPTY: Self = Self {
        head: ptr::null_mut(),
    };

    /// The list whose first node this is.
    #[inline]
    pub(crate) const fn from_head(head: *mut Block) -> Self {
        Self { head }
    }

    /// The list of this block alone.
    ///
    /// # Safety
    ///
    /// The block is the caller's.
    #[inline]
    pub(crate) unsafe fn of(block: *mut Block) -> Self {
        // SAFETY: the caller's promise.
        unsafe { block.write(Block { next: 0, count: 0 }) };
        Self { head: block }
    }

    /// The first node; null if there is none.
    #[inline]
    pub(crate) const fn head(self) -> *mut Block {
        self.head
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.head.is_null()
    }

    /// Takes so many blocks out, which there are, and shows them.
    ///
    /// # Safety
    ///
    /// The blocks of the list are the caller's alone, and of the page that begins at the pointer.
    #[inline]
    pub(crate) unsafe fn pop_each(
        &mut self,
        page: *mut u8,
        most: u32,
        mut each: impl FnMut(*mut Block),
    ) {
        let mut left = most as usize;
        while left > 0 {
            let node = self.head;
            debug_assert!(!node.is_null());
            // SAFETY: L1.
            let Block { next, count } = unsafe { node.read() };
            let listed = usize::from(count & !HAS_NEXT);
            let kept = listed.saturating_sub(left);
            for index in (kept..listed).rev() {
                // SAFETY: L1.
                let place = unsafe { place(node, index) };
                // SAFETY: L1.
                each(block_at(page, unsafe { place.read() }));
            }
            if left <= listed {
                #[expect(clippy::cast_possible_truncation, reason = "below a number of 16 bits")]
                let kept = kept as u16;
                // SAFETY: L1.
                unsafe { (*node).count = kept | count & HAS_NEXT };
                return;
            }
            left -= listed + 1;
            self.head = following(page, next, count);
            each(node);
        }
    }

    /// Shows every block, nodes before what they list, as long as `believes` says yes. Nothing is read or
    /// written before it was shown.
    ///
    /// # Errors
    ///
    /// The first block that was not believed, or a node that says it lists more than `room`.
    ///
    /// # Safety
    ///
    /// What is believed is a block of the page that begins at the pointer, and is the caller's alone.
    pub(crate) unsafe fn for_each_believed(
        self,
        page: *mut u8,
        room: usize,
        mut believes: impl FnMut(*mut Block) -> bool,
    ) -> Result<(), *mut Block> {
        let mut node = self.head;
        while !node.is_null() {
            if !believes(node) {
                return Err(node);
            }
            // SAFETY: the caller's promise.
            let Block { next, count } = unsafe { node.read() };
            let listed = usize::from(count & !HAS_NEXT);
            if listed > room {
                return Err(node);
            }
            for index in 0..listed {
                // SAFETY: the node has room.
                let place = unsafe { place(node, index) };
                // SAFETY: inside the node.
                let block = block_at(page, unsafe { place.read() });
                if !believes(block) {
                    return Err(block);
                }
            }
            node = following(page, next, count);
        }
        Ok(())
    }
}

/// The next node.
#[inline(always)]
fn following(page: *mut u8, next: u16, count: u16) -> *mut Block {
    if count & HAS_NEXT == 0 {
        ptr::null_mut()
    } else {
        block_at(page, next)
    }
}

/// Where a node that lists nothing has the first number.
#[inline]
pub(crate) fn first_place(node: *mut Block) -> *mut u16 {
    node.wrapping_add(1).cast()
}

/// Writes down that a node which listed nothing lists what was written up to a place.
///
/// # Safety
///
/// The node is the caller's, and [numbers](number_of) of blocks of its page were written from its
/// [first place](first_place) on.
pub(crate) unsafe fn close(node: *mut Block, end: *mut u16) {
    let listed = (end.addr() - first_place(node).addr()) / size_of::<u16>();
    #[expect(clippy::cast_possible_truncation, reason = "at most 63")]
    // SAFETY: the node is the caller's. The other bit stays.
    unsafe {
        (*node).count |= listed as u16;
    }
}

/// Makes a block the first node of a list, before the node `next`.
///
/// # Safety
///
/// The block is the caller's, and of the page at that address, as the other one is.
pub(crate) unsafe fn push_node(next: *mut Block, page: usize, block: *mut Block) {
    let node = Block {
        next: number_of(next, page),
        count: HAS_NEXT,
    };
    // SAFETY: the block is the caller's.
    unsafe { block.write(node) };
}

/// Makes the list `next` follow a node that was the last of one, or nothing, if that is null.
///
/// # Safety
///
/// The node is the caller's alone, and the other one is of the page at that address as well.
pub(crate) unsafe fn append(last: *mut Block, page: usize, next: *mut Block) {
    // SAFETY: L1.
    let listed = unsafe { (*last).count } & !HAS_NEXT;
    let node = if next.is_null() {
        Block {
            next: 0,
            count: listed,
        }
    } else {
        Block {
            next: number_of(next, page),
            count: listed | HAS_NEXT,
        }
    };
    // SAFETY: the node is the caller's.
    unsafe { last.write(node) };
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::vec::Vec;

    /// A page of nine blocks of 24 bytes.
    struct Blocks {
        page: *mut u8,
        _memory: Vec<[usize; 3]>,
    }

    const BLOCKS: usize = 9;
    const BYTES: usize = 24;

    impl Blocks {
        fn new() -> Self {
            let mut memory = Vec::from([[7_usize; 3]; BLOCKS * BYTES / size_of::<[usize; 3]>()]);
            Self {
                page: memory.as_mut_ptr().cast(),
                _memory: memory,
            }
        }

        fn block(&self, index: usize) -> *mut Block {
            self.page.wrapping_add(index * BYTES).cast()
        }

        fn index(&self, block: *mut Block) -> usize {
            (block.addr() - self.page.addr()) / BYTES
        }

        /// These blocks, with up to `room` in each node.
        fn list(&self, blocks: &[usize], room: usize) -> BlockList {
            let page = self.page.addr();
            let mut list = BlockList::EMPTY;
            for chunk in blocks.chunks(room + 1) {
                let node = self.block(chunk[0]);
                if list.is_empty() {
                    // SAFETY: the blocks are this test's, and in no list.
                    unsafe { BlockList::of(node) };
                } else {
                    // SAFETY: as above.
                    unsafe { push_node(list.head(), page, node) };
                }
                let mut place = first_place(node);
                for index in &chunk[1..] {
                    // SAFETY: the node has room.
                    unsafe { place.write(number_of(self.block(*index), page)) };
                    place = place.wrapping_add(1);
                }
                // SAFETY: as many were written.
                unsafe { close(node, place) };
                list = BlockList::from_head(node);
            }
            list
        }

        fn pop(&self, list: &mut BlockList, most: u32) -> Vec<usize> {
            let mut popped = Vec::new();
            // SAFETY: the blocks are this test's.
            unsafe { list.pop_each(self.page, most, |block| popped.push(self.index(block))) };
            popped
        }

        fn walk(&self, list: BlockList, room: usize) -> Result<Vec<usize>, usize> {
            let mut walked = Vec::new();
            let believes = |block: *mut Block| {
                walked.push(self.index(block));
                walked.len() <= BLOCKS && self.index(block) < BLOCKS
            };
            // SAFETY: the blocks are this test's, and others are not believed.
            let answer = unsafe { list.for_each_believed(self.page, room, believes) };
            answer.map(|()| walked).map_err(|block| self.index(block))
        }
    }

    #[test]
    fn every_block_comes_out_once_however_many_at_a_time() {
        for room in 1..=node_room(BYTES) {
            for most in 1..=BLOCKS {
                let blocks = Blocks::new();
                let order = [3, 1, 4, 0, 5, 8, 2, 6, 7];
                let mut list = blocks.list(&order, room);
                assert_eq!(blocks.walk(list, room).expect("a list").len(), BLOCKS);
                #[expect(clippy::cast_possible_truncation, reason = "at most 9")]
                let first = blocks.pop(&mut list, most as u32);
                assert_eq!(list.is_empty(), most == BLOCKS);
                #[expect(clippy::cast_possible_truncation, reason = "at most 9")]
                let rest = blocks.pop(&mut list, (BLOCKS - most) as u32);
                let mut all = [first, rest].concat();
                all.sort_unstable();
                assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
            }
        }
    }

    #[test]
    fn an_appended_list_follows() {
        let blocks = Blocks::new();
        let mut list = blocks.list(&[0, 1, 2, 3], 2);
        let other = blocks.list(&[8, 7], 2);
        // The last node is the first block that was put in.
        // SAFETY: the blocks are this test's.
        unsafe { append(blocks.block(0), blocks.page.addr(), other.head()) };
        assert_eq!(blocks.walk(list, 2), Ok(vec![3, 0, 1, 2, 8, 7]));
        // SAFETY: as above.
        unsafe { append(blocks.block(0), blocks.page.addr(), ptr::null_mut()) };
        assert_eq!(blocks.pop(&mut list, 4), [3, 2, 1, 0]);
        assert!(list.is_empty());
    }

    #[test]
    fn what_is_not_believed_is_not_followed() {
        let blocks = Blocks::new();
        let list = blocks.list(&[0, 1, 2, 3], 2);
        // SAFETY: the blocks are this test's.
        unsafe { append(blocks.block(0), blocks.page.addr(), blocks.block(100)) };
        assert_eq!(blocks.walk(list, 2), Err(100));
        // SAFETY: as above.
        unsafe { append(blocks.block(0), blocks.page.addr(), list.head()) };
        assert_eq!(blocks.walk(list, 2), Err(0), "walked in a circle");
        // SAFETY: as above.
        unsafe { (*list.head()).count = HAS_NEXT | 3 };
        assert_eq!(blocks.walk(list, 2), Err(3), "believed a count");
    }

    #[test]
    fn a_node_never_holds_more_than_its_bytes() {
        assert_eq!(node_room(8), 2);
        assert_eq!(node_room(BYTES), 10);
        assert_eq!(node_room(64), 30);
        assert_eq!(node_room(1 << 16), ROOM_MAX);
    }
}
