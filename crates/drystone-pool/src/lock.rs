//! [`Mutex`]: the standard library's, or loom's where a model is built, without poison.
//!
//! What a lock of the pool guards is whole again before anything that could panic is called.

#[cfg(loom)]
use loom::sync as imp;
#[cfg(not(loom))]
use std::sync as imp;

use std::sync::PoisonError;

/// A lock whose waiters sleep.
#[derive(Debug)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    /// Waits until the lock is free and takes it.
    pub(crate) fn lock(&self) -> imp::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody holds the lock at this moment.
    pub(crate) fn is_locked(&self) -> bool {
        self.0.try_lock().is_err()
    }
}
