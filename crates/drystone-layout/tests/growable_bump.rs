//! The growing bump arena: segments and their sizes, reset and trim, refusals, the topmost block.

mod ranges;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use drystone_core::{
    AllocError, Allocator, Deallocator, HeapSegment, HeapSource, Inspect, Misuse, NonZeroLayout,
    Owns, Reset, SegmentSource, SourceFrom,
};
use drystone_layout::{BumpArena, GrowableBump};
use proptest::prelude::*;
use ranges::{LazySource, heap, layout};

/// The heap, with a book of what was asked and a bound on it.
#[derive(Default)]
struct Booked {
    asked: RefCell<Vec<usize>>,
    refuse_above: Cell<Option<usize>>,
}

// SAFETY: as the heap's own source.
unsafe impl SegmentSource for &Booked {
    type Segment = HeapSegment;

    fn segment(&self, layout: NonZeroLayout) -> Result<HeapSegment, AllocError> {
        let bytes = layout.size().get();
        if self.refuse_above.get().is_some_and(|most| bytes > most) {
            return Err(AllocError);
        }
        self.asked.borrow_mut().push(bytes);
        HeapSource.segment(layout)
    }
}

fn take<S: SegmentSource>(arena: &GrowableBump<S>, size: usize, align: usize) -> NonNull<u8> {
    let block = arena.allocate(layout(size, align)).expect("room");
    assert_eq!(
        (block.len(), block.cast::<u8>().addr().get() % align),
        (size, 0)
    );
    // SAFETY: the block is new and writable for its length.
    unsafe { block.as_ptr().cast::<u8>().write_bytes(0x5A, size) };
    arena.debug_assert_invariants();
    block.cast()
}

#[test]
fn segments_double_what_there_is() {
    let book = Booked::default();
    let arena = GrowableBump::with_segment_bytes(&book, 1000);
    assert_eq!((arena.segment_count(), arena.allocated_bytes()), (0, 0));
    for _ in 0..100 {
        take(&arena, 100, 4);
    }
    assert_eq!(*book.asked.borrow(), [1000, 1000, 2000, 4000, 8000]);
    assert_eq!((arena.segment_count(), arena.segment_bytes()), (5, 16_000));
    assert!(arena.allocated_bytes() >= 10_000);
}

#[cfg_attr(miri, ignore = "fills hundreds of MiB")]
#[test]
fn segments_stop_growing_at_the_bound() {
    let book = Booked::default();
    let arena = GrowableBump::new(&book);
    for _ in 0..40 {
        arena.allocate(layout(10 << 20, 1)).expect("room");
    }
    assert_eq!(book.asked.borrow().iter().max(), Some(&(64 << 20)));
    assert!(arena.segment_count() <= 2 + 12 + 40 * 10 / 64);
    // A request beyond the bound gets what it needs.
    arena.allocate(layout(100 << 20, 1)).expect("room");
    let largest = book.asked.borrow().iter().max().copied();
    assert!(largest.is_some_and(|bytes| bytes < (100 << 20) + 4096));
}

#[test]
fn the_same_work_again_asks_for_nothing() {
    let book = Booked::default();
    let mut arena = GrowableBump::with_segment_bytes(&book, 256);
    let work = |arena: &GrowableBump<&Booked>| {
        for n in 0..if cfg!(miri) { 40 } else { 200usize } {
            take(arena, n * 37 % 300 + 1, 1 << (n % 7));
            if n % 30 == 7 {
                take(arena, 5000 + n, 64);
            }
        }
    };
    work(&arena);
    let segments = book.asked.borrow().len();
    let bytes = arena.allocated_bytes();
    for _ in 0..3 {
        arena.reset();
        assert_eq!(arena.allocated_bytes(), 0);
        arena.debug_assert_invariants();
        work(&arena);
        assert_eq!(
            (book.asked.borrow().len(), arena.allocated_bytes()),
            (segments, bytes)
        );
    }
}

#[test]
fn a_large_request_does_not_end_the_current_segment() {
    let book = Booked::default();
    let arena = GrowableBump::with_segment_bytes(&book, 10_000);
    let first = take(&arena, 16, 16);
    take(&arena, 50_000, 1);
    let next = take(&arena, 16, 16);
    assert_eq!(next.addr().get(), first.addr().get() + 16);
    assert_eq!(book.asked.borrow().len(), 2);
}

