//! [`Guarded`]: a value behind a spin lock, which neither allocates nor poisons.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

use drystone_sync::{RawLock, SpinLock};

/// A value that one thread at a time has.
pub(super) struct Guarded<T> {
    lock: SpinLock,
    // I1: reached only through a `Held`, of which there is one at a time.
    value: UnsafeCell<T>,
}

// SAFETY: by I1 threads have the value one after the other, ordered by the lock, which is what
// `T: Send` allows.
unsafe impl<T: Send> Sync for Guarded<T> {}

/// The value, until this is dropped.
pub(super) struct Held<'a, T> {
    // I2: this thread holds `of.lock`.
    of: &'a Guarded<T>,
    not_send: core::marker::PhantomData<*const ()>,
}

impl<T> Guarded<T> {
    pub(super) const fn new(value: T) -> Self {
        Self {
            lock: SpinLock::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for the value.
    pub(super) fn hold(&self) -> Held<'_, T> {
        self.lock.lock();
        self.held()
    }

    /// Puts `value` in and makes it nobody's, whoever had the lock. What was there is forgotten where
    /// somebody had it, and dropped otherwise.
    ///
    /// # Safety
    ///
    /// The thread that has the value, if one does, is not in this process any more, or is the caller and does
    /// not use it again.
    #[cfg(all(unix, not(miri)))]
    pub(super) unsafe fn renew(&self, value: T) {
        if self.lock.try_lock() {
            *self.held() = value;
            return;
        }
        // SAFETY: the holder uses the value no more, so by I1 nobody does.
        unsafe { self.value.get().write(value) };
        // SAFETY: the lock is taken, by nobody.
        unsafe { self.lock.unlock() };
    }

    /// The value, if nobody has it.
    #[inline]
    pub(super) fn try_hold(&self) -> Option<Held<'_, T>> {
        self.lock.try_lock().then(|| self.held())
    }

    /// This thread has just taken the lock.
    #[inline]
    fn held(&self) -> Held<'_, T> {
        Held {
            of: self,
            not_send: core::marker::PhantomData,
        }
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by I1 and I2 no other reference is in use.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by I1 and I2 no other reference is in use.
        unsafe { &mut *self.of.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by I2 this thread holds the lock; the value cannot leave the thread.
        unsafe { self.of.lock.unlock() };
    }
}
