//! Where blocks come from: the process-wide arena, of the profile that the build has, or pages of
//! their own.
//!
//! | build | |
//! |---|---|
//! | `plain` | the arena as it is, `Checked`, or with the feature `unchecked` `Fast` |
//! | `hardened` | the arena `Hardened`, canaries around the bytes of each block, and a quarantine |
//! | `guard` | each block on pages of its own, between pages that fault; `hardened` for what is left over |
//!
//! All have the same functions. `guard` goes before `hardened`, and both before `unchecked`. The last two
//! also tell kinds of blocks, and ranges of bytes that leave their block. With the feature `record` each is
//! reached through functions that write down what they do.

use drystone_arena::FreeError;

#[cfg(feature = "hardened")]
use crate::kind::Kind;

cfg_if::cfg_if! {
    if #[cfg(feature = "hardened")] {
        mod empty;
        mod hardened;
        mod locked;
        mod quarantine;
        mod seal;

        pub(crate) use imp::{at_exit, check_range, describe};
    }
}

cfg_if::cfg_if! {
    if #[cfg(feature = "guard")] {
        mod guard;
        use guard as imp;
    } else if #[cfg(feature = "hardened")] {
        use hardened as imp;
    } else {
        mod plain;
        use plain as imp;
    }
}

#[cfg(feature = "record")]
mod recorded;
#[cfg(not(feature = "record"))]
use imp as recorded;

pub(crate) use imp::{block_bytes_around, fits, stats, trim, usable_bytes};
pub(crate) use recorded::{
    allocate, allocate_at_once, allocate_zeroed, free, free_at_once, reallocate,
};
#[cfg(feature = "hardened")]
pub(crate) use recorded::{allocate_of, free_of};

/// Why a block is not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The arena says so.
    Free(FreeError),
    /// The block has less bytes than its caller says, or has another number of them.
    Size,
    /// The bytes in front of the block are not what they were.
    #[cfg(feature = "hardened")]
    WrittenBeforeItsStart,
    /// The bytes behind the block are not what they were.
    #[cfg(feature = "hardened")]
    WrittenPastItsEnd,
    /// A block that waits to be used again is not zero.
    #[cfg(feature = "hardened")]
    WrittenAfterItWasFreed,
    /// The block is of this kind, and not of the function's.
    #[cfg(feature = "hardened")]
    Kind(Kind),
    /// The bytes leave the block that they begin in.
    #[cfg(feature = "hardened")]
    Range,
}

impl From<FreeError> for Wrong {
    fn from(error: FreeError) -> Self {
        Self::Free(error)
    }
}