#[test]
fn trimming_keeps_what_is_in_use() {
    let mut arena = GrowableBump::with_segment_bytes(HeapSource, 512);
    assert_eq!(arena.trim(), 0);
    let kept = arena.alloc_slice_fill_with(100, |n| n);
    let (count, bytes) = (kept.len(), kept.iter().sum::<usize>());
    assert_eq!((count, bytes), (100, 4950));
    for _ in 0..100 {
        take(&arena, 100, 1);
    }
    let (segments, total) = (arena.segment_count(), arena.segment_bytes());
    assert_eq!((arena.trim(), arena.segment_count()), (0, segments));
    arena.reset();
    take(&arena, 10, 1);
    let given_back = arena.trim();
    assert_eq!(
        (arena.segment_count(), arena.segment_bytes()),
        (1, total - given_back)
    );
    arena.debug_assert_invariants();
    take(&arena, 10_000, 1);
    assert_eq!(arena.segment_count(), 2);
}

#[test]
fn a_source_that_refuses_much_is_asked_for_what_is_needed() {
    let book = Booked::default();
    let arena = GrowableBump::with_segment_bytes(&book, 4096);
    book.refuse_above.set(Some(300));
    take(&arena, 100, 8);
    assert!(book.asked.borrow()[0] < 300);
    let before = arena.state_digest();
    assert_eq!(arena.allocate(layout(300, 1)), Err(AllocError));
    assert_eq!(arena.try_alloc([0u8; 300]), Err(AllocError));
    assert_eq!(
        arena
            .try_alloc_value([7u8; 300])
            .map_err(|e| e.into_value()),
        Err([7; 300])
    );
    assert_eq!(arena.state_digest(), before);
    book.refuse_above.set(None);
    take(&arena, 300, 1);
    // Miri ends the program when its own heap is asked for more than the address space.
    let absurd = if cfg!(miri) { 0 } else { 2 };
    for size in [isize::MAX as usize, isize::MAX as usize - 100]
        .into_iter()
        .take(absurd)
    {
        let before = arena.state_digest();
        assert_eq!(arena.allocate(layout(size, 1)), Err(AllocError));
        assert_eq!(arena.state_digest(), before);
    }
}

#[test]
fn the_topmost_block_is_freed_grown_and_shrunk_in_place() {
    let arena = GrowableBump::with_segment_bytes(HeapSource, 1000);
    let below = take(&arena, 16, 16);
    let top = take(&arena, 10, 2);
    let used = arena.allocated_bytes();
    // SAFETY: a live block of this arena with its layout.
    let grown = unsafe { arena.grow(top, layout(10, 2), layout(500, 2)) }.expect("room");
    assert_eq!((grown.cast(), arena.allocated_bytes()), (top, used + 490));
    // SAFETY: as above.
    let shrunk = unsafe { arena.shrink(top, layout(500, 2), layout(1, 1)) }.expect("in place");
    assert_eq!((shrunk.cast(), arena.allocated_bytes()), (top, used - 9));
    // SAFETY: as above; a block that is not topmost moves to grow and stays to shrink.
    let stays = unsafe { arena.shrink(below, layout(16, 16), layout(8, 16)) }.expect("in place");
    assert_eq!(stays.cast(), below);
    // SAFETY: as above.
    let moved = unsafe { arena.grow(below, layout(8, 16), layout(2000, 16)) }.expect("room");
    // SAFETY: the first 8 bytes were written before the move.
    assert_eq!(unsafe { moved.cast::<[u8; 8]>().read() }, [0x5A; 8]);
    assert_eq!(arena.segment_count(), 2);
    // The moved block fills its segment, so the first is used on, and its top is still topmost.
    let used = arena.allocated_bytes();
    // SAFETY: as above.
    unsafe { arena.deallocate(moved.cast(), layout(2000, 16)) };
    assert_eq!(arena.allocated_bytes(), used);
    // SAFETY: as above.
    unsafe { arena.deallocate(top, layout(1, 1)) };
    assert_eq!(arena.allocated_bytes(), used - 1);
    assert_eq!(take(&arena, 4, 2), top);
}

#[test]
fn blocks_are_owned_wherever_they_lie() {
    let mut arena = GrowableBump::with_segment_bytes(HeapSource, 64);
    let blocks: Vec<_> = (0..50).map(|n| take(&arena, n * 8 + 1, 8)).collect();
    assert!(
        blocks
            .iter()
            .all(|&block| arena.owns(block) && arena.validate(block).is_ok())
    );
    let other = GrowableBump::new(HeapSource);
    let foreign = take(&other, 8, 8);
    assert!(!arena.owns(foreign));
    assert_eq!(arena.validate(foreign), Err(Misuse::ForeignPointer));
    arena.reset();
    let last = blocks[49];
    assert!(arena.owns(last));
    assert_eq!(arena.validate(last), Err(Misuse::NeverAllocated));
}

