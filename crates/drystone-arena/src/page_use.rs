//! [`Use`]: what a run of slices is for.
#![forbid(unsafe_code)]

use drystone_core::SizeClass;

/// What a run of slices is, in a byte: nothing, one block, or a page of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use(u8);

impl Use {
    /// No run begins here. Zero bytes say so.
    pub(crate) const NONE: Self = Self(0);
    /// The run is one block.
    pub(crate) const BLOCK: Self = Self(u8::MAX);

    /// The run is a page of this class.
    #[inline(always)]
    pub(crate) const fn page(class: usize) -> Self {
        debug_assert!(class < SizeClass::COUNT);
        #[expect(clippy::cast_possible_truncation, reason = "below 80")]
        Self(class as u8 + 1)
    }

    /// The class, if the run is a page.
    #[inline(always)]
    pub(crate) const fn class(self) -> Option<usize> {
        if 0 < self.0 && self.0 <= SizeClass::COUNT as u8 {
            Some(self.0 as usize - 1)
        } else {
            None
        }
    }

    #[inline]
    pub(crate) const fn is_block(self) -> bool {
        self.0 == Self::BLOCK.0
    }

    pub(crate) const fn to_byte(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }
}
