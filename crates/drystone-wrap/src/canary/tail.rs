//! The bytes behind a block: one word, over and over to the end.

use core::ptr::NonNull;

use super::frame::WORD_BYTES;

/// Writes `word` to the `len` bytes at `start`, of which there are at least [`WORD_BYTES`].
///
/// # Safety
///
/// The bytes are valid for writes.
#[inline]
pub(super) unsafe fn write(start: NonNull<u8>, len: usize, word: u64) {
    for at in words(len) {
        // SAFETY: the word at this offset ends at `len` or before.
        let place = unsafe { start.add(at) }.cast::<u64>();
        // SAFETY: the place is valid for writes; it need not be aligned.
        unsafe { place.write_unaligned(turned(word, at)) };
    }
}

/// Whether the `len` bytes at `start` are as [`write`] left them. Looks at each of them in any case.
///
/// # Safety
///
/// The bytes are valid for reads, and initialised.
#[inline]
pub(super) unsafe fn is_intact(start: NonNull<u8>, len: usize, word: u64) -> bool {
    let mut changed = 0;
    for at in words(len) {
        // SAFETY: the word at this offset ends at `len` or before.
        let place = unsafe { start.add(at) }.cast::<u64>();
        // SAFETY: the place is valid for reads; it need not be aligned.
        changed |= unsafe { place.read_unaligned() } ^ turned(word, at);
    }
    changed == 0
}

/// The offsets of words that together cover `len` bytes and no more; the last may overlap the one
/// before it.
#[inline]
fn words(len: usize) -> impl Iterator<Item = usize> {
    debug_assert!(len >= WORD_BYTES);
    let last = len - WORD_BYTES;
    (0..last).step_by(WORD_BYTES).chain(core::iter::once(last))
}

/// The word that stands at the offset `at`, as memory has it.
#[inline]
fn turned(word: u64, at: usize) -> u64 {
    let bytes = (at % WORD_BYTES) as u32;
    word.rotate_right(bytes * 8).to_le()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_repeats_and_every_byte_counts() {
        let word = u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        for len in WORD_BYTES..40 {
            let mut bytes = [0xee_u8; 48];
            let start = NonNull::from(&mut bytes).cast::<u8>();
            // SAFETY: the array is longer.
            unsafe { write(start, len, word) };
            for at in 0..len {
                // SAFETY: inside the array.
                let place = unsafe { start.add(at) };
                // SAFETY: inside the array, and initialised.
                let byte = unsafe { place.read() };
                assert_eq!(usize::from(byte), at % WORD_BYTES + 1);
                // SAFETY: inside the array.
                unsafe { place.write(byte ^ 0x10) };
                // SAFETY: the array is longer, and initialised.
                assert!(!unsafe { is_intact(start, len, word) });
                // SAFETY: inside the array.
                unsafe { place.write(byte) };
            }
            // SAFETY: the array is longer, and initialised.
            assert!(unsafe { is_intact(start, len, word) });
            // SAFETY: inside the array.
            let behind = unsafe { start.add(len) };
            // SAFETY: inside the array, and initialised.
            let next = unsafe { behind.read() };
            assert_eq!(next, 0xee, "nothing behind the tail is written");
        }
    }
}
