//! Threads: nothing is stranded, the ceiling holds, ends of threads and pools in any order.

mod pool_kit;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use drystone_pool::{BufferPool, BufferPoolThreadCache, IoBufMut, PoolError};
use pool_kit::{CountingSource, Idle, small};

const MIRI: bool = cfg!(miri);

/// Waits until the threads are gone, with what they kept for themselves; a scope waits for less.
fn join_all(threads: Vec<thread::ScopedJoinHandle<'_, ()>>) {
    for thread in threads {
        thread.join().expect("ends");
    }
}

#[test]
fn buffers_freed_elsewhere_stay_with_who_freed_them() {
    let config = small(64).with_thread_cache_capacity(64);
    let pool = BufferPool::new(config).expect("valid");
    let bufs: Vec<_> = (0..32).map(|_| pool.try_alloc(64).expect("room")).collect();
    thread::scope(|scope| {
        let pool = &pool;
        let freeing = scope.spawn(move || {
            let before = pool.stats().classes[0].cached;
            drop(bufs);
            assert_eq!(pool.stats().classes[0].cached, before + 32);
        });
        // Until the thread is gone, with its caches; the scope waits for less.
        freeing.join().expect("ends");
    });
    // The thread's end gave them back.
    let stats = pool.stats();
    assert_eq!(stats.threads, 1);
    assert_eq!(stats.classes[0].in_use, 0);
    assert!(stats.classes[0].free >= 32);
}

/// Threads that each cached buffers and now do nothing: everything can be had without their help.
#[test]
fn what_idle_threads_cached_can_be_had() {
    const THREADS: u32 = if MIRI { 4 } else { 100 };
    let each = 8;
    let limit = THREADS * each + 10;
    let config = small(limit).with_thread_cache_capacity(each as usize);
    let pool = BufferPool::new(config).expect("valid");
    let shared = pool.clone();
    let all_hold = Arc::new(Barrier::new(THREADS as usize));
    let idle = Idle::start(THREADS, move |_| {
        let held: Vec<_> = (0..each / 2)
            .map(|_| shared.try_alloc(64).expect("room"))
            .collect();
        all_hold.wait();
        drop(held);
    });
    let class = pool.stats().classes[0];
    assert!(class.cached >= u64::from(THREADS * each / 2), "{class:?}");
    let all: Vec<_> = (0..limit)
        .map(|number| {
            pool.try_alloc(64)
                .unwrap_or_else(|error| panic!("{number}: {error}"))
        })
        .collect();
    assert_eq!(pool.try_alloc(64).unwrap_err(), PoolError::Exhausted);
    drop(all);
    drop(idle);
}

#[test]
fn flush_idle_empties_the_caches_of_all_threads() {
    let pool = BufferPool::new(small(64).with_thread_cache_capacity(8)).expect("valid");
    let shared = pool.clone();
    let idle = Idle::start(4, move |_| drop(shared.try_alloc(64).expect("room")));
    drop(pool.try_alloc(128).expect("room"));
    assert_ne!(pool.stats().total(|class| class.cached), 0);
    pool.flush_idle();
    let stats = pool.stats();
    assert_eq!(stats.total(|class| class.cached), 0);
    assert_eq!(
        stats.total(|class| class.free),
        stats.total(|class| class.created)
    );
    drop(idle);
}

#[test]
fn trim_reaches_the_caches_of_idle_threads() {
    let source = CountingSource::default();
    let pool = BufferPool::with_source(small(64), source.clone()).expect("valid");
    let shared = pool.clone();
    let idle = Idle::start(4, move |_| drop(shared.try_alloc(64).expect("room")));
    assert!(source.live() > 0);
    pool.trim();
    assert_eq!(source.live(), 0);
    drop(idle);
}

/// Idle threads keep nothing of a pool that is gone.
#[test]
fn the_end_of_a_pool_empties_the_caches_of_idle_threads() {
    let source = CountingSource::default();
    let pool = BufferPool::with_source(small(64), source.clone()).expect("valid");
    let shared = pool.clone();
    let idle = Idle::start(4, move |_| drop(shared.try_alloc(64).expect("room")));
    assert!(source.live() > 0);
    drop(pool);
    assert_eq!(source.live(), 0);
    drop(idle);
}

#[test]
fn the_last_buffer_may_go_on_another_thread() {
    let source = CountingSource::default();
    let pool = BufferPool::with_source(small(8), source.clone()).expect("valid");
    let bufs: Vec<IoBufMut> = (0..8).map(|_| pool.try_alloc(64).expect("room")).collect();
    drop(pool);
    assert_eq!(source.live(), 1);
    thread::spawn(move || drop(bufs)).join().expect("ends");
    assert_eq!(source.live(), 0);
}

