//! What the pool asks of the global heap: nothing on its hot paths, and nothing that stays.

mod pool_kit;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;

use drystone_pool::{BufferPool, PoolError};
use pool_kit::small;

/// Counts the calls of each thread, and the bytes of all.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}
static BYTES: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: isize) {
    CALLS.set(CALLS.get() + 1);
    BYTES.fetch_add(bytes, Ordering::Relaxed);
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// The heap calls that this thread makes in `f`.
fn calls(f: impl FnOnce()) -> usize {
    let before = CALLS.get();
    f();
    CALLS.get() - before
}

/// One test for all: bytes are counted for the whole process.
#[test]
fn heap_calls_of_the_pool() {
    hot_paths_make_none();
    spills_and_refills_make_none();
    exhausted_requests_make_none();
    pools_that_come_and_go_leave_nothing();
    threads_that_come_and_go_leave_nothing();
}

fn hot_paths_make_none() {
    let pool = BufferPool::new(small(64)).expect("valid");
    drop(pool.try_alloc(64).expect("room"));
    let calls = calls(|| {
        for _ in 0..100 {
            let mut buf = pool.try_alloc(64).expect("cached");
            buf.try_put_slice(b"some bytes").expect("room");
            let whole = buf.freeze();
            let parts = (whole.slice(..4), whole.clone());
            drop(whole);
            drop(parts);
        }
    });
    assert_eq!(calls, 0);
}

fn spills_and_refills_make_none() {
    let pool = BufferPool::new(small(256).with_thread_cache_capacity(8)).expect("valid");
    let mut held = Vec::with_capacity(256);
    let mut round = || {
        for _ in 0..200 {
            held.push(pool.try_alloc(64).expect("room"));
        }
        held.clear();
    };
    round();
    assert_eq!(calls(round), 0);
}

fn exhausted_requests_make_none() {
    for budget in [None, Some(1024)] {
        let config = small(8);
        let config = budget.map_or(config.clone(), |bytes| config.with_budget_bytes(bytes));
        let pool = BufferPool::new(config).expect("valid");
        let size = if budget.is_some() { 1024 } else { 64 };
        let held: Vec<_> = std::iter::from_fn(|| pool.try_alloc(size).ok()).collect();
        let ask = || assert_eq!(pool.try_alloc(size).unwrap_err(), PoolError::Exhausted);
        ask();
        let calls = calls(|| (0..100).for_each(|_| ask()));
        assert_eq!(calls, 0);
        drop(held);
    }
}

/// The bytes that `rounds` rounds leave behind, after some to warm up.
fn left_behind(rounds: usize, mut round: impl FnMut()) -> isize {
    for _ in 0..rounds / 10 + 2 {
        round();
    }
    let before = BYTES.load(Ordering::Relaxed);
    for _ in 0..rounds {
        round();
    }
    BYTES.load(Ordering::Relaxed) - before
}

fn pools_that_come_and_go_leave_nothing() {
    let rounds = if cfg!(miri) { 20 } else { 10_000 };
    let left = left_behind(rounds, || {
        let pool = BufferPool::new(small(4)).expect("valid");
        drop(pool.try_alloc(64).expect("room"));
        drop(pool);
    });
    assert_eq!(left, 0);
}

fn threads_that_come_and_go_leave_nothing() {
    let rounds = if cfg!(miri) { 10 } else { 10_000 };
    let pool = BufferPool::new(small(64)).expect("valid");
    let left = left_behind(rounds, || {
        let pool = pool.clone();
        thread::spawn(move || drop(pool.try_alloc(64).expect("room")))
            .join()
            .expect("ends");
    });
    // A thread's own bookkeeping may be given back a moment after it was joined.
    assert!(left.unsigned_abs() < 4096, "{left} bytes");
    assert_eq!(pool.stats().threads, 0);
    assert!(pool.stats().classes[0].created <= 4);
}
