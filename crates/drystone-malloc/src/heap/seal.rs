//! What lies around the bytes of a block of the hardened build.
//!
//! ```text
//!  │ record, masked: 8 bytes │ … │ canary: 24 to 64 bytes │ bytes asked for │ canary: 8 to 4096 bytes │ … │
//!  └ block of the arena                                  └ a multiple of the alignment                  ┘
//! ```
//!
//! The canary is a word of the process's key and the block's address, without a zero byte, so that a
//! string's terminator that is written one byte too far is seen. It fills what is left of the block,
//! but of a long rest the first [`CANARY_MAX`] bytes.
#![forbid(unsafe_code)]

use core::ops::Range;

use crate::kind::Kind;

const RECORD_BYTES: usize = 8;
const CANARY_MIN: usize = 8;
const CANARY_MAX: usize = 4096;
const FRONT_CANARY_MIN: usize = 24;
const FRONT_CANARY_MAX: usize = 64;

/// The least bytes in front of those that were asked for: the record and a canary.
pub(super) const FRONT_MIN: usize = RECORD_BYTES + FRONT_CANARY_MIN;

/// The bytes of the arena's block for so many bytes at an alignment.
pub(super) fn sealed_bytes(size: usize, align: usize) -> Option<usize> {
    size.checked_add(front_bytes(align))?
        .checked_add(CANARY_MIN)
}

/// Where the bytes begin that were asked for at an alignment.
pub(super) fn front_bytes(align: usize) -> usize {
    align.max(FRONT_MIN)
}

/// What the record of a block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The bytes that were asked for.
    pub(super) size: usize,
    /// Where they begin in the block: a power of two.
    pub(super) front: usize,
    pub(super) kind: Kind,
    pub(super) is_freed: bool,
}

impl Record {
    /// The canary in front of the block's bytes.
    pub(super) fn front_canary(self) -> Range<usize> {
        RECORD_BYTES.max(self.front.saturating_sub(FRONT_CANARY_MAX))..self.front
    }

    /// The canary behind the bytes, of a block of so many.
    pub(super) fn back_canary(self, block_bytes: usize) -> Range<usize> {
        let end = self.front + self.size;
        end..block_bytes.min(end + CANARY_MAX)
    }

    /// What is wiped when the block is freed, and zero as long as it is.
    pub(super) fn wiped(block_bytes: usize) -> Range<usize> {
        RECORD_BYTES..block_bytes
    }

    /// `size`: 55 bits, `front`: its logarithm in 6 bits, `kind`: 2, `is_freed`: 1.
    fn packed(self) -> u64 {
        let front = u64::from(self.front.trailing_zeros());
        let state = u64::from(self.kind.number()) | u64::from(self.is_freed) << 2;
        (self.size as u64) << 9 | front << 3 | state
    }

    fn unpacked(word: u64, block_bytes: usize) -> Option<Self> {
        let record = Self {
            size: usize::try_from(word >> 9).ok()?,
            front: 1_usize.checked_shl((word >> 3 & 63) as u32)?,
            kind: Kind::from_number((word & 3) as u8)?,
            is_freed: word >> 2 & 1 != 0,
        };
        let least = record
            .size
            .checked_add(record.front)?
            .checked_add(CANARY_MIN)?;
        (record.front >= FRONT_MIN && least <= block_bytes).then_some(record)
    }
}

/// What a key and a block's address make. Bytes are compared without an early end, so that the time
/// tells nothing of where they differ.
#[derive(Clone, Copy)]
pub(super) struct Seal {
    key: u64,
    mask: u64,
}

impl Seal {
    /// A record that is being changed.
    pub(super) const NONE: u64 = 0;

    pub(super) fn new(key: u64, address: usize) -> Self {
        let mask = mix(key ^ address as u64);
        Self { key, mask }
    }

    fn canary(self) -> u64 {
        mix(self.mask ^ self.key) | 0x0101_0101_0101_0101
    }

    /// The record as it is written.
    pub(super) fn masked(self, record: Record) -> u64 {
        record.packed() ^ self.mask
    }

    /// The record that was written, if a block of so many bytes can have it.
    pub(super) fn record(self, masked: u64, block_bytes: usize) -> Option<Record> {
        if masked == Self::NONE {
            return None;
        }
        Record::unpacked(masked ^ self.mask, block_bytes)
    }

    /// Fills bytes that have this offset in the block.
    pub(super) fn fill(self, bytes: &mut [u8], offset: usize) {
        let word = self.word_at(offset);
        let mut chunks = bytes.chunks_exact_mut(8);
        for chunk in &mut chunks {
            chunk.copy_from_slice(&word);
        }
        for (byte, canary) in chunks.into_remainder().iter_mut().zip(word) {
            *byte = canary;
        }
    }

    /// Whether bytes that have this offset in the block are as they were filled.
    pub(super) fn is_intact(self, bytes: &[u8], offset: usize) -> bool {
        let bytes_of_word = self.word_at(offset);
        let word = u64::from_le_bytes(bytes_of_word);
        let chunks = bytes.chunks_exact(8);
        let rest = chunks.remainder().iter().zip(bytes_of_word);
        let rest = rest.fold(0, |sum, (have, canary)| sum | (have ^ canary));
        let words = chunks.fold(0, |sum, chunk| {
            let have = chunk.try_into().map_or(!word, u64::from_le_bytes);
            sum | (have ^ word)
        });
        words | u64::from(rest) == 0
    }

    fn word_at(self, offset: usize) -> [u8; 8] {
        let bits = (offset % 8 * 8) as u32;
        self.canary().rotate_right(bits).to_le_bytes()
    }
}

/// Whether the bytes are all zero. Looks at all of them.
pub(super) fn is_wiped(bytes: &[u8]) -> bool {
    let chunks = bytes.chunks_exact(8);
    let rest = chunks.remainder().iter().fold(0, |sum, byte| sum | byte);
    let words = chunks.fold(0, |sum, chunk| {
        sum | chunk.try_into().map_or(1, u64::from_ne_bytes)
    });
    words | u64::from(rest) == 0
}

/// The finaliser of SplitMix64.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
