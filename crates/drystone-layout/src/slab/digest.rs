//! [`Digest`]: the hash behind `Inspect::state_digest`.

/// A running hash: each word is mixed in by the finaliser of SplitMix64 (Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014), a bijection, so two sequences of one
/// length that differ in one word never collide.
pub(crate) struct Digest(u64);

impl Digest {
    /// The hash of nothing.
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a word.
    pub(crate) fn add(&mut self, word: u64) {
        let mut mixed = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
    }

    /// Adds an offset or a count.
    pub(crate) fn add_size(&mut self, size: usize) {
        self.add(size as u64);
    }

    /// The hash.
    pub(crate) const fn finish(self) -> u64 {
        self.0
    }
}
