//! [`BlockList`]: free blocks of one page, listed in the blocks themselves.
//!
//! # What
//!
//! Some blocks of a list are nodes. A node has the address of the next one in its first word and, where it
//! is large enough, those of up to seven other blocks in the words behind. So of eight blocks of
//! 64 bytes or more that go into a list or come out, seven are not touched.
//!
//! # Memory picture
//!
//! ```text
//!  head ──> [ next | 2 | block | block |   ] ──> [ null | 0 | ... ]
//!                └ in the low bits of the same word
//! ```
//!
//! # Invariants
//!
//! - L1: the low three bits of a node's first word say how many addresses follow; the others are the
//!   next node, whose address is a multiple of 8.
//! - L2: a word that an address was taken from is zero.

use core::ptr;

const COUNT_MASK: usize = 7;

/// A free block. As a node it begins with the next one and a count.
#[derive(Debug)]
pub(crate) struct Block {
    link: *mut Block,
}

/// How many addresses a node of so many bytes has room for.
#[inline]
pub(crate) const fn node_room(bytes: usize) -> usize {
    let words = bytes / size_of::<*mut Block>();
    if words > COUNT_MASK {
        COUNT_MASK
    } else {
        words.saturating_sub(1)
    }
}

/// A list of free blocks, the newest first. A copy is the same list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockList {
    head: *mut Block,
}

/// The place of a node's address with this number, from 1 on.
///
/// # Safety
///
/// The node has room for it.
#[inline(always)]
unsafe fn place(node: *mut Block, number: usize) -> *mut *mut Block {
    // SAFETY: the caller's promise.
    unsafe { node.cast::<*mut Block>().add(number) }
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

    /// The first node; null if there is none.
    #[inline]
    pub(crate) const fn head(self) -> *mut Block {
        self.head
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.head.is_null()
    }

    /// Puts a block in front. `room` is what [`node_room`] says of the blocks of this list.
    ///
    /// # Safety
    ///
    /// The blocks of the list, and this one, are the caller's alone, and are all of the same size.
    #[inline]
    pub(crate) unsafe fn push(&mut self, block: *mut Block, room: usize) {
        let head = self.head;
        if !head.is_null() {
            // SAFETY: L1.
            let link = unsafe { (*head).link };
            let count = link.addr() & COUNT_MASK;
            if count < room {
                // SAFETY: the node has room.
                let place = unsafe { place(head, count + 1) };
                // SAFETY: inside the node.
                unsafe { place.write(block) };
                // SAFETY: L1.
                unsafe { (*head).link = link.wrapping_byte_add(1) };
                return;
            }
        }
        // SAFETY: the block is the caller's.
        unsafe { (*block).link = head };
        self.head = block;
    }

    /// Takes so many blocks out, which there are, the newest first.
    ///
    /// # Safety
    ///
    /// The blocks of the list are the caller's alone.
    #[inline]
    pub(crate) unsafe fn pop_each(&mut self, most: u32, mut each: impl FnMut(*mut Block)) {
        let mut left = most as usize;
        while left > 0 {
            let node = self.head;
            debug_assert!(!node.is_null());
            // SAFETY: L1.
            let link = unsafe { (*node).link };
            let count = link.addr() & COUNT_MASK;
            let kept = count.saturating_sub(left);
            for number in (kept + 1..=count).rev() {
                // SAFETY: L1.
                let place = unsafe { place(node, number) };
                // SAFETY: L1; the word is cleared for L2.
                each(unsafe { place.replace(ptr::null_mut()) });
            }
            if left <= count {
                // SAFETY: L1.
                unsafe { (*node).link = link.wrapping_byte_sub(left) };
                return;
            }
            left -= count + 1;
            self.head = link.wrapping_byte_sub(count);
            each(node);
        }
    }

    /// Shows every block, nodes before what they hold, as long as `believes` says yes, and leaves no address
    /// behind in those. No address is followed before it was shown.
    ///
    /// # Errors
    ///
    /// The first block that was not believed, or a node that says it holds more than `room`.
    ///
    /// # Safety
    ///
    /// What is believed is a block of the list, which is the caller's alone.
    pub(crate) unsafe fn take_apart(
        self,
        room: usize,
        mut believes: impl FnMut(*mut Block) -> bool,
    ) -> Result<(), *mut Block> {
        let mut node = self.head;
        while !node.is_null() {
            if !believes(node) {
                return Err(node);
            }
            // SAFETY: the caller's promise.
            let link = unsafe { ptr::replace(&raw mut (*node).link, ptr::null_mut()) };
            let count = link.addr() & COUNT_MASK;
            if count > room {
                return Err(node);
            }
            for number in 1..=count {
                // SAFETY: the node has room.
                let place = unsafe { place(node, number) };
                // SAFETY: inside the node.
                let block = unsafe { place.replace(ptr::null_mut()) };
                if !believes(block) {
                    return Err(block);
                }
            }
            node = link.wrapping_byte_sub(count);
        }
        Ok(())
    }
}

