//! [`SizeClass`]: the one table of block sizes for slabs, pools and the arena.

use crate::{NonZeroLayout, arith};

/// Classes in steps of 8 bytes, up to 128 bytes.
const FINE_COUNT: usize = 16;
/// Classes with 8 steps to each doubling, above 128 bytes up to 8 KiB.
const MIDDLE_COUNT: usize = 48;
/// Classes with 4 steps to each doubling, above 8 KiB up to 128 KiB.
const COARSE_COUNT: usize = 16;

const FINE_MAX_LOG2: u32 = 7;
const MIDDLE_MAX_LOG2: u32 = 13;

/// What every block size up to [`MIDDLE_MAX`] is a multiple of, and every one above.
const FINE_STEP: usize = 8;
const COARSE_STEP: usize = 1 << (MIDDLE_MAX_LOG2 - 2);

/// The largest block size of the first two kinds of classes.
const MIDDLE_MAX: usize = 1 << MIDDLE_MAX_LOG2;

/// Where [`LISTED`] has the class of a size whose last byte has this number.
#[inline(always)]
const fn position(last: usize) -> usize {
    if last < MIDDLE_MAX {
        last / FINE_STEP
    } else {
        // What the fine steps take is more than the coarse ones would.
        last / COARSE_STEP + (MIDDLE_MAX / FINE_STEP - MIDDLE_MAX / COARSE_STEP)
    }
}

/// The class of each size. A load instead of a logarithm and two shifts: the class of a size that is not
/// known when compiling is found in every allocation and every free.
static LISTED: [u8; position(SizeClass::SIZE_MAX - 1) + 1] = {
    let mut listed = [0; position(SizeClass::SIZE_MAX - 1) + 1];
    let mut index = 0_u8;
    let mut last = 0;
    while last < SizeClass::SIZE_MAX {
        if last >= SizeClass::SIZES[index as usize] as usize {
            index += 1;
        }
        listed[position(last)] = index;
        last += if last < MIDDLE_MAX {
            FINE_STEP
        } else {
            COARSE_STEP
        };
    }
    listed
};

/// Says that what follows is rarely done, so that what is done mostly needs no jump.
#[cold]
#[inline(always)]
const fn rare() {}

/// One class of block sizes.
///
/// 8-byte steps to 128 bytes, 8 classes to each doubling up to 8 KiB, 4 up to 128 KiB: 80 classes.
/// A block above 128 bytes wastes less than 1/9 of itself up to 8 KiB, and less than 1/5 above.
///
/// Blocks of a class that are packed from a base aligned to [`ALIGN_MAX`](SizeClass::ALIGN_MAX)
/// are aligned to every power of two that divides the block size, so a class serves each alignment
/// naturally: [`from_layout`](SizeClass::from_layout) takes the smallest class whose block size is
/// a multiple of the alignment.
///
/// ```
/// use drystone_core::{NonZeroLayout, SizeClass};
///
/// let class = SizeClass::from_layout(NonZeroLayout::from_size_align(100, 32)?).unwrap();
/// assert_eq!(class.block_size(), 128);
/// # Ok::<(), drystone_core::LayoutError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SizeClass {
    // I1: below `COUNT`.
    index: u8,
}

impl SizeClass {
    /// How many classes there are.
    pub const COUNT: usize = FINE_COUNT + MIDDLE_COUNT + COARSE_COUNT;

    /// The largest block size in bytes: 128 KiB.
    pub const SIZE_MAX: usize = 128 << 10;

    /// The largest alignment in bytes that a class serves: 64 KiB.
    pub const ALIGN_MAX: usize = 64 << 10;

    /// The block size of every class, rising.
    const SIZES: [u32; Self::COUNT] = sizes();

    /// The smallest class that serves `layout`: its block size is at least `layout.size()` and a
    /// multiple of `layout.align()`. `None` above [`SIZE_MAX`](Self::SIZE_MAX) or
    /// [`ALIGN_MAX`](Self::ALIGN_MAX).
    ///
    /// Rounding the size up to the alignment is enough: where the class step is at least the
    /// alignment every class is a multiple of it; where it is smaller, the rounded size is itself
    /// a class.
    #[inline]
    #[must_use]
    pub const fn from_layout(layout: NonZeroLayout) -> Option<Self> {
        Self::from_size_align(layout.size().get(), layout.align().get())
    }

    /// As [`from_layout`](Self::from_layout), of a layout's parts; `None` also for no bytes. Which class, if
    /// any, serves an alignment that is no power of two is not said.
    #[inline(always)]
    #[must_use]
    pub const fn from_size_align(size: usize, align: usize) -> Option<Self> {
        // The last byte of the size rounded up to the alignment; without bytes, of all the memory there is.
        let last = size.wrapping_sub(1) | align.wrapping_sub(1);
        if last < MIDDLE_MAX {
            return Some(Self::holding(last));
        }
        rare();
        if last < Self::SIZE_MAX && align <= Self::ALIGN_MAX {
            return Some(Self::holding(last));
        }
        None
    }

