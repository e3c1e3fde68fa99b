//! [`Class`]: the slots of one size.

use drystone_sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::class_table::ClassShape;
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
    /// Requests served from the shared list since one was refused, while the class is starving.
    calm: AtomicU32,
    pub(crate) counts: ClassCounts,
}

/// What has happened on the slow paths of a class, by threads that have no counters of their own or
/// have ended.
#[derive(Debug, Default)]
pub(crate) struct ClassCounts {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) refills: AtomicU64,
    pub(crate) spills: AtomicU64,
    pub(crate) exhausted: AtomicU64,
    pub(crate) borrowed: AtomicU64,
    pub(crate) sweeps: AtomicU64,
}

impl Class {
    /// A class without slots; `None` if there is no memory for its list.
    pub(crate) fn new(shape: ClassShape, stripes: usize) -> Option<Self> {
        Some(Self {
            shape,
            shared: SharedList::new(shape.limit, stripes)?,
            growth: Mutex::new(Growth::new()),
            created: AtomicU32::new(0),
            calm: AtomicU32::new(0),
            counts: ClassCounts::default(),
        })
    }

    /// The slots that there are.
    pub(crate) fn created(&self) -> u32 {
        // Relaxed: a number; the lock of `growth` guards what it counts.
        self.created.load(Ordering::Relaxed)
    }

    /// Runs `f` on the class's growth, under its lock.
    pub(crate) fn grow<R>(&self, f: impl FnOnce(&mut Growth) -> R) -> R {
        let mut growth = self.growth.lock();
        let answer = f(&mut growth);
        self.created.store(growth.created(), Ordering::Relaxed);
        answer
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

    /// Notes a request that was refused.
    pub(crate) fn is_wanting(&self) {
        count(&self.counts.exhausted);
        if self.calm.load(Ordering::Relaxed) != 0 {
            self.calm.store(0, Ordering::Relaxed);
        }
    }
}

/// Adds one to a counter of the slow paths.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
