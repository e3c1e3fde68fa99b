//! Random numbers, and requests drawn from them.

use drystone_core::NonZeroLayout;

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.word() % end as u64) as usize
    }

    /// Never zero: what a byte is changed by.
    pub(crate) fn change(&mut self) -> u8 {
        self.below(255) as u8 + 1
    }

    /// A layout of at most `size_max` bytes, aligned to at most 64.
    pub(crate) fn layout(&mut self, size_max: usize) -> NonZeroLayout {
        let size = self.below(size_max) + 1;
        NonZeroLayout::from_size_align(size, 1 << self.below(7)).expect("a small layout")
    }
}
