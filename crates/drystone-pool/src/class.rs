//! [`Class`]: the slots of one size.

use drystone_sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::cache_ring::CacheRing;
use crate::class_table::ClassShape;
use crate::event::Events;
use crate::growth::Growth;
use crate::lock::Mutex;
use crate::shared_list::SharedList;
use crate::slot::Slot;

/// How many requests in a row a class whose caches are switched off must serve before they are
/// switched on again.
const CALM: u32 = 64;

/// What a pool has for each class.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) shape: ClassShape,
    /// Free slots that no thread has.
    pub(crate) shared: SharedList<Slot>,
    pub(crate) growth: Mutex<Growth>,
    /// `growth`'s count, for who does not want the lock.
    created: AtomicU32,
    /// Held by who searches the rings of all threads.
    pub(crate) search: Mutex<()>,
    /// Requests served from the shared list since one was refused, while the class is starving.
    calm: AtomicU32,
    pub(crate) counts: ClassCounts,
}

/// What has happened in a class to threads that have no counts of their own or have ended.
#[derive(Debug)]
pub(crate) struct ClassCounts {
    pub(crate) hits: AtomicU64,
    pub(crate) events: Events,
    pub(crate) sweeps: AtomicU64,
}

impl Class {
    /// A class without slots; `None` if there is no memory for its list.
    pub(crate) fn new(shape: ClassShape, stripes: usize) -> Option<Self> {
        // At most 65 536 by the configuration's limits.
        let batch = u32::try_from(shape.cache_capacity).unwrap_or(u32::MAX);
        Some(Self {
            shape,
            shared: SharedList::new(shape.limit, stripes, batch)?,
            growth: Mutex::new(Growth::new()),
            created: AtomicU32::new(0),
            search: Mutex::new(()),
            calm: AtomicU32::new(0),
            counts: ClassCounts {
                hits: AtomicU64::new(0),
                events: Events::new(),
                sweeps: AtomicU64::new(0),
            },
        })
    }

    /// The slots that there are.
    pub(crate) fn created(&self) -> u32 {
        // Relaxed: a number; the lock of `growth` guards what it counts.
        self.created.load(Ordering::Relaxed)
    }

    /// One more than the greatest index that a slot has had.
    pub(crate) fn indices(&self) -> u32 {
        self.growth.lock().indices()
    }

    /// Runs `f` on the class's growth, under its lock.
    pub(crate) fn grow<R>(&self, f: impl FnOnce(&mut Growth) -> R) -> R {
        let mut growth = self.growth.lock();
        let answer = f(&mut growth);
        self.created.store(growth.created(), Ordering::Relaxed);
        answer
    }

    /// The most slots that go on the shared list at a time.
    pub(crate) fn batch_max(&self) -> u32 {
        match self.shape.cache_capacity {
            0 => 1,
            _ => self.shared.batch_max(),
        }
    }

    /// Says that the caller is about to have slots in hand that nobody else can find, until the answer
    /// is dropped. Who finds no slot meanwhile knows that there may be some in a moment.
    ///
    /// A class that is not cached has no need of it: its chains have one slot.
    pub(crate) fn in_transit(&self) -> InTransit<'_> {
        let cached = self.shape.cache_capacity > 0;
        InTransit {
            count: cached.then(|| self.count_transit()),
            ring: None,
        }
    }

    /// As [`in_transit`](Self::in_transit), for the owner of a ring: while the class has no `flags` the ring
    /// alone says it, without a read-modify-write. Who sets one and passes the heavy fence asks the rings;
    /// later ones ask the class.
    ///
    /// # Safety
    ///
    /// The ring is the calling thread's, of this class, and outlives the answer. `flags` reads the class's.
    pub(crate) unsafe fn in_move<'a>(
        &'a self,
        ring: &'a CacheRing<Slot>,
        flags: impl FnOnce() -> u8,
    ) -> InTransit<'a> {
        // SAFETY: the ring is this thread's.
        unsafe { ring.begin_move() };
        InTransit {
            count: (flags() != 0).then(|| self.count_transit()),
            ring: Some(ring),
        }
    }

    fn count_transit(&self) -> &AtomicUsize {
        let count = self.shared.transit();
        // SeqCst, as the load in `has_transit` and the subtraction in `InTransit`: a slot taken off a list
        // behind this is either seen there, or the count is.
        count.fetch_add(1, Ordering::SeqCst);
        count
    }

    /// Whether some thread has slots in hand that nobody else can find, and could know that others search.
    pub(crate) fn has_transit(&self) -> bool {
        self.shared.has_transit()
    }

    /// Whether the class has all slots that it may have.
    pub(crate) fn is_full(&self) -> bool {
        self.created() >= self.shape.limit
    }

    /// Notes a request served from the shared list while the class is starving, and says whether
    /// want is over.
    pub(crate) fn grows_calm(&self) -> bool {
        // Relaxed: a number that only has to be about right.
        if self.calm.fetch_add(1, Ordering::Relaxed) < CALM {
            return false;
        }
        self.calm.store(0, Ordering::Relaxed);
        true
    }

    /// Notes that a request was refused.
    pub(crate) fn is_wanting(&self) {
        if self.calm.load(Ordering::Relaxed) != 0 {
            self.calm.store(0, Ordering::Relaxed);
        }
    }
}

/// See [`Class::in_transit`].
#[derive(Debug)]
pub(crate) struct InTransit<'a> {
    count: Option<&'a AtomicUsize>,
    /// Of this thread, with a move begun for this value.
    ring: Option<&'a CacheRing<Slot>>,
}

impl Drop for InTransit<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.count {
            // SeqCst: see `count_transit`.
            count.fetch_sub(1, Ordering::SeqCst);
        }
        if let Some(ring) = self.ring {
            // SAFETY: this thread's, with a move begun.
            unsafe { ring.end_move() };
        }
    }
}

/// Adds one to a counter of the slow paths.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::asymmetric::Protocol;

    /// Who begins a move while somebody searches is seen by those who ask the class alone.
    #[test]
    fn a_move_is_counted_where_the_class_has_flags() {
        let shape = ClassShape {
            size: 64,
            stride: 64,
            align: 64,
            limit: 8,
            cache_capacity: 4,
        };
        let class = Class::new(shape, 1).expect("memory");
        let ring = CacheRing::new(4, Protocol::of_process());
        for flags in [0, 1] {
            // SAFETY: one thread.
            let one = unsafe { class.in_move(&ring, || flags) };
            // SAFETY: one thread.
            let nested = unsafe { class.in_move(&ring, || flags) };
            assert_eq!(class.has_transit(), flags != 0);
            drop(nested);
            assert!(ring.is_moving());
            assert_eq!(class.has_transit(), flags != 0);
            drop(one);
            assert!(!ring.is_moving() && !class.has_transit());
        }
    }
}
