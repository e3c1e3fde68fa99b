//! The end of a process that freed something wrong, where no error can be returned.

use drystone_core::{AbortOnMisuse, Misuse, MisusePolicy as _};

use crate::error::FreeError;

/// Says that a free block was written to, at this address, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn abort_written(address: usize) -> ! {
    AbortOnMisuse.on_misuse(Misuse::WriteAfterFree, address);
    std::process::abort()
}

/// Says that an address in a free block was changed to this one, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn abort_damaged(address: usize) -> ! {
    AbortOnMisuse.on_misuse(Misuse::DamagedLink, address);
    std::process::abort()
}

/// Says in one line what was wrong, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn abort(error: FreeError, address: usize) -> ! {
    let misuse = match error {
        FreeError::ForeignPointer | FreeError::WrongArena => Misuse::ForeignPointer,
        FreeError::Misaligned => Misuse::InteriorPointer,
        FreeError::SizeMismatch { .. } => Misuse::LayoutMismatch,
        FreeError::DoubleFree => Misuse::DoubleFree,
    };
    AbortOnMisuse.on_misuse(misuse, address);
    std::process::abort()
}
