//! Whether a block still carries its pattern.

use core::ptr::NonNull;
use core::slice;

/// The bytes that are compared before the answer so far is looked at.
const STEP_BYTES: usize = 64;

/// Whether each of `len` bytes at `start` is `pattern`.
///
/// # Safety
///
/// The bytes are valid for reads and initialised, and nobody writes to them.
#[inline]
pub(super) unsafe fn is_intact(start: NonNull<u8>, len: usize, pattern: u8) -> bool {
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), len) };
    let (steps, rest) = bytes.as_chunks::<STEP_BYTES>();
    steps.iter().all(|step| is_filled(step, pattern)) && is_filled(rest, pattern)
}

/// The same, without a branch for each byte, so that a step becomes a few vector operations.
#[inline]
fn is_filled(bytes: &[u8], pattern: u8) -> bool {
    bytes
        .iter()
        .fold(0, |changed, byte| changed | (byte ^ pattern))
        == 0
}
