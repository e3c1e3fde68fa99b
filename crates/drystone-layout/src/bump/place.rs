//! Where a block may lie: arithmetic on offsets, no pointers.
#![forbid(unsafe_code)]

use drystone_core::arith;

/// How far ahead of a request memory is committed, in bytes, where the range commits on demand.
const COMMIT_STEP_BYTES: usize = 64 << 10;

/// The end of a block of `size` bytes at `start`, if it is at most `limit`.
///
/// The sum must not exceed `usize::MAX`. It does not where `start` is a rounded-up cursor: the
/// cursor is at most `isize::MAX`, rounding adds less than the alignment, and a layout's size plus
/// its alignment less one is at most `isize::MAX`. One compare then decides, without a carry.
#[inline(always)]
pub(super) fn end_within(start: usize, size: usize, limit: usize) -> Option<usize> {
    debug_assert!(start.checked_add(size).is_some());
    let end = start.wrapping_add(size);
    (end <= limit).then_some(end)
}

/// Up to where to commit when bytes up to `end` are needed, in a range of `size` bytes.
pub(super) fn commit_target(end: usize, size: usize) -> usize {
    arith::align_up(end, COMMIT_STEP_BYTES).map_or(size, |target| target.min(size))
}
