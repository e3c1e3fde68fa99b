//! Every promise of the growing bump arena, over every kind of source.

mod ranges;

use std::rc::Rc;

use drystone_backing::{HeapBacked, MmapSource, System};
use drystone_core::{HeapSource, SourceFrom};
use drystone_layout::{BumpArena, GrowableBump, SizeClassed};
use drystone_testkit::conformance::Caps;
use drystone_testkit::conformance_suite;
use ranges::{LazySource, OddSource, heap, kept};

/// The largest block and alignment that are tried, and how many: less where each byte is slow.
const CAPS: Caps = if cfg!(miri) {
    Caps::new(96, 128, 8)
} else {
    Caps::new(512, 4096, 64)
};

conformance_suite!(
    heap,
    || GrowableBump::new(HeapSource), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    many_small_segments,
    || GrowableBump::with_segment_bytes(HeapSource, 1), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    mmap,
    || GrowableBump::new(MmapSource), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    commits_on_demand,
    || GrowableBump::with_segment_bytes(LazySource::default(), 256), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    more_than_asked_at_odd_places,
    || GrowableBump::with_segment_bytes(OddSource, 256), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    from_the_system,
    || GrowableBump::new(SourceFrom::new(System)), CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    from_an_arena,
    || {
        let arena = BumpArena::new(HeapBacked::new(1 << 20).expect("memory"));
        GrowableBump::with_segment_bytes(SourceFrom::new(Rc::new(arena)), 512)
    },
    CAPS;
    owns, reset, stable_address, inspect
);

/// Room for 16 segments of the class, and an end.
const BOUNDED: Caps = Caps::new(96, 16, 8).bounded();

conformance_suite!(
    from_size_classes,
    || {
        let classes = SizeClassed::<_, 1>::with_class_sizes(heap(80 << 10, 64), [4096], 16);
        let classes: &'static _ = kept(classes.expect("room"));
        GrowableBump::with_segment_bytes(SourceFrom::new(classes), 1024)
    },
    BOUNDED;
    owns, reset, stable_address, inspect
);
