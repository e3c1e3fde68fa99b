//! Allocators that are known to be right keep every promise, so what the suite finds elsewhere is not its own.

use drystone_backing::System;
use drystone_core::{HeapSegment, NonZeroLayout};
use drystone_testkit::FirstFit;
use drystone_testkit::conformance::{self, Caps};

drystone_testkit::conformance_suite!(system, || System, Caps::general(); stable_address, sends, shares);

drystone_testkit::conformance_suite!(
    first_fit,
    first_fit_range,
    FIRST_FIT;
    owns, reset, stable_address, inspect, sends
);

drystone_testkit::range_suite!(heap_segment, segment; stable_range);

const BLOCKS: usize = if cfg!(miri) { 16 } else { 64 };

const FIRST_FIT: Caps = Caps::new(512, 64, BLOCKS).reuses_memory().bounded();

fn first_fit_range() -> FirstFit {
    FirstFit::new(BLOCKS << 10)
}

fn segment() -> HeapSegment {
    HeapSegment::new(NonZeroLayout::from_size_align(5000, 64).expect("valid")).expect("memory")
}

#[test]
fn the_whole_suite_in_one_call() {
    conformance::check_allocator(|| System, Caps::general());
    conformance::check_allocator(first_fit_range, FIRST_FIT);
}
