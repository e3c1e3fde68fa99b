//! Where blocks come from: the process-wide arena, of the profile that the build has.
//!
//! | build | |
//! |---|---|
//! | `plain` | the arena as it is, `Checked`, or with the feature `unchecked` `Fast` |
//! | `hardened` | the arena `Hardened`, and behind the bytes of each block a canary and their number |
//!
//! Both have the same functions. With both features `hardened` is built.

use drystone_arena::FreeError;

cfg_if::cfg_if! {
    if #[cfg(feature = "hardened")] {
        mod hardened;
        mod seal;
        use hardened as imp;
    } else {
        mod plain;
        use plain as imp;
    }
}

pub(crate) use imp::{
    allocate, allocate_at_once, allocate_zeroed, block_bytes_around, fits, free, free_at_once,
    reallocate, stats, trim, usable_bytes,
};

/// Why a block is not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The arena says so.
    Free(FreeError),
    /// The block has less bytes than its caller says, or has another number of them.
    Size,
    /// The bytes behind the block are not what they were.
    #[cfg(feature = "hardened")]
    WrittenPastItsEnd,
}

impl From<FreeError> for Wrong {
    fn from(error: FreeError) -> Self {
        Self::Free(error)
    }
}
