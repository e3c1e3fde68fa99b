//! [`Flags`]: what a thread that frees a slot has to know of the slot's class.
#![forbid(unsafe_code)]

use drystone_sync::atomic::{AtomicU8, Ordering};

use crate::class_table::CLASSES_MAX;

/// The class has no free slot and may create none: freed slots go to the shared list.
pub(crate) const STARVING: u8 = 1;
/// Some class needs bytes of the budget: freed slots go to the shared list, and are told.
pub(crate) const PRESSED: u8 = 2;
/// Somebody waits for a slot of the class: freed slots go to the queue.
pub(crate) const WAITERS: u8 = 4;
/// Somebody waits for bytes of the budget: freed slots may have to end.
pub(crate) const HUNGRY: u8 = 8;
/// The pool's last handle is gone: freed slots end.
pub(crate) const CLOSED: u8 = 16;

/// The flags of every class, close together: the hit path reads one of them, and nearly nobody
/// ever writes.
///
/// Who sets a flag passes the heavy fence and then looks for free slots; who frees a slot passes the
/// light fence and then reads the flags. So a slot is found by the one or seen off by the other.
#[derive(Debug)]
pub(crate) struct Flags {
    of_class: [AtomicU8; CLASSES_MAX],
}

impl Flags {
    pub(crate) fn new() -> Self {
        Self {
            of_class: core::array::from_fn(|_| AtomicU8::new(0)),
        }
    }

    /// The flags of a class.
    #[inline]
    pub(crate) fn of(&self, class: usize) -> u8 {
        // Acquire: pairs with the Release in `set`, for what was done before the flag was set. The
        // order against other words is the fences'.
        self.of_class[class % CLASSES_MAX].load(Ordering::Acquire)
    }

    /// Whether a class has one of `flags`.
    #[inline]
    pub(crate) fn has(&self, class: usize, flags: u8) -> bool {
        self.of(class) & flags != 0
    }

    /// Sets flags of a class.
    pub(crate) fn set(&self, class: usize, flags: u8) {
        // Release: see `of`.
        self.of_class[class].fetch_or(flags, Ordering::Release);
    }

    /// Clears flags of a class.
    pub(crate) fn clear(&self, class: usize, flags: u8) {
        // Relaxed: who still sees a flag does too much, which harms nobody.
        self.of_class[class].fetch_and(!flags, Ordering::Relaxed);
    }

    /// Sets flags of the first `classes` classes.
    pub(crate) fn set_all(&self, classes: usize, flags: u8) {
        for class in 0..classes {
            self.set(class, flags);
        }
    }

    /// Clears flags of the first `classes` classes.
    pub(crate) fn clear_all(&self, classes: usize, flags: u8) {
        for class in 0..classes {
            self.clear(class, flags);
        }
    }
}
