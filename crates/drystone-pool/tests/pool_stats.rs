//! What the statistics count, of which class, and by which thread.

mod pool_kit;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use drystone_pool::{BorrowPolicy, BufferPool, BufferPoolThreadCache, ClassStats, PoolStats};
use pool_kit::small;

/// A figure of each class, by rising size.
fn each(stats: &PoolStats, figure: impl Fn(&ClassStats) -> u64) -> Vec<u64> {
    stats.classes.iter().map(figure).collect()
}

#[test]
fn every_class_counts_what_happens_to_its_requests() {
    let pool = BufferPool::new(small(1).with_pool_min_size(16)).expect("valid");
    let _held = [64, 256].map(|bytes| pool.try_alloc(bytes).expect("room"));
    assert!(pool.try_alloc(65).is_ok_and(|buf| buf.is_pooled()));
    // Of the class of 256 bytes, above the largest, and below the pool's least size.
    let mut fallbacks: Vec<_> = [200, 256, 1025, 4000].map(|n| pool.alloc(n)).into();
    fallbacks.push(pool.alloc(3));
    assert!(!fallbacks.iter().any(drystone_pool::IoBufMut::is_pooled));
    assert!(pool.try_alloc(5000).is_err());
    assert!(pool.try_alloc(250).is_err());
    let stats = pool.stats();
    assert_eq!(each(&stats, |class| class.fallbacks), [0, 0, 2, 0, 2]);
    assert_eq!(each(&stats, |class| class.oversized), [0, 0, 0, 0, 3]);
    assert_eq!(each(&stats, |class| class.exhausted), [0, 0, 3, 0, 0]);
    assert_eq!(each(&stats, |class| class.in_use), [1, 0, 1, 0, 0]);
    assert_eq!(each(&stats, |class| class.pinned_bytes), [64, 0, 256, 0, 0]);
    assert_eq!((stats.fallbacks, stats.oversized), (4, 3));
    assert_eq!((stats.untracked, stats.pinned_bytes), (5, 320));
}

#[test]
fn a_small_request_that_finds_no_memory_is_the_smallest_class_s() {
    let config = small(1).with_pool_min_size(16).with_budget_bytes(1024);
    let pool = BufferPool::new(config).expect("valid");
    let _all = pool.try_alloc(1024).expect("room");
    assert!(pool.try_alloc(8).is_err());
    assert_eq!(
        each(&pool.stats(), |class| class.exhausted),
        [1, 0, 0, 0, 0]
    );
}

#[test]
fn a_borrowed_buffer_is_counted_where_it_was_asked_for() {
    let config = small(1).with_borrow(BorrowPolicy::NextClass);
    let pool = BufferPool::new(config).expect("valid");
    let _two = [64, 64].map(|bytes| pool.try_alloc(bytes).expect("room"));
    assert!(pool.try_alloc(64).is_err());
    let stats = pool.stats();
    assert_eq!(each(&stats, |class| class.borrowed), [1, 0, 0, 0, 0]);
    assert_eq!(each(&stats, |class| class.exhausted), [1, 0, 0, 0, 0]);
    assert_eq!(each(&stats, |class| class.pinned_bytes), [64, 128, 0, 0, 0]);
}

/// Requests of each kind: refused, fallen back, too large, and served by list and cache.
fn use_all(pool: &BufferPool) {
    let all: Vec<_> = (0..4).map(|_| pool.alloc(64)).collect();
    assert!(pool.try_alloc(2000).is_err());
    drop(all);
    drop(pool.alloc(128));
    BufferPoolThreadCache::flush();
    drop(pool.alloc(128));
    drop(pool.alloc(128));
}

#[test]
fn threads_that_ended_stay_in_the_sums() {
    let pool = BufferPool::new(small(3).with_thread_cache_capacity(2)).expect("valid");
    use_all(&pool);
    let one = pool.stats();
    assert_eq!(each(&one, |class| class.exhausted), [1, 0, 0, 0, 0]);
    assert_eq!(each(&one, |class| class.fallbacks), [1, 0, 0, 0, 0]);
    assert_eq!(each(&one, |class| class.oversized), [0, 0, 0, 0, 1]);
    assert_eq!((one.classes[1].hits, one.classes[1].refills), (1, 1));
    let lone = pool.clone();
    thread::spawn(move || use_all(&lone))
        .join()
        .expect("no panic");
    let both = pool.stats();
    assert_eq!(both.threads, 1, "the other has ended");
    assert_eq!(each(&both, |class| class.exhausted), [2, 0, 0, 0, 0]);
    assert_eq!(each(&both, |class| class.fallbacks), [2, 0, 0, 0, 0]);
    assert_eq!(each(&both, |class| class.oversized), [0, 0, 0, 0, 2]);
    let requests = |class: &ClassStats| class.hits + class.misses;
    assert_eq!(each(&both, requests), [8, 6, 0, 0, 0]);
}

/// A scrape that read the ended threads' counts before a thread ended, and the living ones' after it,
/// would miss that thread's.
#[test]
fn counters_only_rise_while_threads_end() {
    const THREADS: usize = if cfg!(miri) { 20 } else { 2000 };
    let pool = BufferPool::new(small(3).with_thread_cache_capacity(2)).expect("valid");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..THREADS {
                let pool = pool.clone();
                thread::spawn(move || use_all(&pool))
                    .join()
                    .expect("no panic");
            }
            over.store(true, Ordering::Relaxed);
        });
        let mut before = pool.stats();
        while !over.load(Ordering::Relaxed) {
            let now = pool.stats();
            for figure in [
                (|class| class.hits + class.misses) as fn(&ClassStats) -> u64,
                |class| class.fallbacks,
                |class| class.oversized,
            ] {
                assert!(now.total(figure) >= before.total(figure), "{now}\n{before}");
            }
            before = now;
        }
    });
    assert_eq!(pool.stats().fallbacks, THREADS as u64);
}
