//! Arenas with caches of the caller's: what they serve, what they refuse, what they find wrong.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use drystone_arena::{Arena, ArenaConfig, ArenaError, Fast, FreeError, ThreadCache};
use drystone_backing::{MmapBacked, MmapSource};
use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, HeapSegment, HeapSource, NonZeroLayout, Owns,
    SegmentSource, StableAddress,
};

fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("valid")
}

fn arena_of(arena_size: usize) -> Arena {
    Arena::new(ArenaConfig {
        arena_size,
        ..ArenaConfig::default()
    })
    .expect("valid")
}

fn new_cache() -> ThreadCache {
    ThreadCache::new(ArenaConfig::default())
}

/// A block with its layout.
#[derive(Clone, Copy)]
struct Block(NonNull<u8>, NonZeroLayout);

// SAFETY: a block may be used on any thread.
unsafe impl Send for Block {}

fn allocate(arena: &Arena, cache: &mut ThreadCache, layout: NonZeroLayout) -> Block {
    let block = arena
        .allocate_with_cache(cache, layout)
        .expect("there is memory");
    assert!(block.len() >= layout.size().get());
    assert!(block.addr().get().is_multiple_of(layout.align().get()));
    Block(block.cast(), layout)
}

fn free(arena: &Arena, cache: &mut ThreadCache, block: Block) -> Result<(), FreeError> {
    // SAFETY: the tests use no block that they freed.
    unsafe { arena.deallocate_with_cache(cache, block.0, block.1) }
}

const SIZES: [usize; 8] = [1, 24, 100, 4096, 8193, 131_072, 131_073, (2 << 20) + 1];

#[test]
fn a_block_of_every_kind_is_freed_once() {
    let arena = arena_of(ArenaConfig::UNLIMITED);
    let mut cache = new_cache();
    for size in SIZES {
        let block = allocate(&arena, &mut cache, layout(size, 8));
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
        let again = free(&arena, &mut cache, block);
        assert_eq!(again, Err(FreeError::DoubleFree), "{size}");
    }
}

#[test]
fn a_pointer_that_is_no_block_is_refused() {
    let arena = arena_of(ArenaConfig::UNLIMITED);
    let mut cache = new_cache();
    let mut own = 0u64;
    let foreign = Block(NonNull::from(&mut own).cast(), layout(8, 8));
    assert_eq!(
        free(&arena, &mut cache, foreign),
        Err(FreeError::ForeignPointer)
    );
    for size in SIZES {
        let block = allocate(&arena, &mut cache, layout(size, 8));
        if size >= 16 {
            // SAFETY: inside the block.
            let interior = unsafe { block.0.add(8) };
            let answer = free(&arena, &mut cache, Block(interior, block.1));
            assert_eq!(answer, Err(FreeError::Misaligned), "{size}");
        }
        let answer = free(&arena, &mut cache, Block(block.0, layout(size * 2 + 64, 8)));
        assert!(
            matches!(answer, Err(FreeError::SizeMismatch { provided, recorded })
                if provided == size * 2 + 64 && recorded >= size),
            "{size}: {answer:?}"
        );
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
    }
}

#[test]
fn a_block_is_freed_through_any_cache_and_once() {
    let arena = arena_of(ArenaConfig::UNLIMITED);
    let mut cache = new_cache();
    let block = allocate(&arena, &mut cache, layout(64, 8));
    thread::scope(|threads| {
        let arena = &arena;
        let freed = threads.spawn(move || {
            let mut other = new_cache();
            let first = free(arena, &mut other, block);
            let second = free(arena, &mut other, block);
            (first, second)
        });
        let (first, second) = freed.join().expect("no panic");
        assert_eq!(first, Ok(()));
        assert_eq!(second, Err(FreeError::DoubleFree));
    });
    assert_eq!(free(&arena, &mut cache, block), Err(FreeError::DoubleFree));
}

#[test]
fn a_cache_serves_another_arena_when_it_is_empty() {
    let (one, other) = (
        arena_of(ArenaConfig::UNLIMITED),
        arena_of(ArenaConfig::UNLIMITED),
    );
    let mut cache = new_cache();
    let block = allocate(&one, &mut cache, layout(64, 8));
    assert_eq!(
        other.allocate_with_cache(&mut cache, layout(64, 8)),
        Err(ArenaError::WrongArena)
    );
    assert_eq!(free(&other, &mut cache, block), Err(FreeError::WrongArena));
    assert_eq!(free(&one, &mut cache, block), Ok(()));
    assert_eq!(
        other.drain_thread_cache(&mut cache),
        Err(ArenaError::WrongArena)
    );
    one.drain_thread_cache(&mut cache).expect("its arena");
    assert_eq!(cache.stats().cached_blocks, 0);
    let block = allocate(&other, &mut cache, layout(64, 8));
    assert_eq!(free(&other, &mut cache, block), Ok(()));
}

