//! The shared bump arena: exhaustion to the byte, the topmost block, commits, values, threads.
#![cfg(target_has_atomic = "ptr")]

mod ranges;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread;

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

const THREADS: usize = 2;

/// Threads fill the arena with stamped values; every value is whole, and the range is used up.
#[test]
fn threads_share_the_range_to_the_last_value() {
    let count = if cfg!(miri) { 40 } else { 40_000 };
    let mut arena = arena(count * 16);
    for round in 0..2 {
        let meeting = Barrier::new(THREADS);
        let taken: Vec<Vec<&mut [usize; 2]>> = thread::scope(|scope| {
            let fill = |thread: usize| {
                let (arena, meeting) = (&arena, &meeting);
                move || {
                    meeting.wait();
                    let mut mine = Vec::new();
                    while let Ok(value) = arena.try_alloc([thread + round, mine.len()]) {
                        mine.push(value);
                    }
                    mine
                }
            };
            let threads = [0, 1].map(|thread| scope.spawn(fill(thread)));
            threads
                .into_iter()
                .map(|thread| thread.join().expect("joins"))
                .collect()
        });
        assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), count);
        for (thread, values) in taken.iter().enumerate() {
            for (index, value) in values.iter().enumerate() {
                assert_eq!(**value, [thread + round, index]);
            }
        }
        arena.reset();
    }
}

/// Threads free, grow and shrink what they own at the top, over memory committed on demand.
#[test]
fn threads_resize_at_the_top_without_touching_each_other() {
    let rounds = if cfg!(miri) { 8 } else { 3000 };
    let (lazy, log) = Lazy::new(rounds * 2 * 96, usize::MAX, 0);
    let arena = SharedBumpArena::new(lazy);
    let meeting = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (arena, meeting) = (&arena, &meeting);
            scope.spawn(move || {
                meeting.wait();
                for round in 0..rounds {
                    let stamp = (round * THREADS + thread) as u8;
                    let block = take(arena, 16, 8).expect("room");
                    // SAFETY: a live block of 16 bytes.
                    unsafe { block.write_bytes(stamp, 16) };
                    // SAFETY: a live block of this arena with its layout.
                    let grown = unsafe { arena.grow(block, layout(16, 8), layout(48, 8)) };
                    let grown = grown.expect("room");
                    assert!(arena.backing().is_committed(grown));
                    let grown = grown.cast::<u8>();
                    // SAFETY: the tail of a live block of 48 bytes.
                    let tail = unsafe { grown.add(16) };
                    // SAFETY: as above.
                    unsafe { tail.write_bytes(stamp, 32) };
                    thread::yield_now();
                    // SAFETY: a live block of 48 bytes, all written.
                    assert_eq!(unsafe { grown.cast::<[u8; 48]>().read() }, [stamp; 48]);
                    // SAFETY: a live block of this arena with its layout.
                    let kept = unsafe { arena.shrink(grown, layout(48, 8), layout(8, 8)) };
                    if round % 2 == 0 {
                        let kept = kept.expect("in place").cast();
                        // SAFETY: as above.
                        unsafe { arena.deallocate(kept, layout(8, 8)) };
                    }
                }
            });
        }
    });
    arena.debug_assert_invariants();
    assert!(log.commits.load(Ordering::Relaxed) > 0);
}