#[test]
fn bytes_are_committed_before_they_are_handed_out() {
    let source = LazySource::default();
    let arena = GrowableBump::with_segment_bytes(&source, 1 << 18);
    for size in [1, 100, 70_000, 3, 100_000] {
        take(&arena, size, 8);
    }
    assert_eq!(arena.segment_count(), 1);
    assert!(source.0.commits.load(Ordering::Relaxed) >= 3);
    drop(arena);
    assert_eq!(source.0.drops.load(Ordering::Relaxed), 1);
}

#[test]
fn every_segment_goes_back_to_its_source() {
    let source = LazySource::default();
    let mut arena = GrowableBump::with_segment_bytes(&source, 200);
    for round in 0..3 {
        for _ in 0..40 {
            take(&arena, 64, 8);
        }
        arena.reset();
        if round == 1 {
            arena.trim();
        }
    }
    let made = source.0.drops.load(Ordering::Relaxed) + arena.segment_count();
    drop(arena);
    assert_eq!(source.0.drops.load(Ordering::Relaxed), made);
}

#[test]
fn a_source_that_is_a_stack_gets_its_space_back() {
    let memory = BumpArena::new(heap(1 << 20, 64));
    let mut arena = GrowableBump::with_segment_bytes(SourceFrom::new(&memory), 256);
    let mut marks = Vec::new();
    for _ in 0..2 {
        for _ in 0..100 {
            take(&arena, 64, 8);
        }
        arena.reset();
        arena.trim();
        marks.push(memory.allocated_bytes());
    }
    assert_eq!(marks[0], marks[1]);
    drop(arena);
    assert_eq!(memory.allocated_bytes(), 0);
}

/// A source that allocates from the arena it serves, while it serves it.
#[derive(Clone, Default)]
struct Reentrant(Rc<Cell<Option<NonNull<GrowableBump<Reentrant>>>>>);

// SAFETY: as the heap's own source.
unsafe impl SegmentSource for Reentrant {
    type Segment = HeapSegment;

    fn segment(&self, layout: NonZeroLayout) -> Result<HeapSegment, AllocError> {
        if let Some(arena) = self.0.take() {
            // SAFETY: the test keeps the arena in place, and only shared borrows of it exist.
            let arena = unsafe { arena.as_ref() };
            arena.alloc([7u8; 100]);
        }
        HeapSource.segment(layout)
    }
}

#[test]
fn a_source_may_use_the_arena_it_serves() {
    let source = Reentrant::default();
    let arena = Box::new(GrowableBump::with_segment_bytes(source.clone(), 256));
    source.0.set(Some(NonNull::from(&*arena)));
    let mine = arena.alloc([1u8; 100]);
    assert_eq!(*mine, [1; 100]);
    arena.debug_assert_invariants();
    assert!(arena.allocated_bytes() >= 200);
}

#[test]
fn a_closure_that_panics_gives_its_room_back() {
    let arena = GrowableBump::new(HeapSource);
    let made = catch_unwind(AssertUnwindSafe(|| {
        arena.alloc_with(|| -> u64 { panic!("no value") });
    }));
    assert!(made.is_err());
    assert_eq!(arena.allocated_bytes(), 0);
    assert_eq!(arena.alloc_str("text"), "text");
    let words = arena.alloc_slice_copy(&[1u16, 2, 3]);
    words[0] = 9;
    assert_eq!(words, [9, 2, 3]);
    let () = arena.alloc(());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 300 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Work of any sizes, done again after a reset, takes no segment, and no two blocks overlap.
    #[test]
    fn any_work_fits_again(
        first in 1..2000usize,
        work in proptest::collection::vec((1..3000usize, 0..8u32), 1..60),
    ) {
        let book = Booked::default();
        let mut arena = GrowableBump::with_segment_bytes(&book, first);
        let mut segments = None;
        for _ in 0..3 {
            let mut spans: Vec<(usize, usize)> = work
                .iter()
                .map(|&(size, align)| {
                    let start = take(&arena, size, 1 << align).addr().get();
                    (start, start + size)
                })
                .collect();
            spans.sort_unstable();
            prop_assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            let asked = book.asked.borrow().len();
            prop_assert_eq!(*segments.get_or_insert(asked), asked);
            arena.reset();
        }
    }
}
