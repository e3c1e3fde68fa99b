//! Stamps: byte patterns that tell one block from another and one offset from the next.

use core::ptr::NonNull;

/// The byte at `offset` of the stamp `seed`. Neighbouring seeds and offsets differ; the period in
/// `offset` is a prime above 256, so that a shift by any power of two shows.
#[inline]
pub(crate) fn stamp_byte(seed: usize, offset: usize) -> u8 {
    let mixed = seed.wrapping_mul(167).wrapping_add(offset % 257 * 31);
    (mixed ^ (mixed >> 8)) as u8
}

/// Writes the stamp `seed` over `block`.
///
/// # Safety
///
/// `block` is valid for writes.
pub(crate) unsafe fn stamp(block: NonNull<[u8]>, seed: usize) {
    for offset in 0..block.len() {
        // SAFETY: the offset is below the length of a block that is valid for writes.
        let byte = unsafe { block.cast::<u8>().add(offset) };
        // SAFETY: as above.
        unsafe { byte.write(stamp_byte(seed, offset)) };
    }
}

/// The first offset at which `block` differs from the stamp `seed`.
///
/// # Safety
///
/// `block` is valid for reads and initialised.
pub(crate) unsafe fn first_difference(block: NonNull<[u8]>, seed: usize) -> Option<usize> {
    // SAFETY: by the caller's promise.
    unsafe { position(block, 0, |offset, byte| byte != stamp_byte(seed, offset)) }
}

/// The first offset at or after `from` at which `block` is not zero.
///
/// # Safety
///
/// `block` is valid for reads and initialised.
pub(crate) unsafe fn first_nonzero(block: NonNull<[u8]>, from: usize) -> Option<usize> {
    // SAFETY: by the caller's promise.
    unsafe { position(block, from, |_, byte| byte != 0) }
}

/// The first offset from `from` on whose byte satisfies `wanted`. Raw reads: no reference to a
/// block is ever formed.
///
/// # Safety
///
/// `block` is valid for reads and initialised from `from` on.
unsafe fn position(
    block: NonNull<[u8]>,
    from: usize,
    wanted: impl Fn(usize, u8) -> bool,
) -> Option<usize> {
    (from..block.len()).find(|&offset| {
        // SAFETY: the offset is below the length of a block that is valid for reads.
        let byte = unsafe { block.cast::<u8>().add(offset) };
        // SAFETY: as above, and initialised by the caller's promise.
        wanted(offset, unsafe { byte.read() })
    })
}
