//! `Late`: refuses until its allocator is there, then is that allocator.

mod common;

use common::Recording;
use drystone_core::{Allocator, Deallocator, Late, NonZeroLayout, Owns};

#[test]
fn refuses_before_and_passes_on_afterwards() {
    let layout = NonZeroLayout::from_size_align(32, 8).expect("a layout");
    let larger = NonZeroLayout::from_size_align(64, 8).expect("a layout");
    let late = Late::new();
    assert!(late.allocate(layout).is_err() && late.allocate_zeroed(layout).is_err());
    assert_eq!(
        (late.capacity_bytes(), late.corruption_events()),
        (Some(0), 0)
    );
    assert!(!late.owns(std::ptr::NonNull::dangling()));

    assert!(late.set(Recording::default()).is_ok());
    let block = late.allocate(layout).expect("memory").cast::<u8>();
    assert!(late.owns(block));
    // SAFETY: the block has 32 bytes.
    unsafe { block.write_bytes(9, 32) };
    // SAFETY: the block is live with this layout.
    let block = unsafe { late.grow(block, layout, larger) };
    let block = block.expect("memory").cast::<u8>();
    // SAFETY: a resize keeps the first bytes.
    assert_eq!(unsafe { block.cast::<[u8; 32]>().read() }, [9; 32]);
    assert!(
        late.set(Recording::default()).is_err(),
        "one allocator for good"
    );
    // SAFETY: the block is live with this layout.
    unsafe { late.deallocate(block, larger) };
    assert_eq!(late.capacity_bytes(), Some(77));
    assert_eq!(late.get().map(|inner| inner.outstanding.get()), Some(0));
}
