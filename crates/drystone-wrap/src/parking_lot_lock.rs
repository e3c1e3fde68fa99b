//! [`ParkingLotLock`]: a lock whose waiters sleep.
//!
//! # What
//!
//! parking_lot's mutex as a [`RawLock`], for [`Locked`](crate::Locked) allocators that many
//! threads use or that hold the lock for long.
//!
//! # Memory picture
//!
//! One byte; the queue of waiters is in a table of the process.
//!
//! # Invariants
//!
//! Those of `parking_lot::RawMutex`.
//!
//! # Threads
//!
//! Any thread may lock; the thread that locked unlocks. A waiter spins briefly and then sleeps.
//! Waiting may allocate from the global allocator, so this lock must not guard one.
//!
//! # Cost
//!
//! Free: one compare-and-swap to lock and one to unlock.

use core::fmt;

use drystone_sync::RawLock;
use parking_lot::RawMutex;
use parking_lot::lock_api::RawMutex as _;

/// parking_lot's mutex. Not for allocators that serve the global one.
pub struct ParkingLotLock {
    mutex: RawMutex,
}

impl ParkingLotLock {
    /// An unlocked lock.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            mutex: RawMutex::INIT,
        }
    }
}

impl Default for ParkingLotLock {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: `RawMutex` is a mutual-exclusion lock by the contract of its own unsafe trait: one holder
// at a time, unlock ordered before the next lock, unlocked at first, movable while unlocked, and
// its methods do not unwind. Once it has let the next holder in, it knows the mutex as a key of the
// table of queues only.
unsafe impl RawLock for ParkingLotLock {
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
        self.mutex.lock();
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: the caller holds the lock and is the thread that took it.
        unsafe { self.mutex.unlock() };
    }
}

impl fmt::Debug for ParkingLotLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkingLotLock")
            .field("locked", &self.mutex.is_locked())
            .finish()
    }
}