/// Many threads hammer a ceiling with buffers of up to so many bytes; it is watched all the time, and
/// nothing is lost in the end.
fn hammer(ceiling: usize, largest: usize) {
    const THREADS: usize = if MIRI { 3 } else { 64 };
    const ROUNDS: usize = if MIRI { 20 } else { 2000 };
    let limit = if MIRI { 200 } else { 100_000 };
    let config = small(limit).with_max_size(largest);
    let pool = BufferPool::new(config.with_budget_bytes(ceiling)).expect("valid");
    let over = AtomicBool::new(false);
    let refused = AtomicBool::new(false);
    // Each keeps what it has until all are through, however few run at a time.
    let through = Barrier::new(THREADS);
    let look = || {
        if pool.stats().budget_used_bytes > ceiling as u64 {
            over.store(true, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for thread in 0..THREADS {
            let (pool, look, refused, through) = (&pool, &look, &refused, &through);
            threads.push(scope.spawn(move || {
                let mut held = Vec::new();
                let mut random = (thread as u32).wrapping_mul(2_654_435_761) | 1;
                for round in 0..ROUNDS {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    match pool.try_alloc((largest >> (random >> 29)).max(1)) {
                        Ok(buf) => held.push(buf),
                        Err(error) => {
                            assert_eq!(error, PoolError::Exhausted);
                            refused.store(true, Ordering::Relaxed);
                        }
                    }
                    if random >> 16 & 3 != 0 || held.len() > 40 {
                        let at = random as usize % held.len().max(1);
                        drop((at < held.len()).then(|| held.swap_remove(at)));
                    }
                    if round % 16 == 0 {
                        look();
                    }
                }
                through.wait();
            }));
        }
        join_all(threads);
    });
    assert!(!over.load(Ordering::Relaxed), "the ceiling was passed");
    assert!(
        refused.load(Ordering::Relaxed),
        "the ceiling was not reached"
    );
    let stats = pool.stats();
    assert_eq!(stats.pinned_bytes, 0, "{stats}");
    pool.trim();
    assert_eq!(pool.stats().budget_used_bytes, 0);
    // Slots of large classes begin at different lines, which takes the room of one at most.
    let all: Vec<_> = core::iter::from_fn(|| pool.try_alloc(largest).ok()).collect();
    assert!(all.len() + 1 >= ceiling / largest, "{}", pool.stats());
    assert!(pool.stats().budget_used_bytes <= ceiling as u64);
}

#[test]
fn a_low_ceiling_holds_under_threads() {
    hammer(if MIRI { 2 << 10 } else { 256 << 10 }, 1024);
}

#[test]
#[cfg_attr(miri, ignore = "too much memory; run without Miri")]
fn a_ceiling_of_64_mib_holds_under_64_threads() {
    hammer(64 << 20, 256 << 10);
}

#[test]
fn a_pipeline_moves_every_buffer() {
    const BUFFERS: usize = if MIRI { 60 } else { 50_000 };
    let pool = BufferPool::new(small(64)).expect("valid");
    let (send, receive) = mpsc::sync_channel::<IoBufMut>(16);
    thread::scope(|scope| {
        let consumer = scope.spawn(move || {
            for buf in receive {
                assert_eq!(buf.len(), 8);
            }
        });
        for number in 0..BUFFERS {
            let mut buf = loop {
                match pool.try_alloc(64) {
                    Ok(buf) => break buf,
                    Err(_) => thread::yield_now(),
                }
            };
            buf.try_put_slice(&(number as u64).to_le_bytes())
                .expect("room");
            send.send(buf).expect("the other end is there");
        }
        drop(send);
        consumer.join().expect("ends");
    });
    assert_eq!(pool.stats().classes[0].in_use, 0);
}

/// Threads share, slice and drop views of the same buffers while others take and give.
#[test]
fn shared_views_come_home_once() {
    const THREADS: usize = if MIRI { 3 } else { 8 };
    const ROUNDS: usize = if MIRI { 15 } else { 500 };
    let pool = BufferPool::new(small(16)).expect("valid");
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            threads.push(scope.spawn(|| {
                start.wait();
                for _ in 0..ROUNDS {
                    let Ok(mut buf) = pool.try_alloc(64) else {
                        continue;
                    };
                    buf.try_put_slice(&[7; 64]).expect("room");
                    let whole = buf.freeze();
                    let parts: Vec<_> = (0..4).map(|n| whole.slice(n * 10..n * 10 + 10)).collect();
                    let sent = whole.clone();
                    let other = scope.spawn(move || assert_eq!(sent[63], 7));
                    drop(whole);
                    drop(parts);
                    other.join().expect("ends");
                }
            }));
        }
        join_all(threads);
    });
    pool.flush_idle();
    let stats = pool.stats();
    assert_eq!(stats.classes[0].in_use, 0);
    let all: Vec<_> = (0..16)
        .map(|_| pool.try_alloc(64).expect("all came home"))
        .collect();
    assert!(pool.try_alloc(64).is_err());
    drop(all);
}

