//! The conformance suite over each wrapper, around the layouts that it is meant for. Under Miri
//! `pairs.rs` runs it over smaller blocks instead, and here one stack of everything.
#![cfg_attr(miri, allow(dead_code, unused_imports, reason = "one stack only"))]

use std::num::NonZeroU16;

use drystone_backing::System;
use drystone_core::{HeapSegment, NonZeroLayout};
use drystone_layout::{BumpArena, SizeClassed, Slab};
use drystone_testkit::conformance::Caps;
use drystone_testkit::conformance_suite;
use drystone_wrap::{
    Budget, CacheJitter, FailAfter, FailOnSize, Faulty, Locked, NoLock, Off, Segregate, Statistics,
    Tagged, Watermark, WatermarkHandler, WithFallback,
};

type Words = [u64; 8];

const SLOTS: usize = 64;
const SLAB: Caps = Caps::new(64, 8, SLOTS).reuses_memory().bounded();
const BUMP: Caps = Caps::new(256, 64, 32).bounded();
/// Less than the system serves: what it can do itself is tested where it is defined.
const SYSTEM: Caps = Caps::new(4096, 256, 64).reuses_memory();
const MIRI: Caps = Caps::new(96, 64, 8).reuses_memory();
const CLASSES: Caps = Caps::new(512, 64, 48).reuses_memory().bounded();

fn segment(bytes: usize) -> HeapSegment {
    let layout = NonZeroLayout::from_size_align(bytes, 4096).expect("valid");
    HeapSegment::new(layout).expect("memory for a test")
}

fn slab() -> Slab<Words, HeapSegment> {
    Slab::new(SLOTS, segment(SLOTS * size_of::<Words>())).expect("the range fits")
}

fn bump() -> BumpArena<HeapSegment> {
    BumpArena::new(segment(32 << 10))
}

fn classes() -> SizeClassed<HeapSegment, 4> {
    SizeClassed::with_class_sizes(segment(64 << 10), [64, 128, 256, 512], SLOTS)
        .expect("the range fits")
}

#[cfg(not(miri))]
conformance_suite!(
    fallback_slab_to_system,
    || WithFallback::new(slab(), System),
    SYSTEM;
    stable_address, sends
);
#[cfg(not(miri))]
conformance_suite!(
    fallback_classes_to_system,
    || WithFallback::new(classes(), System),
    SYSTEM;
    stable_address, sends
);
#[cfg(not(miri))]
conformance_suite!(
    fallback_slab_to_bump,
    || WithFallback::new(slab(), bump()),
    Caps::new(64, 8, SLOTS).bounded();
    owns, reset, stable_address, sends
);
#[cfg(not(miri))]
conformance_suite!(
    fallback_of_fallback,
    || WithFallback::new(WithFallback::new(slab(), slab()), classes()),
    CLASSES;
    owns, reset, stable_address, sends
);
#[cfg(not(miri))]
conformance_suite!(locked_slab, || Locked::new(slab()), SLAB;
    owns, reset, stable_address, sends, shares);
#[cfg(not(miri))]
conformance_suite!(locked_bump, || Locked::new(bump()), BUMP;
    owns, reset, stable_address, sends, shares);
#[cfg(not(miri))]
conformance_suite!(locked_classes, || Locked::new(classes()), CLASSES;
    owns, reset, stable_address, sends, shares);
#[cfg(not(miri))]
conformance_suite!(unlocked_slab, || Locked::with_lock(slab(), NoLock), SLAB;
    owns, reset, stable_address, sends);
#[cfg(all(feature = "parking_lot", not(miri)))]
#[cfg(not(miri))]
conformance_suite!(
    parked_classes,
    || Locked::with_lock(classes(), drystone_wrap::ParkingLotLock::new()),
    CLASSES;
    owns, reset, stable_address, sends, shares
);
#[cfg(not(miri))]
conformance_suite!(counted_slab, || Statistics::new(slab()), SLAB;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(counted_bump, || Statistics::new(bump()), BUMP;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(counted_classes, || Statistics::new(classes()), CLASSES;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(counted_locked, || Statistics::new(Locked::new(classes())), CLASSES;
    owns, reset, stable_address, sends, shares);
#[cfg(not(miri))]
conformance_suite!(counted_system, || Statistics::new(System), SYSTEM;
    stable_address, sends, shares);
#[cfg(not(miri))]
conformance_suite!(uncounted_slab, || Statistics::with_switch(slab(), Off), SLAB;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(
    refusing_above_what_is_promised,
    || Faulty::new(classes(), FailOnSize { min_fail_bytes: 513 }),
    CLASSES;
    owns, reset, stable_address, sends
);
#[cfg(not(miri))]
conformance_suite!(
    refusing_after_what_is_promised,
    || Faulty::new(bump(), FailAfter::new(1 << 20)),
    BUMP;
    owns, reset, stable_address, sends
);
/// Hears nothing.
#[derive(Debug)]
struct Deaf;

impl WatermarkHandler for Deaf {}

#[cfg(not(miri))]
conformance_suite!(segregated_classes, || Segregate::new(classes(), classes(), 200), CLASSES;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(segregated_fallback_and_system, || Segregate::new(WithFallback::new(slab(), System), System, 64), SYSTEM;
    stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(budgeted_slab, || Budget::new(slab(), SLOTS * 64), SLAB;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(
    budgeted_system,
    || Budget::new(System, 64 * 4096),
    Caps::new(4096, 256, 64).reuses_memory().bounded();
    stable_address, sends, shares
);
#[cfg(not(miri))]
conformance_suite!(unlimited_slab, || Budget::with_switch(slab(), 0, Off), SLAB;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(watched_classes, || Watermark::new(Locked::new(classes()), Deaf), CLASSES;
    owns, reset, stable_address, sends, shares);
#[cfg(not(miri))]
conformance_suite!(tagged_classes, || Tagged::new(classes(), "conformance"), CLASSES;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(
    displaced_system,
    || CacheJitter::with_positions(System, 64, NonZeroU16::new(5).expect("five")),
    SYSTEM;
    stable_address, sends, shares
);
conformance_suite!(
    whole_stack,
    || Statistics::new(WithFallback::new(Locked::new(classes()), System)),
    if cfg!(miri) { MIRI } else { SYSTEM };
    stable_address, sends, shares
);
