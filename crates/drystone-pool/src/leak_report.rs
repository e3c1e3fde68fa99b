//! [`LeakReport`]: who holds the buffers that are out.
//!
//! # What
//!
//! A pool that is told so notes of every n-th buffer from where it was asked for, and forgets it
//! when the buffer comes back. Such a pool takes the slow path for every allocation; no other pays
//! anything.

use core::fmt;
use core::panic::Location;
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use drystone_sync::atomic::{AtomicU32, Ordering};

use crate::BufferPool;
use crate::lock::Mutex;
use crate::slot::{CARE_NOTED, Slot};

/// Who holds buffers of a pool, from [`BufferPool::leak_report`].
///
/// ```
/// use drystone_pool::{BufferPool, BufferPoolConfig};
///
/// let pool = BufferPool::new(BufferPoolConfig::for_network().with_leak_report(1))?;
/// let kept = pool.try_alloc(1024)?;
/// let report = pool.leak_report();
/// assert_eq!(report.places.len(), 1);
/// println!("{report}");
/// drop(kept);
/// assert!(pool.leak_report().places.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeakReport {
    /// Every how many allocations one is noted; 0 if the pool notes none.
    pub every: u32,
    /// The places that buffers were asked for at, the one with most bytes first.
    pub places: Vec<LeakPlace>,
}

/// A place in the program that noted buffers which are out were asked for at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeakPlace {
    /// File, line and column of the call.
    pub location: &'static Location<'static>,
    /// Noted buffers that are out.
    pub buffers: usize,
    /// Their capacities together.
    pub bytes: usize,
    /// How long the oldest has been out.
    pub oldest: Duration,
}

impl fmt::Display for LeakReport {
    /// A line for each place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>8}{:>12}{:>14}  place (1 of {} noted)",
            "buffers", "bytes", "oldest", self.every
        )?;
        for place in &self.places {
            let oldest = place.oldest.as_millis();
            writeln!(
                f,
                "{:>8}{:>12}{:>11} ms  {}",
                place.buffers, place.bytes, oldest, place.location
            )?;
        }
        Ok(())
    }
}

/// The notes of a pool.
#[derive(Debug)]
pub(crate) struct Notes {
    every: u32,
    asked: AtomicU32,
    /// By the slot's address.
    held: Mutex<BTreeMap<usize, Note>>,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    location: &'static Location<'static>,
    bytes: usize,
    since: Instant,
}

impl Notes {
    /// Notes one of `every` allocations; `None` for 0.
    pub(crate) fn new(every: u32) -> Option<Self> {
        (every > 0).then(|| Self {
            every,
            asked: AtomicU32::new(0),
            held: Mutex::new(BTreeMap::new()),
        })
    }

    /// Notes a slot, if it is its turn.
    ///
    /// # Safety
    ///
    /// The caller has the slot.
    pub(crate) unsafe fn note(
        &self,
        mut slot: NonNull<Slot>,
        location: &'static Location<'static>,
    ) {
        // Relaxed: a number.
        if !self
            .asked
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(self.every)
        {
            return;
        }
        // SAFETY: the caller has the slot.
        let entry = unsafe { slot.as_mut() };
        entry.care |= CARE_NOTED;
        let note = Note {
            location,
            bytes: entry.record.capacity,
            since: Instant::now(),
        };
        self.held.lock().insert(slot.addr().get(), note);
    }

    /// Forgets a slot that came back.
    pub(crate) fn forget(&self, slot: NonNull<Slot>) {
        self.held.lock().remove(&slot.addr().get());
    }

    fn report(&self) -> LeakReport {
        let mut places: Vec<LeakPlace> = Vec::new();
        for note in self.held.lock().values() {
            let age = note.since.elapsed();
            match places
                .iter_mut()
                .find(|place| place.location == note.location)
            {
                Some(place) => {
                    place.buffers += 1;
                    place.bytes += note.bytes;
                    place.oldest = place.oldest.max(age);
                }
                None => places.push(LeakPlace {
                    location: note.location,
                    buffers: 1,
                    bytes: note.bytes,
                    oldest: age,
                }),
            }
        }
        places.sort_unstable_by_key(|place| core::cmp::Reverse(place.bytes));
        LeakReport {
            every: self.every,
            places,
        }
    }
}

impl BufferPool {
    /// Who holds the noted buffers that are out. Empty unless the configuration asks for notes
    /// ([`with_leak_report`](crate::BufferPoolConfig::with_leak_report)). Untracked memory is not
    /// noted.
    #[must_use]
    pub fn leak_report(&self) -> LeakReport {
        let nothing = || LeakReport {
            every: 0,
            places: Vec::new(),
        };
        self.core()
            .notes
            .as_ref()
            .map_or_else(nothing, Notes::report)
    }
}
