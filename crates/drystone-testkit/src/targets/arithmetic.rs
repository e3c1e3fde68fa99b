//! The size-class table and the arithmetic of layouts, against models in wider integers.
#![forbid(unsafe_code)]

use drystone_core::{NonZeroLayout, SizeClass, arith};

/// The little-endian words of the input, endless with zeros.
fn words(data: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let whole = data.chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    });
    whole.chain(core::iter::repeat(0))
}

/// As many bits of the word as a `usize` has.
fn narrow(word: u64) -> usize {
    (word & usize::MAX as u64) as usize
}

/// Whether the two numbers form a layout, by the definition.
fn is_layout(size: usize, align: usize) -> bool {
    let padded = || (size as u128).div_ceil(align as u128) * align as u128;
    size > 0 && align.is_power_of_two() && padded() <= isize::MAX as u128
}

/// A size and an alignment, 8 bytes each: the class of a size, and of a layout, is the first of
/// the table that serves it.
///
/// # Panics
///
/// If the table disagrees with its definition.
pub fn target_class_table(data: &[u8]) {
    let mut words = words(data);
    for _ in 0..=data.len() / 16 {
        let (size, align) = (
            narrow(words.next().unwrap_or(0)),
            narrow(words.next().unwrap_or(0)),
        );
        let first =
            |serves: &dyn Fn(SizeClass) -> bool| SizeClass::all().find(|class| serves(*class));
        assert_eq!(
            SizeClass::from_size(size),
            first(&|class| class.block_size() >= size.max(1)),
            "size {size}"
        );
        let Ok(layout) = NonZeroLayout::from_size_align(size, align) else {
            continue;
        };
        assert_eq!(
            SizeClass::from_layout(layout),
            first(&|class| class.block_size() >= size && class.natural_align() >= align),
            "{layout:?}"
        );
    }
}

/// Three numbers, 8 bytes each: layouts and the arithmetic kernel agree with arithmetic that
/// cannot overflow.
///
/// # Panics
///
/// If they do not.
pub fn target_layout_arith(data: &[u8]) {
    let mut words = words(data);
    for _ in 0..=data.len() / 24 {
        let mut next = || narrow(words.next().unwrap_or(0));
        let (one, two, three) = (next(), next(), next());
        layout_agrees(one, two);
        let align = if two.is_power_of_two() {
            two
        } else {
            1 << (two % usize::BITS as usize)
        };
        layout_agrees(one, align);
        rounding_agrees(one, align);
        ranges_agree(one, two, three);
        offset_agrees(one, three, align);
    }
}

fn layout_agrees(size: usize, align: usize) {
    let layout = NonZeroLayout::from_size_align(size, align);
    assert_eq!(layout.is_ok(), is_layout(size, align), "{size} {align}");
    let Ok(layout) = layout else { return };
    assert_eq!((layout.size().get(), layout.align().get()), (size, align));
    let padded = layout.pad_to_align();
    assert_eq!(Some(padded.size().get()), arith::align_up(size, align));
    assert_eq!(padded.pad_to_align(), padded);
    assert_eq!(NonZeroLayout::try_from(layout.to_layout()), Ok(layout));
}

fn rounding_agrees(value: usize, align: usize) {
    let (wide, by) = (value as u128, align as u128);
    let up = wide.div_ceil(by) * by;
    assert_eq!(
        arith::align_up(value, align),
        usize::try_from(up).ok(),
        "{value} {align}"
    );
    assert_eq!(arith::align_down(value, align) as u128, wide / by * by);
    assert_eq!(arith::is_aligned(value, align), wide % by == 0);
    let natural = arith::natural_align(value);
    assert!(natural.is_power_of_two() && value.is_multiple_of(natural));
    assert!(value == 0 || !(value / natural).is_multiple_of(2));
}

fn ranges_agree(offset: usize, len: usize, size: usize) {
    let end = offset as u128 + len as u128;
    assert_eq!(arith::range_fits(offset, len, size), end <= size as u128);
    let bytes = offset as u128 * len as u128;
    let expected = usize::try_from(bytes)
        .ok()
        .filter(|&bytes| bytes <= arith::SIZE_MAX);
    assert_eq!(arith::array_bytes(offset, len), expected);
}

fn offset_agrees(base: usize, offset: usize, align: usize) {
    let by = align as u128;
    let address = (base as u128 + offset as u128).div_ceil(by) * by;
    // The address may lie beyond the address space; the offset has to fit.
    let expected = usize::try_from(address - base as u128).ok();
    assert_eq!(
        arith::align_offset_at(base, offset, align),
        expected,
        "{base} {offset} {align}"
    );
}
