//! [`SpinLock`]: a lock of one word.
//!
//! # What
//!
//! Test-and-test-and-set. A free lock is taken by one compare-and-swap. A waiter reads until it
//! sees the lock free, with a [`Backoff`] between reads, and only then tries to take it: waiters
//! share the line instead of stealing it from the holder. Made for the critical sections of
//! allocators, which are tens of instructions; it keeps no queue of waiters.
//!
//! # Memory picture
//!
//! ```text
//! 0        4
//! +--------+
//! |  word  |   0 free, 1 held
//! +--------+
//! ```
//!
//! Not padded: its user decides whether data shares the line.
//!
//! # Invariants
//!
//! - I1: `word` is 0 or 1.
//! - I2: `word == 1` from the return of a `lock` to the matching `unlock`. Only a
//!   compare-and-swap from 0 sets it, so at most one thread holds the lock.
//!
//! # Threads
//!
//! Any thread may lock; the thread that locked unlocks. `lock` blocks; `try_lock` and `unlock` do
//! not. A thread that dies while it holds the lock leaves it held. Not fair: any waiter may win,
//! but none needs another waiter to run, so a waiter that lost its processor delays nobody. With
//! `std` a waiter gives its processor away after about a hundred turns; without it, a waiter of a
//! higher priority than the holder on the same processor waits for ever, as with every spin lock.
//!
//! # Cost
//!
//! 4 bytes. Free: one compare-and-swap to lock and one store to unlock.

use crate::atomic::{AtomicU32, Ordering};
use crate::{Backoff, RawLock};

const FREE: u32 = 0;
const HELD: u32 = 1;

/// A lock of one word; waiters spin, and with the feature `std` yield.
///
/// Never allocates and never panics.
///
/// ```
/// # #[cfg(not(loom))] {
/// use drystone_sync::{RawGuard, SpinLock};
///
/// static LOCK: SpinLock = SpinLock::new();
///
/// let guard = RawGuard::lock(&LOCK);
/// assert!(!LOCK.try_lock());
/// drop(guard);
/// # }
/// ```
#[derive(Debug)]
pub struct SpinLock {
    word: AtomicU32,
}

impl SpinLock {
    /// An unlocked lock.
    #[cfg(not(loom))]
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            word: AtomicU32::new(FREE),
        }
    }

    /// An unlocked lock.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            word: AtomicU32::new(FREE),
        }
    }

    /// Takes the lock if it is free, and says whether it did. Who is told `true` owes an
    /// [`unlock`](RawLock::unlock).
    #[inline]
    pub fn try_lock(&self) -> bool {
        // Acquire: pairs with the Release store in `unlock`, so that what the last holder did is
        // visible to this one. A failed try reads nothing that the lock guards: Relaxed.
        self.word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether somebody holds the lock at this moment. Who is told `false` sees what the last holder did.
    #[inline]
    #[must_use]
    pub fn is_locked(&self) -> bool {
        // Acquire: pairs with the Release store in `unlock`.
        self.word.load(Ordering::Acquire) == HELD
    }

    #[cold]
    fn lock_contended(&self) {
        let mut backoff = Backoff::new();
        loop {
            // Relaxed: only says that a try is worth it; `try_lock` orders.
            while self.word.load(Ordering::Relaxed) == HELD {
                backoff.wait();
            }
            if self.try_lock() {
                return;
            }
        }
    }
}