/// Makes `next` follow a node that was the last of a list.
///
/// # Safety
///
/// The node is the caller's alone.
pub(crate) unsafe fn append(last: *mut Block, next: BlockList) {
    // SAFETY: L1.
    let count = unsafe { (*last).link }.addr() & COUNT_MASK;
    // SAFETY: L1.
    unsafe { (*last).link = next.head.wrapping_byte_add(count) };
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::vec::Vec;

    fn pop(list: &mut BlockList) -> *mut Block {
        let mut popped = ptr::null_mut();
        // SAFETY: the blocks are the test's.
        unsafe { list.pop_each(1, |block| popped = block) };
        popped
    }

    #[test]
    fn a_list_gives_back_the_newest_first_whatever_was_done_in_between() {
        let room = node_room(size_of::<[usize; 5]>());
        assert_eq!(room, 4);
        let mut memory = Vec::from([[7_usize; 5]; 40]);
        let first = memory.as_mut_ptr();
        let block = |index| first.wrapping_add(index).cast::<Block>();
        let mut list = BlockList::EMPTY;
        let mut model = Vec::new();
        for round in 0..200 {
            // More goes in than comes out in the first half, and less in the second.
            let put = if round < 100 {
                round % 3 != 0
            } else {
                round % 3 == 0
            };
            let unused = (0..40).find(|index| !model.contains(index));
            match unused {
                Some(index) if put => {
                    // SAFETY: the block is in no list, and all are this test's.
                    unsafe { list.push(block(index), room) };
                    model.push(index);
                }
                _ if !model.is_empty() => {
                    let popped = pop(&mut list);
                    let at = model.iter().position(|index| block(*index) == popped);
                    model.remove(at.expect("a block of the list"));
                }
                _ => {}
            }
            assert_eq!(list.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn an_appended_list_follows_and_no_address_stays_behind() {
        let mut memory = [[7_usize; 3]; 6];
        let first = memory.as_mut_ptr();
        let block = |index| first.wrapping_add(index).cast::<Block>();
        let mut lists = [BlockList::EMPTY; 2];
        for index in 0..6 {
            // SAFETY: the block is in no list, and all are this test's.
            unsafe { lists[index / 3].push(block(index), 2) };
        }
        let [mut list, other] = lists;
        assert_eq!(list.head(), block(0));
        // SAFETY: the blocks are this test's.
        unsafe { append(block(0), other) };
        let order: Vec<_> = (0..6).map(|_| pop(&mut list)).collect();
        assert!(list.is_empty());
        assert_eq!(order, [2, 1, 0, 5, 4, 3].map(block));
        assert_eq!(memory[0], [memory[0][0], 0, 0]);
    }

    #[test]
    fn many_come_out_as_one_by_one() {
        for most in 0..=9 {
            let mut memory = [[7_usize; 3]; 9];
            let first = memory.as_mut_ptr();
            let block = |index| first.wrapping_add(index).cast::<Block>();
            let mut list = BlockList::EMPTY;
            for index in 0..9 {
                // SAFETY: the block is in no list, and all are this test's.
                unsafe { list.push(block(index), 2) };
            }
            let mut out = Vec::new();
            // SAFETY: the blocks are this test's.
            unsafe { list.pop_each(most, |block| out.push(block)) };
            while !list.is_empty() {
                out.push(pop(&mut list));
            }
            assert_eq!(out, [8, 7, 6, 5, 4, 3, 2, 1, 0].map(block));
        }
    }

    #[test]
    fn a_node_never_holds_more_than_its_bytes() {
        assert_eq!(node_room(1), 0);
        assert_eq!(node_room(size_of::<*mut Block>()), 0);
        assert_eq!(node_room(3 * size_of::<*mut Block>()), 2);
        assert_eq!(node_room(1 << 16), 7);
    }
}
