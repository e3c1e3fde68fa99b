//! Budget, regions, trimming: where the memory is, and that it goes back.

mod pool_kit;

use drystone_core::HeapSource;
use drystone_pool::{BufferPool, BufferPoolConfig, ConfigError, PoolError};
use pool_kit::{CountingSource, small};

#[test]
fn a_ceiling_holds_over_all_classes() {
    let pool = BufferPool::new(small(100).with_budget_bytes(1024)).expect("valid");
    let four: Vec<_> = (0..4).map(|_| pool.try_alloc(256).expect("room")).collect();
    assert_eq!(pool.stats().budget_used_bytes, 1024);
    for size in [64, 128, 256, 512, 1024] {
        assert_eq!(pool.try_alloc(size).unwrap_err(), PoolError::Exhausted);
    }
    drop(four);
    // Idle buffers of one class make room for another: those here are in this thread's cache.
    let large = pool.try_alloc(1024).expect("room");
    let stats = pool.stats();
    assert_eq!(stats.budget_used_bytes, 1024);
    assert_eq!(stats.class(256).expect("a class").created, 0);
    drop(large);
    let many: Vec<_> = (0..16).map(|_| pool.try_alloc(64).expect("room")).collect();
    assert!(pool.try_alloc(64).is_err());
    assert_eq!(many.len(), 16);
}

#[test]
fn a_full_ceiling_answers_again_and_again() {
    let pool = BufferPool::new(small(100).with_budget_bytes(1024)).expect("valid");
    for _ in 0..50 {
        let held = pool.try_alloc(1024).expect("room");
        for _ in 0..5 {
            assert!(pool.try_alloc(64).is_err());
        }
        drop(held);
        let small: Vec<_> = (0..16).map(|_| pool.try_alloc(64).expect("room")).collect();
        for _ in 0..5 {
            assert!(pool.try_alloc(1024).is_err());
        }
        drop(small);
    }
}

#[test]
fn untracked_memory_is_under_the_ceiling() {
    let pool = BufferPool::new(small(1).with_budget_bytes(4096)).expect("valid");
    let _one = pool.try_alloc(64).expect("room");
    let fallback = pool.alloc(64);
    let stats = pool.stats();
    assert!(!fallback.is_pooled());
    assert_eq!(stats.budget_used_bytes, 64 + stats.fallback_bytes);
    assert!(stats.fallback_bytes >= 64);
    assert_eq!((stats.fallbacks, stats.untracked), (1, 1));
    // A view of it keeps its bytes in the count.
    let mut fallback = fallback;
    fallback.try_put_slice(b"bytes").expect("room");
    let view = fallback.freeze().slice(1..2);
    assert_eq!(pool.stats().fallback_bytes, stats.fallback_bytes);
    drop(view);
    assert_eq!(pool.stats().budget_used_bytes, 64);
    assert_eq!(pool.stats().fallback_bytes, 0);
}

#[test]
#[should_panic(expected = "a request of 2000 bytes")]
fn a_fallback_never_breaks_the_ceiling() {
    let pool = BufferPool::new(small(1).with_budget_bytes(1024)).expect("valid");
    let _ = pool.alloc(2000);
}

#[test]
fn fallbacks_push_idle_buffers_out() {
    let pool = BufferPool::new(small(16).with_budget_bytes(4096)).expect("valid");
    drop(
        (0..4)
            .map(|_| pool.try_alloc(1024).expect("room"))
            .collect::<Vec<_>>(),
    );
    assert_eq!(pool.stats().budget_used_bytes, 4096);
    let untracked = pool.alloc(1500);
    assert!(!untracked.is_pooled());
    assert!(pool.stats().budget_used_bytes <= 4096);
}

#[test]
fn trim_gives_regions_back_and_buffers_can_be_made_again() {
    let source = CountingSource::default();
    let pool = BufferPool::with_source(small(8), source.clone()).expect("valid");
    for _ in 0..3 {
        let all: Vec<_> = (0..8).map(|_| pool.try_alloc(512).expect("room")).collect();
        assert!(source.live() > 0);
        pool.trim();
        assert!(source.live() > 0, "buffers that are out keep their region");
        drop(all);
        pool.trim();
        assert_eq!(source.live(), 0);
        let stats = pool.stats();
        assert_eq!((stats.regions, stats.budget_used_bytes), (0, 0));
        assert_eq!(stats.total(|class| class.created), 0);
    }
    assert!(pool.try_alloc(512).is_ok());
}

