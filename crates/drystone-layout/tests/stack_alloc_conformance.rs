//! Every promise of the stack, over every kind of range.

mod ranges;

use drystone_backing::{HeapBacked, InlineBacked, MmapBacked, StaticBacked, System};
use drystone_core::{AllocatedRegion, Region};
use drystone_layout::StackAlloc;
use drystone_testkit::conformance::Caps;
use drystone_testkit::conformance_suite;
use ranges::{Lazy, Skewed, buffer, kept, layout};

/// The largest block and alignment that are tried, and how many: less where each byte is slow.
const LIMITS: (usize, usize, usize) = if cfg!(miri) {
    (96, 128, 8)
} else {
    (512, 1024, 16)
};

/// Room for the blocks, each padded to the alignment, and for as many again.
const BYTES: usize = 2 * LIMITS.2 * (LIMITS.0 + LIMITS.1);

const CAPS: Caps = Caps::new(LIMITS.0, LIMITS.1, LIMITS.2).bounded();

/// Over a range that may move.
const MOVABLE_CAPS: Caps = Caps::new(LIMITS.0, 16, LIMITS.2).bounded();

conformance_suite!(
    heap,
    || StackAlloc::new(HeapBacked::new(BYTES).expect("memory")), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    mmap,
    || StackAlloc::new(MmapBacked::new(BYTES).expect("memory")), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    inline,
    || StackAlloc::new(InlineBacked::<BYTES>::new()), MOVABLE_CAPS;
    owns, reset, inspect, sends
);

conformance_suite!(
    odd_base,
    || StackAlloc::new(Skewed::new(BYTES, 13)), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    commits_on_demand,
    || StackAlloc::new(Lazy::new(BYTES, usize::MAX, 0).0), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    commits_in_small_steps,
    || StackAlloc::new(Lazy::new(BYTES, 0, 2048).0), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    static_buffer,
    || StackAlloc::new(StaticBacked::new(&mut buffer::<BYTES>()[1..])), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    region,
    || StackAlloc::new(Region::borrow(kept(InlineBacked::<BYTES>::new()))), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    allocated_region,
    || {
        let layout = layout(BYTES, 1);
        StackAlloc::new(AllocatedRegion::new(System, layout).expect("memory"))
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);