#[test]
fn the_limit_holds_and_says_what_remains() {
    let limit = if cfg!(miri) { 256 << 10 } else { 1 << 20 };
    let arena = arena_of(limit);
    let mut cache = new_cache();
    let mut blocks = Vec::new();
    let refused = loop {
        match arena.allocate_with_cache(&mut cache, layout(4096, 8)) {
            Ok(block) => blocks.push(Block(block.cast(), layout(4096, 8))),
            Err(error) => break error,
        }
    };
    assert_eq!(blocks.len(), limit / 4096);
    assert_eq!(
        refused,
        ArenaError::OutOfMemory {
            requested: 4096,
            remaining: 0
        }
    );
    for block in blocks {
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
    }
    arena.drain_thread_cache(&mut cache).expect("its arena");
    assert_eq!(arena.stats().remaining_bytes, limit);
    let refused = arena.allocate_with_cache(&mut cache, layout(limit + 1, 8));
    assert!(matches!(refused, Err(ArenaError::OutOfMemory { .. })));
    let block = allocate(&arena, &mut cache, layout(limit, 8));
    assert_eq!(free(&arena, &mut cache, block), Ok(()));
}

#[test]
fn a_huge_block_that_is_kept_leaves_the_limit_to_others() {
    let limit = 8 << 20;
    let arena = arena_of(limit);
    let mut cache = new_cache();
    for size in [5 << 20, 3 << 20, 8 << 20, 5 << 20] {
        let block = allocate(&arena, &mut cache, layout(size, 8));
        assert_eq!(arena.stats().remaining_bytes, limit - size);
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
        assert_eq!(arena.stats().remaining_bytes, limit);
        assert_eq!(arena.stats().in_pages_bytes, 0);
    }
    // The last one is kept, and would leave room for three of these.
    let runs: Vec<_> = (0..8)
        .map(|_| allocate(&arena, &mut cache, layout(1 << 20, 8)))
        .collect();
    assert_eq!(arena.stats().remaining_bytes, 0);
    for run in runs {
        assert_eq!(free(&arena, &mut cache, run), Ok(()));
    }
}

#[test]
fn what_a_dropped_cache_had_serves_the_next_one() {
    let arena = arena_of(64 << 10);
    let mut blocks = Vec::new();
    let (caches, each) = if cfg!(miri) { (3, 4) } else { (20, 50) };
    for _ in 0..caches {
        let mut cache = new_cache();
        for _ in 0..each {
            blocks.push(allocate(&arena, &mut cache, layout(64, 8)));
        }
    }
    let mut cache = new_cache();
    for block in blocks {
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
    }
}

