//! Every promise of an owner's slab, over every kind of range and with both queues.
#![cfg(feature = "alloc")]

mod ranges;

use drystone_backing::{HeapBacked, InlineBacked, MmapBacked, StaticBacked, System};
use drystone_core::{AllocatedRegion, FixedRange, NonZeroLayout, Region, StableAddress};
use drystone_layout::{BatchPolicy, Intrusive, RemoteQueue, Ring, SlabOwner};
use drystone_testkit::conformance::Caps;
use drystone_testkit::conformance_suite;
use ranges::{buffer, kept};

/// Fewer where each byte is slow.
const SLOTS: usize = if cfg!(miri) { 8 } else { 40 };
type Block = [u64; 6];
const CAPS: Caps = Caps::new(48, 8, SLOTS).reuses_memory().bounded();

/// Bytes for the slots, and for a base that is not aligned.
const BYTES: usize = SLOTS * 48 + 8;

fn owner<B: FixedRange, Q: RemoteQueue>(range: B, queue: Q) -> SlabOwner<Block, B, Q> {
    SlabOwner::with_queue(SLOTS, range, queue).expect("fits")
}

fn heap() -> HeapBacked {
    HeapBacked::new(BYTES).expect("memory")
}

fn stable<A: StableAddress>(allocator: A) -> A {
    allocator
}

conformance_suite!(
    heap_ring,
    || stable(owner(heap(), Ring)),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    heap_intrusive,
    || owner(heap(), Intrusive),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    heap_adaptive,
    || SlabOwner::<Block, _>::with_batch_policy(SLOTS, heap(), BatchPolicy::Adaptive, 16)
        .expect("fits"),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    heap_no_queue,
    || SlabOwner::<Block, _>::with_batch_policy(SLOTS, heap(), BatchPolicy::Fixed(1), 0)
        .expect("fits"),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    mmap_ring,
    || owner(MmapBacked::new(BYTES).expect("memory"), Ring),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    mmap_intrusive,
    || owner(MmapBacked::new(BYTES).expect("memory"), Intrusive),
    CAPS;
    owns, stable_address, inspect, sends
);

// The range moves to the heap with the bookkeeping and stays there, so the blocks are stable.
conformance_suite!(
    inline_ring,
    || stable(owner(InlineBacked::<BYTES>::new(), Ring)),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    inline_intrusive,
    || owner(InlineBacked::<BYTES>::new(), Intrusive),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    borrowed_inline_ring,
    || owner(Region::borrow(kept(InlineBacked::<BYTES>::new())), Ring),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    borrowed_inline_intrusive,
    || owner(Region::borrow(kept(InlineBacked::<BYTES>::new())), Intrusive),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    odd_static_ring,
    || owner(StaticBacked::new(&mut buffer::<BYTES>()[1..]), Ring),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    odd_static_intrusive,
    || owner(StaticBacked::new(&mut buffer::<BYTES>()[1..]), Intrusive),
    CAPS;
    owns, stable_address, inspect, sends
);

conformance_suite!(
    block_of_the_system,
    || {
        let layout = NonZeroLayout::from_size_align(BYTES, 8).expect("a valid layout");
        owner(AllocatedRegion::new(System, layout).expect("memory"), Intrusive)
    },
    CAPS;
    owns, stable_address, inspect, sends
);
