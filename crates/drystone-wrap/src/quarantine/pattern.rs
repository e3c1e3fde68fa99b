//! Whether a block still carries its pattern.

use core::ptr::NonNull;
use core::slice;

/// The bytes that are compared before the answer so far is looked at.
const STEP_BYTES: usize = 64;

/// The bytes of a word.
const WORD_BYTES: usize = size_of::<u64>();

/// Whether each of `len` bytes at `start` is `pattern`.
///
/// # Safety
///
/// The bytes are valid for reads and initialised, and nobody writes to them.
#[inline]
pub(super) unsafe fn is_intact(start: NonNull<u8>, len: usize, pattern: u8) -> bool {
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), len) };
    let word = u64::from_ne_bytes([pattern; WORD_BYTES]);
    let (steps, rest) = bytes.as_chunks::<STEP_BYTES>();
    steps.iter().all(|step| changes(step, word) == 0) && is_filled(rest, word)
}

/// The same for fewer bytes than a step.
#[inline]
fn is_filled(bytes: &[u8], word: u64) -> bool {
    // The last word of them all may overlap the one before.
    match bytes.last_chunk::<WORD_BYTES>() {
        Some(last) => (changes(bytes, word) | (u64::from_ne_bytes(*last) ^ word)) == 0,
        None => bytes.iter().all(|byte| u64::from(*byte) == word & 0xff),
    }
}

/// What differs from `word` in the whole words of `bytes`, as bits that are set. Without a branch for
/// each, so that a step becomes a few vector operations.
#[inline]
fn changes(bytes: &[u8], word: u64) -> u64 {
    let (words, _) = bytes.as_chunks::<WORD_BYTES>();
    let differences = words.iter().map(|found| u64::from_ne_bytes(*found) ^ word);
    differences.fold(0, |changed, difference| changed | difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let mut bytes = [0xdf_u8; if cfg!(miri) { 40 } else { 200 }];
        for len in 0..bytes.len() {
            let mut verdict = |at: Option<usize>| {
                if let Some(at) = at {
                    bytes[at] ^= 0x20;
                }
                let start = NonNull::from(&bytes).cast();
                // SAFETY: the array is at least as long, and initialised.
                let intact = unsafe { is_intact(start, len, 0xdf) };
                if let Some(at) = at {
                    bytes[at] ^= 0x20;
                }
                intact
            };
            assert!(verdict(None));
            assert!((0..len).all(|at| !verdict(Some(at))), "{len}");
            assert!(verdict(Some(len)), "behind {len} bytes");
        }
    }
}
