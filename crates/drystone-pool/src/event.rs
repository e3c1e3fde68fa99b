//! [`Event`] and [`Events`]: what happens on the slow paths of a class, and how often it has.

use core::array;

use drystone_sync::atomic::{AtomicU64, Ordering};

/// What happens beside the hit path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A request that the thread's cache did not serve.
    Miss,
    /// Slots came from the shared list to a thread.
    Refill,
    /// A full cache gave its cold end away.
    Spill,
    /// A request was refused, since nothing was free and nothing could be made.
    Exhausted,
    /// A request was served by a larger class.
    Borrowed,
    /// A request was served by untracked memory, since there was no slot.
    Fallback,
    /// A request was above the largest class.
    Oversized,
}

impl Event {
    pub(crate) const ALL: [Self; 7] = [
        Self::Miss,
        Self::Refill,
        Self::Spill,
        Self::Exhausted,
        Self::Borrowed,
        Self::Fallback,
        Self::Oversized,
    ];
}

/// How often each event has happened: to one thread, or to all that have no counts of their own.
#[derive(Debug)]
pub(crate) struct Events([AtomicU64; Event::ALL.len()]);

impl Events {
    pub(crate) fn new() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Adds one. Called by the one thread that the counts belong to.
    #[inline]
    pub(crate) fn add_own(&self, event: Event) {
        let count = &self.0[event as usize];
        // Relaxed, and no read-modify-write: nobody else writes.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Adds to counts that any thread adds to.
    pub(crate) fn add_shared(&self, event: Event, times: u64) {
        // Relaxed: a number.
        self.0[event as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// The count at some moment.
    #[inline]
    pub(crate) fn get(&self, event: Event) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }
}
