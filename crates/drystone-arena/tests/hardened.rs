//! The profile that fills, shuffles and guards: what it serves, and what it finds in this process.

use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::mpsc;
use std::thread;

use drystone_arena::{Arena, ArenaConfig, FreeError, GlobalArena, Hardened, ThreadCache};
use drystone_core::{Allocator, NonZeroLayout};

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 8).expect("valid")
}

fn new_arena() -> Arena<Hardened> {
    Arena::with_profile(ArenaConfig::default()).expect("valid")
}

fn new_cache() -> ThreadCache {
    ThreadCache::new(ArenaConfig::default())
}

/// A block with its layout.
#[derive(Clone, Copy)]
struct Block(NonNull<u8>, NonZeroLayout);

// SAFETY: a block may be used on any thread.
unsafe impl Send for Block {}

impl Block {
    fn write(self, byte: u8) {
        // SAFETY: the tests write to live blocks, or on purpose.
        unsafe { self.0.write_bytes(byte, self.1.size().get()) };
    }

    fn read(self) -> Vec<u8> {
        let bytes = NonNull::slice_from_raw_parts(self.0, self.1.size().get());
        // SAFETY: the tests read blocks that they wrote.
        unsafe { bytes.as_ref() }.to_vec()
    }
}

fn allocate(arena: &Arena<Hardened>, cache: &mut ThreadCache, size: usize) -> Block {
    let block = arena.allocate_with_cache(cache, layout(size));
    Block(block.expect("there is memory").cast(), layout(size))
}

fn free(arena: &Arena<Hardened>, cache: &mut ThreadCache, block: Block) -> Result<(), FreeError> {
    // SAFETY: the tests use no block that they freed, but on purpose.
    unsafe { arena.deallocate_with_cache(cache, block.0, block.1) }
}

const SIZES: [usize; 9] = [
    1,
    24,
    100,
    1000,
    4096,
    8193,
    131_072,
    131_073,
    (2 << 20) + 1,
];

#[test]
fn a_block_of_every_kind_is_freed_once() {
    let arena = new_arena();
    let mut cache = new_cache();
    // Under Miri every byte counts.
    for size in SIZES.into_iter().filter(|size| !cfg!(miri) || *size < 2000) {
        let block = allocate(&arena, &mut cache, size);
        block.write(1);
        let interior = Block(NonNull::from(&mut *cache_line(block)), block.1);
        if size >= 16 {
            assert_eq!(
                free(&arena, &mut cache, interior),
                Err(FreeError::Misaligned)
            );
        }
        let wrong = Block(block.0, layout(size * 2 + 64));
        assert!(matches!(
            free(&arena, &mut cache, wrong),
            Err(FreeError::SizeMismatch { .. })
        ));
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
        let again = free(&arena, &mut cache, block);
        let gone = [FreeError::DoubleFree, FreeError::ForeignPointer];
        assert!(again.is_err_and(|error| gone.contains(&error)), "{size}");
    }
}

/// A byte inside the block, not its first.
fn cache_line(block: Block) -> &'static mut u8 {
    let offset = 8.min(block.1.size().get() - 1);
    // SAFETY: inside the block.
    let mut inside = unsafe { block.0.add(offset) };
    // SAFETY: the block's own byte, which the test leaves alone.
    unsafe { inside.as_mut() }
}

#[test]
fn blocks_go_out_in_an_order_of_their_own() {
    const BLOCKS: usize = if cfg!(miri) { 12 } else { 400 };
    let order = || {
        let (arena, mut cache) = (new_arena(), new_cache());
        let blocks: Vec<_> = (0..BLOCKS)
            .map(|_| allocate(&arena, &mut cache, 64).0.addr().get() % (64 << 10))
            .collect();
        assert_eq!(blocks.iter().collect::<BTreeSet<_>>().len(), BLOCKS);
        blocks
    };
    let orders: BTreeSet<_> = (0..4).map(|_| order()).collect();
    // Two of them agree with a probability below one in 10^20.
    assert_eq!(orders.len(), 4);
    for order in orders {
        let next = order.windows(2).filter(|pair| pair[1] == pair[0] + 64);
        assert!(next.count() < BLOCKS / 4, "neighbours follow each other");
    }
}

