//! [`Ring`]: a bounded queue, emptied when enough blocks wait.
//!
//! # What
//!
//! Remote frees put slot indices into a bounded queue of many producers. At each of its own calls
//! the owner compares how many wait with a threshold, and takes all when it is reached.
//!
//! # Memory picture
//!
//! ```text
//!   remotes ─── push ──▶  +----+----+----+----+  ─── pop ──▶ owner's list
//!                         | 12 |  3 |    |    |
//!                         +----+----+----+----+
//!                          waiting ◄─────────► threshold
//! ```
//!
//! # Invariants
//!
//! - R1: the queue has room for `min(queue capacity, blocks)`: more can never wait. A capacity of 0
//!   is a queue that is never used.
//! - R2: `1 <= trigger <= max(queue capacity, 1)`, so that a full queue is always emptied.
//!
//! # Threads
//!
//! A push and a pop of the queue are those of crossbeam-queue: a compare-and-swap, then a store. An
//! owner that finds a push between the two waits for the store.
//!
//! # Cost
//!
//! 16 bytes an entry. The owner reads the queue's two ends at each call: they are in its cache as
//! long as nobody frees remotely.

use core::cell::Cell;

use super::queue::route::Route;

/// The thresholds that [`BatchPolicy::Adaptive`] moves between.
pub const ADAPTIVE_LEVELS: [usize; 5] = [8, 16, 32, 64, 128];

/// How many calls of the owner pass after a move of the threshold before the next.
pub const ADAPTIVE_COOLDOWN_TICKS: u32 = 16;

/// Where the threshold starts: at 64.
const FIRST_LEVEL: usize = 3;

/// How many remote frees wait in a [`Ring`] before the owner takes them.
///
/// Whatever the policy says, the owner takes all when it has no block left, used or not, and when
/// the ring is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchPolicy {
    /// This many. 0 means the same as 1.
    Fixed(usize),
    /// One of [`ADAPTIVE_LEVELS`], starting at 64.
    ///
    /// Each `allocate` and `deallocate` of the owner is a tick. A tick that finds more than three
    /// quarters of the ring waiting lowers the threshold by one level; one that finds less than a
    /// quarter raises it; after a tick that did either, or would have beyond the last level,
    /// [`ADAPTIVE_COOLDOWN_TICKS`] ticks change nothing.
    Adaptive,
}

impl Default for BatchPolicy {
    /// `Fixed(64)`.
    fn default() -> Self {
        Self::Fixed(64)
    }
}

/// The capacity of a ring unless one is given.
pub(super) const QUEUE_CAPACITY_DEFAULT: usize = 1024;

/// Remote frees go through a bounded queue, and through a list when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring;

/// What all share.
pub struct RingShared {
    queue: queue::BoundedQueue,
    /// Whether a capacity of 0 was asked for, which the queue itself cannot have.
    refuses: bool,
}

/// The owner's side.
pub struct RingOwner {
    /// How many entries must wait (R2).
    trigger: Cell<usize>,
    adaptive: Option<Adaptive>,
}

/// The state of an adaptive policy.
struct Adaptive {
    level: Cell<usize>,
    cooldown: Cell<u32>,
    queue_capacity: usize,
}

impl Adaptive {
    /// One tick with `waiting` entries in the queue.
    fn tick(&self, waiting: usize) {
        let cooldown = self.cooldown.get();
        if cooldown > 0 {
            self.cooldown.set(cooldown - 1);
            return;
        }
        let level = self.level.get();
        // Wide, because a quarter of a capacity is not a whole number.
        let (waiting, capacity) = (4 * waiting as u128, self.queue_capacity as u128);
        let level = if waiting > 3 * capacity {
            level.saturating_sub(1)
        } else if waiting < capacity {
            (level + 1).min(ADAPTIVE_LEVELS.len() - 1)
        } else {
            return;
        };
        self.level.set(level);
        self.cooldown.set(ADAPTIVE_COOLDOWN_TICKS);
    }

    fn threshold(&self) -> usize {
        ADAPTIVE_LEVELS[self.level.get()]
    }
}

