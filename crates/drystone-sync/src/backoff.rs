//! [`Backoff`]: how a thread waits for another.
//!
//! # What
//!
//! The wait loop of the locks. It begins with a few turns of [`spin_loop`](crate::hint), doubles
//! them up to a bound, and from there gives the processor away at every step if it can (`std`),
//! so that a holder that lost its processor can get it back.
//!
//! # Memory picture
//!
//! One counter on the waiter's stack; nothing is shared.
//!
//! # Invariants
//!
//! - I1: `step <= STEPS`.
//!
//! # Threads
//!
//! Belongs to the thread that waits. Wait-free itself: each call returns after at most
//! `2^STEPS` turns or one yield.
//!
//! # Cost
//!
//! The first `STEPS` calls together are under 128 turns, a few microseconds. Later calls are one
//! `sched_yield` with `std`, and 64 turns without.

/// The number of doubling steps before a waiter yields.
#[cfg(not(loom))]
const STEPS: u32 = 6;

/// A wait loop that starts short, doubles, and then yields.
#[derive(Debug, Default)]
pub struct Backoff {
    #[cfg(not(loom))]
    step: u32,
}

impl Backoff {
    /// A loop that has not waited yet.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            #[cfg(not(loom))]
            step: 0,
        }
    }

    /// Waits one step.
    #[cfg(not(loom))]
    #[inline]
    pub fn wait(&mut self) {
        if self.step < STEPS {
            spin(1 << self.step);
            self.step += 1;
        } else {
            wait_long();
        }
    }

    /// Waits one step: under loom every step lets another thread run, because the number of
    /// turns means nothing to the model.
    #[cfg(loom)]
    pub fn wait(&mut self) {
        crate::thread::yield_now();
    }
}

#[cfg(not(loom))]
#[inline]
fn spin(turns: u32) {
    for _ in 0..turns {
        crate::hint::spin_loop();
    }
}

#[cfg(all(feature = "std", not(loom)))]
#[inline]
fn wait_long() {
    crate::thread::yield_now();
}

#[cfg(not(any(feature = "std", loom)))]
#[inline]
fn wait_long() {
    spin(1 << STEPS);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_step_stops_at_its_bound() {
        let mut backoff = Backoff::new();
        for _ in 0..3 * STEPS {
            backoff.wait();
            assert!(backoff.step <= STEPS);
        }
        assert_eq!(backoff.step, STEPS);
    }
}
