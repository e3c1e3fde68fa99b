//! The process-wide arena as functions, and what arenas say of their memory.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drystone_arena::{
    Arena, ArenaConfig, ArenaError, FreeError, ThreadCache, allocate, deallocate,
    deallocate_with_size, global_stats, trim,
};
use drystone_core::NonZeroLayout;

/// Whoever has it has the process-wide arena to itself, so that its figures stand still.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Blocks of a kind.
const COUNT: usize = if cfg!(miri) { 9 } else { 100 };

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 16).expect("valid")
}

#[test]
fn blocks_are_aligned_and_freed_once() {
    let _alone = alone();
    for size in [1, 15, 16, 17, 1000, 70_000, 200_000] {
        let block = allocate(size).expect("there is memory");
        assert!(block.addr().get().is_multiple_of(16));
        // SAFETY: the block's bytes.
        unsafe { block.write_bytes(1, size) };
        // SAFETY: nobody uses the block.
        assert_eq!(unsafe { deallocate(block) }, Ok(()));
        // SAFETY: the block is free, and nobody else allocates from this arena.
        let again = unsafe { deallocate(block) };
        assert_eq!(again, Err(FreeError::DoubleFree), "{size}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let _alone = alone();
    assert_eq!(allocate(0), Err(ArenaError::ZeroSize));
    let refused = allocate(usize::MAX);
    assert!(matches!(
        refused,
        Err(ArenaError::OutOfMemory {
            requested: usize::MAX,
            ..
        })
    ));
    let mut own = 0u128;
    // SAFETY: the address is not of this arena.
    let answer = unsafe { deallocate(NonNull::from(&mut own).cast()) };
    assert_eq!(answer, Err(FreeError::ForeignPointer));
}

#[test]
fn a_size_that_is_not_the_blocks_is_named() {
    let _alone = alone();
    let block = allocate(5000).expect("there is memory");
    for wrong in [1, 2500, 10_000, usize::MAX] {
        // SAFETY: nothing is freed where the size is wrong.
        let answer = unsafe { deallocate_with_size(block, wrong) };
        assert!(
            matches!(answer, Err(FreeError::SizeMismatch { provided, recorded })
                if provided == wrong && recorded >= 5000),
            "{wrong}: {answer:?}"
        );
    }
    // SAFETY: nobody uses the block.
    assert_eq!(unsafe { deallocate_with_size(block, 5000) }, Ok(()));
}

#[test]
fn the_functions_have_figures() {
    let _alone = alone();
    let block = allocate(3 << 20).expect("there is memory");
    let stats = global_stats();
    assert!(stats.live_bytes >= 3 << 20, "{stats}");
    assert!(stats.mapped_bytes >= stats.in_pages_bytes);
    // SAFETY: nobody uses the block.
    assert_eq!(unsafe { deallocate(block) }, Ok(()));
    assert!(trim() > 0, "a kept block, at least");
}

#[test]
fn figures_tell_live_cached_and_retained() {
    let arena = Arena::new(ArenaConfig::default()).expect("valid");
    let mut cache = ThreadCache::new(ArenaConfig::default());
    assert_eq!(arena.stats().live_bytes, 0);
    let blocks: Vec<_> = (0..COUNT)
        .map(|_| {
            arena
                .allocate_with_cache(&mut cache, layout(1024))
                .expect("memory")
        })
        .collect();
    let run = arena
        .allocate_with_cache(&mut cache, layout(1 << 20))
        .expect("memory");
    let huge = arena
        .allocate_with_cache(&mut cache, layout(5 << 20))
        .expect("memory");
    let live = COUNT * 1024 + (1 << 20) + (5 << 20);
    let stats = arena.stats();
    assert_eq!(stats.live_bytes, live, "{stats}");
    assert_eq!(stats.cached_bytes, cache.stats().cached_bytes);
    for block in blocks {
        // SAFETY: live, of this layout, and not used again.
        let freed = unsafe { arena.deallocate_with_cache(&mut cache, block.cast(), layout(1024)) };
        assert_eq!(freed, Ok(()));
    }
    let stats = arena.stats();
    assert_eq!(stats.live_bytes, live - COUNT * 1024, "{stats}");
    for (block, size) in [(run, 1 << 20), (huge, 5 << 20)] {
        // SAFETY: live, of this layout, and not used again.
        let freed = unsafe { arena.deallocate_with_cache(&mut cache, block.cast(), layout(size)) };
        assert_eq!(freed, Ok(()));
    }
    let stats = arena.stats();
    assert_eq!(stats.live_bytes, 0, "{stats}");
    assert!(stats.retained_bytes >= (5 << 20) + (1 << 20), "{stats}");
    assert!(stats.resident_bytes >= stats.retained_bytes + stats.cached_bytes);
    arena.drain_thread_cache(&mut cache).expect("its own");
    let stats = arena.stats();
    assert_eq!(
        (stats.cached_bytes, stats.in_pages_bytes),
        (0, 0),
        "{stats}"
    );
    drop(cache);
    arena.trim();
    let stats = arena.stats();
    assert_eq!(stats.retained_bytes, 0, "{stats}");
}

#[test]
fn what_other_threads_freed_is_cached_until_it_is_home() {
    let arena = Arena::new(ArenaConfig::default()).expect("valid");
    let mut cache = ThreadCache::new(ArenaConfig::default());
    let block = arena
        .allocate_with_cache(&mut cache, layout(64))
        .expect("memory");
    let block = AtomicPtr::new(block.cast::<u8>().as_ptr());
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut other = ThreadCache::new(ArenaConfig::default());
            let block = NonNull::new(block.load(Ordering::Relaxed)).expect("not null");
            // SAFETY: live, of this layout, and not used again.
            let freed = unsafe { arena.deallocate_with_cache(&mut other, block, layout(64)) };
            assert_eq!(freed, Ok(()));
            assert_eq!(other.stats().staged_bytes, 64);
            assert_eq!(arena.stats().live_bytes, 0);
        });
    });
    assert_eq!(arena.stats().live_bytes, 0);
}
