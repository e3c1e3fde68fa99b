//! Stamps: byte patterns that tell one block from another and one offset from the next.
//!
//! Written and compared in chunks, because an interpreter walks single bytes slowly.

use core::ptr::{self, NonNull};
use core::slice;

/// The period of a stamp: a prime above 256, so that a shift by any power of two shows.
const PERIOD: usize = 257;

/// Bytes copied and compared at once: a multiple of the period.
const CHUNK: usize = PERIOD * 16;

/// A period of bytes, repeated so that a chunk can start at any phase.
static PATTERN: [u8; CHUNK + PERIOD] = pattern();

static ZEROS: [u8; CHUNK] = [0; CHUNK];

const fn pattern() -> [u8; CHUNK + PERIOD] {
    let mut bytes = [0; CHUNK + PERIOD];
    let mut offset = 0;
    while offset < bytes.len() {
        let phase = offset % PERIOD;
        // Odd, so that no byte is zero: a zeroed block never looks stamped.
        bytes[offset] = ((phase * 59 + phase / 128 * 17) % 256) as u8 | 1;
        offset += 1;
    }
    bytes
}

/// The chunk that the stamp `seed` repeats. Neighbouring seeds are far apart in phase.
fn chunk_of(seed: usize) -> &'static [u8] {
    let phase = seed % PERIOD * 101 % PERIOD;
    &PATTERN[phase..phase + CHUNK]
}

/// Writes the stamp `seed` over `block`.
///
/// # Safety
///
/// `block` is valid for writes.
pub(crate) unsafe fn stamp(block: NonNull<[u8]>, seed: usize) {
    let chunk = chunk_of(seed);
    for start in (0..block.len()).step_by(CHUNK) {
        let len = CHUNK.min(block.len() - start);
        // SAFETY: the offset is below the length of a block that is valid for writes.
        let to = unsafe { block.cast::<u8>().add(start) };
        // SAFETY: `len` bytes from `start` lie in the block, and a chunk holds as many. The
        // pattern is a static, apart from every block.
        unsafe { ptr::copy_nonoverlapping(chunk.as_ptr(), to.as_ptr(), len) };
    }
}

/// The first offset at which `block` differs from the stamp `seed`.
///
/// # Safety
///
/// `block` is valid for reads, initialised, and not written to meanwhile.
pub(crate) unsafe fn first_difference(block: NonNull<[u8]>, seed: usize) -> Option<usize> {
    // SAFETY: by the caller's promise.
    unsafe { differs_from(block, 0, chunk_of(seed)) }
}

/// The first offset at or after `from` at which `block` is not zero.
///
/// # Safety
///
/// `block` is valid for reads and not written to meanwhile, and initialised from `from` on.
pub(crate) unsafe fn first_nonzero(block: NonNull<[u8]>, from: usize) -> Option<usize> {
    // SAFETY: by the caller's promise.
    unsafe { differs_from(block, from, &ZEROS) }
}

/// The first offset from `from` on at which `block` differs from `chunk`, which starts at `from`
/// and repeats.
///
/// # Safety
///
/// `block` is valid for reads and not written to meanwhile, and initialised from `from` on.
unsafe fn differs_from(block: NonNull<[u8]>, from: usize, chunk: &[u8]) -> Option<usize> {
    for start in (from..block.len()).step_by(CHUNK) {
        let len = CHUNK.min(block.len() - start);
        // SAFETY: the offset is below the length of a block that is valid for reads.
        let part = unsafe { block.cast::<u8>().add(start) };
        // SAFETY: `len` initialised bytes from `start` lie in the block, which nobody writes to
        // while the slice lives.
        let part = unsafe { slice::from_raw_parts(part.as_ptr(), len) };
        if part != &chunk[..len] {
            let at = part.iter().zip(chunk).position(|(have, want)| have != want);
            return at.map(|at| start + at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_differ_by_seed_and_by_shift() {
        for seed in (0..PERIOD).step_by(if cfg!(miri) { 64 } else { 1 }) {
            for shift in (0..64).chain([128, 256, 4096]) {
                for other in [seed, seed + 1, seed + 2, seed + 16] {
                    if (shift, other) != (0, seed) {
                        let here = &chunk_of(seed)[shift % PERIOD..][..64];
                        assert_ne!(here, &chunk_of(other)[..64], "{seed} {other} {shift}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_changed_byte_is_found() {
        let mut bytes = vec![0u8; CHUNK * 2 + 100];
        for at in [
            0,
            1,
            256,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            CHUNK * 2,
            CHUNK * 2 + 99,
        ] {
            let block = NonNull::from(bytes.as_mut_slice());
            // SAFETY: the vector's bytes are valid for writes and initialised.
            unsafe { stamp(block, at) };
            // SAFETY: as above.
            assert_eq!(unsafe { first_difference(block, at) }, None);
            // SAFETY: as above.
            assert_eq!(unsafe { first_nonzero(block, at) }, Some(at));
            bytes[at] ^= 0x40;
            let block = NonNull::from(bytes.as_mut_slice());
            // SAFETY: as above.
            assert_eq!(unsafe { first_difference(block, at) }, Some(at));
        }
    }
}
