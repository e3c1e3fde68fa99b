//! Bytes inside the value: they move with it.

use drystone_backing::InlineBacked;
use drystone_core::{FixedRange, Region};

static SHARED: InlineBacked<64> = InlineBacked::new();

/// The bytes between the start of `value` and its range.
fn offset_in_value<const N: usize>(value: &InlineBacked<N>) -> usize {
    value.base().addr().get() - std::ptr::from_ref(value).addr()
}

fn write_all(range: &impl FixedRange, byte: u8) {
    // SAFETY: the range is exclusive, writable, and `size()` bytes long.
    unsafe { range.base().write_bytes(byte, range.size()) };
}

fn last_byte(range: &impl FixedRange) -> u8 {
    let last = range.size() - 1;
    // SAFETY: the last byte lies in the range.
    let last = unsafe { range.base().add(last) };
    // SAFETY: the byte was written by `write_all`.
    unsafe { last.read() }
}

#[test]
fn the_range_is_the_value_and_sixteen_aligned() {
    let value = InlineBacked::<24>::new();
    assert_eq!((value.size(), value.base_align()), (24, 16));
    assert_eq!(offset_in_value(&value), 0);
    assert_eq!(value.base().addr().get() % 16, 0);
    assert!(!value.commits_on_demand());
    assert!(!value.keeps_base());
    assert_eq!(size_of::<InlineBacked<24>>(), 32);
    assert_eq!(align_of::<InlineBacked<24>>(), 16);
}

#[test]
fn the_base_moves_with_the_value() {
    let value = InlineBacked::<100>::default();
    let before = value.base();
    let moved = Box::new(value);
    assert_ne!(moved.base(), before);
    assert_eq!(offset_in_value(&moved), 0);
    assert_eq!(moved.base().addr().get() % moved.base_align(), 0);
    write_all(&*moved, 7);
    assert_eq!(last_byte(&*moved), 7);
}

#[test]
fn pointers_survive_calls_and_exclusive_borrows() {
    let mut value = InlineBacked::<32>::new();
    let early = value.base();
    write_all(&value, 1);
    let exclusive = &mut value;
    assert_eq!(exclusive.base(), early);
    // SAFETY: the value has not moved, and the byte was written.
    assert_eq!(unsafe { early.read() }, 1);
}

#[test]
fn alignments_that_a_move_would_break_are_refused() {
    let value = InlineBacked::<256>::new();
    assert_eq!(value.align_offset(3, 16), Some(16));
    for align in [32, 64, 4096] {
        assert_eq!(value.align_offset(0, align), None);
    }
}

#[test]
fn a_region_serves_them_because_it_cannot_move() {
    let mut value = InlineBacked::<256>::new();
    let region = Region::borrow(&mut value);
    let offset = region.align_offset(1, 64).expect("served");
    assert!(offset >= 1);
    assert_eq!((region.base().addr().get() + offset) % 64, 0);
}

#[test]
fn no_bytes_are_a_range_too() {
    let value = InlineBacked::<0>::new();
    assert_eq!((value.size(), size_of_val(&value)), (0, 0));
    assert!(!value.contains(value.base()));
    assert!(value.commit(0, 0).is_ok());
    assert!(value.commit(0, 1).is_err());
}

#[test]
fn threads_may_describe_a_static_one() {
    let here = SHARED.base().addr();
    let there = std::thread::spawn(|| SHARED.base().addr());
    assert_eq!(there.join().expect("joins"), here);
}

#[test]
fn debug_tells_the_size_and_reads_no_byte() {
    let value = InlineBacked::<48>::new();
    assert_eq!(format!("{value:?}"), "InlineBacked { size: 48 }");
}