    /// The smallest class of at least `size` bytes; size 0 counts as 1. `None` above
    /// [`SIZE_MAX`](Self::SIZE_MAX).
    #[inline]
    #[must_use]
    pub const fn from_size(size: usize) -> Option<Self> {
        if size > Self::SIZE_MAX {
            return None;
        }
        Some(Self::holding(size.saturating_sub(1)))
    }

    /// The smallest class that holds the byte of this number, which is below [`SIZE_MAX`](Self::SIZE_MAX).
    #[inline(always)]
    const fn holding(last: usize) -> Self {
        Self {
            index: LISTED[position(last)],
        }
    }

    /// The class with this index; `None` from [`COUNT`](Self::COUNT) on.
    #[inline]
    #[must_use]
    pub const fn from_index(index: usize) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "below 80")]
        if index < Self::COUNT {
            Some(Self { index: index as u8 })
        } else {
            None
        }
    }

    /// Every class, smallest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        #[expect(clippy::cast_possible_truncation, reason = "80 fits")]
        (0..Self::COUNT as u8).map(|index| Self { index })
    }

    /// The index, from 0 and below [`COUNT`](Self::COUNT), rising with the block size.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// The block size in bytes.
    #[inline]
    #[must_use]
    pub const fn block_size(self) -> usize {
        Self::SIZES[self.index as usize] as usize
    }

    /// The alignment in bytes that packed blocks of this class have when their base is aligned
    /// to [`ALIGN_MAX`](Self::ALIGN_MAX).
    #[inline]
    #[must_use]
    pub const fn natural_align(self) -> usize {
        let align = arith::natural_align(self.block_size());
        if align < Self::ALIGN_MAX {
            align
        } else {
            Self::ALIGN_MAX
        }
    }
}

/// The table that [`SizeClass::from_size`] inverts.
const fn sizes() -> [u32; SizeClass::COUNT] {
    let mut sizes = [0; SizeClass::COUNT];
    let mut index = 0;
    let mut size = 0;
    while index < SizeClass::COUNT {
        size += if index < FINE_COUNT {
            8
        } else if index < FINE_COUNT + MIDDLE_COUNT {
            1 << (FINE_MAX_LOG2 - 3 + ((index - FINE_COUNT) / 8) as u32)
        } else {
            1 << (MIDDLE_MAX_LOG2 - 2 + ((index - FINE_COUNT - MIDDLE_COUNT) / 4) as u32)
        };
        sizes[index] = size;
        index += 1;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest size that the exhaustive loops try; Miri takes a stride instead.
    const STEP: usize = if cfg!(miri) { 997 } else { 1 };

    #[test]
    fn each_size_gets_the_smallest_class_that_holds_it() {
        let mut expected = 0;
        for size in (1..=SizeClass::SIZE_MAX).step_by(STEP) {
            while SizeClass::SIZES[expected] < size as u32 {
                expected += 1;
            }
            assert_eq!(
                SizeClass::from_size(size).map(SizeClass::index),
                Some(expected),
                "{size}"
            );
        }
        assert_eq!(expected, SizeClass::COUNT - 1);
        for size in (SizeClass::SIZE_MAX + 1..1 << 25)
            .step_by(STEP * 611)
            .chain([usize::MAX])
        {
            assert_eq!(SizeClass::from_size(size), None);
        }
        assert_eq!(SizeClass::from_size(0), SizeClass::from_size(1));
    }

    #[test]
    fn each_layout_gets_the_smallest_class_of_its_alignment() {
        for align_log2 in 0..=17 {
            let align = 1usize << align_log2;
            for size in (1..=SizeClass::SIZE_MAX + 1).step_by(if cfg!(miri) { 24_989 } else { 31 })
            {
                let layout = NonZeroLayout::from_size_align(size, align).expect("valid");
                let expected = SizeClass::all()
                    .find(|class| class.block_size() >= size && class.natural_align() >= align);
                assert_eq!(SizeClass::from_layout(layout), expected, "{size} {align}");
            }
        }
    }

    #[test]
    fn the_worst_waste_is_as_documented() {
        for class in SizeClass::all().skip(FINE_COUNT) {
            let below = SizeClass::SIZES[class.index() - 1] as usize + 1;
            let waste = class.block_size() - below;
            let share = if class.block_size() <= 8 << 10 { 9 } else { 5 };
            assert!(waste * share < class.block_size(), "{class:?}");
        }
    }

    #[test]
    fn indices_and_sizes_round_trip() {
        assert_eq!(SizeClass::COUNT, 80);
        for (index, class) in SizeClass::all().enumerate() {
            assert_eq!(class.index(), index);
            assert_eq!(SizeClass::from_index(index), Some(class));
            assert_eq!(SizeClass::from_size(class.block_size()), Some(class));
            assert!(arith::is_aligned(class.block_size(), class.natural_align()));
        }
        assert_eq!(SizeClass::from_index(SizeClass::COUNT), None);
    }
}