#[test]
fn a_partly_used_region_stays_and_serves_again() {
    let source = CountingSource::default();
    let pool = BufferPool::with_source(small(8), source.clone()).expect("valid");
    let mut all: Vec<_> = (0..8).map(|_| pool.try_alloc(512).expect("room")).collect();
    let kept = all.swap_remove(3);
    drop(all);
    pool.trim();
    assert_eq!(source.live(), 1);
    assert_eq!(pool.stats().class(512).expect("a class").created, 1);
    let more: Vec<_> = (0..7)
        .map(|_| pool.try_alloc(512).expect("made again"))
        .collect();
    assert!(pool.try_alloc(512).is_err());
    assert_eq!(source.live(), 1);
    drop((kept, more));
}

#[test]
fn the_end_of_a_pool_gives_back_what_is_free_and_the_last_view_the_rest() {
    let source = CountingSource::default();
    let pool = BufferPool::with_source(small(4), source.clone()).expect("valid");
    let mut kept = pool.try_alloc(64).expect("room");
    kept.try_put_slice(b"kept").expect("room");
    let kept = kept.freeze();
    drop(pool.try_alloc(1024).expect("room"));
    assert_eq!(source.live(), 2);
    drop(pool);
    assert_eq!(source.live(), 1);
    let view = kept.clone();
    drop(kept);
    assert_eq!(source.live(), 1);
    drop(view);
    assert_eq!(source.live(), 0);
}

#[test]
fn the_last_handle_ends_a_pool_and_no_other() {
    let source = CountingSource::default();
    let pool = BufferPool::with_source(small(4), source.clone()).expect("valid");
    drop(pool.try_alloc(64).expect("room"));
    let other = pool.clone();
    drop(pool);
    assert_eq!(source.live(), 1);
    assert!(other.try_alloc(64).is_ok());
    drop(other);
    assert_eq!(source.live(), 0);
}

#[test]
fn prefill_makes_every_buffer() {
    let source = CountingSource::default();
    let pool =
        BufferPool::with_source(small(10).with_prefill(true), source.clone()).expect("valid");
    let stats = pool.stats();
    assert!(
        stats
            .classes
            .iter()
            .all(|class| class.created == 10 && class.free == 10)
    );
    let regions = source.live();
    let _all: Vec<_> = (0..10).map(|_| pool.try_alloc(64).expect("made")).collect();
    assert!(pool.try_alloc(64).is_err());
    assert_eq!(source.live(), regions);
}

#[test]
fn prefill_under_a_ceiling_makes_the_same_number_of_each() {
    let config = small(100).with_prefill(true);
    // 64 + 128 + 256 + 512 + 1024 = 1984 bytes for one of each.
    let pool = BufferPool::new(config.with_budget_bytes(1984 * 3 + 100)).expect("valid");
    let stats = pool.stats();
    assert!(stats.classes.iter().all(|class| class.created == 3));
    assert_eq!(stats.budget_used_bytes, 1984 * 3);
}