#[test]
fn a_freed_block_is_not_always_the_next() {
    const ROUNDS: usize = if cfg!(miri) { 40 } else { 1000 };
    let (arena, mut cache) = (new_arena(), new_cache());
    let mut same = 0;
    for _ in 0..ROUNDS {
        let block = allocate(&arena, &mut cache, 64);
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
        let next = allocate(&arena, &mut cache, 64);
        same += usize::from(next.0 == block.0);
        assert_eq!(free(&arena, &mut cache, next), Ok(()));
    }
    assert!(same < ROUNDS / 2, "{same} of {ROUNDS}");
}

#[test]
fn a_freed_block_has_nothing_of_what_was_in_it() {
    let (arena, mut cache) = (new_arena(), new_cache());
    for size in [16, 100, if cfg!(miri) { 200 } else { 16 << 10 }] {
        let block = allocate(&arena, &mut cache, size);
        block.write(0xab);
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
        // Reading a freed block is wrong, and works while its page has others.
        assert!(block.read().windows(2).all(|bytes| bytes != [0xab; 2]));
    }
}

#[test]
fn zeroed_memory_is_zero() {
    let arena = new_arena();
    let mut cache = new_cache();
    let bound = arena.bind(&mut cache);
    let sizes: &[usize] = if cfg!(miri) {
        &[10, 1000]
    } else {
        &[10, 5000, 200_000, 3 << 20]
    };
    for &size in sizes {
        for _ in 0..3 {
            let zeroed = bound.allocate_zeroed(layout(size)).expect("memory");
            let block = Block(zeroed.cast(), layout(size));
            assert!(block.read().iter().all(|byte| *byte == 0), "{size}");
            block.write(7);
            // SAFETY: live, of this layout, and not used again.
            unsafe { drystone_core::Deallocator::deallocate(&bound, block.0, block.1) };
        }
    }
}

/// The system gives what is asked of it: without guards they are counted.
#[test]
#[cfg(not(miri))]
fn every_guard_is_there() {
    let (arena, mut cache) = (new_arena(), new_cache());
    let blocks = SIZES.map(|size| allocate(&arena, &mut cache, size));
    for block in blocks {
        block.write(1);
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
    }
    arena.drain_thread_cache(&mut cache).expect("its own");
    let stats = arena.stats();
    assert_eq!((stats.guards_refused, stats.in_pages_bytes), (0, 0));
    drop(cache);
    arena.trim();
    assert_eq!(arena.stats().retained_bytes, 0);
}

#[test]
#[cfg(miri)]
fn guards_that_cannot_be_are_counted() {
    let (arena, mut cache) = (new_arena(), new_cache());
    let _block = allocate(&arena, &mut cache, 64);
    // For the free slices of the new segment, and for the guard of its first page.
    assert_eq!(arena.stats().guards_refused, 2);
}

#[test]
fn blocks_are_freed_on_other_threads() {
    const ROUNDS: usize = if cfg!(miri) { 3 } else { 300 };
    // The owner waits there: it may have a block again that went home between the two frees.
    let is_freed_twice = |round: usize| round.is_multiple_of(10);
    let arena = new_arena();
    let (send, receive) = mpsc::channel::<Vec<Block>>();
    let (done, wait) = mpsc::channel();
    thread::scope(|threads| {
        let arena = &arena;
        threads.spawn(move || {
            let mut cache = new_cache();
            for (round, batch) in receive.into_iter().enumerate() {
                for block in batch {
                    assert!(block.read().iter().all(|byte| *byte == 9));
                    assert_eq!(free(arena, &mut cache, block), Ok(()));
                    if is_freed_twice(round) {
                        assert_eq!(free(arena, &mut cache, block), Err(FreeError::DoubleFree));
                    }
                }
                if is_freed_twice(round) {
                    done.send(()).expect("the owner waits");
                }
            }
        });
        let mut cache = new_cache();
        for round in 0..ROUNDS {
            let size = SIZES[round % 7];
            let batch = (0..if cfg!(miri) { 3 } else { 50 }).map(|_| {
                let block = allocate(arena, &mut cache, size);
                block.write(9);
                block
            });
            send.send(batch.collect()).expect("the other thread runs");
            if is_freed_twice(round) {
                wait.recv().expect("the other thread runs");
            }
        }
        drop(send);
    });
    let stats = arena.stats();
    assert_eq!(stats.live_bytes, 0, "{stats}");
}

