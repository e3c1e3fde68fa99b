//! What is known of a slot, in one word beside the region.
#![forbid(unsafe_code)]

use crate::kind::Kind;

/// A slot's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) size: usize,
    /// A power of two.
    pub(super) align: usize,
    pub(super) kind: Kind,
    pub(super) is_freed: bool,
    /// The number of forks behind the process that made the block.
    pub(super) forks: u16,
}

impl Record {
    /// A slot whose block nobody has had yet, or that is being changed.
    pub(super) const NONE: u64 = 0;

    /// `size`: 38 bits, far more than a slot has, `forks`: 16, `align`: its logarithm in 6 bits, `kind`: 2, `is_freed`: 1, and 1 for a record.
    pub(super) fn packed(self) -> u64 {
        let align = u64::from(self.align.trailing_zeros());
        let state = u64::from(self.kind.number()) << 2 | u64::from(self.is_freed) << 1 | 1;
        (self.size as u64) << 26 | u64::from(self.forks) << 10 | align << 4 | state
    }

    /// The record of a word; `None` if there is none.
    pub(super) fn unpacked(word: u64) -> Option<Self> {
        if word == Self::NONE {
            return None;
        }
        Some(Self {
            size: usize::try_from(word >> 26).ok()?,
            align: 1_usize.checked_shl((word >> 4 & 63) as u32)?,
            kind: Kind::from_number((word >> 2 & 3) as u8)?,
            is_freed: word >> 1 & 1 != 0,
            forks: (word >> 10) as u16,
        })
    }
}
