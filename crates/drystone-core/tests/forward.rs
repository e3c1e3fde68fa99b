//! Every handle forwards every method to the allocator it reaches.

mod common;

use std::rc::Rc;
use std::sync::Arc;

use common::Recording;
use drystone_core::{AllocError, Allocator, Deallocator, NonZeroLayout, Owns};

fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("a valid layout")
}

/// Uses each method once through `handle` and returns nothing outstanding.
fn exercise<A: Allocator + Owns>(handle: &A) {
    let (small, large) = (layout(16, 8), layout(64, 32));
    let block = handle.allocate(small).expect("served").cast::<u8>();
    // SAFETY: the block is 16 bytes long.
    unsafe { block.as_ptr().write_bytes(0xA5, 16) };
    // SAFETY: `block` is live with `small`; the new size is larger.
    let grown = unsafe { handle.grow_zeroed(block, small, large) }
        .expect("served")
        .cast::<u8>();
    // SAFETY: the block is 64 bytes long and initialised: 16 copied, the rest zeroed.
    let bytes = unsafe { std::slice::from_raw_parts(grown.as_ptr(), 64) };
    assert!(bytes[..16].iter().all(|&b| b == 0xA5) && bytes[16..].iter().all(|&b| b == 0));
    assert_eq!(grown.addr().get() % 32, 0);
    // SAFETY: `grown` is live with `large`.
    let shrunk = unsafe { handle.shrink(grown, large, small) }
        .expect("served")
        .cast::<u8>();
    // SAFETY: `shrunk` is live with `small`.
    let again = unsafe { handle.grow(shrunk, small, small) }
        .expect("equal sizes are allowed")
        .cast::<u8>();
    assert!(handle.owns(again));
    // SAFETY: `again` is live with `small`.
    assert_eq!(unsafe { handle.usable_size(again, small) }, Some(16));
    // SAFETY: `again` is live with `small` and not used afterwards.
    unsafe { handle.deallocate(again, small) };
    let zeroed = handle.allocate_zeroed(small).expect("served").cast::<u8>();
    // SAFETY: `zeroed` is live with `small` and not used afterwards.
    unsafe { handle.deallocate(zeroed, small) };
    assert_eq!(handle.capacity_bytes(), Some(77));
    assert_eq!(handle.corruption_events(), 5);
}

/// What `exercise` makes the allocator see, in order.
const CALLS: [&str; 14] = [
    "allocate",
    "allocate",
    "deallocate",
    "allocate",
    "deallocate",
    "allocate",
    "deallocate",
    "owns",
    "usable_size",
    "deallocate",
    "allocate_zeroed",
    "deallocate",
    "capacity_bytes",
    "corruption_events",
];

#[test]
fn references_forward() {
    let inner = Recording::default();
    exercise(&&inner);
    assert_eq!(inner.take_calls(), CALLS);
    let erased: &dyn Allocator = &inner;
    assert_eq!(erased.capacity_bytes(), Some(77));
}

#[test]
fn boxes_forward() {
    let inner = Box::new(Recording::default());
    exercise(&inner);
    assert_eq!(inner.take_calls(), CALLS);
    let erased: Box<dyn Allocator> = inner;
    assert_eq!(erased.corruption_events(), 5);
}

#[test]
fn shared_handles_forward() {
    let inner = Rc::new(Recording::default());
    exercise(&inner);
    assert_eq!(inner.take_calls(), CALLS);
    #[allow(clippy::arc_with_non_send_sync, reason = "only forwarding is tested")]
    let inner = Arc::new(Recording::default());
    exercise(&inner);
    assert_eq!(inner.take_calls(), CALLS);
}

#[test]
fn a_refused_move_leaves_the_old_block() {
    let inner = Recording::default();
    let (small, large) = (layout(16, 8), layout(64, 8));
    let block = inner.allocate(small).expect("served").cast::<u8>();
    // SAFETY: the block is 16 bytes long.
    unsafe { block.as_ptr().write_bytes(7, 16) };
    inner.refuse.set(true);
    // SAFETY: `block` is live with `small`.
    let grown = unsafe { inner.grow(block, small, large) };
    // SAFETY: as above: the failed call left it live.
    let zeroed = unsafe { inner.grow_zeroed(block, small, large) };
    // SAFETY: as above.
    let shrunk = unsafe { inner.shrink(block, small, layout(8, 8)) };
    assert_eq!([grown, zeroed, shrunk], [Err(AllocError); 3]);
    // SAFETY: the failed calls left the block live; its 16 bytes are initialised.
    let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), 16) };
    assert_eq!(bytes, [7; 16]);
    assert_eq!(inner.outstanding.get(), 1);
    // SAFETY: `block` is live with `small` and not used afterwards.
    unsafe { inner.deallocate(block, small) };
}
