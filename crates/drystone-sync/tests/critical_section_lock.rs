//! `CriticalSectionLock` over the standard library's implementation of the critical section.
#![cfg(feature = "critical-section")]

use std::cell::Cell;
use std::thread;

use critical_section as _; // The implementation.
use drystone_sync::{CriticalSectionLock, RawGuard, RawLock};

struct Guarded {
    lock: CriticalSectionLock,
    count: Cell<u64>,
}

// SAFETY: the count is touched under the lock alone.
unsafe impl Sync for Guarded {}

#[test]
fn threads_exclude_each_other() {
    const TIMES: u64 = if cfg!(miri) { 20 } else { 20_000 };
    let guarded = Guarded {
        lock: CriticalSectionLock::new(),
        count: Cell::new(0),
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            let guarded = &guarded;
            scope.spawn(move || {
                for _ in 0..TIMES {
                    let _held = RawGuard::lock(&guarded.lock);
                    guarded.count.set(guarded.count.get() + 1);
                }
            });
        }
    });
    assert_eq!(guarded.count.get(), 3 * TIMES);
}

/// Locks are given back in any order; the section ends with the last.
#[test]
fn two_locks_may_be_given_back_crosswise() {
    let (first, second) = (CriticalSectionLock::new(), CriticalSectionLock::default());
    for _ in 0..3 {
        first.lock();
        second.lock();
        // SAFETY: this thread holds the lock.
        unsafe { first.unlock() };
        // SAFETY: this thread holds the lock.
        unsafe { second.unlock() };
    }
    // Another thread gets in.
    thread::scope(|scope| {
        scope.spawn(|| drop(RawGuard::lock(&first)));
    });
}
