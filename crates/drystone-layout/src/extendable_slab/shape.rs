//! [`Shape`]: how many slots, groups and bytes a segment has.
#![forbid(unsafe_code)]

use drystone_core::{NonZeroLayout, arith};

/// The slots of a group: one for each bit of a word.
pub(super) const GROUP_SLOTS: usize = usize::BITS as usize;

/// The measures of every segment of a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    // I1: `0 < capacity <= u32::MAX - 1` and `groups == capacity.div_ceil(GROUP_SLOTS)`.
    capacity: u32,
    groups: u32,
    // I3: a bit for each slot of the last group.
    last: usize,
    // I2: `layout.size() == capacity * stride`; `layout.align()` is a power of two not below the
    // size, so an address with its low bits cut off is the base of the segment it lies in.
    layout: NonZeroLayout,
}

impl Shape {
    /// Segments of `capacity` slots of `stride` bytes, each at a multiple of `slot_align`; `None`
    /// if there is no such segment.
    pub(super) fn new(capacity: usize, stride: usize, slot_align: usize) -> Option<Self> {
        let count = u32::try_from(capacity).ok().filter(|&n| n < u32::MAX)?;
        let bytes = arith::array_bytes(capacity, stride)?;
        let align = bytes.max(slot_align).checked_next_power_of_two()?;
        Some(Self {
            capacity: count,
            groups: count.div_ceil(usize::BITS),
            last: usize::MAX >> (count.wrapping_neg() % usize::BITS),
            // Fails where the alignment exceeds what a layout may have, and for no slots.
            layout: NonZeroLayout::from_size_align(bytes, align).ok()?,
        })
    }

    /// The slots of a segment.
    #[inline]
    pub(super) const fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// The groups of a segment.
    #[inline]
    pub(super) const fn groups(&self) -> u32 {
        self.groups
    }

    /// What is asked of the source for a segment.
    #[inline]
    pub(super) const fn layout(&self) -> NonZeroLayout {
        self.layout
    }

    /// The bytes of a segment's slots.
    #[inline]
    pub(super) const fn bytes(&self) -> usize {
        self.layout.size().get()
    }

    /// A bit for each slot of the group: all of a word but in the last group.
    #[inline]
    pub(super) const fn mask(&self, group: u32) -> usize {
        if group + 1 == self.groups {
            self.last
        } else {
            usize::MAX
        }
    }

    /// The slots of the group.
    #[inline]
    pub(super) const fn slots(&self, group: u32) -> usize {
        self.mask(group).count_ones() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_in_one_group() {
        for capacity in (1..=if cfg!(miri) { 130 } else { 300 }).chain([1 << 16, (1 << 16) + 1]) {
            let shape = Shape::new(capacity, 24, 8).expect("small enough");
            let slots: usize = (0..shape.groups()).map(|group| shape.slots(group)).sum();
            assert_eq!(slots, capacity);
            assert_eq!(shape.capacity(), capacity);
            assert!(
                (0..shape.groups()).all(|group| shape.mask(group).trailing_ones() as usize
                    == shape.slots(group)
                    && shape.slots(group) > 0)
            );
        }
    }

    #[test]
    fn the_alignment_covers_the_segment() {
        for capacity in 1..if cfg!(miri) { 70 } else { 200 } {
            for (stride, slot_align) in [(1, 1), (8, 8), (24, 8), (640, 64), (1, 1 << 12)] {
                let shape = Shape::new(capacity, stride, slot_align).expect("small enough");
                let layout = shape.layout();
                assert_eq!(shape.bytes(), capacity * stride);
                assert!(layout.align() >= layout.size());
                assert_eq!(layout.align().get() % slot_align, 0);
            }
        }
    }

    #[test]
    fn impossible_segments_have_no_shape() {
        assert_eq!(Shape::new(0, 8, 8), None);
        assert_eq!(Shape::new(usize::MAX, 1, 1), None);
        assert_eq!(Shape::new(u32::MAX as usize, 1, 1), None);
        assert_eq!(Shape::new(2, arith::SIZE_MAX, 1), None);
        // Rounded up to a power of two it exceeds what a layout may have.
        assert_eq!(Shape::new(1, arith::SIZE_MAX / 2 + 2, 1), None);
        assert!(Shape::new(1, arith::SIZE_MAX / 2 + 1, 1).is_some());
    }
}
