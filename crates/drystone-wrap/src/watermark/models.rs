//! Edges that several threads reach at once.

use std::vec::Vec;

use drystone_core::{Allocator, Deallocator, NonZeroLayout};
use drystone_sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::sync::Arc;
use loom::thread;

use super::{Watermark, WatermarkHandler};
use crate::one_block::OneBlock;

#[derive(Default)]
struct Fires {
    warn: AtomicU32,
    critical: AtomicU32,
}

impl WatermarkHandler for Fires {
    fn on_warn(&self, used: usize, capacity: usize) {
        assert!(used >= 75 && capacity == 100);
        self.warn.fetch_add(1, Relaxed);
    }

    fn on_critical(&self, used: usize, _capacity: usize) {
        assert!(used >= 90);
        self.critical.fetch_add(1, Relaxed);
    }
}

type Model = Watermark<OneBlock, Fires>;

fn layout() -> NonZeroLayout {
    NonZeroLayout::from_size_align(40, 1).expect("valid")
}

fn take(memory: &Model) {
    memory.allocate(layout()).expect("always served");
}

fn give(memory: &Model) {
    let block = core::ptr::NonNull::<u64>::dangling().cast();
    // SAFETY: each call of the models follows a `take`, whose block is at this address.
    unsafe { memory.deallocate(block, layout()) };
}

fn fires(memory: &Model) -> (u32, u32) {
    let handler = memory.handler();
    (handler.warn.load(Relaxed), handler.critical.load(Relaxed))
}

fn model() -> Arc<Model> {
    Arc::new(Watermark::new(OneBlock::unwatched(), Fires::default()))
}

/// `threads` blocks of 40 of 100 bytes, taken at once.
fn rise_together(threads: usize) -> Arc<Model> {
    let memory = model();
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let memory = Arc::clone(&memory);
            thread::spawn(move || take(&memory))
        })
        .collect();
    take(&memory);
    for other in others {
        other.join().expect("no panic");
    }
    assert_eq!(memory.used_bytes(), 40 * threads, "I1");
    memory
}

/// 80 bytes cross the lower mark, once.
#[test]
fn loom2_two_rise_over_a_mark() {
    loom::model(|| assert_eq!(fires(&rise_together(2)), (1, 0)));
}

/// 120 bytes cross both, once each.
#[test]
fn loom3_three_rise_over_both_marks() {
    loom::model(|| assert_eq!(fires(&rise_together(3)), (1, 1)));
}

/// From 80 bytes a free and a request meet: either the level falls first, and the lower mark fires
/// anew, or it rises to 120 first, and the upper one fires.
#[test]
fn loom2_a_fall_beside_a_rise() {
    loom::model(|| {
        let memory = model();
        take(&memory);
        take(&memory);
        assert_eq!(fires(&memory), (1, 0));
        let other = {
            let memory = Arc::clone(&memory);
            thread::spawn(move || give(&memory))
        };
        take(&memory);
        other.join().expect("no panic");
        assert_eq!(memory.used_bytes(), 80, "a release was lost, I1");
        let fires = fires(&memory);
        assert!(fires == (2, 0) || fires == (1, 1), "{fires:?}");
        give(&memory);
        give(&memory);
        assert_eq!(memory.used_bytes(), 0, "I1");
    });
}
