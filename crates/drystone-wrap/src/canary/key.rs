//! [`Key`]: what makes the words around a block hard to guess.

use core::ptr;

use drystone_sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::frame::Extent;

/// A key, which may wait for the first block to be made.
#[derive(Debug)]
pub(super) struct Key {
    words: [u64; 2],
    /// Mixed into the words; 0 until it is chosen.
    seed: AtomicUsize,
}

/// The words around one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    /// Before the block.
    pub(super) front: u64,
    /// Behind it. The first byte in memory is never zero, so that a zero written there shows; the
    /// last is always zero, so that a string that runs on stops there.
    pub(super) back: u64,
}

impl Key {
    const_unless_loom! {
        /// A key that is chosen at its first use.
        pub(super) const fn later() -> Self {
            // Digits of pi: of no meaning, and with as many ones as zeros.
            Self::seeded([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344], 0)
        }
    }

    const_unless_loom! {
        /// This key.
        pub(super) const fn fixed(key: [u8; 16]) -> Self {
            let bits = u128::from_le_bytes(key);
            #[allow(clippy::cast_possible_truncation, reason = "the halves")]
            let words = [bits as u64, (bits >> 64) as u64];
            Self::seeded(words, 1)
        }
    }

    const_unless_loom! {
        const fn seeded(words: [u64; 2], seed: usize) -> Self {
            Self {
                words,
                seed: AtomicUsize::new(seed),
            }
        }
    }

    /// The words around a new block at `address`. Chooses the key if there is none yet.
    #[inline]
    pub(super) fn seal_new(&self, address: usize, extent: Extent) -> Seal {
        let seed = match self.seed() {
            0 => self.choose(address),
            chosen => chosen,
        };
        self.seal_with(seed, address, extent)
    }

    /// The words around the live block at `address`.
    #[inline]
    pub(super) fn seal(&self, address: usize, extent: Extent) -> Seal {
        self.seal_with(self.seed(), address, extent)
    }

    #[inline]
    fn seed(&self) -> usize {
        // Relaxed: the word is written once, and read alone.
        self.seed.load(Relaxed)
    }

    /// Both words come of one folded multiplication, as in wyhash (Wang Yi, 2019): every bit of
    /// address, extent and key reaches them. It is quick and no cipher.
    #[inline]
    fn seal_with(&self, seed: usize, address: usize, extent: Extent) -> Seal {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let seed = seed as u64;
        let left = address as u64 ^ self.words[0] ^ seed;
        let right = extent.0 ^ self.words[1] ^ seed.rotate_left(32);
        let product = u128::from(left) * u128::from(right);
        #[allow(clippy::cast_possible_truncation, reason = "the halves")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        let back = (low.rotate_left(29) ^ high).wrapping_mul(ODD);
        Seal {
            front: low ^ high,
            back: (back & (u64::MAX >> 8)) | 1,
        }
    }

    /// Chooses the seed from what differs between two runs of a program: where the system put the
    /// stack, the key and the first block.
    #[cold]
    #[inline(never)]
    fn choose(&self, address: usize) -> usize {
        let local = 0_u8;
        let mut seed = address as u64;
        for part in [ptr::from_ref(&local).addr(), ptr::from_ref(self).addr()] {
            seed = (seed ^ part as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            seed ^= seed >> 29;
        }
        #[allow(clippy::cast_possible_truncation, reason = "as many bits as there are")]
        let seed = seed as usize | 1;
        // Relaxed: the word is all there is to see. The first thread's choice stands.
        match self.seed.compare_exchange(0, seed, Relaxed, Relaxed) {
            Ok(_) => seed,
            Err(chosen) => chosen,
        }
    }
}
