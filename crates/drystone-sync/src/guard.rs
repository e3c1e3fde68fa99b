//! [`RawGuard`]: a lock that is held, given back on drop.

use core::marker::PhantomData;

use crate::RawLock;

/// Holds a [`RawLock`] until it is dropped, also when the code between unwinds.
///
/// Stays on the thread that took the lock.
///
/// ```compile_fail,E0277
/// use drystone_sync::{NoLock, RawGuard};
///
/// fn send(_: impl Send) {}
/// send(RawGuard::lock(&NoLock));
/// ```
#[derive(Debug)]
#[must_use = "dropping the guard unlocks at once"]
pub struct RawGuard<'a, L: RawLock> {
    // I1: this thread holds the lock, and no one else will unlock it.
    lock: &'a L,
    not_send: PhantomData<*const ()>,
}

impl<'a, L: RawLock> RawGuard<'a, L> {
    /// Waits until `lock` is free and takes it.
    #[inline]
    pub fn lock(lock: &'a L) -> Self {
        lock.lock();
        Self {
            lock,
            not_send: PhantomData,
        }
    }
}

impl<L: RawLock> Drop for RawGuard<'_, L> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by I1 this thread holds the lock; the guard cannot leave the thread.
        unsafe { self.lock.unlock() };
    }
}
