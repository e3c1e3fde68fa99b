//! Arenas that grow: values of 16 bytes with a reset after every 4096, and growth from nothing.

use std::hint::black_box;

use drystone_backing::HeapBacked;
use drystone_core::{HeapSource, Reset};
use drystone_layout::{BumpArena, GrowableBump};

use crate::{Arm, Kind, Row};

/// Values between two resets.
const BATCH: u64 = 4096;

/// Values of one arena in the growth row: 1 MiB.
const GROWN: u64 = 65_536;

type Value = [u64; 2];

/// 16-byte values, reset after every 4096.
pub(crate) fn steady() -> Row {
    Row {
        id: "growable-bump-16",
        unit: "value",
        about: "16-byte values from an arena that grows, reset after every 4096",
        arms: vec![
            Arm::new("drystone GrowableBump", Kind::Ours, growable()),
            Arm::new("drystone GrowableBump again", Kind::Control, growable()),
            Arm::new("drystone BumpArena", Kind::Limit, fixed()),
            Arm::new("bumpalo", Kind::Rival, bumpalo_arena()),
            Arm::new("bump-scope", Kind::Rival, bump_scope_arena()),
        ],
    }
}

/// An arena made, filled with 1 MiB of 16-byte values and dropped.
pub(crate) fn from_nothing() -> Row {
    Row {
        id: "growable-bump-new",
        unit: "value",
        about: "arenas made, filled with 65 536 values of 16 bytes, and dropped",
        arms: vec![
            Arm::new(
                "drystone GrowableBump",
                Kind::Ours,
                fresh(|| GrowableBump::new(HeapSource)),
            ),
            Arm::new(
                "drystone GrowableBump again",
                Kind::Control,
                fresh(|| GrowableBump::new(HeapSource)),
            ),
            Arm::new("bumpalo", Kind::Rival, fresh(bumpalo::Bump::new)),
            Arm::new("bump-scope", Kind::Rival, fresh(bump_scope::Bump::<_>::new)),
            Arm::new(
                "typed-arena",
                Kind::Rival,
                fresh(typed_arena::Arena::<Value>::new),
            ),
        ],
    }
}

trait Take {
    fn take(&self, value: Value);
}

impl Take for GrowableBump<HeapSource> {
    #[inline(always)]
    fn take(&self, value: Value) {
        black_box(black_box(self).alloc::<Value>(value));
    }
}

impl Take for bumpalo::Bump {
    #[inline(always)]
    fn take(&self, value: Value) {
        black_box(black_box(self).alloc::<Value>(value));
    }
}

impl Take for bump_scope::Bump {
    #[inline(always)]
    fn take(&self, value: Value) {
        black_box(bump_scope::BumpBox::leak(
            black_box(self).alloc::<Value>(value),
        ));
    }
}

impl Take for typed_arena::Arena<Value> {
    #[inline(always)]
    fn take(&self, value: Value) {
        black_box(black_box(self).alloc(value));
    }
}

fn fresh<A: Take>(make: impl Fn() -> A + 'static) -> impl FnMut(u64) {
    move |units| {
        let mut left = units;
        while left > 0 {
            let count = left.min(GROWN);
            let arena = make();
            for value in 0..count {
                arena.take([value, 1]);
            }
            left -= count;
        }
    }
}

fn growable() -> impl FnMut(u64) {
    let mut arena = GrowableBump::with_segment_bytes(HeapSource, 80 << 10);
    move |units| {
        for _ in 0..units.div_ceil(BATCH) {
            for value in 0..BATCH {
                arena.take([value, 1]);
            }
            arena.reset();
        }
    }
}

fn fixed() -> impl FnMut(u64) {
    let memory = HeapBacked::with_align(80 << 10, 16).expect("80 KiB of heap");
    let mut arena = BumpArena::new(memory);
    move |units| {
        for _ in 0..units.div_ceil(BATCH) {
            for value in 0..BATCH {
                black_box(black_box(&arena).alloc::<Value>([value, 1]));
            }
            arena.reset();
        }
    }
}

fn bumpalo_arena() -> impl FnMut(u64) {
    let mut arena = bumpalo::Bump::with_capacity(80 << 10);
    move |units| {
        for _ in 0..units.div_ceil(BATCH) {
            for value in 0..BATCH {
                arena.take([value, 1]);
            }
            arena.reset();
        }
    }
}

fn bump_scope_arena() -> impl FnMut(u64) {
    let mut arena: bump_scope::Bump = bump_scope::Bump::with_capacity(
        std::alloc::Layout::from_size_align(80 << 10, 16).expect("a valid layout"),
    );
    move |units| {
        for _ in 0..units.div_ceil(BATCH) {
            for value in 0..BATCH {
                arena.take([value, 1]);
            }
            arena.reset();
        }
    }
}
