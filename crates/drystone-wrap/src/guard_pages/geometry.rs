//! Where the guards, the pages and the block lie.
#![forbid(unsafe_code)]

use drystone_core::NonZeroLayout;
use drystone_core::arith::{align_up, is_aligned};

use super::Placement;

/// What one block takes, in bytes from the start of the inner block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// What the inner allocator is asked for: whole pages.
    pub(super) inner: NonZeroLayout,
    /// The length of the guard in front, from offset 0. Whole pages.
    pub(super) front_bytes: usize,
    /// Where the block starts.
    pub(super) block_offset: usize,
    /// Where the guard behind starts; it ends where the inner block does.
    pub(super) back_offset: usize,
}

impl Geometry {
    /// For a block of `layout`, between guards of at least `guard_bytes`, a multiple of `page`.
    /// `None` if that is more than a block can have.
    pub(super) fn new(
        layout: NonZeroLayout,
        guard_bytes: usize,
        page: usize,
        placement: Placement,
    ) -> Option<Self> {
        debug_assert!(page.is_power_of_two() && is_aligned(guard_bytes, page));
        let align = layout.align().get();
        let front_bytes = align_up(guard_bytes, align)?;
        // Rounded to the alignment, so that a block that ends at the guard starts aligned.
        let body = align_up(layout.size().get(), align)?;
        let pages = align_up(body, page)?;
        let back_offset = front_bytes.checked_add(pages)?;
        let block_offset = match placement {
            Placement::AtEnd => back_offset - body,
            Placement::AtStart => front_bytes,
        };
        let bytes = back_offset.checked_add(guard_bytes)?;
        Some(Self {
            inner: NonZeroLayout::from_size_align(bytes, align.max(page)).ok()?,
            front_bytes,
            block_offset,
            back_offset,
        })
    }

    /// The length of the guard behind.
    pub(super) fn back_bytes(&self) -> usize {
        self.inner.size().get() - self.back_offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lie_between_their_guards() {
        for page in [16, 4096] {
            for guard_pages in [0, 1, 3] {
                for size in [1, 2, 15, 16, 17, 4095, 4096, 4097, 10_000] {
                    for align in (0..=14).map(|log2| 1 << log2) {
                        for placement in [Placement::AtEnd, Placement::AtStart] {
                            check(size, align, guard_pages * page, page, placement);
                        }
                    }
                }
            }
        }
    }

    fn check(size: usize, align: usize, guard: usize, page: usize, placement: Placement) {
        let layout = NonZeroLayout::from_size_align(size, align).expect("valid");
        let geometry = Geometry::new(layout, guard, page, placement).expect("small");
        let Geometry {
            inner,
            front_bytes,
            block_offset,
            back_offset,
        } = geometry;
        for offset in [front_bytes, back_offset, inner.size().get()] {
            assert!(is_aligned(offset, page), "{geometry:?}");
        }
        assert!(inner.align().get() >= page.max(align));
        assert!(is_aligned(block_offset, align), "{geometry:?}");
        assert!(front_bytes >= guard && geometry.back_bytes() == guard);
        assert!(front_bytes <= block_offset && block_offset + size <= back_offset);
        match placement {
            Placement::AtStart => assert_eq!(block_offset, front_bytes),
            Placement::AtEnd => assert!(back_offset - (block_offset + size) < align),
        }
    }

    #[test]
    fn what_does_not_fit_is_none() {
        let top = isize::MAX as usize;
        for (size, align) in [(top - 4095, 1), (top, 1), (1, 1 << (usize::BITS - 2))] {
            let layout = NonZeroLayout::from_size_align(size, align).expect("valid");
            for placement in [Placement::AtEnd, Placement::AtStart] {
                assert_eq!(Geometry::new(layout, 4096, 4096, placement), None);
            }
        }
    }
}
