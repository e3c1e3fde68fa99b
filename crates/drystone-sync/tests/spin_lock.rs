//! The locks on real threads. Under Miri these run with many seeds; the interleavings of the
//! lock itself are enumerated by the loom models beside it.
#![cfg(all(not(loom), target_has_atomic = "32"))]

use std::panic::{self, AssertUnwindSafe};
use std::sync::Barrier;
use std::thread;

use drystone_sync::atomic::{AtomicUsize, Ordering};
use drystone_sync::cell::UnsafeCell;
use drystone_sync::{RawGuard, RawLock, SpinLock};

/// A number that only the holder of the lock touches.
struct Guarded<L> {
    lock: L,
    value: UnsafeCell<usize>,
}

// SAFETY: the cell is reached only under the lock.
unsafe impl<L: Sync> Sync for Guarded<L> {}

impl<L: RawLock> Guarded<L> {
    fn new() -> Self {
        Self {
            lock: L::new(),
            value: UnsafeCell::new(0),
        }
    }

    fn add_one(&self) -> usize {
        let _guard = RawGuard::lock(&self.lock);
        self.value.with_mut(|value| {
            // SAFETY: this thread holds the lock; the pointer is the cell's.
            let value = unsafe { &mut *value };
            *value += 1;
            *value
        })
    }
}

#[test]
fn no_addition_is_lost() {
    let (threads, rounds) = if cfg!(miri) { (3, 20) } else { (4, 100_000) };
    let guarded = Guarded::<SpinLock>::new();
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                for _ in 0..rounds {
                    guarded.add_one();
                }
            });
        }
    });
    assert_eq!(guarded.add_one(), threads * rounds + 1);
}

#[test]
fn a_lock_that_is_held_is_not_taken() {
    let lock = SpinLock::new();
    assert!(lock.try_lock());
    assert!(!lock.try_lock());
    // SAFETY: taken two lines above on this thread.
    unsafe { lock.unlock() };
    assert!(lock.try_lock());
}

#[test]
fn an_unlocked_lock_may_move() {
    let lock = SpinLock::default();
    drop(RawGuard::lock(&lock));
    let moved = Box::new(lock);
    assert!(moved.try_lock());
    assert_eq!(size_of::<SpinLock>(), 4);
}

#[test]
fn the_guard_unlocks_when_the_code_under_it_unwinds() {
    let lock = SpinLock::new();
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        let _guard = RawGuard::lock(&lock);
        panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    assert!(lock.try_lock());
}

/// One thread takes the lock over and over, the other wants it a few times, and both have one
/// processor: the second gets through, because a waiter yields and the holder is preempted
/// outside the lock often enough.
#[test]
fn a_waiter_on_the_same_processor_is_not_starved() {
    let wanted = if cfg!(miri) { 3 } else { 200 };
    let guarded = Guarded::<SpinLock>::new();
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin_to_one_processor();
            while served.load(Ordering::Relaxed) < wanted {
                guarded.add_one();
            }
        });
        scope.spawn(|| {
            pin_to_one_processor();
            for _ in 0..wanted {
                guarded.add_one();
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    });
    assert_eq!(served.load(Ordering::Relaxed), wanted);
}

/// Keeps the calling thread on the first processor that it may run on.
#[cfg(all(target_os = "linux", not(miri)))]
fn pin_to_one_processor() {
    use std::mem;

    // SAFETY: a processor set is an array of integers, for which zero is a value.
    let mut allowed: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the pointer and the size are those of the set.
    let got = unsafe { libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed) };
    assert_eq!(got, 0);
    let is_allowed = |cpu: &usize| {
        // SAFETY: the range below keeps the number inside the set.
        unsafe { libc::CPU_ISSET(*cpu, &allowed) }
    };
    let first = (0..libc::CPU_SETSIZE as usize)
        .find(is_allowed)
        .expect("runs somewhere");
    // SAFETY: as above.
    let mut one: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the number lies inside the set.
    unsafe { libc::CPU_SET(first, &mut one) };
    // SAFETY: the pointer and the size are those of the set.
    let set = unsafe { libc::sched_setaffinity(0, size_of_val(&one), &raw const one) };
    assert_eq!(set, 0);
}

/// Elsewhere the scheduler decides; Miri runs one thread at a time anyway.
#[cfg(not(all(target_os = "linux", not(miri))))]
fn pin_to_one_processor() {}
