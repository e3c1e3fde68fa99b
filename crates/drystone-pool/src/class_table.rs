//! [`ClassTable`]: which class serves a request.
#![forbid(unsafe_code)]

use drystone_core::{CACHE_LINE, arith};

/// The most classes that a pool can have. Few under loom, where each has a flag to watch.
pub(crate) const CLASSES_MAX: usize = if cfg!(loom) { 2 } else { 64 };

/// The measures of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClassShape {
    /// The bytes of a buffer.
    pub(crate) size: usize,
    /// The bytes from one buffer to the next.
    pub(crate) stride: usize,
    /// A power of two; the first byte of each buffer lies at a multiple of it.
    pub(crate) align: usize,
    /// How many buffers there may be.
    pub(crate) limit: u32,
    /// How many of them a thread may cache.
    pub(crate) cache_capacity: usize,
}

impl ClassShape {
    /// The distance between buffers of `size` bytes: rounded up to the alignment, and one cache
    /// line more where all of them would else start in the same sets of the processor's caches.
    pub(crate) fn stride_of(size: usize, align: usize) -> usize {
        let rounded = arith::align_up(size, align).unwrap_or(usize::MAX);
        if rounded.is_multiple_of(4096) && align <= CACHE_LINE {
            rounded.saturating_add(CACHE_LINE)
        } else {
            rounded
        }
    }
}

/// Finds the smallest class that serves a request.
///
/// The binary order of a size gives, from a table of bytes, the first class that may be large
/// enough. Where no two classes have the same order, as with powers of two, it is the one.
#[derive(Clone, Debug)]
pub(crate) struct ClassTable {
    /// The least size that is served from a class, at least 1.
    low: usize,
    /// How many sizes from `low` on are served.
    count: usize,
    /// Of sizes of the order `index`, the first class that serves the least of them.
    first: [u8; usize::BITS as usize + 1],
    /// Rising; classes that do not exist have `usize::MAX`.
    sizes: [usize; CLASSES_MAX],
}

impl ClassTable {
    /// A table of `shapes`, by rising size, for requests from `low` bytes on.
    pub(crate) fn new(shapes: &[ClassShape], low: usize) -> Self {
        debug_assert!((1..=CLASSES_MAX).contains(&shapes.len()));
        let low = low.max(1);
        let mut sizes = [usize::MAX; CLASSES_MAX];
        for (to, shape) in sizes.iter_mut().zip(shapes) {
            *to = shape.size;
        }
        let largest = shapes[shapes.len() - 1].size;
        let mut first = [0; usize::BITS as usize + 1];
        for (order, first) in first.iter_mut().enumerate() {
            let least = least_of(order);
            let class = shapes.iter().position(|shape| shape.size >= least);
            *first = u8::try_from(class.unwrap_or(0)).unwrap_or(0);
        }
        Self {
            low,
            count: largest + 1 - low.min(largest + 1),
            first,
            sizes,
        }
    }

    /// A table that serves nothing from a class, for pools whose hit path is switched off.
    pub(crate) fn closed(self) -> Self {
        Self { count: 0, ..self }
    }

    /// The class for `size` bytes; `None` if no class serves it: 0, too small, too large.
    #[inline]
    pub(crate) fn class_of(&self, size: usize) -> Option<usize> {
        if size.wrapping_sub(self.low) >= self.count {
            return None;
        }
        let class = usize::from(self.first[order_of(size)]) % CLASSES_MAX;
        if self.sizes[class] < size {
            return Some(self.next_class_of(size, class));
        }
        Some(class)
    }

    /// The class for `size` bytes, above one that is too small.
    fn next_class_of(&self, size: usize, mut class: usize) -> usize {
        while self.sizes[class % CLASSES_MAX] < size {
            class += 1;
        }
        class
    }

    /// The largest size that a class serves.
    #[inline]
    pub(crate) fn largest(&self) -> usize {
        self.low + self.count - 1
    }
}

/// The least `order` with `size <= 1 << order`. `size` is not 0.
#[inline]
fn order_of(size: usize) -> usize {
    (usize::BITS - (size - 1).leading_zeros()) as usize
}

/// The least size of an order.
fn least_of(order: usize) -> usize {
    match order.checked_sub(1) {
        Some(below) => (1 << below) + 1,
        None => 1,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn shapes(sizes: &[usize]) -> Vec<ClassShape> {
        let shape = |&size| ClassShape {
            size,
            stride: size,
            align: 1,
            limit: 1,
            cache_capacity: 0,
        };
        sizes.iter().map(shape).collect()
    }

    /// What the table should answer, by a walk through all classes.
    fn model(sizes: &[usize], low: usize, size: usize) -> Option<usize> {
        let served = size >= low.max(1);
        served.then(|| sizes.iter().position(|&class| class >= size))?
    }

    fn check(sizes: &[usize], low: usize) {
        let table = ClassTable::new(&shapes(sizes), low);
        let mut asked: Vec<usize> = (0..if cfg!(miri) { 100 } else { 10_000 }).collect();
        for &size in sizes {
            asked.extend([size - 1, size, size + 1]);
        }
        asked.extend((0..usize::BITS).map(|bit| 1 << bit));
        asked.extend([usize::MAX, isize::MAX as usize]);
        for size in asked {
            assert_eq!(
                table.class_of(size),
                model(sizes, low, size),
                "{sizes:?} {low} {size}"
            );
        }
        assert_eq!(table.largest(), sizes[sizes.len() - 1]);
    }

    #[test]
    fn the_smallest_class_that_holds_a_size() {
        check(&[1024, 2048, 4096, 8192], 0);
        check(&[1024, 2048, 4096, 8192], 1000);
        check(&[1024, 2048, 4096, 8192], 1024);
        check(&[1], 0);
        check(&[7], 7);
        check(&[4096, 4108, 4200, 8192, 1 << 20], 512);
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9], 3);
        let many: Vec<usize> = (1..=CLASSES_MAX).map(|n| 100 + n).collect();
        check(&many, 0);
    }

    #[test]
    fn neighbours_of_whole_pages_start_a_line_apart() {
        assert_eq!(ClassShape::stride_of(4096, 64), 4096 + CACHE_LINE);
        assert_eq!(ClassShape::stride_of(4096, 4096), 4096);
        assert_eq!(ClassShape::stride_of(1024, 64), 1024);
        assert_eq!(ClassShape::stride_of(4108, 4096), 8192);
        assert_eq!(ClassShape::stride_of(4108, 1), 4108);
        assert_eq!(ClassShape::stride_of(usize::MAX, 64), usize::MAX);
    }
}
