//! Every promise of an extendable slab, over every kind of source and protection.
#![cfg(feature = "std")]

mod counting;

use std::rc::Rc;

use drystone_backing::{MmapSource, System};
use drystone_core::{
    Checked, FreeLink, FreelistProtection, HeapSource, NoProtection, SourceFrom, StableAddress,
};
use drystone_layout::ExtendableSlab;
use drystone_testkit::conformance::Caps;
use drystone_testkit::conformance_suite;

use counting::Counting;

/// 48 bytes; a segment of 16 is three quarters of its alignment.
type Block = [u64; 6];
const SLOTS: usize = 16;
const CAPS: Caps = Caps::new(48, 8, if cfg!(miri) { 24 } else { 400 }).reuses_memory();

/// A source with this many segments runs out. Fewer blocks are undertaken than it has slots: each
/// of four threads may have a segment that the others cannot get at.
const SEGMENTS: usize = 12;
const BOUNDED: Caps = Caps::new(48, 8, 80).reuses_memory().bounded();

/// A protection with tags, and nothing else.
struct SlotTag;

impl FreelistProtection for SlotTag {
    const TAGGED: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        !link.slot ^ link.epoch.rotate_left(16)
    }
}

/// A protection with everything.
struct Everything;

impl FreelistProtection for Everything {
    const TAGGED: bool = true;
    const OCCUPANCY: bool = true;
    const EPOCHS: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        link.slot.wrapping_mul(0x9E37_79B9) ^ link.epoch
    }
}

/// A slot that holds a segment of 64 words, aligned as one.
#[repr(align(512))]
struct Segment(#[expect(dead_code, reason = "gives the type its size")] [u64; 64]);

fn stable<A: StableAddress>(allocator: A) -> A {
    allocator
}

conformance_suite!(
    heap,
    || stable(ExtendableSlab::<Block>::new(SLOTS)),
    CAPS;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    heap_of_large_segments,
    || ExtendableSlab::<Block>::new(1000),
    CAPS;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    heap_one_slot_a_segment,
    || ExtendableSlab::<Block>::new(1),
    CAPS;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    initial_segments,
    || ExtendableSlab::<Block>::with_initial_segments(3, SLOTS, || NoProtection).expect("memory"),
    CAPS;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    checked,
    || ExtendableSlab::<Block, _>::with_protection(SLOTS, || Checked),
    CAPS;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    tagged,
    || ExtendableSlab::<Block, _>::with_protection(SLOTS, || SlotTag),
    CAPS;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    tagged_and_checked,
    || ExtendableSlab::<Block, _>::with_protection(100, || Everything),
    CAPS;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    mmap,
    || ExtendableSlab::<Block, _, _>::with_source(SLOTS, || NoProtection, MmapSource),
    CAPS;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    system,
    || {
        let source = SourceFrom::new(&System);
        ExtendableSlab::<Block, _, _>::with_source(SLOTS, || Checked, source)
    },
    CAPS;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    blocks_of_another_slab,
    || {
        let outer = ExtendableSlab::<Segment>::new(4);
        let source = SourceFrom::new(Rc::new(outer));
        ExtendableSlab::<u64, _, _>::with_source(64, || NoProtection, source)
    },
    Caps::new(8, 8, 400).reuses_memory();
    owns, reset, stable_address, inspect
);

conformance_suite!(
    bounded,
    || ExtendableSlab::<Block, _, _>::with_source(SLOTS, || NoProtection, Counting::new(SEGMENTS)),
    BOUNDED;
    owns, reset, stable_address, inspect, sends, shares
);

conformance_suite!(
    bounded_checked,
    || ExtendableSlab::<Block, _, _>::with_source(SLOTS, || Everything, Counting::new(SEGMENTS)),
    BOUNDED;
    owns, reset, stable_address, inspect, sends, shares
);

#[test]
fn the_default_source_is_the_heap() {
    let slab: ExtendableSlab<u64> = ExtendableSlab::new(8);
    let _: &HeapSource = slab.source();
}
