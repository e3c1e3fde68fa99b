//! [`RawLock`]: what a lock is to an allocator.

/// A lock without data: the seam through which an allocator takes any lock.
///
/// ```
/// # #[cfg(not(loom))] {
/// use drystone_sync::{NoLock, RawGuard, RawLock};
///
/// let lock = NoLock::INIT;
/// let guard = RawGuard::lock(&lock);
/// drop(guard);
/// # }
/// ```
///
/// # Safety
///
/// Allocators hand out exclusive access on the word of their lock, so the implementor promises:
///
/// - **Exclusion.** After a `lock` returned, no other `lock` of the same value returns before the
///   matching `unlock`. A type that is not `Sync` promises this only while its holder does not
///   call `lock` again; it cannot be reached from a second thread.
/// - **Order.** Everything before an `unlock` happens before everything after the next `lock`.
/// - **New values are unlocked**: `INIT`, and what `new` returns. Moving an unlocked value leaves
///   it unlocked.
/// - **Last touch.** From the moment at which `unlock` lets another `lock` return, it does not
///   touch the value: who gets the lock next may be the last to know it, and free its memory.
/// - `lock` and `unlock` do not unwind.
///
/// A lock under a global allocator must also neither allocate nor wait for someone who does;
/// that promise is made by the allocator's type, not here.
pub unsafe trait RawLock: Sized {
    /// An unlocked lock. Under `--cfg loom` it does not exist, because loom's atomics cannot be
    /// made in a `const`; code that runs there calls [`new`](RawLock::new).
    #[cfg(not(loom))]
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "each use makes a new lock, which is what it is for"
    )]
    const INIT: Self;

    /// An unlocked lock, in normal builds and under loom.
    #[cfg(not(loom))]
    #[inline]
    #[must_use]
    fn new() -> Self {
        Self::INIT
    }

    /// An unlocked lock, in normal builds and under loom.
    #[cfg(loom)]
    #[must_use]
    fn new() -> Self;

    /// Waits until the lock is free and takes it. Not reentrant: taking it again before
    /// `unlock` may wait for ever.
    fn lock(&self);

    /// Gives the lock back.
    ///
    /// # Safety
    ///
    /// The calling thread holds the lock: a `lock` on this thread has returned and was not yet
    /// matched by an `unlock`.
    unsafe fn unlock(&self);
}
