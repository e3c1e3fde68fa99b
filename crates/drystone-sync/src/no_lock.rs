//! [`struct@NoLock`]: the lock of a single thread.
//!
//! # What
//!
//! A [`RawLock`] that never waits, for allocators that one thread uses. It is not `Sync`, so an
//! allocator that asks `L: Sync` before it calls itself `Sync` stays on one thread.
//!
//! # Memory picture
//!
//! Zero bytes.
//!
//! # Invariants
//!
//! None: there is no state.
//!
//! # Threads
//!
//! Send, not Sync: two threads cannot reach the same value.
//!
//! # Cost
//!
//! No instruction.

use core::cell::Cell;
use core::marker::PhantomData;

use crate::RawLock;

/// A lock that is always free, and that only one thread can reach.
///
/// ```compile_fail,E0277
/// fn shared(_: impl Sync) {}
/// shared(drystone_sync::NoLock);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLock {
    not_sync: PhantomData<Cell<()>>,
}

/// The value of type [`struct@NoLock`]. A unit struct cannot withhold `Sync`; a constant of the same
/// name can be written wherever the value of a unit struct can.
#[allow(
    non_upper_case_globals,
    reason = "stands in for the value of a unit struct"
)]
pub const NoLock: NoLock = NoLock {
    not_sync: PhantomData,
};

// SAFETY: the type is not `Sync`, so only one thread reaches a value at a time, and a value that
// is moved to another thread is ordered by the move. The holder does not lock again by the
// contract. There is no state, hence nothing to be locked and nothing that unwinds.
unsafe impl RawLock for NoLock {
    #[cfg(not(loom))]
    const INIT: Self = NoLock;

    #[cfg(loom)]
    fn new() -> Self {
        NoLock
    }

    #[inline]
    fn lock(&self) {}

    #[inline]
    unsafe fn unlock(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawGuard;

    #[test]
    fn the_value_is_written_like_a_unit_struct_and_costs_nothing() {
        let lock = NoLock;
        for _ in 0..2 {
            let _guard = RawGuard::lock(&lock);
        }
        assert_eq!(size_of::<NoLock>(), 0);
    }
}
