//! Where a block may lie: arithmetic on positions, no pointers.
//!
//! The position of an offset is the anchor, plus the offset, less one: it names the last byte
//! below the offset. Setting the low bits of a position rounds the offset up, so that the cursor
//! of one allocation depends on that of the one before by two operations only.
#![forbid(unsafe_code)]

use drystone_core::arith;

/// What a block's size and alignment may come to together, in bytes, on the fast path.
const FAST_SPAN_MAX: usize = 4096;

/// The largest position in use, so that nothing wraps on the fast path.
const POSITION_MAX: usize = usize::MAX - FAST_SPAN_MAX;

/// How far ahead of a request memory is committed, in bytes, where the range commits on demand.
const COMMIT_STEP_BYTES: usize = 64 << 10;

/// The anchor of a range that may move: divided by every alignment of the fast path.
pub(crate) const MOVABLE_ANCHOR: usize = FAST_SPAN_MAX;

/// The cursor and the limit of an arena that has committed nothing: no block fits.
pub(crate) const NOTHING_COMMITTED: usize = 0;

/// Where a block above `cursor` starts, as anchor plus offset, and the position of its end, if that
/// is at or below `limit`. `None` also for a block that is too large for the fast path.
///
/// `cursor <= limit <= POSITION_MAX`; `size` and `align` are those of a layout.
#[inline(always)]
pub(crate) const fn fast(
    cursor: usize,
    limit: usize,
    size: usize,
    align: usize,
) -> Option<(usize, usize)> {
    fast_after(0, cursor, limit, size, align)
}

/// As [`fast`], for a block that lies at least `gap` bytes above the cursor.
#[inline(always)]
pub(crate) const fn fast_after(
    gap: usize,
    cursor: usize,
    limit: usize,
    size: usize,
    align: usize,
) -> Option<(usize, usize)> {
    debug_assert!(cursor <= limit && limit <= POSITION_MAX && gap < FAST_SPAN_MAX);
    // A layout's size and alignment less one come to at most isize::MAX.
    if size + align > FAST_SPAN_MAX - gap {
        return None;
    }
    let padded = (cursor + gap) | (align - 1);
    let end = padded.wrapping_add(size);
    if end <= limit {
        Some((padded.wrapping_add(1), end))
    } else {
        None
    }
}

/// The position of an offset. The anchor is at least 1.
#[inline(always)]
pub(crate) const fn position(anchor: usize, offset: usize) -> usize {
    anchor.wrapping_add(offset).wrapping_sub(1)
}

/// The offset of a position; 0 for [`NOTHING_COMMITTED`].
#[inline(always)]
pub(crate) const fn offset(anchor: usize, position: usize) -> usize {
    (position + 1).saturating_sub(anchor)
}

/// How many bytes of a range of `size` bytes can be used: those up to [`POSITION_MAX`], which is
/// all of them but for the last page of the address space.
#[inline]
pub(crate) const fn usable_bytes(anchor: usize, size: usize) -> usize {
    let usable_max = (POSITION_MAX + 1).saturating_sub(anchor);
    if size < usable_max { size } else { usable_max }
}

/// Up to which offset to commit when bytes up to `end` are needed and `usable` can be.
#[inline]
pub(crate) fn commit_target(end: usize, usable: usize) -> usize {
    arith::align_up(end, COMMIT_STEP_BYTES).map_or(usable, |target| target.min(usable))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes and alignments that the fast path may see, with those around its limit.
    fn spans() -> impl Iterator<Item = (usize, usize)> {
        (0..14).flat_map(|bit| {
            let align = 1usize << bit;
            let edge = FAST_SPAN_MAX.saturating_sub(align);
            [
                1,
                2,
                7,
                8,
                100,
                edge,
                edge + 1,
                arith::SIZE_MAX - (align - 1),
            ]
            .into_iter()
            .filter(|&size| size > 0)
            .map(move |size| (size, align))
        })
    }

    #[test]
    fn the_fast_path_agrees_with_wider_arithmetic_up_to_the_last_position() {
        let step = if cfg!(miri) { 61 } else { 1 };
        let mut served = 0;
        for limit in [10_000, arith::SIZE_MAX, POSITION_MAX] {
            for below in (0..200).chain(4000..4200).step_by(step) {
                let cursor = limit - below;
                for (size, align) in spans() {
                    let next = cursor as u128 + 1;
                    let start = next.div_ceil(align as u128) * align as u128;
                    let end = start + size as u128;
                    let fits = end <= limit as u128 + 1 && size + align <= FAST_SPAN_MAX;
                    let expected = fits.then(|| (start as usize, (end - 1) as usize));
                    assert_eq!(fast(cursor, limit, size, align), expected);
                    served += usize::from(fits);
                }
            }
        }
        assert!(served > 0);
    }

    #[test]
    fn a_block_after_a_gap_lies_where_one_after_a_block_would() {
        let step = if cfg!(miri) { 61 } else { 1 };
        let mut served = 0;
        for limit in [10_000, POSITION_MAX] {
            for below in (0..100).chain(4050..4150).step_by(step) {
                let cursor = limit - below;
                for gap in [4, 8, 16] {
                    for (size, align) in spans() {
                        let expected = fast(cursor, limit, gap, 1)
                            .and_then(|(_, raised)| fast(raised, limit, size, align))
                            .filter(|_| size + align <= FAST_SPAN_MAX - gap);
                        assert_eq!(fast_after(gap, cursor, limit, size, align), expected);
                        served += usize::from(expected.is_some());
                    }
                }
            }
        }
        assert!(served > 0);
    }

    #[test]
    fn nothing_fits_before_the_first_commit() {
        for (size, align) in spans() {
            let nothing = NOTHING_COMMITTED;
            assert_eq!(fast(nothing, nothing, size, align), None);
            assert_eq!(fast_after(8, nothing, nothing, size, align), None);
        }
    }

    #[test]
    fn positions_and_offsets_are_inverse() {
        for anchor in [1, 2, 16, 4096, arith::SIZE_MAX, POSITION_MAX] {
            for bytes in [0, 1, 2, 4095] {
                assert_eq!(offset(anchor, position(anchor, bytes)), bytes);
            }
            assert_eq!(offset(anchor, NOTHING_COMMITTED), 0);
        }
    }

    #[test]
    fn usable_bytes_end_at_the_last_position() {
        assert_eq!(usable_bytes(16, arith::SIZE_MAX), arith::SIZE_MAX);
        for anchor in [1, 4096, arith::SIZE_MAX, POSITION_MAX, usize::MAX] {
            for size in [0, 1, 4096, arith::SIZE_MAX] {
                let usable = usable_bytes(anchor, size);
                assert!(usable <= size);
                assert!(usable == 0 || position(anchor, usable) <= POSITION_MAX);
                let last = anchor as u128 + size as u128 - 1;
                assert!(last > POSITION_MAX as u128 || usable == size);
            }
        }
    }

    #[test]
    fn commits_are_whole_steps_inside_the_range() {
        assert_eq!(commit_target(1, 1 << 20), COMMIT_STEP_BYTES);
        assert_eq!(commit_target(COMMIT_STEP_BYTES, 1 << 20), COMMIT_STEP_BYTES);
        assert_eq!(commit_target(COMMIT_STEP_BYTES + 1, 100_000), 100_000);
        let most = usize::MAX - 5;
        assert_eq!(commit_target(most, most), most);
    }
}