#[test]
fn prefill_without_memory_is_an_error() {
    let source = CountingSource::default();
    source.refuse_from(2);
    let error = BufferPool::with_source(small(4).with_prefill(true), source.clone()).unwrap_err();
    assert!(
        matches!(
            error,
            ConfigError::OutOfMemory {
                field: "prefill",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(source.live(), 0);
}

/// Refuses the first, second, third … region; whatever happens, everything can be had afterwards,
/// and everything goes back.
#[test]
fn a_source_that_fails_loses_nothing() {
    for failing in 0..20 {
        let source = CountingSource::default();
        source.refuse_once(failing);
        let pool = BufferPool::with_source(small(4), source.clone()).expect("valid");
        let mut held = Vec::new();
        for round in 0..3 {
            for size in [64, 128, 256, 512, 1024] {
                while let Ok(buf) = pool.try_alloc(size) {
                    held.push(buf);
                }
            }
            assert!(held.len() <= 20);
            if round > 0 {
                assert_eq!(held.len(), 20, "{failing} {round}");
            }
            held.clear();
        }
        pool.trim();
        assert_eq!(source.live(), 0);
    }
}

#[test]
fn where_the_source_has_little_regions_are_smaller() {
    let source = CountingSource::default();
    source.refuse_above(8192);
    let pool = BufferPool::with_source(small(64), source.clone()).expect("valid");
    let all: Vec<_> = (0..64)
        .map(|_| pool.try_alloc(1024).expect("in pieces"))
        .collect();
    assert!(source.live() >= 8);
    assert!(pool.stats().source_failures > 0);
    drop(all);
    drop(pool);
    assert_eq!(source.live(), 0);
}

#[test]
fn the_heap_serves_as_a_source() {
    let pool = BufferPool::with_source(small(4), HeapSource).expect("valid");
    let mut buf = pool.try_alloc(1024).expect("room");
    buf.try_put_slice(&[1; 1024]).expect("room");
    drop(pool);
    assert_eq!(buf[1023], 1);
}

#[test]
fn advice_needs_the_pools_own_source() {
    let config = small(4).with_huge_page_advice(true);
    let error = BufferPool::with_source(config, HeapSource).unwrap_err();
    assert_eq!(error.field(), "huge_page_advice");
}

#[test]
fn advice_is_given_or_its_refusal_told() {
    let pool = BufferPool::new(small(4).with_huge_page_advice(true)).expect("valid");
    drop(pool.try_alloc(64).expect("room"));
    let refused = pool.stats().advice_refused;
    // Either way the pool works; where the system knows such advice it is not refused twice over.
    assert!(refused <= pool.stats().regions);
}

#[test]
fn neighbours_are_a_line_apart_where_alignment_allows() {
    let line = drystone_core::CACHE_LINE;
    let config = BufferPoolConfig::for_network()
        .with_min_size(4096)
        .with_max_size(4096)
        .with_max_per_class(4);
    let pool = BufferPool::new(config.clone()).expect("valid");
    let mut all: Vec<_> = (0..4)
        .map(|_| pool.try_alloc(4096).expect("room").as_mut_ptr().addr())
        .collect();
    all.dedup();
    let stats = pool.stats();
    assert_eq!(stats.classes[0].stride_bytes, 4096 + line as u64);
    let pool = BufferPool::new(config.with_alignment(4096)).expect("valid");
    let buf = pool.try_alloc(4096).expect("room");
    assert_eq!(pool.stats().classes[0].stride_bytes, 4096);
    assert!(buf.is_aligned(4096usize));
}

#[test]
fn registered_regions_hold_every_view() {
    let pool = BufferPool::new(small(4).with_prefill(true)).expect("valid");
    let regions = pool.registered_regions();
    assert!(
        regions
            .windows(2)
            .all(|pair| pair[0].index() < pair[1].index())
    );
    for size in [64, 128, 256, 512, 1024] {
        let mut buf = pool.try_alloc(size).expect("room");
        buf.try_put_slice(&vec![1; size]).expect("room");
        let (index, offset) = pool.locate(&buf).expect("the pool's");
        let region = regions
            .iter()
            .find(|region| region.index() == index)
            .expect("registered");
        assert_eq!(region.as_ptr().addr() + offset, buf.as_ptr().addr());
        assert_eq!(region.offset_of(&buf), Some(offset));
        let part = buf.freeze().slice(10..20);
        assert_eq!(pool.locate(&part), Some((index, offset + 10)));
    }
    let other = BufferPool::new(small(4)).expect("valid");
    assert_eq!(pool.locate(&other.try_alloc(64).expect("room")), None);
    assert_eq!(
        pool.locate(&drystone_pool::IoBufMut::with_capacity(64)),
        None
    );
}

#[test]
fn a_registered_region_stays_until_it_is_let_go() {
    let source = CountingSource::default();
    let pool = BufferPool::with_source(small(4), source.clone()).expect("valid");
    drop(pool.try_alloc(64).expect("room"));
    let regions = pool.registered_regions();
    assert_eq!(regions.len(), 1);
    let (index, start) = (regions[0].index(), regions[0].as_ptr());
    pool.trim();
    assert_eq!(source.live(), 1);
    // Buffers are made again in it.
    let buf = pool.try_alloc(64).expect("room");
    assert_eq!(pool.locate(&buf).map(|(index, _)| index), Some(index));
    drop(buf);
    drop(pool);
    assert_eq!(source.live(), 1);
    assert_eq!(regions[0].as_ptr(), start);
    drop(regions);
    assert_eq!(source.live(), 0);
}

#[test]
fn a_registered_region_keeps_its_pages() {
    const BYTES: usize = 64 << 10;
    let config = BufferPoolConfig::for_storage()
        .with_min_size(BYTES)
        .with_max_size(BYTES)
        .with_max_per_class(1);
    let pool = BufferPool::new(config).expect("memory for a test");
    let mut buf = pool.try_alloc(BYTES).expect("there is one");
    // SAFETY: within the capacity.
    unsafe { buf.as_mut_ptr().write_bytes(7, BYTES) };
    let (_, offset) = pool.locate(&buf).expect("a buffer of the pool");
    let regions = pool.registered_regions();
    drop(buf);
    pool.trim();
    assert_eq!(pool.stats().budget_used_bytes, 0);
    let inside = regions[0].as_ptr().wrapping_add(offset + BYTES / 2);
    // SAFETY: the region is mapped while its value lives; nobody uses the buffer.
    let kept = unsafe { inside.read() };
    assert_eq!(kept, 7);
}
