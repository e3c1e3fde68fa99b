//! [`Frame`]: what a stack remembers of a block, packed into words. Plain numbers, no pointers.
#![forbid(unsafe_code)]

/// The bytes of a word: the alignment of every block, and what a block costs.
pub(super) const WORD: usize = size_of::<usize>();

/// The block has been freed and waits for those above it.
const FREED: usize = 1;

/// Another word, below this one, holds how far the frame starts below the block.
const PADDED: usize = 2;

/// The word before each block.
///
/// Blocks lie a multiple of [`WORD`] apart, so that the low bits of the distance are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header(usize);

impl Header {
    /// The header of a live block that lies `distance` bytes above the block below, or at the
    /// bottom where that is 0.
    #[inline]
    pub(super) const fn new(distance: usize, padded: bool) -> Self {
        debug_assert!(distance.is_multiple_of(WORD));
        Self(distance | if padded { PADDED } else { 0 })
    }

    #[inline]
    pub(super) const fn from_word(word: usize) -> Self {
        Self(word)
    }

    #[inline]
    pub(super) const fn to_word(self) -> usize {
        self.0
    }

    /// How far below the next block lies; 0 at the bottom.
    #[inline]
    pub(super) const fn distance(self) -> usize {
        self.0 & !(FREED | PADDED)
    }

    #[inline]
    pub(super) const fn is_freed(self) -> bool {
        self.0 & FREED != 0
    }

    #[inline]
    pub(super) const fn is_padded(self) -> bool {
        self.0 & PADDED != 0
    }

    #[inline]
    pub(super) const fn freed(self) -> Self {
        Self(self.0 | FREED)
    }
}

/// Where a frame that starts at `start` keeps its words, if its block is at `block`: whether there
/// is room for the second word below the first. Less padding than a word is not remembered: the
/// next block would be padded by it again.
#[inline]
pub(super) const fn has_padding(start: usize, block: usize) -> bool {
    block - start >= 2 * WORD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_keeps_its_parts_apart() {
        for distance in [0, WORD, 5 * WORD, usize::MAX & !(WORD - 1)] {
            for padded in [false, true] {
                let header = Header::from_word(Header::new(distance, padded).to_word());
                for header in [header, header.freed()] {
                    assert_eq!((header.distance(), header.is_padded()), (distance, padded));
                }
                assert!(header.freed().is_freed() && !header.is_freed());
            }
        }
    }
}
