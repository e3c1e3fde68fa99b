//! The oracle: what it passes on, and what it finds.

use std::ptr::NonNull;

use drystone_backing::System;
use drystone_core::{Allocator, Deallocator, Misuse, MisusePolicy, NonZeroLayout};
use drystone_testkit::FirstFit;
use drystone_testkit::conformance::Caps;
use drystone_testkit::oracle::{CountMisuse, Oracle, PanicOnMisuse};

const BLOCKS: usize = if cfg!(miri) { 16 } else { 64 };
const CAPS: Caps = Caps::new(512, 64, BLOCKS).reuses_memory().bounded();

// An oracle keeps the promises of what it watches over, with and without red zones.
drystone_testkit::conformance_suite!(
    over_first_fit,
    || Oracle::new(FirstFit::new(BLOCKS << 10), PanicOnMisuse),
    CAPS;
    owns, reset, stable_address, inspect, sends
);

drystone_testkit::conformance_suite!(
    with_red_zones,
    || Oracle::with_red_zone(FirstFit::new(BLOCKS << 10), PanicOnMisuse, 24),
    CAPS;
    owns, reset, stable_address, inspect, sends
);

drystone_testkit::conformance_suite!(
    over_system,
    || Oracle::with_red_zone(System, PanicOnMisuse, 16),
    Caps::general();
    stable_address, sends, shares
);

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 8).expect("valid")
}

/// Remembers every report.
#[derive(Default)]
struct Reports(std::cell::RefCell<Vec<(Misuse, usize)>>);

impl MisusePolicy for Reports {
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        self.0.borrow_mut().push((misuse, address));
    }
}

type Watched = Oracle<FirstFit, Reports>;

/// Runs `misuse` on a live block; exactly `expected` is reported, and the allocator has exactly
/// `live` blocks afterwards: it was not called for the wrong one.
#[track_caller]
fn expect(
    expected: Misuse,
    live: usize,
    misuse: impl FnOnce(&Watched, NonNull<u8>) -> NonNull<u8>,
) {
    let oracle = Oracle::with_red_zone(FirstFit::new(4096), Reports::default(), 8);
    let block = oracle.allocate(layout(40)).expect("room").cast::<u8>();
    let wrong = misuse(&oracle, block);
    assert_eq!(
        *oracle.policy().0.borrow(),
        [(expected, wrong.addr().get())]
    );
    assert_eq!(oracle.inner().live_blocks(), live);
}

/// Frees `ptr` although it may be wrong.
fn free(oracle: &Watched, ptr: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
    // SAFETY: a right block is not used again; a wrong one is refused by the oracle.
    unsafe { oracle.deallocate(ptr, layout) };
    ptr
}

/// Changes a byte at `offset` of a block of 40 bytes or of the red zone of 8 behind it.
fn flip(block: NonNull<u8>, offset: usize) {
    assert!(offset < 48);
    // SAFETY: inside the block that the inner allocator handed out.
    let byte = unsafe { block.add(offset) };
    // SAFETY: stamped, so initialised.
    let before = unsafe { byte.read() };
    // SAFETY: inside a live block.
    unsafe { byte.write(before ^ 0x10) };
}

#[test]
fn double_free() {
    expect(Misuse::DoubleFree, 0, |oracle, block| {
        free(oracle, block, layout(40));
        free(oracle, block, layout(40))
    });
}

#[test]
fn double_free_by_shrinking() {
    expect(Misuse::DoubleFree, 0, |oracle, block| {
        free(oracle, block, layout(40));
        // SAFETY: refused by the oracle.
        let shrunk = unsafe { oracle.shrink(block, layout(40), layout(8)) };
        assert!(shrunk.is_err());
        block
    });
}

#[test]
fn foreign_pointer() {
    let stranger = 0u64;
    expect(Misuse::ForeignPointer, 1, |oracle, _| {
        free(oracle, NonNull::from(&stranger).cast(), layout(40))
    });
}

#[test]
fn interior_pointer() {
    expect(Misuse::InteriorPointer, 1, |oracle, block| {
        // SAFETY: inside the block.
        free(oracle, unsafe { block.add(8) }, layout(32))
    });
}

