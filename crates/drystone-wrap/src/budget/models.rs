//! Requests that meet at the limit.

use std::vec::Vec;

use drystone_core::{Allocator, Deallocator, NonZeroLayout};
use drystone_sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::sync::Arc;
use loom::thread;

use super::Budget;
use crate::one_block::OneBlock;

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 1).expect("valid")
}

/// Takes and gives back a block, and asserts that what is out never exceeds `limit`.
fn take_and_give(budget: &Budget<OneBlock>, out: &AtomicUsize, size: usize, limit: usize) {
    if let Ok(block) = budget.allocate(layout(size)) {
        let before = out.fetch_add(size, Relaxed);
        assert!(before + size <= limit, "above the limit");
        assert!(budget.used_bytes() <= limit, "I1");
        out.fetch_sub(size, Relaxed);
        // SAFETY: the block was just handed out.
        unsafe { budget.deallocate(block.cast(), layout(size)) };
    }
}

/// `threads` threads with blocks of which two do not fit at once.
fn meet_at_the_limit(threads: usize) {
    let budget = Arc::new(Budget::new(OneBlock::watched(), 100));
    let out = Arc::new(AtomicUsize::new(0));
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let (budget, out) = (Arc::clone(&budget), Arc::clone(&out));
            thread::spawn(move || take_and_give(&budget, &out, 60, 100))
        })
        .collect();
    take_and_give(&budget, &out, 60, 100);
    for other in others {
        other.join().expect("no panic");
    }
    assert_eq!(budget.used_bytes(), 0, "a release was lost, I3");
}

/// Blocks of 60 of 100 bytes exclude each other, so the budget is what orders the inner calls: the
/// witness inside sees a free that the next request does not.
#[test]
fn loom2_two_meet_at_the_limit() {
    loom::model(|| meet_at_the_limit(2));
}

#[test]
fn loom3_three_meet_at_the_limit() {
    loom::model(|| meet_at_the_limit(3));
}

/// A block grows while another is taken: the sum stays within the limit, and nothing is lost.
#[test]
fn loom2_growth_beside_a_request() {
    loom::model(|| {
        let budget = Arc::new(Budget::new(OneBlock::unwatched(), 100));
        let out = Arc::new(AtomicUsize::new(0));
        let other = {
            let (budget, out) = (Arc::clone(&budget), Arc::clone(&out));
            thread::spawn(move || take_and_give(&budget, &out, 60, 100))
        };
        if let Ok(block) = budget.allocate(layout(30)) {
            out.fetch_add(30, Relaxed);
            // SAFETY: the block was just handed out.
            let grown = unsafe { budget.grow(block.cast(), layout(30), layout(50)) };
            let size = if grown.is_ok() { 50 } else { 30 };
            assert!(
                out.fetch_add(size - 30, Relaxed) + size - 30 <= 100,
                "above the limit"
            );
            out.fetch_sub(size, Relaxed);
            // SAFETY: the block is live, with the size that the growth left it.
            unsafe { budget.deallocate(block.cast(), layout(size)) };
        }
        other.join().expect("no panic");
        assert_eq!(budget.used_bytes(), 0, "a release was lost, I3");
    });
}
