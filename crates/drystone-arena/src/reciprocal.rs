//! Division by block sizes, as a multiplication.
#![forbid(unsafe_code)]

use drystone_core::SizeClass;

use crate::geometry::block_bytes;

const SHIFT: u32 = 40;

/// 2⁴⁰ / size, rounded up, for each class.
static RECIPROCALS: [u64; SizeClass::COUNT] = {
    let mut reciprocals = [0; SizeClass::COUNT];
    let mut class = 0;
    while class < SizeClass::COUNT {
        reciprocals[class] = (1u64 << SHIFT).div_ceil(block_bytes(class) as u64);
        class += 1;
    }
    reciprocals
};

/// The number of the block of the class that the offset lies in, counted from the start of its page.
#[inline(always)]
pub(crate) fn block_index(offset: usize, class: usize) -> usize {
    ((offset as u64 * RECIPROCALS[class]) >> SHIFT) as usize
}

/// Whether a block of the class begins at this offset of its page.
#[inline(always)]
pub(crate) fn is_multiple(offset: usize, class: usize) -> bool {
    block_offset(offset, class) == offset
}

/// Where the block of the class begins that has this offset of its page in it.
#[inline(always)]
pub(crate) fn block_offset(offset: usize, class: usize) -> usize {
    block_index(offset, class) * block_bytes(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::geometry::{SLICE_BYTES, page_slices};

    #[test]
    fn the_reciprocal_divides_every_offset_of_a_page() {
        for class in 0..SizeClass::COUNT {
            let step = if cfg!(miri) { 4099 } else { 1 };
            for offset in (0..page_slices(class) * SLICE_BYTES).step_by(step) {
                let into = offset % block_bytes(class);
                assert_eq!(
                    block_offset(offset, class),
                    offset - into,
                    "{offset} of class {class}"
                );
                assert_eq!(is_multiple(offset, class), into == 0);
            }
        }
    }
}
