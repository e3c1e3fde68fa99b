//! [`CacheList`]: the caches that threads have of a pool.

use std::sync::Arc;

use crate::local::ThreadCaches;
use crate::lock::Mutex;

/// The caches of every thread that uses the pool, for thieves and for statistics.
#[derive(Debug)]
pub(crate) struct CacheList {
    caches: Mutex<Vec<Arc<ThreadCaches>>>,
}

impl CacheList {
    pub(crate) fn new() -> Self {
        Self {
            caches: Mutex::new(Vec::new()),
        }
    }

    /// Lists a thread's caches; `false` if there is no memory for the entry.
    pub(crate) fn add(&self, caches: &Arc<ThreadCaches>) -> bool {
        let mut list = self.caches.lock();
        let room = list.try_reserve(1).is_ok();
        if room {
            list.push(Arc::clone(caches));
        }
        room
    }

    /// Takes a thread's caches off the list, and does what must be seen together with that.
    pub(crate) fn remove(&self, caches: &Arc<ThreadCaches>, together: impl FnOnce()) {
        let mut list = self.caches.lock();
        together();
        if let Some(at) = list.iter().position(|listed| Arc::ptr_eq(listed, caches)) {
            list.swap_remove(at);
        }
        if list.len() < list.capacity() / 4 {
            list.shrink_to_fit();
        }
    }

    /// Calls `see` with the caches of each thread until it answers `false`. Threads that open or
    /// close caches wait meanwhile.
    pub(crate) fn each_while(&self, mut see: impl FnMut(&ThreadCaches) -> bool) {
        self.with(|list| {
            let _ = list.iter().all(|caches| see(caches));
        });
    }

    /// Runs `f` on the caches of all threads, as [`each_while`](Self::each_while).
    pub(crate) fn with<R>(&self, f: impl FnOnce(&[Arc<ThreadCaches>]) -> R) -> R {
        f(&self.caches.lock())
    }
}
