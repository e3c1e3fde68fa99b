//! The end of a program that freed or resized what is no live block of its own.

use drystone_arena::FreeError;

use crate::heap::{self, Wrong};
use crate::output::line;

/// Says in one line which function was given which pointer, what is wrong with it and how large the
/// blocks there are, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn abort(function: &str, wrong: Wrong, address: usize) -> ! {
    let reason = match wrong {
        Wrong::Free(FreeError::ForeignPointer | FreeError::WrongArena) => "not from this allocator",
        Wrong::Free(FreeError::Misaligned) => "not the beginning of a block",
        Wrong::Free(FreeError::DoubleFree) => "freed already",
        Wrong::Free(_) | Wrong::Size => "not a block of this size",
        #[cfg(feature = "hardened")]
        Wrong::WrittenPastItsEnd => "written past its end",
    };
    match heap::block_bytes_around(address) {
        Some(bytes) => line!("drystone: {function}({address:#x}): {reason}; block size {bytes}"),
        None => line!("drystone: {function}({address:#x}): {reason}"),
    }
    // SAFETY: no requirements.
    unsafe { libc::abort() }
}
