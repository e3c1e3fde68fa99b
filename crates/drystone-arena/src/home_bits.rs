//! [`HomeBits`]: which blocks of a page are at home, a bit for each.
//!
//! # What
//!
//! A block that goes home is not touched: its page's bit says where it is. So blocks of many pages that
//! go home in any order cost no miss of the cache each, and go out again in the order of their
//! addresses.
//!
//! # Memory picture
//!
//! ```text
//!  the second slice of a segment
//!   ┌ page of slice 0: blocks 0 .. 1023 | page of slice 1: blocks 0 .. 1023 | ...     8 KiB
//!   ├ page of slice 0: blocks 1024 ..   | ...                                         8 KiB
//!   └ up to block 8191, for the smallest class
//! ```
//!
//! Pages of blocks of 64 bytes and more have all of their bits in the first 8 KiB, which are two pages of
//! the system; the rest has no memory before smaller blocks go home.
//!
//! # Threads
//!
//! Only the owner of the segment.
//!
//! # Cost
//!
//! Two loads and a store for a block that goes home; for those that go out a load and a store for each word.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ops::Range;

use crate::geometry::{SLICE_BYTES, SLICES};

const WORD_BITS: usize = usize::BITS as usize;

/// The bits of a page that lie together, and the words of them.
const GROUP_BITS: usize = 1024;
const GROUP_WORDS: usize = GROUP_BITS / WORD_BITS;

/// The most blocks of a page: of 8 bytes in one slice.
const BLOCKS_MAX: usize = SLICE_BYTES / 8;

/// The slices that the bits of a segment take.
pub(crate) const HOME_SLICES: usize = SLICES * BLOCKS_MAX / 8 / SLICE_BYTES;

const _: () = assert!(HOME_SLICES * SLICE_BYTES * 8 == SLICES * BLOCKS_MAX);

/// The bits of the page that begins with one slice. Zero bytes say that none of its blocks is at home.
#[derive(Clone, Copy)]
pub(crate) struct HomeBits<'a> {
    words: *const Cell<usize>,
    slice: usize,
    segment: PhantomData<&'a Cell<usize>>,
}

/// How many words have the bits of so many blocks.
pub(crate) const fn words_of(blocks: u32) -> usize {
    (blocks as usize).div_ceil(WORD_BITS)
}

/// The lowest `most` of the set bits.
pub(crate) fn lowest(bits: usize, most: u32) -> usize {
    let mut left = bits;
    for _ in 0..most.min(bits.count_ones()) {
        left &= left - 1;
    }
    bits & !left
}

/// The numbers of the set bits, the lowest first.
#[inline]
pub(crate) fn set_bits(mut bits: usize) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let bit = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        Some(bit)
    })
}

impl HomeBits<'_> {
    /// # Safety
    ///
    /// [`HOME_SLICES`] slices of words begin there, and live as long as the answer.
    #[inline(always)]
    pub(crate) unsafe fn at(words: *const u8, slice: usize) -> Self {
        debug_assert!(slice < SLICES);
        Self {
            words: words.cast(),
            slice,
            segment: PhantomData,
        }
    }

    #[inline(always)]
    fn word(&self, index: usize) -> &Cell<usize> {
        debug_assert!(index < BLOCKS_MAX / WORD_BITS);
        let group = index / GROUP_WORDS * SLICES + self.slice;
        let place = group * GROUP_WORDS + index % GROUP_WORDS;
        // SAFETY: inside the slices, by the promise that was made to `at`.
        let word = unsafe { self.words.add(place) };
        // SAFETY: as above; zero bytes are a word.
        unsafe { &*word }
    }

    /// The block is at home, and was not. The answer is the word of its bit.
    #[inline(always)]
    pub(crate) fn put(self, block: usize) -> usize {
        let (index, bit) = (block / WORD_BITS, 1 << (block % WORD_BITS));
        let word = self.word(index);
        debug_assert_eq!(word.get() & bit, 0, "P2");
        word.set(word.get() | bit);
        index
    }

    /// Takes the first blocks that are at home, up to `most`, from the words in the range, and shows them.
    /// The answer is how many there were, and the word where that ended.
    #[inline]
    pub(crate) fn take(
        self,
        words: Range<usize>,
        most: u32,
        mut each: impl FnMut(usize),
    ) -> (u32, usize) {
        let mut left = most;
        for index in words.clone() {
            let word = self.word(index);
            let chosen = lowest(word.get(), left);
            if chosen == 0 {
                continue;
            }
            word.set(word.get() & !chosen);
            left -= chosen.count_ones();
            set_bits(chosen).for_each(|bit| each(index * WORD_BITS + bit));
            if left == 0 {
                return (most, index);
            }
        }
        (most - left, words.end)
    }

    /// None of so many blocks is at home.
    pub(crate) fn clear(self, blocks: u32) {
        (0..words_of(blocks)).for_each(|index| self.word(index).set(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::vec::Vec;

    #[test]
    fn the_lowest_bits_are_chosen() {
        assert_eq!(lowest(0b1011_0100, 0), 0);
        assert_eq!(lowest(0b1011_0100, 2), 0b0001_0100);
        assert_eq!(lowest(0b1011_0100, 9), 0b1011_0100);
        assert_eq!(lowest(0, 3), 0);
        assert_eq!(lowest(usize::MAX, u32::MAX), usize::MAX);
    }

    #[test]
    fn each_page_takes_its_own_blocks_in_the_order_of_addresses() {
        let memory: Vec<usize> = std::vec![0; HOME_SLICES * SLICE_BYTES / size_of::<usize>()];
        // SAFETY: so many slices of words, which live as long as the test.
        let bits = |slice| unsafe { HomeBits::at(memory.as_ptr().cast(), slice) };
        let blocks = [0, 1, 63, 64, 1023, 1024, 2047, 4096, 8191];
        for slice in [0, 1, SLICES - 1] {
            for block in blocks.iter().rev() {
                let word = bits(slice).put(*block);
                assert_eq!(word, block / WORD_BITS);
            }
        }
        let all = 0..words_of(8192);
        let mut taken = Vec::new();
        let (count, word) = bits(1).take(all.clone(), 4, |block| taken.push(block));
        assert_eq!((count, word), (4, 64 / WORD_BITS));
        let (count, word) = bits(1).take(word..all.end, 9, |block| taken.push(block));
        assert_eq!((count, word), (5, all.end));
        assert_eq!(taken, blocks);
        bits(0).clear(8192);
        assert_eq!(bits(0).take(all.clone(), 1, |_| ()), (0, all.end));
        let (count, _) = bits(SLICES - 1).take(all, 8192, |_| ());
        assert_eq!(count as usize, blocks.len(), "another page's bits changed");
    }
}
