//! What lies behind the bytes of a block of the hardened build: a canary, and how many bytes there are.
//!
//! ```text
//!  │ bytes asked for │ canary: 8 bytes to the whole rest │ their number, masked: 8 bytes │
//!  └ block of the arena                                                                  ┘
//! ```
//!
//! The canary is a word of the process's key and the block's address, without a zero byte, so that a
//! string's terminator that is written one byte too far is seen. Of a long rest the first
//! [`CANARY_MAX`] bytes are filled and compared.
#![forbid(unsafe_code)]

/// The bytes that a block needs beside its own.
pub(super) const SEAL_BYTES: usize = CANARY_MIN + NUMBER_BYTES;

const CANARY_MIN: usize = 8;
const CANARY_MAX: usize = 64;

/// The bytes of the number, the last of the block.
pub(super) const NUMBER_BYTES: usize = 8;

/// What a key and a block's address make. Bytes are compared without an early end, so that the time
/// tells nothing of where they differ.
#[derive(Clone, Copy)]
pub(super) struct Seal {
    canary: [u8; 8],
    mask: u64,
}

impl Seal {
    pub(super) fn new(key: u64, address: usize) -> Self {
        let mask = mix(key ^ address as u64);
        Self {
            canary: (mix(mask ^ key) | 0x0101_0101_0101_0101).to_le_bytes(),
            mask,
        }
    }

    /// The number as it is written.
    pub(super) fn masked(self, number: usize) -> u64 {
        number as u64 ^ self.mask
    }

    /// The number that was written, if a block of so many bytes can have had it.
    pub(super) fn number(self, masked: u64, block_bytes: usize) -> Option<usize> {
        let number = usize::try_from(masked ^ self.mask).ok()?;
        (number <= block_bytes.checked_sub(SEAL_BYTES)?).then_some(number)
    }

    /// What a byte of the canary is.
    pub(super) fn byte(self, index: usize) -> u8 {
        self.canary[index % 8]
    }

    /// Whether the rest of a block is as it was filled.
    pub(super) fn is_intact(self, rest: &[u8]) -> bool {
        let differs = |index, byte: &u8| *byte ^ self.byte(index);
        let bytes = rest.iter().enumerate();
        bytes.fold(0, |sum, (index, byte)| sum | differs(index, byte)) == 0
    }
}

/// The bytes of the canary of a block that has so many, and of which so many were asked for.
pub(super) fn canary_bytes(block_bytes: usize, number: usize) -> usize {
    (block_bytes - number - NUMBER_BYTES).min(CANARY_MAX)
}

/// The finaliser of SplitMix64.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
