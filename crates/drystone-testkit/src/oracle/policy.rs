//! What to do about a misuse: panic or count.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use drystone_core::{Misuse, MisusePolicy};

/// Panics with the misuse and the address. For tests, where unwinding out of an allocator ends
/// the test and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct PanicOnMisuse;

impl MisusePolicy for PanicOnMisuse {
    #[track_caller]
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        panic!("{misuse} at {address:#x}");
    }
}

/// Counts, and remembers the address of the latest.
#[derive(Debug, Default)]
pub struct CountMisuse {
    count: AtomicU64,
    latest: AtomicUsize,
}

impl CountMisuse {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            latest: AtomicUsize::new(0),
        }
    }

    /// How many misuses were reported.
    #[must_use]
    pub fn count(&self) -> u64 {
        // Relaxed: a count, read alone.
        self.count.load(Ordering::Relaxed)
    }

    /// The address of the latest, 0 if there was none.
    #[must_use]
    pub fn latest_address(&self) -> usize {
        // Relaxed: a figure, read alone.
        self.latest.load(Ordering::Relaxed)
    }
}

impl MisusePolicy for CountMisuse {
    fn on_misuse(&self, _misuse: Misuse, address: usize) {
        // Relaxed: the two orders nothing else, nor each other.
        self.latest.store(address, Ordering::Relaxed);
        // Relaxed: as above.
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}
