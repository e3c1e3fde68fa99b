//! [`Intrusive`]: lanes for the threads that free, and the list for everybody else.
//!
//! # What
//!
//! Each remote handle has a [`Lane`]. The thread that uses the handle first sends its blocks
//! through it; other threads, a full lane, boxes and batches use the list. The owner opens a
//! *window* onto the entries of one lane at a time and takes its blocks from there.
//!
//! # Memory picture
//!
//! ```text
//!   lane 0   . . 7 2 9 4 . .        window: lane 1, 3 8 5
//!   lane 1   . [3 8 5] 6 . .                        ▲
//!                                                  next
//! ```
//!
//! # Invariants
//!
//! - W1: the window is a run of a lane's entries that wait, and `next .. end` is what is left of it;
//!   or it is empty and belongs to no lane.
//! - W2: the entries of the window are given back to the lane's producer when it is used up.
//!
//! # Threads
//!
//! The window is the owner's. No operation waits.
//!
//! # Cost
//!
//! A block out of the window is one load and one store; a new window reads the counter of each
//! lane that was ever made.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use drystone_sync::cell::UnsafeCell;

use super::lane::Lane;
use super::lanes::{Lanes, Place};
use super::queue::route::Route;

/// Remote frees go through a lane of the freeing thread, or through an unbounded list of the
/// freed blocks themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intrusive;

/// The lanes of all handles.
pub struct IntrusiveShared(Lanes);

/// The owner's window.
pub struct IntrusiveOwner {
    next: Cell<*const UnsafeCell<u32>>,
    end: Cell<*const UnsafeCell<u32>>,
    /// The lane of the window, and its counter after the window.
    open: Cell<Option<(NonNull<Lane>, u32)>>,
    /// The place to look at first.
    turn: Cell<u32>,
}

/// A handle's lane, if it has one.
pub struct IntrusivePort(Option<Place>);

/// The index in an entry of the window.
///
/// # Safety
///
/// The entry is in the window, and its lane lives.
#[inline]
unsafe fn read(entry: *const UnsafeCell<u32>) -> u32 {
    // SAFETY: the caller's promise.
    let entry = unsafe { &*entry };
    entry.with(|index| {
        // SAFETY: by W1 the entry waits, so the producer leaves it alone.
        unsafe { *index }
    })
}

impl IntrusiveOwner {
    /// Closes the window, which is used up.
    #[inline]
    fn shut(&self) {
        if let Some((lane, taken)) = self.open.take() {
            // SAFETY: the lane lives as long as the table, which is beside this window.
            let lane = unsafe { lane.as_ref() };
            lane.publish_taken(taken);
        }
    }

    /// Opens the window onto the next run that waits, if any.
    fn open(&self, lanes: &Lanes) {
        for (number, lane) in lanes.made(self.turn.get()) {
            let Some((run, taken)) = lane.run() else {
                continue;
            };
            let first = run.cast::<UnsafeCell<u32>>().as_ptr();
            // SAFETY: the end of the run.
            let end = unsafe { first.add(run.len()) };
            self.next.set(first);
            self.end.set(end);
            self.open.set(Some((NonNull::from(lane), taken)));
            self.turn.set((number + 1) % super::lanes::PLACES as u32);
            return;
        }
    }
}

impl Route for Intrusive {
    const BOUNDED: bool = false;
    const REUSES_FIRST: bool = true;

    type Shared = IntrusiveShared;
    type Owner = IntrusiveOwner;
    type Port = IntrusivePort;

    fn sides(self, capacity: usize) -> (IntrusiveShared, IntrusiveOwner) {
        let owner = IntrusiveOwner {
            next: Cell::new(ptr::null()),
            end: Cell::new(ptr::null()),
            open: Cell::new(None),
            turn: Cell::new(0),
        };
        (IntrusiveShared(Lanes::new(capacity)), owner)
    }

    fn open(shared: &IntrusiveShared) -> IntrusivePort {
        IntrusivePort(shared.0.open())
    }

    fn close(shared: &IntrusiveShared, port: &mut IntrusivePort) {
        if let Some(place) = port.0.take() {
            shared.0.close(place);
        }
    }

    fn claim(port: &mut IntrusivePort) {
        if let Some(place) = &port.0 {
            // SAFETY: the handle lives, so the table does.
            let lane = unsafe { place.lane() };
            // SAFETY: the handle is borrowed exclusively.
            unsafe { lane.claim() };
        }
    }

    #[inline]
    fn send(_shared: &IntrusiveShared, port: Option<&IntrusivePort>, index: u32) -> bool {
        let Some(IntrusivePort(Some(place))) = port else {
            return false;
        };
        // SAFETY: the handle lives, so the table does.
        let lane = unsafe { place.lane() };
        // SAFETY: the calling thread is the producer.
        lane.is_mine() && unsafe { lane.push(index) }
    }

    #[inline]
    fn is_due(_shared: &IntrusiveShared, _owner: &IntrusiveOwner) -> bool {
        false
    }

    #[inline]
    fn next(owner: &IntrusiveOwner) -> Option<u32> {
        let next = owner.next.get();
        if next == owner.end.get() {
            return None;
        }
        // SAFETY: before the end there is an entry of the window.
        owner.next.set(unsafe { next.add(1) });
        // SAFETY: as above; the lane lives as long as the table, which is beside this window.
        Some(unsafe { read(next) })
    }

    fn refill(shared: &IntrusiveShared, owner: &IntrusiveOwner, _put: impl FnMut(u32)) {
        owner.shut();
        owner.open(&shared.0);
    }

    fn collect(shared: &IntrusiveShared, owner: &IntrusiveOwner, mut put: impl FnMut(u32)) {
        while let Some(index) = Self::next(owner) {
            put(index);
        }
        owner.shut();
        for (_, lane) in shared.0.made(0) {
            let (mut taken, pushed) = lane.waiting();
            while taken != pushed {
                // SAFETY: the entry waits, and is published as taken below.
                put(unsafe { lane.read(taken) });
                taken = taken.wrapping_add(1);
            }
            lane.publish_taken(taken);
        }
    }

    fn held(owner: &IntrusiveOwner, mut show: impl FnMut(u32)) {
        let mut next = owner.next.get();
        while next != owner.end.get() {
            // SAFETY: before the end there is an entry of the window, whose lane lives.
            show(unsafe { read(next) });
            // SAFETY: as above, so the next pointer is at most the end.
            next = unsafe { next.add(1) };
        }
    }

    fn adaptive_threshold(_owner: &IntrusiveOwner) -> Option<usize> {
        None
    }
}
