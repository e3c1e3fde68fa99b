//! [`ClassTable`]: from a layout to the smallest class of a caller's own table that serves it.
//!
//! Sizes are sorted into buckets, 8 to each doubling and never finer than 8 bytes; the table
//! remembers the first class that can serve each bucket. From there the classes are tried in
//! order, which is one step unless the table has several classes inside one bucket or its sizes
//! are not multiples of the alignment asked for.
#![forbid(unsafe_code)]

use drystone_core::{NonZeroLayout, arith};

use crate::SetupError;

/// Class sizes are multiples of this, in bytes.
pub(super) const GRANULE: usize = 8;

/// The largest size of a class in bytes: 1 GiB.
pub(crate) const CLASS_SIZE_MAX: usize = 1 << 30;

/// The most classes that a table may have.
pub(super) const CLASSES_MAX: usize = u8::MAX as usize;

/// Below this size buckets are one granule wide.
const FINE_LOG2: u32 = 6;
const FINE_COUNT: usize = (1 << FINE_LOG2) / GRANULE;
const BUCKETS: usize = FINE_COUNT + (30 - FINE_LOG2 as usize) * 8;

/// The bucket of a size from 1 to [`CLASS_SIZE_MAX`].
#[inline]
const fn bucket(size: usize) -> usize {
    let last = size - 1;
    if last < 1 << FINE_LOG2 {
        return last / GRANULE;
    }
    let log2 = last.ilog2();
    FINE_COUNT + (log2 - FINE_LOG2) as usize * 8 + ((last >> (log2 - 3)) & 7)
}

/// The first class that can serve each bucket.
#[derive(Debug)]
pub(super) struct ClassTable {
    first: [u8; BUCKETS],
}

impl ClassTable {
    /// The table of `sizes`.
    ///
    /// # Errors
    ///
    /// [`SetupError::ClassCount`] or [`SetupError::ClassSize`].
    pub(super) fn new(sizes: &[usize]) -> Result<Self, SetupError> {
        if sizes.is_empty() || sizes.len() > CLASSES_MAX {
            return Err(SetupError::ClassCount {
                classes: sizes.len(),
                limit: CLASSES_MAX,
            });
        }
        let mut first = [u8::MAX; BUCKETS];
        let mut below = 0;
        for (class, &size_bytes) in sizes.iter().enumerate() {
            if size_bytes <= below
                || size_bytes > CLASS_SIZE_MAX
                || !size_bytes.is_multiple_of(GRANULE)
            {
                return Err(SetupError::ClassSize { class, size_bytes });
            }
            // The sizes below + 1 ..= size_bytes belong to this class; a bucket that a smaller
            // class reaches into starts with that one.
            let from = bucket(below + 1);
            for entry in &mut first[from..=bucket(size_bytes)] {
                if *entry == u8::MAX {
                    #[expect(clippy::cast_possible_truncation, reason = "at most 255 classes")]
                    let class = class as u8;
                    *entry = class;
                }
            }
            below = size_bytes;
        }
        Ok(Self { first })
    }

    /// The smallest class of `sizes` that is at least as large as `layout` and a multiple of its
    /// alignment. `sizes` are those that the table was made of.
    #[inline]
    pub(super) fn class_of(&self, sizes: &[usize], layout: NonZeroLayout) -> Option<usize> {
        let size = layout.pad_to_align().size().get();
        if size > CLASS_SIZE_MAX {
            return None;
        }
        let first = self.first[bucket(size)] as usize;
        let serves = |class: usize| class >= size && arith::is_aligned(class, layout.align().get());
        if serves(*sizes.get(first)?) {
            return Some(first);
        }
        let rest = sizes.get(first + 1..)?;
        Some(first + 1 + rest.iter().position(|&class| serves(class))?)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    fn check(sizes: &[usize]) {
        let table = ClassTable::new(sizes).expect("a valid table");
        let top = *sizes.last().expect("not empty");
        let step = if cfg!(miri) { 211 } else { 1 };
        for size in (1..=top.min(1 << 16) + 9)
            .step_by(step)
            .chain([top, top + 1])
        {
            for align in [1, 2, 8, 16, 64, 4096] {
                let layout = NonZeroLayout::from_size_align(size, align).expect("valid");
                let expected = sizes
                    .iter()
                    .position(|&class| class >= size && class % align == 0);
                assert_eq!(
                    table.class_of(sizes, layout),
                    expected,
                    "size {size}, align {align}, classes {sizes:?}"
                );
            }
        }
    }

    #[test]
    fn every_layout_gets_the_smallest_class_that_serves_it() {
        check(&[8]);
        check(&[24]);
        check(&[8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]);
        check(&[8, 24, 40, 56, 72, 1032, 1040, 1048, 3000, 3008, 40_000]);
        check(
            &(1..=if cfg!(miri) { 40 } else { 255 })
                .map(|n| n * 64)
                .collect::<Vec<_>>(),
        );
        check(&[48, CLASS_SIZE_MAX]);
    }

    #[test]
    fn buckets_are_consecutive_and_rise_with_the_size() {
        let mut last = 0;
        for size in (1..1 << 20).step_by(if cfg!(miri) { 4099 } else { 1 }) {
            let now = bucket(size);
            assert!(now >= last, "{size}");
            assert!(cfg!(miri) || now <= last + 1, "{size}");
            last = now;
        }
        assert_eq!(bucket(CLASS_SIZE_MAX), BUCKETS - 1);
    }

    #[test]
    fn the_offending_class_is_named() {
        let class_size = |sizes: &[usize]| match ClassTable::new(sizes) {
            Err(SetupError::ClassSize { class, size_bytes }) => Some((class, size_bytes)),
            _ => None,
        };
        assert_eq!(class_size(&[0]), Some((0, 0)));
        assert_eq!(class_size(&[8, 8]), Some((1, 8)));
        assert_eq!(class_size(&[16, 8]), Some((1, 8)));
        assert_eq!(class_size(&[8, 12]), Some((1, 12)));
        assert_eq!(
            class_size(&[8, 16, CLASS_SIZE_MAX + 8]),
            Some((2, CLASS_SIZE_MAX + 8))
        );
        assert_eq!(class_size(&[8, 16]), None);
        for classes in [0, 256] {
            let sizes: Vec<usize> = (1..=classes).map(|n| n * 8).collect();
            assert_eq!(
                ClassTable::new(&sizes).err(),
                Some(SetupError::ClassCount {
                    classes,
                    limit: 255
                })
            );
        }
    }
}
