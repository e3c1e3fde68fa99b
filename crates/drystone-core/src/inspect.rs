//! [`Inspect`]: examining an allocator's bookkeeping, and the words for what can be wrong.

use core::fmt;
use core::ptr::NonNull;

/// An allocator whose bookkeeping can be examined.
///
/// For tests, fuzzers and diagnosis: the calls may walk everything and are never on a hot path.
/// None of them changes the allocator or reads a byte that belongs to a user.
pub trait Inspect {
    /// What is known of the block that starts at `ptr`. Uses the address only, so any pointer may
    /// be asked about.
    ///
    /// # Errors
    ///
    /// [`Misuse`] says why freeing `ptr` here would be wrong, as far as this allocator can tell.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse>;

    /// Checks every invariant of the allocator.
    ///
    /// # Errors
    ///
    /// [`Corruption`] names the first invariant found broken.
    fn verify_all(&self) -> Result<Report, Corruption>;

    /// A hash of all bookkeeping. Equal before and after a call that failed: nothing was half
    /// done. Not stable between versions.
    fn state_digest(&self) -> u64;
}

/// What an allocator knows of a live block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockInfo {
    /// The bytes that may be used.
    pub usable_bytes: usize,
}

/// What a sound allocator holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Report {
    /// Live blocks, as far as the allocator counts them.
    pub live_blocks: usize,
    /// Free blocks on its lists.
    pub free_blocks: usize,
    /// Bytes never handed out.
    pub untouched_bytes: usize,
}

/// A broken invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Corruption {
    /// The invariant, by the number and words of the type's documentation.
    pub invariant: &'static str,
    /// Where: an offset in bytes from the base of the range.
    pub offset: usize,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "broken invariant at offset {}: {}",
            self.offset, self.invariant
        )
    }
}

impl core::error::Error for Corruption {}

/// A wrong use of an allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// The pointer is in no memory of this allocator.
    ForeignPointer,
    /// The pointer is inside a block, not at its start.
    InteriorPointer,
    /// The block is free: it was freed before and not handed out since.
    DoubleFree,
    /// The memory was never handed out.
    NeverAllocated,
    /// The size or alignment is not what the block was allocated with.
    LayoutMismatch,
    /// Bytes after the end of the block were overwritten.
    Overrun,
    /// Bytes before the start of the block were overwritten.
    Underrun,
    /// A block was written to after it was freed.
    WriteAfterFree,
    /// The link inside a free block was overwritten, or a free block is missing from its list.
    DamagedLink,
}

impl Misuse {
    /// The text used in messages; stable, because tests and crash reports match on it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForeignPointer => "foreign pointer",
            Self::InteriorPointer => "interior pointer",
            Self::DoubleFree => "double free",
            Self::NeverAllocated => "pointer never allocated",
            Self::LayoutMismatch => "layout mismatch",
            Self::Overrun => "buffer overrun",
            Self::Underrun => "buffer underrun",
            Self::WriteAfterFree => "write after free",
            Self::DamagedLink => "damaged free-list link",
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Misuse {}

/// What to do about a misuse that was found.
///
/// A safe trait: the allocator has already refused to act on the wrong call, so a policy chooses
/// between counting, reporting and ending the process. An allocator that is not a test tool runs
/// it inside [`abort_on_unwind`](crate::abort_on_unwind).
pub trait MisusePolicy {
    /// Called once for each misuse found, with the address that was passed in.
    fn on_misuse(&self, misuse: Misuse, address: usize);
}

impl<P: MisusePolicy + ?Sized> MisusePolicy for &P {
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        (**self).on_misuse(misuse, address);
    }
}
