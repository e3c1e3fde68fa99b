//! Compositions that several threads share.

use std::sync::Arc;

use drystone_backing::{HeapBacked, System};
use drystone_core::{Allocator, StableAddress};
use drystone_layout::{BumpArena, SizeClassed, Slab};
use drystone_testkit::conformance::{self, Caps};
use drystone_testkit::oracle::{Oracle, PanicOnMisuse};
use drystone_wrap::{Locked, Statistics, WithFallback};

const BLOCKS: usize = if cfg!(miri) { 8 } else { 256 };
const BLOCK: Caps = Caps::new(128, 16, BLOCKS).reuses_memory().bounded();

fn heap(bytes: usize) -> HeapBacked {
    HeapBacked::with_align(bytes, 4096).expect("memory for a test")
}

fn slab() -> Slab<[u128; 8], HeapBacked> {
    Slab::new(BLOCKS, heap(256 << 10)).expect("room for the slots")
}

fn classes() -> SizeClassed<HeapBacked, 3> {
    let range = heap(2 << 20);
    SizeClassed::with_class_sizes(range, [16, 64, 128], BLOCKS).expect("room for the classes")
}

/// Threads trade blocks over what `make` makes, watched by an oracle.
#[track_caller]
fn trade<A: Allocator + StableAddress + Sync>(make: impl Fn() -> A, caps: Caps) {
    conformance::shares(&make, caps);
    conformance::shares(|| Oracle::new(make(), PanicOnMisuse), caps);
}

#[test]
fn locked_slab() {
    trade(|| Locked::new(slab()), BLOCK);
}

#[test]
fn locked_classes() {
    trade(|| Locked::new(classes()), BLOCK);
}

#[test]
fn locked_bump() {
    let caps = Caps::new(128, 16, BLOCKS).bounded();
    trade(|| Locked::new(BumpArena::new(heap(256 << 10))), caps);
}

#[test]
fn statistics_over_a_locked_slab() {
    trade(|| Statistics::new(Locked::new(slab())), BLOCK);
}

#[test]
fn a_slab_too_small_before_the_system_heap() {
    let make = || {
        let small = Slab::<[u128; 8], _>::new(3, heap(4096)).expect("room for the slots");
        WithFallback::new(Locked::new(small), System)
    };
    trade(make, Caps::new(4096, 64, BLOCKS).reuses_memory());
}

#[test]
fn one_heap_behind_many_handles() {
    let make = || Arc::new(Statistics::new(Locked::new(classes())));
    trade(make, BLOCK);
}

#[test]
fn the_counts_add_up_when_the_threads_are_done() {
    let counted = Statistics::new(Locked::new(slab()));
    conformance::shares(|| &counted, BLOCK);
    let stats = counted.stats();
    assert!(stats.allocations > 0);
    assert_eq!(stats.allocations, stats.deallocations);
    assert_eq!((stats.live_blocks(), stats.live_bytes()), (0, 0));
    assert!(stats.peak_live_bytes > 0 && stats.peak_live_bytes <= BLOCKS as u64 * 128);
}
