//! What the wrappers that touch a block's bytes find ends the process with one exact line, unless
//! another policy is chosen. Not under Miri, which starts no processes.
#![cfg(not(miri))]

use std::ptr::NonNull;

use drystone_backing::{HeapBacked, System};
use drystone_core::{Allocator, Contents, NonZeroLayout, SizeClass, StableAddress};
use drystone_layout::{BumpArena, ExtendableSlab, SizeClassed};
use drystone_testkit::death::{self, End, Expect};
use drystone_wrap::{Canary, Locked, PoisonOnFree, Quarantine, Statistics};

fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("valid")
}

fn classes() -> SizeClassed<HeapBacked, { SizeClass::COUNT }> {
    let range = HeapBacked::new_zeroed(256 << 10).expect("memory for a test");
    SizeClassed::with_default_classes(range).expect("room")
}

fn bump() -> BumpArena<HeapBacked> {
    BumpArena::new(HeapBacked::new_zeroed(64 << 10).expect("memory for a test"))
}

fn slots() -> ExtendableSlab<[u64; 32]> {
    ExtendableSlab::new(16)
}

/// Changes a byte beside or inside a block.
fn change(block: NonNull<u8>, offset: isize) {
    // SAFETY: the memory around the blocks of these tests belongs to the same range.
    let byte = unsafe { block.offset(offset) };
    // SAFETY: it is initialised: by the range, or by the wrapper's words.
    let before = unsafe { byte.read() };
    // SAFETY: as above. That nobody may write there is what is to be found.
    unsafe { byte.write(before ^ 0x20) };
}

fn free<A: Allocator>(memory: &A, block: NonNull<u8>, layout: NonZeroLayout) {
    // SAFETY: none for some of the calls: that is what is to be found.
    unsafe { memory.deallocate(block, layout) };
}

/// Frees a block after the byte at `offset` from its start, or from its end if not negative, was
/// changed.
fn damage<A: Allocator>(memory: A, size: usize, align: usize, offset: isize) {
    let layout = layout(size, align);
    let block = memory.allocate(layout).expect("room").cast();
    let from = if offset < 0 { 0 } else { size as isize };
    change(block, from + offset);
    free(&memory, block, layout);
}

/// Grows a block after the byte behind it was changed.
fn damage_then_grow<A: Allocator>(memory: A, size: usize) {
    let (old, new) = (layout(size, 8), layout(size + 40, 8));
    let block = memory.allocate(old).expect("room").cast();
    change(block, size as isize);
    // SAFETY: the block is live; that something wrote behind it is what is to be found.
    let _ = unsafe { memory.grow(block, old, new) };
}

/// Shrinks a block after the byte before it was changed.
fn damage_then_shrink<A: Allocator>(memory: A, size: usize) {
    let (old, new) = (layout(size, 8), layout(1, 8));
    let block = memory.allocate(old).expect("room").cast();
    change(block, -1);
    // SAFETY: the block is live; that something wrote before it is what is to be found.
    let _ = unsafe { memory.shrink(block, old, new) };
}

fn free_twice<A: Allocator>(memory: A, size: usize) {
    let layout = layout(size, 8);
    let block = memory.allocate(layout).expect("room").cast();
    free(&memory, block, layout);
    free(&memory, block, layout);
}

fn free_as<A: Allocator>(memory: A, size: usize, wrong: usize) {
    let block = memory.allocate(layout(size, 8)).expect("room").cast();
    free(&memory, block, layout(wrong, 8));
}

/// Writes to a block after the free; `then` makes the quarantine look.
fn write_late<A: Contents + StableAddress>(
    inner: A,
    size: usize,
    offset: usize,
    then: impl FnOnce(Quarantine<A, 4>),
) {
    let memory = Quarantine::new(inner);
    let layout = layout(size, 8);
    let block = memory.allocate(layout).expect("room").cast();
    free(&memory, block, layout);
    change(block, offset as isize);
    then(memory);
}

fn push_out<A: Contents + StableAddress>(memory: Quarantine<A, 4>) {
    let layout = layout(8, 8);
    for block in [(); 4].map(|()| memory.allocate(layout).expect("room").cast()) {
        free(&memory, block, layout);
    }
}

/// A death test for each row: the body dies with the line.
macro_rules! dies {
    ($line:literal: $($name:ident, $body:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let expected = Expect { end: End::Abort, line: $line };
                death::expect(stringify!($name), expected, || $body);
            }
        )*
    };
}