#[test]
fn too_small_a_size() {
    expect(Misuse::LayoutMismatch, 1, |oracle, block| {
        free(oracle, block, layout(39))
    });
}

#[test]
fn too_large_a_size() {
    expect(Misuse::LayoutMismatch, 1, |oracle, block| {
        free(oracle, block, layout(41))
    });
}

#[test]
fn another_alignment() {
    expect(Misuse::LayoutMismatch, 1, |oracle, block| {
        free(
            oracle,
            block,
            NonZeroLayout::from_size_align(40, 4).expect("valid"),
        )
    });
}

#[test]
fn overrun_by_one_byte_is_found_at_free_and_the_block_is_kept() {
    for offset in 40..48 {
        expect(Misuse::Overrun, 1, |oracle, block| {
            flip(block, offset);
            free(oracle, block, layout(40))
        });
    }
}

#[test]
fn overrun_is_found_while_live() {
    expect(Misuse::Overrun, 1, |oracle, block| {
        flip(block, 40);
        oracle.check_stamps();
        block
    });
}

#[test]
fn a_block_issued_again_can_be_freed_again() {
    let oracle = Oracle::new(FirstFit::new(4096), PanicOnMisuse);
    for _ in 0..3 {
        let block = oracle.allocate(layout(40)).expect("room").cast::<u8>();
        assert_eq!(oracle.live_blocks(), 1);
        // SAFETY: live, not used again.
        unsafe { oracle.deallocate(block, layout(40)) };
    }
    assert_eq!(oracle.live_blocks(), 0);
}

#[test]
#[should_panic(expected = "double free at 0x")]
fn the_panicking_policy_panics() {
    PanicOnMisuse.on_misuse(Misuse::DoubleFree, 0x1234);
}

#[test]
fn the_counting_policy_counts() {
    let policy = CountMisuse::new();
    policy.on_misuse(Misuse::DoubleFree, 16);
    policy.on_misuse(Misuse::Overrun, 32);
    assert_eq!((policy.count(), policy.latest_address()), (2, 32));
}

#[test]
#[should_panic(expected = "byte 3 of the live block")]
fn a_changed_byte_of_a_stamped_block_is_found() {
    let oracle = Oracle::new(FirstFit::new(4096), PanicOnMisuse);
    let block = oracle.allocate(layout(40)).expect("room").cast::<u8>();
    // SAFETY: live; the write below is what the oracle is to find.
    unsafe { oracle.stamp(block, 1) };
    flip(block, 3);
    oracle.check_stamps();
}

/// Hands out one block again and again.
struct Repeats {
    _range: FirstFit,
    block: NonNull<[u8]>,
}

// SAFETY: none: wrong on purpose.
unsafe impl Deallocator for Repeats {
    unsafe fn deallocate(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) {}
}

// SAFETY: none: wrong on purpose.
unsafe impl Allocator for Repeats {
    fn allocate(&self, _: NonZeroLayout) -> Result<NonNull<[u8]>, drystone_core::AllocError> {
        Ok(self.block)
    }
}

fn repeats() -> Repeats {
    let range = FirstFit::new(4096);
    let block = range.allocate(layout(40)).expect("room");
    Repeats {
        _range: range,
        block,
    }
}

#[test]
#[should_panic(expected = "which overlaps the block at")]
fn an_allocator_that_overlaps_is_found() {
    let repeats = repeats();
    let oracle = Oracle::new(&repeats, PanicOnMisuse);
    let _ = oracle.allocate(layout(40));
    let _ = oracle.allocate(layout(40));
}

#[test]
#[should_panic(expected = "the allocator returned 40 bytes for")]
fn an_allocator_that_returns_too_little_is_found() {
    let _ = Oracle::new(&repeats(), PanicOnMisuse).allocate(layout(48));
}

#[test]
#[should_panic(expected = "the allocator returned 0x")]
fn an_allocator_that_misaligns_is_found() {
    let mut wrong = repeats();
    // SAFETY: inside the block.
    let odd = unsafe { wrong.block.cast::<u8>().add(1) };
    wrong.block = NonNull::slice_from_raw_parts(odd, 39);
    let _ = Oracle::new(&wrong, PanicOnMisuse).allocate(layout(8));
}
