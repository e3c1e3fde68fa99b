//! Arithmetic on sizes, offsets and alignments, without `unsafe` and without overflow.
//!
//! Offsets are plain `usize`; pointers are made elsewhere. Each function states what it needs
//! and answers `None` where the mathematical result does not fit. The functions are checked
//! against a model in wider integers, and exhaustively near 0, `isize::MAX` and `usize::MAX`.
#![forbid(unsafe_code)]

/// The largest size that a Rust allocation may have: `isize::MAX` bytes.
pub const SIZE_MAX: usize = isize::MAX as usize;

/// Rounds `value` up to a multiple of `align`, a power of two. `None` when that exceeds `usize`.
///
/// # Panics
///
/// In debug builds, if `align` is not a power of two.
#[inline]
#[must_use]
pub const fn align_up(value: usize, align: usize) -> Option<usize> {
    debug_assert!(align.is_power_of_two());
    match value.checked_add(align - 1) {
        Some(sum) => Some(sum & !(align - 1)),
        None => None,
    }
}

/// Rounds `value` down to a multiple of `align`, a power of two.
///
/// # Panics
///
/// In debug builds, if `align` is not a power of two.
#[inline]
#[must_use]
pub const fn align_down(value: usize, align: usize) -> usize {
    debug_assert!(align.is_power_of_two());
    value & !(align - 1)
}

/// Whether `value` is a multiple of `align`, a power of two.
#[inline]
#[must_use]
pub const fn is_aligned(value: usize, align: usize) -> bool {
    debug_assert!(align.is_power_of_two());
    value & (align - 1) == 0
}

/// How many bytes lie between `address` and the next multiple of `align`, a power of two. Modulo the
/// address space, whose size every alignment divides.
///
/// # Panics
///
/// In debug builds, if `align` is not a power of two.
#[inline]
#[must_use]
pub const fn padding(address: usize, align: usize) -> usize {
    debug_assert!(align.is_power_of_two());
    address.wrapping_neg() & (align - 1)
}

/// The largest power of two that divides `value`; for 0 the largest power of two of `usize`.
#[inline]
#[must_use]
pub const fn natural_align(value: usize) -> usize {
    if value == 0 {
        1 << (usize::BITS - 1)
    } else {
        value & value.wrapping_neg()
    }
}

/// The smallest offset at or after `offset` whose address, `base + offset`, is a multiple of
/// `align`. `None` when that exceeds `usize`.
///
/// The address is taken modulo the address space, so an offset beyond the end of it may be
/// answered; no range reaches that far.
///
/// # Panics
///
/// In debug builds, if `align` is not a power of two.
#[inline]
#[must_use]
pub const fn align_offset_at(base: usize, offset: usize, align: usize) -> Option<usize> {
    offset.checked_add(padding(base.wrapping_add(offset), align))
}

/// Whether `offset .. offset + len` lies in `0 .. size`.
#[inline]
#[must_use]
pub const fn range_fits(offset: usize, len: usize, size: usize) -> bool {
    match offset.checked_add(len) {
        Some(end) => end <= size,
        None => false,
    }
}

/// `count` blocks of `stride` bytes, in bytes; `None` above [`SIZE_MAX`].
#[inline]
#[must_use]
pub const fn array_bytes(count: usize, stride: usize) -> Option<usize> {
    match count.checked_mul(stride) {
        Some(bytes) if bytes <= SIZE_MAX => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far around each edge the loops go; short under Miri, which has nothing to find here.
    const REACH: usize = if cfg!(miri) { 2 } else { 40 };

    /// Values at which rounding changes its answer or overflows.
    fn edges() -> impl Iterator<Item = usize> + Clone {
        let near = |centre: usize| {
            (0..=REACH).flat_map(move |d| [centre.wrapping_add(d), centre.wrapping_sub(d)])
        };
        near(0)
            .chain(near(SIZE_MAX))
            .chain(near(usize::MAX / 2 + 1))
            .chain(near(4096))
    }

    fn aligns() -> impl Iterator<Item = usize> + Clone {
        (0..usize::BITS).map(|bit| 1usize << bit)
    }

    #[test]
    fn align_up_agrees_with_wider_arithmetic() {
        for value in edges() {
            for align in aligns() {
                let wide = (value as u128).div_ceil(align as u128) * align as u128;
                assert_eq!(
                    align_up(value, align),
                    usize::try_from(wide).ok(),
                    "{value} {align}"
                );
                assert_eq!(
                    align_down(value, align) as u128,
                    value as u128 / align as u128 * align as u128
                );
                assert_eq!(
                    is_aligned(value, align),
                    (value as u128).is_multiple_of(align as u128)
                );
            }
        }
    }

    #[test]
    fn align_offset_at_agrees_with_wider_arithmetic() {
        for base in edges().step_by(5) {
            for offset in edges().step_by(7) {
                for align in aligns().step_by(3) {
                    let address =
                        (base as u128 + offset as u128).div_ceil(align as u128) * align as u128;
                    let expected = usize::try_from(address - base as u128).ok();
                    assert_eq!(
                        align_offset_at(base, offset, align),
                        expected,
                        "{base} {offset} {align}"
                    );
                }
            }
        }
    }

    #[test]
    fn ranges_and_arrays_agree_with_wider_arithmetic() {
        for a in edges() {
            for b in edges() {
                assert_eq!(
                    range_fits(a, b, SIZE_MAX),
                    a as u128 + b as u128 <= SIZE_MAX as u128
                );
                let wide = a as u128 * b as u128;
                let expected = (wide <= SIZE_MAX as u128).then_some(wide as usize);
                assert_eq!(array_bytes(a, b), expected);
            }
        }
    }

    #[test]
    fn natural_align_divides_and_is_the_largest() {
        for value in edges() {
            let align = natural_align(value);
            assert!(align.is_power_of_two() && is_aligned(value, align));
            if let Some(next) = align.checked_mul(2) {
                assert!(value == 0 || !is_aligned(value, next));
            }
        }
    }
}
