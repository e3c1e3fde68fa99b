//! [`Digest`]: the hash behind `Inspect::state_digest`, FNV-1a of 64 bits over words.

/// A running hash.
pub(crate) struct Digest(u64);

impl Digest {
    /// The hash of nothing.
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a word.
    pub(crate) fn add(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
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
