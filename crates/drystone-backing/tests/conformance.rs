//! The laws of ranges over every backing, and the promises of allocators over `System`.
#![cfg(feature = "std")]

use std::cell::RefCell;
use std::mem::MaybeUninit;

use drystone_backing::{HeapBacked, InlineBacked, StaticBacked, System};
use drystone_core::Region;
use drystone_testkit::conformance::{self, Caps};
use drystone_testkit::{conformance_suite, range_suite};

range_suite!(inline, InlineBacked::<1000>::new);
range_suite!(inline_one_byte, InlineBacked::<1>::new);
range_suite!(heap, || HeapBacked::new(1000).expect("small"); stable_range);
range_suite!(
    heap_aligned,
    || HeapBacked::with_align_zeroed(777, 1024).expect("small");
    stable_range
);

conformance_suite!(system, || System, Caps::general(); stable_address, sends, shares);

#[test]
fn inline_of_no_bytes_is_a_range() {
    conformance::fixed_range(&InlineBacked::<0>::new());
}

#[test]
fn a_region_of_an_inline_backing_is_a_range() {
    let mut backing = InlineBacked::<500>::new();
    conformance::fixed_range(&Region::borrow(&mut backing));
}

#[test]
fn lent_buffers_keep_the_laws_wherever_they_start() {
    let mut memory = vec![MaybeUninit::uninit(); 60 * 100];
    // Buffers of 100 bytes less one for each way to be misaligned.
    let buffers = memory
        .chunks_exact_mut(100)
        .enumerate()
        .map(|(number, buffer)| &mut buffer[number % 16..]);
    let buffers = RefCell::new(buffers);
    let make = || StaticBacked::new(buffers.borrow_mut().next().expect("enough buffers"));
    for _ in 0..16 {
        conformance::fixed_range(&make());
    }
    for _ in 0..5 {
        conformance::fixed_range_contents(make);
        conformance::stable_range(make);
    }
}

#[test]
fn an_empty_lent_buffer_is_a_range() {
    conformance::fixed_range(&StaticBacked::new(&mut []));
}

#[cfg(all(feature = "mmap", any(unix, windows)))]
mod mapped {
    use drystone_backing::{FlaggedMmapSource, MmapBacked, MmapFlags, MmapSource};
    use drystone_core::{NonZeroLayout, SegmentSource};

    use super::*;

    fn layout() -> NonZeroLayout {
        NonZeroLayout::from_size_align(5000, 1 << 16).expect("a block")
    }

    range_suite!(
        locked_mmap,
        || drystone_backing::LockedMmapBacked::new(5000).expect("two pages may be locked");
        stable_range
    );
    #[cfg(not(miri))]
    range_suite!(
        guarded_mmap,
        || drystone_backing::GuardedMmapBacked::new(5000).expect("small");
        stable_range
    );
    range_suite!(mmap, || MmapBacked::new(5000).expect("small"); stable_range);
    range_suite!(
        mmap_aligned,
        || MmapBacked::with_align(5000, 1 << 16, MmapFlags::new()).expect("small");
        stable_range
    );
    range_suite!(
        mmap_segment,
        || MmapSource.segment(layout()).expect("small");
        stable_range
    );
    range_suite!(
        mmap_flagged_segment,
        || FlaggedMmapSource::new(MmapFlags::new().populate())
            .segment(layout())
            .expect("small");
        stable_range
    );
}
