//! The reference allocators keep every promise, so what the suite finds elsewhere is not its own.

use drystone_core::{HeapSegment, NonZeroLayout};
use drystone_testkit::conformance::{self, Caps};
use drystone_testkit::reference::{FirstFit, Heap};

drystone_testkit::conformance_suite!(heap, Heap::new, Caps::general(); stable_address, sends, shares);

drystone_testkit::conformance_suite!(
    first_fit,
    || FirstFit::new(64 << 10),
    FIRST_FIT;
    owns, reset, stable_address, inspect, sends
);

drystone_testkit::range_suite!(heap_segment, segment; stable_range);

const FIRST_FIT: Caps = Caps::new(512, 64, 64).reuses_memory().bounded();

fn segment() -> HeapSegment {
    HeapSegment::new(NonZeroLayout::from_size_align(5000, 64).expect("valid")).expect("memory")
}

#[test]
fn the_whole_suite_in_one_call() {
    conformance::check_allocator(Heap::new, Caps::general());
    conformance::check_allocator(|| FirstFit::new(64 << 10), FIRST_FIT);
}
