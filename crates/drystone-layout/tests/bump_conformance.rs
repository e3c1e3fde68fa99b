//! Every promise of the bump arena and of its scopes, over every kind of range.

mod ranges;

use std::mem;

use drystone_backing::{HeapBacked, InlineBacked, MmapBacked, StaticBacked, System};
use drystone_core::{AllocatedRegion, NonZeroLayout, Region};
use drystone_layout::{BumpArena, Scope};
use drystone_testkit::conformance::Caps;
use drystone_testkit::conformance_suite;
use ranges::{Lazy, Skewed, buffer, kept};

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
    || BumpArena::new(HeapBacked::new(BYTES).expect("memory")), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    mmap,
    || BumpArena::new(MmapBacked::new(BYTES).expect("memory")), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    inline,
    || BumpArena::new(InlineBacked::<BYTES>::new()), MOVABLE_CAPS;
    owns, reset, inspect, sends
);

conformance_suite!(
    odd_base,
    || BumpArena::new(Skewed::new(BYTES, 13)), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    commits_on_demand,
    || BumpArena::new(Lazy::new(BYTES, usize::MAX, 0).0), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    commits_in_small_steps,
    || BumpArena::new(Lazy::new(BYTES, 0, 2048).0), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    static_buffer,
    || BumpArena::new(StaticBacked::new(&mut buffer::<BYTES>()[1..])), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    region,
    || BumpArena::new(Region::borrow(kept(InlineBacked::<BYTES>::new()))), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    allocated_region,
    || {
        let layout = NonZeroLayout::array::<u8>(BYTES).expect("a valid layout");
        BumpArena::new(AllocatedRegion::new(System, layout).expect("memory"))
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    outermost_scope, || kept(BumpArena::new(InlineBacked::<BYTES>::new())).scope(), MOVABLE_CAPS; owns, stable_address
);

/// A scope that is not the innermost: every call takes the pinning path.
fn covered() -> Scope<'static, HeapBacked> {
    let range = HeapBacked::new(BYTES).expect("memory");
    let outermost = kept(kept(BumpArena::new(range)).scope());
    let scope = outermost.scope();
    mem::forget(outermost.scope());
    scope
}

conformance_suite!(covered_scope, covered, CAPS; owns, stable_address);
