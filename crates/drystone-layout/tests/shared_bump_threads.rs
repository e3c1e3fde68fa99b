//! Threads on one shared bump arena. Short, so that many schedules can be tried.
#![cfg(target_has_atomic = "ptr")]

mod ranges;

use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread;

use drystone_core::{Allocator, Deallocator, Reset};
use drystone_layout::SharedBumpArena;
use ranges::{Lazy, heap, layout};

const THREADS: usize = 2;

/// Threads fill the arena with stamped values; every value is whole, and the range is used up.
#[test]
fn threads_share_the_range_to_the_last_value() {
    let count = if cfg!(miri) { 12 } else { 40_000 };
    let mut arena = SharedBumpArena::new(heap(count * size_of::<[usize; 2]>(), 64));
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
    let rounds = if cfg!(miri) { 3 } else { 3000 };
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
                    let block = arena.allocate(layout(16, 8)).expect("room").cast::<u8>();
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
