//! [`Lanes`]: the lanes of a slab's remote handles, a bounded table.
//!
//! # What
//!
//! A handle that is made takes a free place of the table, and the lane of the handle that had the
//! place before, or a new one. A handle that is dropped leaves its place; what waits in its lane
//! stays there for the owner, and the next handle goes on after it. So nothing has to be moved when
//! handles come and go.
//!
//! # Memory picture
//!
//! ```text
//!  line 0: used   0 1 1 1      a bit for each place that a handle has
//!  line 1: made   0 1 1 1      a bit for each place that has a lane
//!          lanes  - │ │ │
//!                   ▼ ▼ ▼
//!                 lane lane lane
//! ```
//!
//! # Invariants
//!
//! - T1: a handle with a lane has set its place's bit in `used`, and no other handle has.
//! - T2: a bit of `made` is set after the lane is in its place, and neither changes afterwards.
//!
//! # Threads
//!
//! Any thread opens and closes; the owner looks at the lanes that are made. Nobody waits.
//!
//! # Cost
//!
//! Two padded lines and a pointer for each of [`PLACES`] places. Handles beyond that have no lane.
//! The owner looks at each lane that was ever made when it needs blocks.

use core::ptr::{self, NonNull};

use drystone_sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use drystone_sync::{CachePadded, thread_mark};

use super::boxing;
use super::lane::Lane;

/// How many handles can have a lane at a time.
pub(super) const PLACES: usize = 32;

/// The lanes of a slab.
pub(super) struct Lanes {
    used: CachePadded<AtomicU32>,
    table: CachePadded<Table>,
}

/// What changes only when a lane is made.
struct Table {
    made: AtomicU32,
    lanes: [AtomicPtr<Lane>; PLACES],
    /// The blocks of the slab.
    capacity: usize,
}

/// A handle's place in the table.
pub(super) struct Place {
    number: u32,
    lane: NonNull<Lane>,
}

// SAFETY: a place gives shared access to its lane, which is `Sync`, and may be closed anywhere.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    /// The lane.
    ///
    /// # Safety
    ///
    /// The table lives.
    #[inline]
    pub(super) unsafe fn lane(&self) -> &Lane {
        // SAFETY: by T2 the lane lives as long as the table.
        unsafe { self.lane.as_ref() }
    }
}

impl Lanes {
    /// A table without lanes.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            used: CachePadded::new(AtomicU32::new(0)),
            table: CachePadded::new(Table {
                made: AtomicU32::new(0),
                lanes: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
                capacity,
            }),
        }
    }

    /// A place with a lane for a new handle. `None` where threads cannot be told apart, all places
    /// are taken, or there is no memory.
    pub(super) fn open(&self) -> Option<Place> {
        thread_mark()?;
        let number = self.take_place()?;
        match self.lane_for(number) {
            Some(lane) => Some(Place { number, lane }),
            None => {
                self.leave_place(number);
                None
            }
        }
    }

    /// Leaves a place. What waits in the lane stays there.
    pub(super) fn close(&self, place: Place) {
        // SAFETY: the table lives.
        let lane = unsafe { place.lane() };
        // SAFETY: the handle is being dropped, so no push is under way.
        unsafe { lane.abandon() };
        self.leave_place(place.number);
    }

    fn take_place(&self) -> Option<u32> {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let number = used.trailing_ones();
            if number as usize == PLACES {
                return None;
            }
            // Acquire: pairs with the Release in `leave_place`: this handle goes on where the last
            // one stopped.
            let taken = self.used.compare_exchange_weak(
                used,
                used | 1 << number,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match taken {
                Ok(_) => return Some(number),
                Err(now) => used = now,
            }
        }
    }

    fn leave_place(&self, number: u32) {
        // Release: pairs with the Acquire in `take_place`.
        self.used.fetch_and(!(1 << number), Ordering::Release);
    }

    /// The lane of a place that the caller has taken.
    fn lane_for(&self, number: u32) -> Option<NonNull<Lane>> {
        let place = &self.table.lanes[number as usize];
        // Relaxed: written by whoever had the place before, which `take_place` has acquired.
        if let Some(lane) = NonNull::new(place.load(Ordering::Relaxed)) {
            return Some(lane);
        }
        let lane = boxing::try_leak(Lane::new(self.table.capacity)?)?;
        place.store(lane.as_ptr(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `made` (T2).
        self.table.made.fetch_or(1 << number, Ordering::Release);
        Some(lane)
    }

    /// The lanes that are made, from place `first` on and round.
    #[inline]
    pub(super) fn made(&self, first: u32) -> impl Iterator<Item = (u32, &Lane)> {
        // Acquire: pairs with the Release in `lane_for`.
        let mut left = self.table.made.load(Ordering::Acquire).rotate_right(first);
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let number = (left.trailing_zeros() + first) % PLACES as u32;
            left &= left - 1;
            let lane = self.table.lanes[number as usize].load(Ordering::Relaxed);
            // SAFETY: by T2 the place has its lane, which lives as long as the table.
            Some((number, unsafe { &*lane }))
        })
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        for place in &self.table.lanes {
            if let Some(lane) = NonNull::new(place.load(Ordering::Relaxed)) {
                // SAFETY: the lane was made in `lane_for`, and nobody has the table any more.
                unsafe { boxing::free(lane) };
            }
        }
    }
}
