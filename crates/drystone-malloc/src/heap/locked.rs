//! [`Locked`]: a value behind a lock that is whole in a child process.

use core::cell::UnsafeCell;

use drystone_sync::{RawGuard, RawLock as _, SpinLock};

/// A value that one thread uses at a time, for tens of instructions.
pub(super) struct Locked<T> {
    lock: SpinLock,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached with the lock held.
unsafe impl<T: Send> Sync for Locked<T> {}

impl<T> Locked<T> {
    pub(super) const fn new(value: T) -> Self {
        Self {
            lock: SpinLock::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Calls a function with the value. It calls neither the family nor the system.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let _held = RawGuard::lock(&self.lock);
        // SAFETY: the lock is held, and the function cannot come here again.
        f(unsafe { &mut *self.value.get() })
    }

    /// As [`with`](Self::with), unless the lock is held: at the exit of a process its holder may be what
    /// a signal has interrupted.
    pub(super) fn with_if_free<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !self.lock.try_lock() {
            return None;
        }
        // SAFETY: the lock is held, and the function cannot come here again.
        let answer = f(unsafe { &mut *self.value.get() });
        // SAFETY: held by this thread.
        unsafe { self.lock.unlock() };
        Some(answer)
    }

    /// Takes the lock before a fork.
    pub(super) fn hold(&self) {
        self.lock.lock();
    }

    /// Gives the lock back after a fork, in both processes.
    ///
    /// # Safety
    ///
    /// The thread has called [`hold`](Self::hold), once for each of these calls.
    pub(super) unsafe fn release(&self) {
        // SAFETY: held by this thread; the child's copy is held by its only thread.
        unsafe { self.lock.unlock() };
    }
}