/// Pools come and go while threads still drop their buffers.
#[test]
fn ends_of_pools_meet_late_returns() {
    const ROUNDS: usize = if MIRI { 6 } else { 300 };
    for _ in 0..ROUNDS {
        let source = CountingSource::default();
        let pool = BufferPool::with_source(small(8), source.clone()).expect("valid");
        let bufs: Vec<_> = (0..8).map(|_| pool.try_alloc(64).expect("room")).collect();
        let start = Arc::new(Barrier::new(3));
        let mut threads = Vec::new();
        let mut bufs = bufs.into_iter();
        for _ in 0..2 {
            let part: Vec<_> = bufs.by_ref().take(4).collect();
            let start = Arc::clone(&start);
            threads.push(thread::spawn(move || {
                start.wait();
                drop(part);
            }));
        }
        start.wait();
        drop(pool);
        for thread in threads {
            thread.join().expect("ends");
        }
        assert_eq!(source.live(), 0);
    }
}

#[test]
fn the_pool_works_in_destructors_of_thread_locals() {
    struct Late(Option<(BufferPool, IoBufMut)>);
    impl Drop for Late {
        fn drop(&mut self) {
            let (pool, held) = self.0.take().expect("set");
            drop(held);
            let again = pool.try_alloc(64).expect("room");
            drop(again);
            BufferPoolThreadCache::flush();
        }
    }
    thread_local! {
        static LATE: std::cell::RefCell<Late> = const { std::cell::RefCell::new(Late(None)) };
    }
    let source = CountingSource::default();
    let pool = BufferPool::with_source(small(2), source.clone()).expect("valid");
    for first in [true, false] {
        let pool = pool.clone();
        thread::spawn(move || {
            if first {
                LATE.with(|late| assert!(late.borrow().0.is_none()));
            }
            let held = pool.try_alloc(64).expect("room");
            LATE.with(|late| late.borrow_mut().0 = Some((pool.clone(), held)));
        })
        .join()
        .expect("ends");
    }
    let both = [
        pool.try_alloc(64).expect("back"),
        pool.try_alloc(64).expect("back"),
    ];
    assert_eq!(pool.stats().threads, 1);
    drop(both);
    drop(pool);
    assert_eq!(source.live(), 0);
}

#[test]
fn without_caches_nothing_is_cached() {
    let pool = BufferPool::new(small(4).with_thread_cache_disabled()).expect("valid");
    drop(pool.try_alloc(64).expect("room"));
    let stats = pool.stats();
    assert_eq!((stats.classes[0].cached, stats.classes[0].free), (0, 1));
    assert_eq!(stats.classes[0].hits, 0);
    let all: Vec<_> = (0..4).map(|_| pool.try_alloc(64).expect("room")).collect();
    assert!(pool.try_alloc(64).is_err());
    drop(all);
}

#[test]
fn a_full_cache_spills_its_cold_end() {
    let pool = BufferPool::new(small(64).with_thread_cache_capacity(8)).expect("valid");
    let mut all: Vec<_> = (0..20).map(|_| pool.try_alloc(64).expect("room")).collect();
    pool.flush_idle();
    let after = |freed: usize, all: &mut Vec<IoBufMut>| {
        all.truncate(all.len() - freed);
        let class = pool.stats().classes[0];
        assert_eq!(class.cached + class.free + class.in_use, class.created);
        (class.spills, class.cached)
    };
    assert_eq!(after(8, &mut all), (0, 8), "full");
    assert_eq!(after(1, &mut all), (1, 8 - 4 + 1), "half of it went");
    assert_eq!(after(3, &mut all), (1, 8), "full again");
    assert_eq!(after(1, &mut all), (2, 8 - 7 + 1), "this thread only gives");
}

#[test]
fn the_newest_stays_and_the_coldest_goes() {
    let pool = BufferPool::new(small(64).with_thread_cache_capacity(4)).expect("valid");
    let mut all: Vec<_> = (0..5).map(|_| pool.try_alloc(64).expect("room")).collect();
    pool.flush_idle();
    let addresses: Vec<_> = all.iter_mut().map(|buf| buf.as_mut_ptr()).collect();
    for buf in all {
        drop(buf);
    }
    // Dropped in order: the last one is the hottest, and comes first.
    let mut again: Vec<_> = (0..3).map(|_| pool.try_alloc(64).expect("room")).collect();
    let seen: Vec<_> = again.iter_mut().map(|buf| buf.as_mut_ptr()).collect();
    assert_eq!(seen, [addresses[4], addresses[3], addresses[2]]);
}

#[test]
fn flush_returns_what_this_thread_cached() {
    let pools = [(); 3].map(|()| BufferPool::new(small(8)).expect("valid"));
    for pool in &pools {
        for size in [64, 512] {
            drop(pool.try_alloc(size).expect("room"));
        }
    }
    BufferPoolThreadCache::flush();
    for pool in &pools {
        let stats = pool.stats();
        assert_eq!(stats.total(|class| class.cached), 0);
        assert_eq!(
            stats.total(|class| class.free),
            stats.total(|class| class.created)
        );
        assert!(pool.try_alloc(64).is_ok());
    }
}
