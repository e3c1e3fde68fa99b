//! Values of 16 bytes, the arena reset after every 4096.

use std::cell::Cell;
use std::hint::black_box;

use drystone_backing::{HeapBacked, MmapBacked};
use drystone_core::Reset;
use drystone_layout::BumpArena;

use crate::{Arm, Kind, Row};

/// Values between two resets.
const BATCH: u64 = 4096;

/// Memory of each contestant: the batch and room for chunk headers.
const BYTES: usize = 80 << 10;

/// The value of the row.
type Value = [u64; 2];

/// 16-byte values, reset after every 4096.
pub(crate) fn sixteen_bytes() -> Row {
    let mut arms = vec![
        Arm::new("hand-written bump", Kind::Limit, by_hand()),
        Arm::new("drystone BumpArena", Kind::Ours, heap_arena()),
        Arm::new("drystone BumpArena again", Kind::Control, heap_arena()),
        Arm::new("drystone BumpArena, mmap", Kind::Ours, mmap_arena()),
    ];
    arms.push(Arm::new("bumpalo", Kind::Rival, bumpalo_arena()));
    arms.push(Arm::new("bump-scope", Kind::Rival, bump_scope_arena()));
    arms.push(Arm::new("typed-arena", Kind::Rival, typed_arena()));
    Row {
        id: "bump-16",
        unit: "value",
        about: "16-byte values, reset after every 4096",
        arms,
    }
}

/// Splits `units` into batches.
#[inline(always)]
fn batches(units: u64) -> impl Iterator<Item = ()> {
    (0..units.div_ceil(BATCH)).map(|_| ())
}

fn heap_arena() -> impl FnMut(u64) {
    let memory = HeapBacked::with_align(BYTES, 16).expect("80 KiB of heap");
    let mut arena = BumpArena::new(memory);
    move |units| {
        for () in batches(units) {
            for value in 0..BATCH {
                black_box(black_box(&arena).alloc::<Value>([value, 1]));
            }
            arena.reset();
        }
    }
}

fn mmap_arena() -> impl FnMut(u64) {
    let mut arena = BumpArena::new(MmapBacked::new(BYTES).expect("80 KiB can be mapped"));
    move |units| {
        for () in batches(units) {
            for value in 0..BATCH {
                black_box(black_box(&arena).alloc::<Value>([value, 1]));
            }
            arena.reset();
        }
    }
}

fn bumpalo_arena() -> impl FnMut(u64) {
    let mut arena = bumpalo::Bump::with_capacity(BYTES);
    move |units| {
        for () in batches(units) {
            for value in 0..BATCH {
                black_box(black_box(&arena).alloc::<Value>([value, 1]));
            }
            arena.reset();
        }
    }
}

fn bump_scope_arena() -> impl FnMut(u64) {
    let mut arena: bump_scope::Bump = bump_scope::Bump::with_capacity(
        std::alloc::Layout::from_size_align(BYTES, 16).expect("a valid layout"),
    );
    move |units| {
        for () in batches(units) {
            for value in 0..BATCH {
                black_box(bump_scope::BumpBox::leak(
                    black_box(&arena).alloc::<Value>([value, 1]),
                ));
            }
            arena.reset();
        }
    }
}

/// typed-arena has no reset: a new arena with room for the batch stands in for it.
fn typed_arena() -> impl FnMut(u64) {
    move |units| {
        for () in batches(units) {
            let arena = typed_arena::Arena::<Value>::with_capacity(BATCH as usize);
            for value in 0..BATCH {
                black_box(black_box(&arena).alloc([value, 1]));
            }
        }
    }
}

/// A cursor that lives in memory, an end, one compare.
struct ByHand {
    cursor: Cell<usize>,
    memory: Box<[std::mem::MaybeUninit<Value>]>,
}

impl ByHand {
    #[inline(always)]
    fn alloc(&self, value: Value) -> *mut Value {
        let index = self.cursor.get();
        assert!(index < self.memory.len(), "the batch fits");
        self.cursor.set(index + 1);
        let slot = self.memory[index].as_ptr().cast_mut();
        // SAFETY: the index is inside the slice, and the cursor never gives it out twice between
        // resets; the memory was made by `Box::new_uninit_slice`, whose pointer is only read here.
        unsafe { slot.write(value) };
        slot
    }
}

fn by_hand() -> impl FnMut(u64) {
    let arena = ByHand {
        cursor: Cell::new(0),
        memory: Box::new_uninit_slice(BATCH as usize),
    };
    move |units| {
        for () in batches(units) {
            for value in 0..BATCH {
                black_box(black_box(&arena).alloc([value, 1]));
            }
            arena.cursor.set(0);
        }
    }
}
