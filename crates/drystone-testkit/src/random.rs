//! [`Random`]: numbers and layouts for tests, the same for the same seed.

use drystone_core::NonZeroLayout;

/// Random numbers that depend on the seed alone, on every machine: SplitMix64 (Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014). Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed, from the first.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    ///
    /// # Panics
    ///
    /// If `end` is 0.
    #[expect(clippy::cast_possible_truncation, reason = "below a usize")]
    pub fn below(&mut self, end: usize) -> usize {
        (self.word() % end as u64) as usize
    }

    /// Never zero: what a byte is changed by.
    #[expect(clippy::cast_possible_truncation, reason = "below 255")]
    pub fn change(&mut self) -> u8 {
        self.below(255) as u8 + 1
    }

    /// A layout of 1 to `size_max` bytes, aligned to at most 64.
    ///
    /// # Panics
    ///
    /// If `size_max` is 0 or so large that no layout has as many bytes.
    pub fn layout(&mut self, size_max: usize) -> NonZeroLayout {
        let size = self.below(size_max) + 1;
        NonZeroLayout::from_size_align(size, 1 << self.below(7)).expect("a small layout")
    }
}
