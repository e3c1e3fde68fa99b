//! The end of a program that freed or resized what is no live block of its own.

use drystone_arena::FreeError;

use crate::heap::{self, Wrong};
#[cfg(feature = "hardened")]
use crate::kind::Kind;
use crate::output::line;

/// Says in one line which function was given which pointer, what is wrong with it and how large the
/// blocks there are, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn abort(function: &str, wrong: Wrong, address: usize) -> ! {
    let reason = reason(wrong);
    match heap::block_bytes_around(address) {
        Some(bytes) => line!("drystone: {function}({address:#x}): {reason}; block size {bytes}"),
        None => line!("drystone: {function}({address:#x}): {reason}"),
    }
    // SAFETY: no requirements.
    unsafe { libc::abort() }
}

fn reason(wrong: Wrong) -> &'static str {
    match wrong {
        Wrong::Free(FreeError::ForeignPointer | FreeError::WrongArena) => "not from this allocator",
        Wrong::Free(FreeError::Misaligned) => "not the beginning of a block",
        Wrong::Free(FreeError::DoubleFree) => "freed already",
        Wrong::Free(_) | Wrong::Size => "not a block of this size",
        #[cfg(feature = "hardened")]
        Wrong::WrittenBeforeItsStart => "written before its start",
        #[cfg(feature = "hardened")]
        Wrong::WrittenPastItsEnd => "written past its end",
        #[cfg(feature = "hardened")]
        Wrong::WrittenAfterItWasFreed => "written after it was freed",
        #[cfg(feature = "hardened")]
        Wrong::Range => "bytes outside of the block that it is in",
        #[cfg(feature = "hardened")]
        Wrong::Kind(kind) => match kind {
            Kind::Malloc => "a block of malloc",
            Kind::New => "a block of operator new",
            Kind::NewArray => "a block of operator new[]",
        },
    }
}