impl Default for SpinLock {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: exclusion by I2; order by the pair of `try_lock` and `unlock`; `new` stores FREE, and
// the word moves with the value; the store is the last thing that `unlock` does; neither method
// has anything that unwinds.
unsafe impl RawLock for SpinLock {
    #[cfg(not(loom))]
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "each use makes a new lock, which is what it is for"
    )]
    const INIT: Self = Self::new();

    #[cfg(loom)]
    fn new() -> Self {
        Self::new()
    }

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.lock_contended();
        }
    }

    #[inline]
    unsafe fn unlock(&self) {
        debug_assert_eq!(self.word.load(Ordering::Relaxed), HELD, "not locked");
        // Release: pairs with the Acquire in `try_lock` of the next holder.
        self.word.store(FREE, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::RawGuard;
    use crate::cell::UnsafeCell;

    /// A number that only the holder of the lock may touch. loom reports two accesses to the
    /// cell that overlap or are not ordered.
    struct Guarded {
        lock: SpinLock,
        value: UnsafeCell<usize>,
    }

    // SAFETY: the cell is reached only under the lock, which is what the models check.
    unsafe impl Sync for Guarded {}
    // SAFETY: as above; a number may change threads.
    unsafe impl Send for Guarded {}

    impl Guarded {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                lock: SpinLock::new(),
                value: UnsafeCell::new(0),
            })
        }

        fn add_one(&self) -> usize {
            let _guard = RawGuard::lock(&self.lock);
            self.add_one_locked()
        }

        fn add_one_locked(&self) -> usize {
            self.value.with_mut(|value| {
                // SAFETY: this thread holds the lock; the pointer is the cell's.
                let value = unsafe { &mut *value };
                *value += 1;
                *value
            })
        }
    }

    #[test]
    fn loom2_two_threads_exclude_each_other() {
        loom::model(|| {
            let guarded = Guarded::new();
            let other = {
                let guarded = Arc::clone(&guarded);
                thread::spawn(move || {
                    guarded.add_one();
                    guarded.add_one();
                })
            };
            guarded.add_one();
            guarded.add_one();
            other.join().expect("joins");
            assert_eq!(guarded.add_one(), 5);
        });
    }

    /// One thread waits while two come by and do not. Two waiters are not modelled together: they
    /// can yield to each other for ever while the holder is stopped, which loom explores for ever.
    #[test]
    fn loom3_two_passers_by_do_not_break_in() {
        loom::model(|| {
            let guarded = Guarded::new();
            let waiter = {
                let guarded = Arc::clone(&guarded);
                thread::spawn(move || {
                    guarded.add_one();
                })
            };
            let passer = {
                let guarded = Arc::clone(&guarded);
                thread::spawn(move || try_add_one(&guarded))
            };
            let here = try_add_one(&guarded);
            let there = passer.join().expect("joins");
            waiter.join().expect("joins");
            guarded.value.with(|value| {
                // SAFETY: both other threads have ended; the pointer is the cell's.
                let value = unsafe { *value };
                assert_eq!(value, 1 + usize::from(here) + usize::from(there));
            });
        });
    }

    /// What the first holder wrote is ordered before the second holder, by the lock alone: the
    /// cell that tells who was first is itself only touched under the lock.
    #[test]
    fn loom2_unlock_hands_over_to_lock() {
        loom::model(|| {
            let guarded = Guarded::new();
            let payload = Arc::new(UnsafeCell::new(0usize));
            struct Sent(Arc<UnsafeCell<usize>>);
            // SAFETY: the thread that it is sent to writes before it locks; here the cell is read
            // only after the lock has shown that it did.
            unsafe impl Send for Sent {}
            let sent = Sent(Arc::clone(&payload));
            let other = {
                let guarded = Arc::clone(&guarded);
                thread::spawn(move || {
                    let sent = sent;
                    sent.0.with_mut(|value| {
                        // SAFETY: the other thread reads only after it saw 1 under the lock.
                        unsafe { *value = 7 };
                    });
                    guarded.add_one();
                })
            };
            let order = guarded.add_one();
            if order == 2 {
                payload.with(|value| {
                    // SAFETY: the writer held the lock before, after its write.
                    assert_eq!(unsafe { *value }, 7);
                });
            }
            other.join().expect("joins");
        });
    }

    #[test]
    fn loom2_try_lock_takes_only_a_free_lock() {
        loom::model(|| {
            let guarded = Guarded::new();
            let other = {
                let guarded = Arc::clone(&guarded);
                thread::spawn(move || try_add_one(&guarded))
            };
            let here = try_add_one(&guarded);
            let there = other.join().expect("joins");
            // The first to come finds the lock free, so at least one adds.
            assert!(here || there);
            assert_eq!(
                guarded.add_one(),
                usize::from(here) + usize::from(there) + 1
            );
        });
    }

    fn try_add_one(guarded: &Guarded) -> bool {
        let taken = guarded.lock.try_lock();
        if taken {
            guarded.add_one_locked();
            // SAFETY: `try_lock` has just taken the lock on this thread.
            unsafe { guarded.lock.unlock() };
        }
        taken
    }
}