#[test]
fn an_alignment_of_the_arena_holds_for_every_block() {
    let arena = Arena::<Fast>::with_profile(ArenaConfig {
        alignment: 256,
        ..ArenaConfig::default()
    })
    .expect("valid");
    let mut cache = new_cache();
    for size in SIZES {
        let block = arena
            .allocate_with_cache(&mut cache, layout(size, 1))
            .expect("there is memory");
        assert!(block.addr().get().is_multiple_of(256));
        // SAFETY: the block is live and was handed out for this layout.
        let freed =
            unsafe { arena.deallocate_with_cache(&mut cache, block.cast(), layout(size, 1)) };
        assert_eq!(freed, Ok(()));
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_named() {
    let configs = [
        (
            ArenaConfig {
                arena_size: 0,
                ..ArenaConfig::default()
            },
            "arena_size",
        ),
        (
            ArenaConfig {
                alignment: 48,
                ..ArenaConfig::default()
            },
            "alignment",
        ),
        (
            ArenaConfig {
                alignment: 0,
                ..ArenaConfig::default()
            },
            "alignment",
        ),
        (
            ArenaConfig {
                refill_target_bytes: 0,
                ..ArenaConfig::default()
            },
            "refill_target_bytes",
        ),
    ];
    for (config, name) in configs {
        let Err(ArenaError::InvalidConfig { field, .. }) = Arena::new(config) else {
            panic!("{name} was accepted");
        };
        assert_eq!(field, name);
    }
}

/// Mappings, counted.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

struct CountedSegment(MmapBacked, Arc<AtomicUsize>);

impl Drop for CountedSegment {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

// SAFETY: the mapping's answers.
unsafe impl FixedRange for CountedSegment {
    fn base(&self) -> NonNull<u8> {
        self.0.base()
    }
    fn size(&self) -> usize {
        self.0.size()
    }
    fn base_align(&self) -> usize {
        self.0.base_align()
    }
}

// SAFETY: as the mapping.
unsafe impl StableAddress for CountedSegment {}

// SAFETY: each segment is a mapping of its own.
unsafe impl SegmentSource for Counted {
    type Segment = CountedSegment;
    fn segment(&self, layout: NonZeroLayout) -> Result<CountedSegment, AllocError> {
        let segment = MmapSource.segment(layout)?;
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(CountedSegment(segment, Arc::clone(&self.0)))
    }
}

#[test]
fn the_memory_lives_as_long_as_the_arena_and_its_caches() {
    let source = Counted::default();
    let out = Arc::clone(&source.0);
    let arena = Arena::with_source(ArenaConfig::default(), source).expect("valid");
    let mut cache = new_cache();
    let block = allocate(&arena, &mut cache, layout(64, 8));
    let huge = allocate(&arena, &mut cache, layout(3 << 20, 8));
    assert!(out.load(Ordering::Relaxed) >= 2);
    drop(arena);
    // SAFETY: the cache keeps the memory.
    unsafe { block.0.write(1) };
    // SAFETY: as above.
    unsafe { huge.0.write(1) };
    drop(cache);
    assert_eq!(out.load(Ordering::Relaxed), 0);
}

#[test]
fn a_bound_arena_is_an_allocator() {
    let arena = arena_of(ArenaConfig::UNLIMITED);
    let mut cache = new_cache();
    let bound = arena.bind(&mut cache);
    for size in SIZES {
        let block = bound
            .allocate_zeroed(layout(size, 8))
            .expect("there is memory");
        // SAFETY: the block's bytes.
        let bytes = unsafe { block.as_ref() };
        let step = if cfg!(miri) {
            bytes.len().div_ceil(4)
        } else {
            1
        };
        assert!(bytes.iter().step_by(step).all(|byte| *byte == 0));
        // SAFETY: the block is live and was handed out for this layout.
        unsafe { bound.deallocate(block.cast(), layout(size, 8)) };
    }
}

#[test]
fn many_threads_free_what_others_allocated() {
    let arena = arena_of(ArenaConfig::UNLIMITED);
    let (rounds, each) = if cfg!(miri) { (2, 8) } else { (2000, 40) };
    let (send_a, receive_a) = std::sync::mpsc::channel::<Vec<Block>>();
    let (send_b, receive_b) = std::sync::mpsc::channel::<Vec<Block>>();
    thread::scope(|threads| {
        for (send, receive) in [(send_a, receive_b), (send_b, receive_a)] {
            let arena = &arena;
            threads.spawn(move || {
                let mut cache = new_cache();
                for round in 0..rounds {
                    let batch = (0..each)
                        .map(|i| allocate(arena, &mut cache, layout(16 + (round + i) % 200, 8)));
                    send.send(batch.collect()).expect("the other listens");
                    for block in receive.recv().expect("the other sends") {
                        assert_eq!(free(arena, &mut cache, block), Ok(()));
                    }
                }
            });
        }
    });
}

#[test]
fn what_is_idle_for_the_delay_goes_back() {
    let config = ArenaConfig {
        purge_delay: Duration::ZERO,
        ..ArenaConfig::default()
    };
    let arena = Arena::new(config).expect("valid");
    let mut cache = ThreadCache::new(config);
    let blocks: Vec<_> = [1 << 20; 8]
        .into_iter()
        .chain([5 << 20; 3])
        .map(|size| allocate(&arena, &mut cache, layout(size, 8)))
        .collect();
    for block in blocks {
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
    }
    assert!(arena.stats().retained_bytes >= 20 << 20);
    // Each of these takes a slow path, of which one in 64 looks at the time.
    for _ in 0..200 {
        let block = allocate(&arena, &mut cache, layout(200_000, 8));
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
    }
    let stats = arena.stats();
    assert!(stats.retained_bytes < 1 << 20, "{stats}");
}

/// A source of memory that is not zero, from the heap.
struct Dirty;

// SAFETY: each segment is a block of the heap of its own.
unsafe impl SegmentSource for Dirty {
    type Segment = HeapSegment;

    fn segment(&self, layout: NonZeroLayout) -> Result<HeapSegment, AllocError> {
        let segment = HeapSource.segment(layout)?;
        // SAFETY: the segment's bytes, which nobody else has yet.
        unsafe { segment.base().write_bytes(0xa5, layout.size().get()) };
        Ok(segment)
    }
}

#[test]
fn memory_that_is_not_zero_serves_too() {
    let arena = Arena::with_source(ArenaConfig::default(), Dirty).expect("valid");
    let mut cache = new_cache();
    for size in SIZES {
        for _ in 0..3 {
            let block = allocate(&arena, &mut cache, layout(size, 8));
            assert_eq!(free(&arena, &mut cache, block), Ok(()));
        }
    }
    let bound = arena.bind(&mut cache);
    let zeroed = bound.allocate_zeroed(layout(3 << 20, 8)).expect("memory");
    let step = if cfg!(miri) { 1 << 16 } else { 1 };
    // SAFETY: the block's bytes.
    let bytes = unsafe { zeroed.as_ref() };
    assert!(bytes.iter().step_by(step).all(|byte| *byte == 0));
    // SAFETY: live, of this layout, and not used again.
    unsafe { bound.deallocate(zeroed.cast(), layout(3 << 20, 8)) };
}

#[test]
fn a_free_huge_block_is_not_resized() {
    let arena = arena_of(ArenaConfig::UNLIMITED);
    let mut cache = new_cache();
    let block = allocate(&arena, &mut cache, layout(5 << 20, 8));
    assert_eq!(free(&arena, &mut cache, block), Ok(()));
    // SAFETY: nothing else happens in this arena.
    let answer = unsafe { arena.block_bytes(block.0) };
    assert_eq!(answer, Err(FreeError::DoubleFree));
}

#[test]
fn every_byte_of_a_block_is_the_arenas_and_none_behind_it() {
    let arena = arena_of(ArenaConfig::UNLIMITED);
    let mut cache = new_cache();
    let bound = arena.bind(&mut cache);
    let layout = layout(9 << 20, 8 << 20);
    let block: NonNull<u8> = bound.allocate(layout).expect("memory").cast();
    for offset in [0, 4 << 20, (8 << 20) + 5, (9 << 20) - 1] {
        // SAFETY: inside the block.
        assert!(bound.owns(unsafe { block.add(offset) }), "{offset}");
    }
    // The mapping ends with the block, in the middle of a segment's size of addresses.
    let behind = block.as_ptr().wrapping_add(9 << 20);
    assert!(!bound.owns(NonNull::new(behind).expect("not null")));
    // SAFETY: live, of this layout, and not used again.
    unsafe { bound.deallocate(block, layout) };
    assert!(!bound.owns(NonNull::from(&arena).cast()));
}

#[test]
fn what_is_cached_makes_room_for_what_is_asked_for() {
    let arena = arena_of(64 << 10);
    let mut cache = new_cache();
    let small = allocate(&arena, &mut cache, layout(64, 8));
    assert_eq!(free(&arena, &mut cache, small), Ok(()));
    let other = allocate(&arena, &mut cache, layout(128, 8));
    assert_eq!(free(&arena, &mut cache, other), Ok(()));
}

#[test]
fn an_impossible_layout_frees_nothing() {
    let arena = Arena::new(ArenaConfig {
        alignment: 16,
        ..ArenaConfig::default()
    })
    .expect("valid");
    let mut cache = new_cache();
    let block = allocate(&arena, &mut cache, layout(64, 8));
    let wrong = layout(isize::MAX as usize, 1);
    let answer = free(&arena, &mut cache, Block(block.0, wrong));
    assert!(
        matches!(answer, Err(FreeError::SizeMismatch { .. })),
        "{answer:?}"
    );
    assert_eq!(free(&arena, &mut cache, block), Ok(()));
}

/// A bin that was widened goes on under the first limit of the next cache.
#[test]
#[cfg(not(miri))]
fn a_cache_takes_over_more_than_it_may_hold_at_first() {
    let arena = arena_of(ArenaConfig::UNLIMITED);
    for _ in 0..3 {
        let mut cache = new_cache();
        for _ in 0..6 {
            let blocks: Vec<_> = (0..3000)
                .map(|_| allocate(&arena, &mut cache, layout(64, 8)))
                .collect();
            for block in blocks {
                assert_eq!(free(&arena, &mut cache, block), Ok(()));
            }
        }
        assert!(cache.stats().cached_blocks > 128);
    }
    assert_eq!(arena.stats().live_bytes, 0);
}

#[test]
fn the_statistics_of_a_cache_print_as_a_table() {
    let arena = arena_of(ArenaConfig::UNLIMITED);
    let mut cache = new_cache();
    let rows = |cache: &ThreadCache| {
        let table = cache.stats().to_string();
        table.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rows(&cache)[0], "bound                       no");
    allocate(&arena, &mut cache, layout(8, 8));
    let bytes = cache.stats().cached_bytes;
    assert_eq!(
        rows(&cache),
        [
            "bound                      yes".to_owned(),
            format!("blocks    {:>20}", cache.stats().cached_blocks),
            format!("cached    {bytes:>20} B"),
            "staged                       0 B".to_owned(),
        ]
    );
}
