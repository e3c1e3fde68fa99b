//! `Locked`: one at a time, on every path out.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Blocks, SLOT, Slots};
use drystone_core::{AllocError, Allocator, Owns, Reset};
use drystone_wrap::{Locked, NoLock, RawLock, SpinLock};

#[test]
fn one_thread_needs_no_lock() {
    let locked = Locked::with_lock(Slots::new(1), NoLock);
    let block = locked.take(8, 8).expect("room");
    assert_eq!(locked.take(8, 8), Err(AllocError));
    locked.give(block);
}

/// A lock that says when it is held, and counts.
#[derive(Default)]
struct Watched {
    held: AtomicBool,
}

// SAFETY: used on one thread at a time by these tests; it panics instead of excluding.
unsafe impl RawLock for Watched {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait's form")]
    const INIT: Self = Self {
        held: AtomicBool::new(false),
    };

    fn lock(&self) {
        assert!(!self.held.swap(true, Ordering::Acquire), "locked twice");
    }

    unsafe fn unlock(&self) {
        assert!(self.held.swap(false, Ordering::Release), "not locked");
    }
}

#[test]
fn every_call_locks_once_and_unlocks() {
    let locked = Locked::with_lock(Slots::new(2), Watched::INIT);
    let block = locked.take(8, 8).expect("room");
    let zeroed = locked.take_zeroed(8, 8).expect("room");
    zeroed.check_zero_from(0);
    let block = locked.grow_to(block, 16).expect("room");
    let block = locked.grow_zeroed_to(block, 24).expect("room");
    let block = locked.shrink_to(block, 8, 8).expect("room");
    assert_eq!(locked.usable(block), Some(SLOT));
    assert_eq!(locked.capacity_bytes(), Some(2 * SLOT));
    assert!(locked.owns(block.ptr));
    locked.give(block);
    locked.give(zeroed);
    assert_eq!(locked.with(Slots::live), 0);
}

#[test]
fn a_panic_inside_gives_the_lock_back() {
    let locked = Locked::new(Slots::new(1));
    let unwound = catch_unwind(AssertUnwindSafe(|| locked.with(|_| panic!("inside"))));
    assert!(unwound.is_err());
    let block = locked.take(8, 8).expect("the lock is free");
    locked.give(block);
}

#[test]
fn corruption_is_read_without_the_lock() {
    let locked = Locked::new(Slots::new(1));
    locked.with(|slots| {
        slots.set_corruption(2);
        assert_eq!(locked.corruption_events(), 0, "as of the last unlock");
    });
    assert_eq!(locked.corruption_events(), 2);
    locked.with(|slots| slots.set_corruption(1));
    assert_eq!(locked.corruption_events(), 2, "it never falls");
    locked.with(|slots| slots.set_corruption(u64::MAX));
    assert_eq!(locked.corruption_events(), usize::MAX as u64);
}

#[test]
fn reset_needs_no_lock_and_keeps_the_count() {
    let mut locked = Locked::with_lock(Slots::new(2), Watched::INIT);
    locked.take(8, 8).expect("room");
    locked.reset();
    // SAFETY: the reset ended every block.
    assert_eq!(unsafe { locked.into_inner() }.live(), 0);
}

#[test]
fn an_allocator_that_is_shared_by_itself_can_be_seen_past_the_lock() {
    let inner = Locked::new(Slots::new(1));
    let outer = Locked::new(&inner);
    assert_eq!(outer.inner().capacity_bytes(), Some(SLOT));
}

#[test]
fn locked_allocators_can_be_statics() {
    static LOCKED: Locked<(), SpinLock> = Locked::new(());
    let _: &(dyn Sync + 'static) = &LOCKED;
    assert_eq!(format!("{LOCKED:?}"), "Locked { .. }");
}