dies! { "drystone: buffer overrun":
    one_byte_behind_one_byte, damage(Canary::new(bump()), 1, 1, 0);
    one_byte_behind_an_odd_size, damage(Canary::new(classes()), 13, 1, 0);
    one_byte_behind_a_whole_class, damage(Canary::new(classes()), 40, 8, 0);
    the_last_byte_of_the_word, damage(Canary::new(bump()), 100, 8, 7);
    a_byte_of_the_slack, damage(Canary::new(slots()), 100, 8, 131);
    behind_an_aligned_block, damage(Canary::new(bump()), 64, 64, 0);
    behind_a_page, damage(Canary::new(bump()), 4096, 4096, 0);
    behind_a_block_of_the_system, damage(Canary::new(System), 33, 1, 0);
    behind_a_block_that_grows, damage_then_grow(Canary::new(bump()), 24);
    behind_a_block_that_moves, damage_then_grow(Canary::new(classes()), 24);
    through_a_lock, damage(Locked::new(Canary::new(classes())), 20, 4, 2);
    through_statistics, damage(Statistics::new(Canary::new(bump())), 20, 4, 2);
    with_a_key, damage(Canary::with_key(bump(), [7; 16]), 20, 4, 2);
    before_the_quarantine, damage(Canary::new(Quarantine::<_, 8>::new(classes())), 20, 4, 0);
}

dies! { "drystone: buffer underrun":
    one_byte_before_one_byte, damage(Canary::new(bump()), 1, 1, -1);
    one_byte_before_a_class, damage(Canary::new(classes()), 40, 8, -1);
    the_first_byte_of_the_header, damage(Canary::new(bump()), 40, 8, -16);
    before_an_aligned_block, damage(Canary::new(bump()), 64, 64, -3);
    before_a_block_of_the_system, damage(Canary::new(System), 33, 1, -8);
    before_a_block_that_shrinks, damage_then_shrink(Canary::new(bump()), 60);
    before_a_block_that_moves, damage_then_shrink(Canary::new(classes()), 600);
}

dies! { "drystone: double free":
    twice_in_an_arena, free_twice(Canary::new(bump()), 20);
    twice_in_a_class, free_twice(Canary::new(classes()), 20);
    twice_in_slots, free_twice(Canary::new(slots()), 200);
    twice_in_quarantine, free_twice(Quarantine::<_, 1>::new(classes()), 20);
    twice_in_a_large_quarantine, free_twice(Quarantine::<_, 500>::new(System), 20);
    twice_through_a_lock, free_twice(Locked::new(Quarantine::<_, 8>::new(classes())), 20);
    twice_over_poison,
        free_twice(Quarantine::<_, 8>::new(PoisonOnFree::new(classes())), 20);
}

dies! { "drystone: layout mismatch":
    freed_too_short, free_as(Canary::new(classes()), 20, 19);
    freed_too_long, free_as(Canary::new(bump()), 20, 21);
    freed_as_another_class, free_as(Canary::new(classes()), 20, 500);
    freed_short_over_the_system, free_as(Canary::new(System), 100, 1);
}

dies! { "drystone: write after free":
    the_first_byte_of_a_freed_block, write_late(classes(), 40, 0, drop);
    the_last_byte_of_a_freed_block, write_late(classes(), 40, 39, drop);
    the_middle_of_a_large_block, write_late(bump(), 9000, 4500, drop);
    found_by_a_flush, write_late(slots(), 40, 39, |memory| memory.flush());
    found_when_it_is_pushed_out, write_late(classes(), 8, 7, push_out);
    found_over_the_system, write_late(System, 77, 76, drop);
    found_under_memory_pressure, write_late(bump(), 100, 3, |memory| {
        let _ = memory.allocate(layout(1 << 20, 8));
    });
    found_over_a_canary, write_late(Canary::new(classes()), 40, 39, drop);
}

#[test]
fn clean_use_ends_well() {
    let expected = Expect {
        end: End::Exit(0),
        line: "",
    };
    death::expect("clean_use_ends_well", expected, || {
        let memory = Canary::new(Quarantine::<_, 8>::new(PoisonOnFree::new(classes())));
        for size in 1..200 {
            let layout = layout(size, 8);
            let block = memory.allocate(layout).expect("room").cast();
            free(&memory, block, layout);
        }
        drop(memory);
        std::process::exit(0);
    });
}
