//! [`Grid`]: what the alignment of the segments says of an address.
#![forbid(unsafe_code)]

/// 2^BITS divided by the golden ratio, odd.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half on targets with small words"
)]
const FIBONACCI: usize = (0x9E37_79B9_7F4A_7C15_u64 >> (64 - usize::BITS)) as usize | 1;

/// The places where a segment may begin: the multiples of a power of two not below its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// The bits below the alignment.
    low: usize,
    /// The golden ratio of as many bits as the alignment leaves.
    factor: usize,
}

impl Grid {
    /// The multiples of `align`, a power of two.
    pub(super) const fn new(align: usize) -> Self {
        debug_assert!(align.is_power_of_two());
        Self {
            low: align - 1,
            factor: FIBONACCI >> align.trailing_zeros() | 1,
        }
    }

    /// Where the segment of this address would begin.
    #[inline]
    pub(super) const fn base(self, address: usize) -> usize {
        address & !self.low
    }

    /// How far into its segment the address would be.
    #[inline]
    pub(super) const fn offset(self, address: usize) -> usize {
        address & self.low
    }

    /// A word for this base whose upper bits differ from those of its neighbours.
    ///
    /// Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4) of the
    /// segment's *number*, the base without the bits that are zero, in a word without them: `factor`
    /// belongs to that word. A factor for the whole word would use the middle of its digits, which are
    /// as even for some alignments only.
    #[inline]
    pub(super) const fn spread(self, base: usize) -> usize {
        base.wrapping_mul(self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_and_offset_are_the_address() {
        for align in [1, 2, 64, 1 << 20] {
            let grid = Grid::new(align);
            for address in [0, 1, 63, 64, 12_345_678, usize::MAX] {
                let base = grid.base(address);
                assert_eq!(base % align, 0);
                assert!(grid.offset(address) < align);
                assert_eq!(base + grid.offset(address), address);
            }
        }
    }
}

/// With words of 32 bits the largest tables would have more segments than there are addresses.
#[cfg(all(test, target_pointer_width = "64"))]
mod spread_tests {
    extern crate std;

    use std::vec;

    use super::super::shape::Shape;
    use super::*;

    /// The entries of a line of the index.
    const WAYS: usize = 4;

    /// The share of a table's lines that more than [`WAYS`] segments hash to, when half of the
    /// entries are used.
    fn overflowing(
        log2: u32,
        bases: impl Iterator<Item = usize>,
        hash: impl Fn(usize) -> usize,
    ) -> f64 {
        let mut lines = vec![0; 1 << log2];
        for base in bases.take((WAYS / 2) << log2) {
            lines[hash(base) >> (usize::BITS - log2)] += 1;
        }
        let over = lines.iter().filter(|&&segments| segments > WAYS).count();
        over as f64 / lines.len() as f64
    }

    /// The most of that over tables of many sizes, with segments one after the other and with gaps
    /// between them, which the heap leaves.
    fn most_overflowing(align: usize, hash: impl Fn(usize) -> usize) -> f64 {
        let tables = if cfg!(miri) { 4..6 } else { 4..13 };
        let mut most = 0.0_f64;
        for log2 in tables {
            for step in 1..=5 {
                let first = 0x1234_5678 / align * align;
                let bases = (0..).map(|n: usize| first.wrapping_add(n.wrapping_mul(step * align)));
                most = most.max(overflowing(log2, bases, &hash));
            }
        }
        most
    }

    /// The alignments of segments of many capacities and many sizes of objects.
    fn alignments() -> impl Iterator<Item = usize> {
        [1, 10, 64, 100, 1000, 1024, 65_536]
            .into_iter()
            .flat_map(|slots| {
                [8, 24, 64, 100].into_iter().map(move |stride| {
                    let shape = Shape::new(slots, stride, 4).expect("small");
                    shape.layout().align().get()
                })
            })
    }

    /// Few of the tables tell under Miri, which looks at the small ones.
    const MANY: usize = if cfg!(miri) { 5 } else { 20 };

    /// As if at random it would be a twentieth.
    const SHARE_MAX: f64 = 0.03;

    #[test]
    fn neighbours_spread_whatever_the_alignment() {
        for align in alignments() {
            let grid = Grid::new(align);
            let share = most_overflowing(align, |base| grid.spread(base));
            assert!(share < SHARE_MAX, "{align}: {share}");
        }
    }

    /// The test above tells: the golden ratio of a whole word leaves it to the alignment.
    #[test]
    fn the_factor_of_a_whole_word_would_not_spread() {
        let fails =
            |align| most_overflowing(align, |base| base.wrapping_mul(FIBONACCI)) >= SHARE_MAX;
        assert!(alignments().filter(|&align| fails(align)).count() > MANY);
    }
}