/// Both sides of a ring for a slab of `capacity` blocks.
pub(super) fn ring(
    capacity: usize,
    policy: BatchPolicy,
    queue_capacity: usize,
) -> (RingShared, RingOwner) {
    let (threshold, adaptive) = match policy {
        BatchPolicy::Fixed(threshold) => (threshold, None),
        BatchPolicy::Adaptive => {
            let adaptive = Adaptive {
                level: Cell::new(FIRST_LEVEL),
                cooldown: Cell::new(0),
                queue_capacity,
            };
            (adaptive.threshold(), Some(adaptive))
        }
    };
    let shared = RingShared {
        queue: queue::BoundedQueue::new(queue_capacity.min(capacity).max(1)),
        refuses: queue_capacity == 0,
    };
    let trigger = Cell::new(threshold.min(queue_capacity).max(1));
    (shared, RingOwner { trigger, adaptive })
}

impl RingOwner {
    /// Whether so many entries wait that it is time to collect them. Out of line, so that the
    /// owner's own calls stay small.
    #[inline(never)]
    fn is_full_enough(&self, queue: &queue::BoundedQueue) -> bool {
        let waiting = queue.len();
        if let Some(adaptive) = &self.adaptive {
            adaptive.tick(waiting);
            let threshold = adaptive.threshold().min(adaptive.queue_capacity);
            self.trigger.set(threshold.max(1));
        }
        waiting >= self.trigger.get()
    }
}

impl Route for Ring {
    const BOUNDED: bool = true;
    const REUSES_FIRST: bool = false;

    type Shared = RingShared;
    type Owner = RingOwner;
    type Port = ();

    fn sides(self, capacity: usize) -> (RingShared, RingOwner) {
        ring(capacity, BatchPolicy::default(), QUEUE_CAPACITY_DEFAULT)
    }

    fn open(_shared: &RingShared) {}

    fn close(_shared: &RingShared, _port: &mut ()) {}

    fn claim(_port: &mut ()) {}

    #[inline]
    fn send(shared: &RingShared, _port: Option<&()>, index: u32) -> bool {
        !shared.refuses && shared.queue.push(index).is_ok()
    }

    #[inline]
    fn is_due(shared: &RingShared, owner: &RingOwner) -> bool {
        let nothing_to_do = shared.queue.is_empty() && owner.adaptive.is_none();
        !nothing_to_do && owner.is_full_enough(&shared.queue)
    }

    #[inline]
    fn next(_owner: &RingOwner) -> Option<u32> {
        None
    }

    fn refill(shared: &RingShared, owner: &RingOwner, put: impl FnMut(u32)) {
        Self::collect(shared, owner, put);
    }

    fn collect(shared: &RingShared, _owner: &RingOwner, mut put: impl FnMut(u32)) {
        // No more than the queue holds: remotes that go on pushing do not keep the owner here.
        for _ in 0..shared.queue.capacity() {
            match shared.queue.pop() {
                Some(index) => put(index),
                None => return,
            }
        }
    }

    fn held(_owner: &RingOwner, _show: impl FnMut(u32)) {}

    fn adaptive_threshold(owner: &RingOwner) -> Option<usize> {
        owner.adaptive.as_ref().map(Adaptive::threshold)
    }
}

#[cfg(not(loom))]
mod queue {
    pub(super) type BoundedQueue = crossbeam_queue::ArrayQueue<u32>;
}

/// The queue as the models see it: its own atomics are not what they check.
#[cfg(loom)]
mod queue {
    use alloc::collections::VecDeque;

    use loom::sync::{Mutex, MutexGuard};

    pub(super) struct BoundedQueue {
        entries: Mutex<VecDeque<u32>>,
        capacity: usize,
    }

    impl BoundedQueue {
        pub(super) fn new(capacity: usize) -> Self {
            Self {
                entries: Mutex::new(VecDeque::new()),
                capacity,
            }
        }

        fn entries(&self) -> MutexGuard<'_, VecDeque<u32>> {
            self.entries.lock().expect("no model panics in here")
        }

        pub(super) fn push(&self, index: u32) -> Result<(), u32> {
            let mut entries = self.entries();
            if entries.len() == self.capacity {
                return Err(index);
            }
            entries.push_back(index);
            Ok(())
        }

        pub(super) fn pop(&self) -> Option<u32> {
            self.entries().pop_front()
        }

        pub(super) fn len(&self) -> usize {
            self.entries().len()
        }

        pub(super) fn is_empty(&self) -> bool {
            self.len() == 0
        }

        pub(super) fn capacity(&self) -> usize {
            self.capacity
        }
    }
}
