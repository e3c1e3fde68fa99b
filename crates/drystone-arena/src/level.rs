//! [`Level`]: what a profile asks of the parts that all profiles share.

use crate::block_bits::BITS_SLICES;
use crate::home_bits::HOME_SLICES;

/// How much an arena looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Fast,
    Checked,
    Hardened,
}

impl Level {
    /// Slices at the start of a segment that are not for blocks.
    pub(crate) const fn header_slices(self) -> usize {
        if self.is_checked() {
            1 + HOME_SLICES + BITS_SLICES
        } else {
            1 + HOME_SLICES
        }
    }

    /// Segments have block bits.
    #[inline(always)]
    pub(crate) const fn is_checked(self) -> bool {
        !matches!(self, Self::Fast)
    }

    /// Free blocks are filled, and guards follow runs.
    #[inline(always)]
    pub(crate) const fn is_hardened(self) -> bool {
        matches!(self, Self::Hardened)
    }
}
