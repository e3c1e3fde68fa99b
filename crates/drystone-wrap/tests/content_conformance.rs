//! The conformance suite over the wrappers that touch a block's bytes, around the layouts that they
//! are meant for. Under Miri one stack of all of them.
#![cfg_attr(miri, allow(dead_code, unused_imports, reason = "one stack only"))]

use drystone_backing::System;
use drystone_core::{HeapSegment, NonZeroLayout};
use drystone_layout::{BumpArena, SizeClassed, Slab};
use drystone_testkit::conformance::Caps;
use drystone_testkit::conformance_suite;
use drystone_wrap::{Canary, Locked, Off, PoisonOnFree, Quarantine};

const SLOTS: usize = 64;
const SLAB: Caps = Caps::new(64, 8, SLOTS).reuses_memory().bounded();
const BUMP: Caps = Caps::new(256, 64, 32).bounded();
/// Less than the system serves: what it can do itself is tested where it is defined.
const SYSTEM: Caps = Caps::new(4096, 256, 64).reuses_memory();
const CLASSES: Caps = Caps::new(512, 64, 48).reuses_memory().bounded();
const MIRI: Caps = Caps::new(96, 64, 8).reuses_memory().bounded();

fn segment(bytes: usize) -> HeapSegment {
    let layout = NonZeroLayout::from_size_align(bytes, 4096).expect("valid");
    HeapSegment::new(layout).expect("memory for a test")
}

fn slab() -> Slab<[u64; 8], HeapSegment> {
    Slab::new(SLOTS, segment(SLOTS * 64)).expect("the range fits")
}

fn bump() -> BumpArena<HeapSegment> {
    BumpArena::new(segment(32 << 10))
}

fn classes() -> SizeClassed<HeapSegment, 4> {
    SizeClassed::with_class_sizes(segment(64 << 10), [64, 128, 256, 512], SLOTS)
        .expect("the range fits")
}

/// Classes with room for 512 bytes and the words of a canary around them.
fn wide_classes() -> SizeClassed<HeapSegment, 5> {
    SizeClassed::with_class_sizes(segment(256 << 10), [64, 128, 256, 512, 1024], SLOTS)
        .expect("the range fits")
}

/// Slots with room for 64 bytes and the words of a canary around them.
fn wide_slab() -> Slab<[u64; 11], HeapSegment> {
    Slab::new(SLOTS, segment(SLOTS * 88)).expect("the range fits")
}

#[cfg(not(miri))]
conformance_suite!(poisoned_slab, || PoisonOnFree::new(slab()), SLAB;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(poisoned_bump, || PoisonOnFree::new(bump()), BUMP;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(poisoned_classes, || PoisonOnFree::new(classes()), CLASSES;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(poisoned_system, || PoisonOnFree::new(System), SYSTEM;
    stable_address, sends, shares);
#[cfg(not(miri))]
conformance_suite!(unpoisoned_bump, || PoisonOnFree::with_switch(bump(), Off), BUMP;
    owns, reset, stable_address, sends);
#[cfg(all(feature = "zeroize", not(miri)))]
conformance_suite!(zeroized_classes, || drystone_wrap::ZeroizeOnFree::new(classes()), CLASSES;
    owns, reset, stable_address, sends);
#[cfg(all(feature = "zeroize", not(miri)))]
conformance_suite!(zeroized_system, || drystone_wrap::ZeroizeOnFree::new(System), SYSTEM;
    stable_address, sends, shares);
#[cfg(not(miri))]
conformance_suite!(quarantined_slab, || Quarantine::<_, 16>::new(slab()), SLAB;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(quarantined_bump, || Quarantine::<_, 16>::new(bump()), BUMP;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(quarantined_classes, || Quarantine::<_, 100>::with_bytes(classes(), 2000), CLASSES;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(quarantined_system, || Quarantine::<_, 16>::new(System), SYSTEM;
    stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(guarded_slab, || Canary::new(wide_slab()), SLAB;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(guarded_bump, || Canary::new(bump()), BUMP;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(guarded_classes, || Canary::new(wide_classes()), CLASSES;
    owns, reset, stable_address, sends);
#[cfg(not(miri))]
conformance_suite!(guarded_system, || Canary::new(System), SYSTEM;
    stable_address, sends, shares);
#[cfg(not(miri))]
conformance_suite!(unguarded_slab, || Canary::with_switch(slab(), Off), SLAB;
    owns, reset, stable_address, sends);
conformance_suite!(
    hardened,
    || Locked::new(Canary::new(Quarantine::<_, 8>::new(PoisonOnFree::new(wide_classes())))),
    if cfg!(miri) { MIRI } else { CLASSES };
    owns, reset, stable_address, sends, shares
);
