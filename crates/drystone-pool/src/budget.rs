//! [`Budget`]: the ceiling in bytes.
#![forbid(unsafe_code)]

use drystone_sync::CachePadded;
use drystone_sync::atomic::{AtomicUsize, Ordering};

/// The bytes that slots and untracked memory occupy, and the ceiling that they never pass.
///
/// Whoever makes memory usable reserves its bytes first; who takes it out of use releases them.
#[derive(Debug)]
pub(crate) struct Budget {
    /// I1: at most `limit`.
    used: CachePadded<AtomicUsize>,
    limit: usize,
}

impl Budget {
    /// A ceiling of `limit` bytes; without one the bytes are counted only.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self {
            used: CachePadded::new(AtomicUsize::new(0)),
            limit: limit.unwrap_or(usize::MAX),
        }
    }

    /// Reserves room for up to `count` times `bytes`, and says for how many.
    pub(crate) fn reserve(&self, bytes: usize, count: usize) -> usize {
        debug_assert!(bytes > 0, "room for nothing");
        // Relaxed throughout: the count orders nothing, and one word is enough to keep I1.
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let granted = count.min((self.limit - used) / bytes);
            if granted == 0 {
                return 0;
            }
            // Does not overflow: `granted * bytes` is at most what is left of the limit.
            let after = used + granted * bytes;
            match self
                .used
                .compare_exchange_weak(used, after, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return granted,
                Err(now) => used = now,
            }
        }
    }

    /// Gives `bytes` back.
    pub(crate) fn release(&self, bytes: usize) {
        // Relaxed: see `reserve`.
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "more released than reserved");
    }

    /// Whether `bytes` could be reserved at this moment.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.limit - self.used()
    }

    /// The bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The ceiling, if there is one.
    pub(crate) fn limit(&self) -> Option<usize> {
        (self.limit != usize::MAX).then_some(self.limit)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn grants_what_fits_and_no_more() {
        let budget = Budget::new(Some(100));
        assert_eq!(budget.reserve(30, 2), 2);
        assert_eq!(budget.reserve(30, 2), 1);
        assert_eq!((budget.reserve(30, 2), budget.used()), (0, 90));
        assert!(budget.has_room(10) && !budget.has_room(11));
        assert_eq!(budget.reserve(10, 9), 1);
        assert_eq!(budget.reserve(1, 1), 0);
        budget.release(100);
        assert_eq!((budget.used(), budget.limit()), (0, Some(100)));
    }

    #[test]
    fn without_a_ceiling_bytes_are_counted() {
        let budget = Budget::new(None);
        assert_eq!(budget.reserve(1 << 20, 1000), 1000);
        assert_eq!((budget.used(), budget.limit()), (1000 << 20, None));
    }

    #[test]
    fn threads_together_stay_below() {
        const THREADS: usize = 4;
        const ROUNDS: usize = if cfg!(miri) { 20 } else { 10_000 };
        let budget = Budget::new(Some(10));
        std::thread::scope(|scope| {
            for bytes in 1..=THREADS {
                let budget = &budget;
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let granted = budget.reserve(bytes, 2);
                        assert!(budget.used() <= 10);
                        if granted > 0 {
                            budget.release(granted * bytes);
                        }
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }
}
