//! [`Fill`]: what a hardened arena writes over a block that was freed, and looks for before it hands
//! the block out again.
//!
//! The word is the arena's own, drawn when its first heap begins. As a pointer it is odd and, on
//! 64-bit systems, no address that a program can have: who follows one out of a freed block faults.

use core::slice;

use crate::random;

/// The word that free blocks consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill(usize);

impl Fill {
    /// A fill of the system's random source; never 0.
    pub(crate) fn draw() -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "as many bits as there are")]
        let word = random::draw() as usize;
        // Addresses have equal bits at the top.
        let not_an_address = word & !(3 << (usize::BITS - 2)) | 1 << (usize::BITS - 2);
        Self(not_an_address | 1)
    }

    pub(crate) const fn from_word(word: usize) -> Self {
        Self(word)
    }

    pub(crate) const fn word(self) -> usize {
        self.0
    }

    /// Overwrites a block.
    ///
    /// # Safety
    ///
    /// The block has so many bytes, a multiple of a word's size, is aligned to a word, and is the
    /// caller's alone.
    #[inline]
    pub(crate) unsafe fn write(self, block: *mut u8, bytes: usize) {
        // SAFETY: the caller's promise; any bits are a word.
        let words =
            unsafe { slice::from_raw_parts_mut(block.cast::<usize>(), bytes / size_of::<usize>()) };
        words.fill(self.0);
    }

    /// The offset of the first byte of a filled block that has changed since.
    ///
    /// # Safety
    ///
    /// As [`write`](Self::write), and the block was filled.
    #[inline]
    pub(crate) unsafe fn first_change(self, block: *const u8, bytes: usize) -> Option<usize> {
        // SAFETY: the caller's promise.
        let words =
            unsafe { slice::from_raw_parts(block.cast::<usize>(), bytes / size_of::<usize>()) };
        // All of them, so that the loop has no branch.
        let changed = words.iter().fold(0, |bits, word| bits | (word ^ self.0));
        if changed == 0 {
            return None;
        }
        self.find(words)
    }

    #[cold]
    fn find(self, words: &[usize]) -> Option<usize> {
        let fill = self.0.to_ne_bytes();
        words
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .zip(fill.into_iter().cycle())
            .position(|(have, expected)| have != expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_changed_is_found() {
        const BYTES: usize = 10 * size_of::<usize>();
        let fill = Fill::draw();
        let mut words = [0usize; 10];
        let block = words.as_mut_ptr().cast::<u8>();
        for offset in 0..BYTES {
            // SAFETY: the array's words.
            unsafe { fill.write(block, BYTES) };
            // SAFETY: as above.
            assert_eq!(unsafe { fill.first_change(block, BYTES) }, None);
            for also in [offset, BYTES - 1] {
                // SAFETY: inside the array.
                let byte = unsafe { block.add(also) };
                // SAFETY: as above.
                let old = unsafe { byte.read() };
                // SAFETY: as above.
                unsafe { byte.write(!old) };
                if also == BYTES - 1 && also == offset {
                    continue;
                }
                // SAFETY: as above.
                assert_eq!(unsafe { fill.first_change(block, BYTES) }, Some(offset));
            }
        }
    }

    #[test]
    fn the_word_is_no_address() {
        for _ in 0..100 {
            let word = Fill::draw().word();
            assert_eq!(word & 1, 1);
            assert_eq!(word >> (usize::BITS - 2), 1);
        }
    }
}
