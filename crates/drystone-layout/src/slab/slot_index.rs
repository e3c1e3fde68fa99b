//! From the offset of a slot to its index, and whether the offset is that of a slot at all: one
//! subtraction, one multiplication, one rotation and one comparison, for any stride.
//!
//! A stride is `odd << shift`. Modulo the word, multiplying by the inverse of `odd` and rotating
//! right by `shift` is a bijection, and it takes each multiple `n * stride` to `n`. The multiples
//! fill the answers `0 ..= usize::MAX / stride`, so what is no multiple is taken above them: an
//! answer below any limit up to there proves that the division was exact.
#![forbid(unsafe_code)]

/// A constant stride, ready to divide by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stride {
    inverse: usize,
    shift: u32,
}

impl Stride {
    /// A stride of so many bytes, above zero.
    pub(super) const fn new(bytes: usize) -> Self {
        assert!(bytes > 0);
        let shift = bytes.trailing_zeros();
        Self {
            inverse: inverse_of_odd(bytes >> shift),
            shift,
        }
    }

    /// `distance / stride` if that is exact; otherwise a number above `usize::MAX / stride`.
    #[inline]
    pub(super) const fn index(self, distance: usize) -> usize {
        distance.wrapping_mul(self.inverse).rotate_right(self.shift)
    }
}

/// The number whose product with `odd` is 1, modulo the word.
const fn inverse_of_odd(odd: usize) -> usize {
    // An odd number is its own inverse modulo 8. Each of Newton's steps doubles the bits that are
    // right: 3, 6, 12, 24, 48, 96.
    let mut inverse = odd;
    let mut bits = 3;
    while bits < usize::BITS {
        inverse = inverse.wrapping_mul(2usize.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strides of every shape: odd, even, powers of two, next to them, and huge.
    fn strides() -> impl Iterator<Item = usize> {
        let small = if cfg!(miri) { 40 } else { 400 };
        let large = (9..usize::BITS - 1).flat_map(|log2| {
            let power = 1usize << log2;
            [power - 1, power, power + 1, power + power / 2]
        });
        (1..=small).chain(large).chain([isize::MAX as usize])
    }

    fn agrees(stride: usize, distance: usize) {
        let index = Stride::new(stride).index(distance);
        if distance.is_multiple_of(stride) {
            assert_eq!(index, distance / stride, "{distance} / {stride}");
        } else {
            assert!(index > usize::MAX / stride, "{distance} / {stride}");
        }
    }

    /// Every distance of a slab's first bytes, and those on both sides of its start and of the
    /// largest multiple.
    #[test]
    fn every_offset_near_the_edges_agrees_with_division() {
        let reach = if cfg!(miri) { 12 } else { 4096 };
        for stride in strides() {
            let last = usize::MAX / stride * stride;
            for distance in 0..reach {
                agrees(stride, distance);
                agrees(stride, distance.wrapping_neg());
                agrees(stride, last.wrapping_sub(distance));
                agrees(stride, stride.wrapping_mul(distance));
                agrees(stride, stride.wrapping_mul(distance).wrapping_add(1));
            }
        }
    }
}
