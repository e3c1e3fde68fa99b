//! The bytes behind a block: one word, over and over to the end. The last may overlap the one before.

use core::ptr::NonNull;

use super::frame::WORD_BYTES;

/// Writes `word` to the `len` bytes at `start`, of which there are at least [`WORD_BYTES`].
///
/// # Safety
///
/// The bytes are valid for writes.
#[inline]
pub(super) unsafe fn write(start: NonNull<u8>, len: usize, word: u64) {
    let last = len - WORD_BYTES;
    if last > 0 {
        // SAFETY: the bytes in front of the last word are among those that the caller means.
        unsafe { write_slack(start, last, word) };
    }
    // SAFETY: the last word lies inside.
    unsafe { write_word(start, last, word) };
}

/// Writes as many words as begin in front of `end`; the last may reach beyond it by less than a word.
///
/// # Safety
///
/// The bytes up to `end` and a word behind it are valid for writes.
#[inline(never)]
unsafe fn write_slack(start: NonNull<u8>, end: usize, word: u64) {
    let mut at = 0;
    while at < end {
        // SAFETY: the word begins before `end`.
        unsafe { write_word(start, at, word) };
        at += WORD_BYTES;
    }
}

/// Whether the `len` bytes at `start` are as [`write`] left them. Looks at each of them in any case.
///
/// # Safety
///
/// The bytes are valid for reads, and initialised.
#[inline]
pub(super) unsafe fn is_intact(start: NonNull<u8>, len: usize, word: u64) -> bool {
    let last = len - WORD_BYTES;
    // SAFETY: the last word lies inside.
    let mut changed = unsafe { change_of_word(start, last, word) };
    if last > 0 {
        // SAFETY: the bytes in front of the last word are among those that the caller means.
        changed |= unsafe { changes_in_slack(start, last, word) };
    }
    changed == 0
}

/// What [`write_slack`] wrote and is not there any more, as bits that are set.
///
/// # Safety
///
/// The bytes up to `end` and a word behind it are valid for reads, and initialised.
#[inline(never)]
unsafe fn changes_in_slack(start: NonNull<u8>, end: usize, word: u64) -> u64 {
    let (mut at, mut changed) = (0, 0);
    while at < end {
        // SAFETY: the word begins before `end`.
        changed |= unsafe { change_of_word(start, at, word) };
        at += WORD_BYTES;
    }
    changed
}

/// Writes the word that stands at an offset.
///
/// # Safety
///
/// A word at the offset is valid for writes.
#[inline]
unsafe fn write_word(start: NonNull<u8>, at: usize, word: u64) {
    // SAFETY: the caller's promise.
    let place = unsafe { start.add(at) }.cast::<u64>();
    // SAFETY: as above; the place need not be aligned.
    unsafe { place.write_unaligned(turned(word, at)) };
}

/// What differs at an offset from the word that stands there, as bits that are set.
///
/// # Safety
///
/// A word at the offset is valid for reads, and initialised.
#[inline]
unsafe fn change_of_word(start: NonNull<u8>, at: usize, word: u64) -> u64 {
    // SAFETY: the caller's promise.
    let place = unsafe { start.add(at) }.cast::<u64>();
    // SAFETY: as above; the place need not be aligned.
    let found = unsafe { place.read_unaligned() };
    found ^ turned(word, at)
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
