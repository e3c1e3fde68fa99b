//! Which locks never touch the global heap.

use drystone_core::NoHeap;

use crate::NoLock;

// SAFETY: it does nothing.
unsafe impl NoHeap for NoLock {}
// SAFETY: it waits for a holder by spinning and yielding, which allocate nothing.
#[cfg(target_has_atomic = "32")]
unsafe impl NoHeap for crate::SpinLock {}
