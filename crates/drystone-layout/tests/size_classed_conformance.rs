//! Every promise of the size classes, over every kind of range.

mod ranges;

use drystone_backing::StaticBacked;
use drystone_backing::{HeapBacked, InlineBacked, MmapBacked, System};
use drystone_core::Region;
use drystone_core::{AllocatedRegion, NonZeroLayout};
use drystone_layout::SizeClassed;
use drystone_testkit::conformance::Caps;
use drystone_testkit::conformance_suite;
use ranges::{buffer, kept};

const BYTES: usize = if cfg!(miri) { 8 << 10 } else { 64 << 10 };
const BLOCKS: usize = 8;

/// What the default classes serve of any mix, over a range that knows its address. A freed block
/// makes room for its own class only, so they do not promise to reuse memory for any mix.
const DEFAULT: Caps = Caps::new(300, 64, BLOCKS).bounded();

const SIZES: [usize; 4] = [16, 64, 96, 256];
const OWN_BYTES: usize = BLOCKS * (16 + 64 + 96 + 256) + 256;
const OWN: Caps = Caps::new(256, 64, BLOCKS).reuses_memory().bounded();

fn region() -> NonZeroLayout {
    NonZeroLayout::from_size_align(BYTES, 8).expect("a valid layout")
}

conformance_suite!(
    default_heap,
    || SizeClassed::with_default_classes(HeapBacked::new(BYTES).expect("memory")).expect("fits"),
    DEFAULT;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    default_inline,
    || SizeClassed::with_default_classes(InlineBacked::<BYTES>::new()).expect("fits"),
    Caps::new(300, 16, BLOCKS).bounded();
    owns, reset, inspect, sends
);

conformance_suite!(
    default_mmap,
    || SizeClassed::with_default_classes(MmapBacked::new(BYTES).expect("memory")).expect("fits"),
    DEFAULT;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    default_odd_static_buffer,
    || {
        let range = StaticBacked::new(&mut buffer::<BYTES>()[3..]);
        SizeClassed::with_default_classes(range).expect("fits")
    },
    DEFAULT;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    default_borrowed_inline,
    || {
        let inline = kept(InlineBacked::<BYTES>::new());
        SizeClassed::with_default_classes(Region::borrow(inline)).expect("fits")
    },
    DEFAULT;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    default_block_of_the_system,
    || {
        let range = AllocatedRegion::new(System, region()).expect("memory");
        SizeClassed::with_default_classes(range).expect("fits")
    },
    DEFAULT;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    own_heap,
    || {
        let range = HeapBacked::new(OWN_BYTES).expect("memory");
        SizeClassed::with_class_sizes(range, SIZES, BLOCKS).expect("fits")
    },
    OWN;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    own_inline,
    || {
        let range = InlineBacked::<OWN_BYTES>::new();
        SizeClassed::with_class_sizes(range, SIZES, BLOCKS).expect("fits")
    },
    Caps::new(256, 16, BLOCKS).reuses_memory().bounded();
    owns, reset, inspect, sends
);

conformance_suite!(
    own_mmap,
    || {
        let range = MmapBacked::new(OWN_BYTES).expect("memory");
        SizeClassed::with_class_sizes(range, SIZES, BLOCKS).expect("fits")
    },
    OWN;
    owns, reset, stable_address, inspect, sends
);