#[test]
fn a_heap_that_is_left_goes_to_the_next_thread() {
    let arena = new_arena();
    let mut kept = Vec::new();
    for round in 0..4u8 {
        let mut cache = new_cache();
        for size in [24, 1000] {
            let block = allocate(&arena, &mut cache, size);
            block.write(round);
            kept.push((block, round));
        }
        if kept.len() > 4 {
            let (block, round) = kept.remove(0);
            assert!(block.read().iter().all(|byte| *byte == round));
            assert_eq!(free(&arena, &mut cache, block), Ok(()));
        }
    }
    let mut cache = new_cache();
    for (block, round) in kept {
        assert!(block.read().iter().all(|byte| *byte == round));
        assert_eq!(free(&arena, &mut cache, block), Ok(()));
    }
    arena.drain_thread_cache(&mut cache).expect("its own");
    let stats = arena.stats();
    assert_eq!((stats.live_bytes, stats.cached_bytes), (0, 0), "{stats}");
}

#[test]
fn the_process_has_a_hardened_arena() {
    let arena = GlobalArena::<Hardened>::new();
    let block = arena.allocate(layout(100)).expect("memory");
    assert!(arena.stats().live_bytes >= 100);
    // SAFETY: live, of this layout, and not used again.
    unsafe { drystone_core::Deallocator::deallocate(&arena, block.cast(), layout(100)) };
}

// Not under Miri, for which the blocks are too many and too large; the tests above take the same ways.
#[cfg(not(miri))]
mod programs {
    use proptest::prelude::*;

    use super::*;

    /// What a step of a random program does.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Allocate { cache: usize, size: usize },
        Free { cache: usize, pick: usize },
        FreeAgain { cache: usize },
        Drain { cache: usize },
        Renew { cache: usize },
        Trim,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let size = prop_oneof![
            4 => 1..300usize,
            2 => 300..20_000usize,
            1 => 20_000..300_000usize,
        ];
        let step = prop_oneof![
            8 => (0..2usize, size).prop_map(|(cache, size)| Step::Allocate { cache, size }),
            6 => (0..2usize, any::<usize>()).prop_map(|(cache, pick)| Step::Free { cache, pick }),
            1 => (0..2usize).prop_map(|cache| Step::FreeAgain { cache }),
            1 => (0..2usize).prop_map(|cache| Step::Drain { cache }),
            1 => (0..2usize).prop_map(|cache| Step::Renew { cache }),
            1 => Just(Step::Trim),
        ];
        proptest::collection::vec(step, 0..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 60,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Two caches of one arena: every block keeps its bytes, and the figures agree with a list.
        #[test]
        fn random_programs_keep_their_blocks(steps in steps()) {
            let arena = new_arena();
            let mut caches = [new_cache(), new_cache()];
            let mut live: Vec<(Block, u8)> = Vec::new();
            let mut freed = None;
            for (number, step) in steps.into_iter().enumerate() {
                let mark = u8::try_from(number % 251).expect("a byte");
                match step {
                    Step::Allocate { cache, size } => {
                        let block = allocate(&arena, &mut caches[cache], size);
                        block.write(mark);
                        freed = freed.filter(|other: &Block| other.0 != block.0);
                        live.push((block, mark));
                    }
                    Step::Free { cache, pick } if !live.is_empty() => {
                        let (block, mark) = live.swap_remove(pick % live.len());
                        prop_assert!(block.read().iter().all(|byte| *byte == mark));
                        prop_assert_eq!(free(&arena, &mut caches[cache], block), Ok(()));
                        freed = Some(block);
                    }
                    Step::FreeAgain { cache } => {
                        if let Some(block) = freed {
                            prop_assert!(free(&arena, &mut caches[cache], block).is_err());
                        }
                    }
                    Step::Drain { cache } => {
                        arena.drain_thread_cache(&mut caches[cache]).expect("its own");
                    }
                    Step::Renew { cache } => caches[cache] = new_cache(),
                    Step::Trim => drop(arena.trim()),
                    Step::Free { .. } => {}
                }
                let least: usize = live.iter().map(|(block, _)| block.1.size().get()).sum();
                prop_assert!(arena.stats().live_bytes >= least);
            }
            for (block, mark) in live.drain(..) {
                prop_assert!(block.read().iter().all(|byte| *byte == mark));
                prop_assert_eq!(free(&arena, &mut caches[0], block), Ok(()));
            }
            drop(caches);
            arena.trim();
            // What the heaps of the caches had sent each other.
            arena.trim();
            let stats = arena.stats();
            prop_assert_eq!(
                (stats.live_bytes, stats.cached_bytes, stats.in_pages_bytes),
                (0, 0, 0)
            );
        }
    }
}
