//! The fault policies: which requests [`Faulty`](crate::Faulty) refuses.

use drystone_core::{AllocFaultPolicy, NonZeroLayout};

/// Refuses nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverFail;

impl AllocFaultPolicy for NeverFail {
    #[inline]
    fn should_fail(&self, _layout: NonZeroLayout) -> bool {
        false
    }
}

/// Refuses everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysFail;

impl AllocFaultPolicy for AlwaysFail {
    #[inline]
    fn should_fail(&self, _layout: NonZeroLayout) -> bool {
        true
    }
}

/// Refuses requests of `min_fail_bytes` or more.
#[derive(Clone, Copy, Debug)]
pub struct FailOnSize {
    /// The smallest size in bytes that fails. At 0 and 1 everything fails.
    pub min_fail_bytes: usize,
}

impl AllocFaultPolicy for FailOnSize {
    #[inline]
    fn should_fail(&self, layout: NonZeroLayout) -> bool {
        layout.size().get() >= self.min_fail_bytes
    }
}

/// The policies that count, which takes compare-and-swap.
#[cfg(target_has_atomic = "ptr")]
mod counting {
    use super::*;
    use drystone_sync::atomic::{AtomicUsize, Ordering};

    /// Lets `n` requests pass and refuses every later one.
    ///
    /// Exact across threads: however many ask at once, `n` pass.
    #[derive(Debug)]
    pub struct FailAfter {
        remaining: AtomicUsize,
    }

    impl FailAfter {
        const_unless_loom! {
            /// `passes` requests pass; with 0 none does.
            #[inline]
            #[must_use]
            pub const fn new(passes: usize) -> Self {
                Self {
                    remaining: AtomicUsize::new(passes),
                }
            }
        }

        /// How many requests will still pass.
        #[inline]
        #[must_use]
        pub fn remaining(&self) -> usize {
            // Relaxed: a count, read alone.
            self.remaining.load(Ordering::Relaxed)
        }
    }

    impl AllocFaultPolicy for FailAfter {
        #[inline]
        fn should_fail(&self, _layout: NonZeroLayout) -> bool {
            // Relaxed: the count orders nothing else.
            self.remaining
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_err()
        }
    }

    /// Refuses every `n`th request: the `n`th, the `2n`th, and so on.
    ///
    /// Exact across threads: of `n` requests in a row, one fails.
    #[derive(Debug)]
    pub struct FailEveryNth {
        // I1: `1 <= countdown <= n`.
        n: usize,
        /// Requests up to and including the next that fails.
        countdown: AtomicUsize,
    }

    impl FailEveryNth {
        const_unless_loom! {
            /// Every `n`th request fails; with 1 each does.
            ///
            /// # Panics
            ///
            /// If `n` is 0. In a `const` that is an error of the compiler.
            #[inline]
            #[must_use]
            pub const fn new(n: usize) -> Self {
                assert!(n > 0, "there is no zeroth request to refuse");
                Self {
                    n,
                    countdown: AtomicUsize::new(n),
                }
            }
        }
    }

    impl AllocFaultPolicy for FailEveryNth {
        #[inline]
        fn should_fail(&self, _layout: NonZeroLayout) -> bool {
            let next = |left| Some(if left == 1 { self.n } else { left - 1 });
            // Relaxed: the count orders nothing else. `next` never declines, so both arms carry
            // the count before this request.
            match self
                .countdown
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            {
                Ok(left) | Err(left) => left == 1,
            }
        }
    }
}

#[cfg(target_has_atomic = "ptr")]
pub use counting::{FailAfter, FailEveryNth};
