//! What the two bits of a block say in a hardened arena, where free blocks are in no lists.
//!
//! | live | remote | the block |
//! |---|---|---|
//! | 1 | 0 | is handed out |
//! | 1 | 1 | was freed by another thread, and its page has not taken it in |
//! | 0 | 0 | is in its heap's stash or at home, or was never cut |
//!
//! A page tells blocks that others freed by their bits, and only how many by its inbox. A bit may be
//! seen before the inbox counts it: the page then takes that block in for another one, whose bit it
//! finds later. So it never takes in more than the inbox has counted, and `used` stays above 0 while
//! anything is on its way.

use core::ops::Range;

use drystone_sync::atomic::Ordering;

use super::{BlockBits, GRANULE_BYTES, WORD_BITS, WORDS, place};
use crate::geometry::SLICES;
use crate::home_bits::{lowest, set_bits};

/// The words of one slice.
const SLICE_WORDS: usize = WORDS / SLICES;

/// The words of a run of slices.
fn words_of(slices: Range<usize>) -> Range<usize> {
    slices.start * SLICE_WORDS..slices.end * SLICE_WORDS
}

/// The offsets in the segment that the bits of a word stand for.
fn offsets(word: usize, bits: usize) -> impl Iterator<Item = usize> {
    set_bits(bits).map(move |bit| (word * WORD_BITS + bit) * GRANULE_BYTES)
}

impl BlockBits<'_> {
    /// Another thread frees the block, which it has filled. Whether it is the first to do so.
    pub(crate) fn set_sent(self, address: usize) -> bool {
        let (word, bit) = place(address);
        // Release: pairs with the Acquire in `settle`, for the fill.
        self.remote(word).fetch_or(bit, Ordering::Release) & bit == 0
    }

    /// Owner only: takes in `count` blocks of the run that other threads freed, and shows their offsets in the
    /// segment. How many were found; the inbox has counted them after their bits were set, so all.
    pub(crate) fn settle(
        self,
        slices: Range<usize>,
        count: u32,
        mut each: impl FnMut(usize),
    ) -> u32 {
        let mut settled = 0;
        for word in words_of(slices) {
            let live = self.live(word).load(Ordering::Relaxed);
            // Acquire: pairs with the Release in `set_sent`, for the fill.
            let sent = self.remote(word).load(Ordering::Acquire) & live;
            let chosen = lowest(sent, count - settled);
            if chosen == 0 {
                continue;
            }
            self.take_sent(word, chosen);
            offsets(word, chosen).for_each(&mut each);
            settled += chosen.count_ones();
            if settled == count {
                break;
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_the_bits() {
        let found: Vec<_> = offsets(2, 0b101).collect();
        let start = 2 * WORD_BITS * GRANULE_BYTES;
        assert_eq!(found, [start, start + 2 * GRANULE_BYTES]);
    }
}
