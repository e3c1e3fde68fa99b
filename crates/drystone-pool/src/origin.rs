//! [`Origins`]: the way of a slot back to the thread that it came from.
//!
//! # What
//!
//! For pools whose slots return to their origin: a lane for each of the first [`LANES_MAX`] threads,
//! with an inbox for each class. Whoever drops a buffer elsewhere pushes its slot on the inbox; the
//! thread empties it when its ring is empty. Threads beyond the limit have no lane: their slots stay
//! with who drops them.
//!
//! # Memory picture
//!
//! ```text
//!  lane    inbox of class 0 ──> slot ──next──> slot      an AtomicPtr on lines of its own
//!          inbox of class 1 ──> CLOSED                   no thread has the lane
//! ```
//!
//! # Invariants
//!
//! - O1: an inbox is closed while no thread has its lane, and nothing is put on a closed one.
//! - O2: only whole inboxes are taken, so a push needs no tag.
//!
//! # Threads
//!
//! Any thread pushes, and any takes: the lane's thread, and who searches for free slots.
//!
//! # Cost
//!
//! One compare-and-swap for each slot that goes home; one exchange for all that came.

use core::ptr::{self, NonNull};

use drystone_sync::CachePadded;
use drystone_sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::chain::Chain;
use crate::core::Core;
use crate::slot::Slot;

/// The most threads of a pool that have a lane.
pub(crate) const LANES_MAX: u8 = if cfg!(loom) { 2 } else { 64 };

/// The number of a lane; 0 is none.
pub(crate) type LaneNumber = u8;

/// The lanes of a pool; none if its slots stay with who drops them.
#[derive(Debug)]
pub(crate) struct Origins {
    lanes: Box<[Lane]>,
}

#[derive(Debug)]
struct Lane {
    taken: AtomicBool,
    inboxes: Box<[CachePadded<AtomicPtr<Slot>>]>,
}

/// What the head of a closed inbox points to: nothing.
fn closed() -> *mut Slot {
    ptr::without_provenance_mut(1)
}

impl Origins {
    /// Lanes for a pool of `classes` classes, or none.
    pub(crate) fn new(classes: usize, wanted: bool) -> Self {
        let inbox = |_| CachePadded::new(AtomicPtr::new(closed()));
        let lane = |_| Lane {
            taken: AtomicBool::new(false),
            inboxes: (0..classes).map(inbox).collect(),
        };
        let lanes = if wanted { LANES_MAX } else { 0 };
        Self {
            lanes: (0..lanes).map(lane).collect(),
        }
    }

    /// A lane for the calling thread; 0 if there is none left.
    pub(crate) fn open(&self) -> LaneNumber {
        for (number, lane) in (1..).zip(&self.lanes) {
            // Acquire: pairs with the Release in `close`, behind which the inboxes are closed.
            let taken =
                lane.taken
                    .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            if taken.is_ok() {
                for inbox in &lane.inboxes {
                    // Relaxed: an empty inbox has nothing to publish.
                    inbox.store(ptr::null_mut(), Ordering::Relaxed);
                }
                return number;
            }
        }
        0
    }

    /// Closes a lane whose thread ends, and hands out what is in its inboxes.
    pub(crate) fn close(&self, number: LaneNumber, mut take: impl FnMut(usize, Chain<Slot>)) {
        let Some(lane) = self.lane(number) else {
            return;
        };
        for (class, inbox) in lane.inboxes.iter().enumerate() {
            // Acquire: pairs with the Release in `push`.
            let head = inbox.swap(closed(), Ordering::Acquire);
            take(class, chain_of(head));
        }
        // Release: pairs with the Acquire in `open`.
        lane.taken.store(false, Ordering::Release);
    }

    /// Puts a slot in an inbox; `false`, and the slot stays the caller's, if the lane is closed.
    ///
    /// # Safety
    ///
    /// The caller has the slot, of this class, and gives it up.
    unsafe fn push(&self, number: LaneNumber, class: usize, mut slot: NonNull<Slot>) -> bool {
        let Some(lane) = self.lane(number) else {
            return false;
        };
        let inbox = &lane.inboxes[class];
        // Relaxed: the head is not followed.
        let mut head = inbox.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                return false;
            }
            // SAFETY: the caller has the slot.
            unsafe { slot.as_mut() }.next = NonNull::new(head);
            // Release: pairs with the Acquire of who takes; later pushes are read-modify-writes and
            // carry it on.
            match inbox.compare_exchange_weak(
                head,
                slot.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all that is in an inbox.
    pub(crate) fn take(&self, number: LaneNumber, class: usize) -> Chain<Slot> {
        let Some(lane) = self.lane(number) else {
            return Chain::new();
        };
        let inbox = &lane.inboxes[class];
        let mut head = inbox.load(Ordering::Relaxed);
        loop {
            if head.is_null() || head == closed() {
                return Chain::new();
            }
            // Acquire: pairs with the Release in `push`.
            match inbox.compare_exchange_weak(
                head,
                ptr::null_mut(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return chain_of(head),
                Err(now) => head = now,
            }
        }
    }

    /// Takes all that is in the inboxes of a class.
    pub(crate) fn take_each(&self, class: usize, mut take: impl FnMut(Chain<Slot>)) {
        for (number, _) in (1..).zip(&self.lanes) {
            take(self.take(number, class));
        }
    }

    fn lane(&self, number: LaneNumber) -> Option<&Lane> {
        self.lanes.get(usize::from(number).checked_sub(1)?)
    }
}

/// The slots linked from `head`, which the caller has taken off.
fn chain_of(head: *mut Slot) -> Chain<Slot> {
    let mut chain = Chain::new();
    let mut next = if head == closed() {
        None
    } else {
        NonNull::new(head)
    };
    while let Some(slot) = next {
        // SAFETY: linked by its pusher and taken off with the others, so this thread's.
        next = unsafe { slot.as_ref() }.next;
        // SAFETY: as above.
        unsafe { chain.push(slot) };
    }
    chain
}

impl Core {
    /// Sends a slot to the thread that it came from, if that is another one; `false` if it stays with
    /// the caller.
    ///
    /// # Safety
    ///
    /// The caller has the slot, of this class, gives it up if the answer is `true`, and keeps the core
    /// otherwise.
    pub(crate) unsafe fn send_home(&self, class: usize, slot: NonNull<Slot>) -> bool {
        // SAFETY: the caller has the slot.
        let lane = unsafe { slot.as_ref() }.lane;
        if lane == 0 || lane == self.own_lane(class) {
            return false;
        }
        // SAFETY: the caller's promise.
        if !unsafe { self.origins.push(lane, class, slot) } {
            return false;
        }
        // As behind every place where a slot may be found: see the module `give_back`.
        self.protocol.light();
        if self.flags.of(class) != 0 {
            self.settle_chain(class, self.origins.take(lane, class));
        }
        true
    }

    /// The calling thread's lane; 0 if it has none.
    pub(crate) fn own_lane(&self, class: usize) -> LaneNumber {
        // SAFETY: the thread's caches live while the table has them.
        self.cache(class)
            .map_or(0, |cache| unsafe { cache.as_ref() }.lane)
    }

    /// Says of a slot that the calling thread takes that it came from this thread.
    ///
    /// # Safety
    ///
    /// The caller has the slot.
    pub(crate) unsafe fn stamp(&self, lane: LaneNumber, mut slot: NonNull<Slot>) {
        // SAFETY: the caller has the slot.
        let slot = unsafe { slot.as_mut() };
        if slot.lane != lane {
            slot.lane = lane;
        }
    }
}
