//! The shared bump arena: exhaustion to the byte, the topmost block, commits, values, threads.
#![cfg(target_has_atomic = "ptr")]

mod ranges;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use drystone_core::{AllocError, Allocator, Deallocator, HeapSegment, Inspect, Misuse, Reset};
use drystone_layout::SharedBumpArena;
use ranges::{Inline, Lazy, heap, layout};

fn arena(bytes: usize) -> SharedBumpArena<HeapSegment> {
    SharedBumpArena::new(heap(bytes, 64))
}

fn take<A: Allocator>(arena: &A, size: usize, align: usize) -> Result<NonNull<u8>, AllocError> {
    let block = arena.allocate(layout(size, align))?;
    assert_eq!(block.len(), size);
    assert_eq!(block.cast::<u8>().addr().get() % align, 0);
    // SAFETY: the block is new and writable for its length.
    unsafe { block.as_ptr().cast::<u8>().write_bytes(0x5A, size) };
    Ok(block.cast())
}

#[test]
fn every_byte_is_handed_out_and_no_more() {
    for capacity in [1, 2, 63, 64, 300] {
        let mut arena = arena(capacity);
        for round in 0..2 {
            for used in 0..capacity {
                assert_eq!(arena.allocated_bytes(), used);
                take(&arena, 1, 1).expect("room");
            }
            let before = arena.state_digest();
            assert_eq!(arena.allocate(layout(1, 1)), Err(AllocError));
            assert_eq!(arena.try_alloc(round), Err(AllocError));
            assert_eq!(arena.state_digest(), before);
            arena.reset();
        }
        take(&arena, capacity, 1).expect("all of it at once");
        assert_eq!(
            (arena.remaining_bytes(), arena.capacity_bytes()),
            (0, Some(capacity))
        );
    }
}

#[test]
fn the_topmost_block_is_freed_grown_and_shrunk_in_place() {
    let arena = arena(256);
    let below = take(&arena, 16, 16).expect("room");
    let top = take(&arena, 10, 1).expect("room");
    // SAFETY: a live block of this arena with its layout.
    let grown = unsafe { arena.grow(top, layout(10, 1), layout(100, 2)) }.expect("room");
    assert_eq!((grown.cast(), arena.allocated_bytes()), (top, 116));
    // SAFETY: as above.
    let shrunk = unsafe { arena.shrink(top, layout(100, 2), layout(4, 2)) }.expect("in place");
    assert_eq!((shrunk.cast(), arena.allocated_bytes()), (top, 20));
    // SAFETY: as above; the block is not topmost, so it moves.
    let moved = unsafe { arena.grow(below, layout(16, 16), layout(32, 16)) }.expect("room");
    assert_ne!(moved.cast(), below);
    // SAFETY: the first 16 bytes were written before the move.
    assert_eq!(unsafe { moved.cast::<[u8; 16]>().read() }, [0x5A; 16]);
    // SAFETY: as above; the moved block is topmost.
    unsafe { arena.deallocate(moved.cast(), layout(32, 16)) };
    let before = arena.allocated_bytes();
    // SAFETY: as above; this one is not.
    unsafe { arena.deallocate(top, layout(4, 2)) };
    assert_eq!(arena.allocated_bytes(), before);
}

#[test]
fn a_failed_growth_leaves_the_block_and_the_arena() {
    let (lazy, _) = Lazy::new(1 << 18, 1, 0);
    let arena = SharedBumpArena::new(lazy);
    let block = take(&arena, 100, 8).expect("the first step is committed");
    let before = arena.state_digest();
    for size in [70_000, (1 << 18) + 1, isize::MAX as usize - 7] {
        // SAFETY: a live block of this arena with its layout.
        let grown = unsafe { arena.grow(block, layout(100, 8), layout(size, 8)) };
        assert_eq!((grown, arena.state_digest()), (Err(AllocError), before));
    }
    arena.backing().fail_after(usize::MAX);
    // SAFETY: as above; growing in place commits what it needs.
    let grown = unsafe { arena.grow(block, layout(100, 8), layout(70_000, 8)) }.expect("memory");
    assert_eq!(grown.cast(), block);
    assert!(arena.backing().is_committed(grown));
    arena.debug_assert_invariants();
}

#[test]
fn a_movable_range_refuses_what_a_move_could_break() {
    let arena = SharedBumpArena::new(Inline::<4096>::new());
    for align in [1, 2, 4, 8, 16] {
        take(&arena, 1, align).expect("room");
    }
    assert_eq!(arena.allocate(layout(1, 32)), Err(AllocError));
    let moved = arena;
    take(&moved, 8, 16).expect("the marks moved with the range");
}

#[test]
fn a_closure_that_panics_gives_its_room_back() {
    let arena = arena(64);
    let made = catch_unwind(AssertUnwindSafe(|| {
        arena.alloc_with(|| -> u64 { panic!("no value") });
    }));
    assert!(made.is_err());
    assert_eq!(arena.allocated_bytes(), 0);
    assert_eq!(*arena.alloc_with(|| 5u64), 5);
    let full = catch_unwind(AssertUnwindSafe(|| {
        arena.alloc([0u8; 100]);
    }));
    assert!(full.is_err());
    assert_eq!(
        arena
            .try_alloc_value([1u8; 100])
            .map_err(|e| e.into_value()),
        Err([1; 100])
    );
}

#[test]
fn pointers_are_judged_by_the_cursor() {
    let arena = arena(64);
    let block = take(&arena, 10, 1).expect("room");
    assert!(arena.validate(block).is_ok());
    let at = |bytes: usize| block.map_addr(|addr| addr.checked_add(bytes).expect("small"));
    assert_eq!(arena.validate(at(10)), Err(Misuse::NeverAllocated));
    assert_eq!(arena.validate(at(64)), Err(Misuse::ForeignPointer));
}

#[test]
fn a_static_arena_serves() {
    static ARENA: SharedBumpArena<Inline<256>> = SharedBumpArena::new(Inline::new());
    let value: &'static mut u32 = ARENA.alloc(7);
    *value += 1;
    assert_eq!(*value, 8);
}
