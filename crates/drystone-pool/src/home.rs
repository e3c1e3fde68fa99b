//! What a pool does for the threads that use it: [`Home`] for [`Core`].

use std::sync::Arc;

use drystone_sync::atomic::Ordering;

use crate::batch::Batch;
use crate::chain::Chain;
use crate::class_cache::ClassCache;
use crate::core::Core;
use crate::event::Event;
use crate::local::{Home, Spot, ThreadCaches};
use crate::slot::Slot;

impl Home for Core {
    fn open_caches(&self) -> Option<Arc<ThreadCaches>> {
        let lane = self.origins.open();
        let caches = self.classes.iter().map(|class| {
            // At most 65 536 by the configuration's limits.
            let capacity = u32::try_from(class.shape.cache_capacity).unwrap_or(u32::MAX);
            ClassCache::new(capacity, self.protocol).on_lane(lane)
        });
        let caches = Arc::new(ThreadCaches::new(caches.collect()));
        if self.caches.add(&caches) {
            return Some(caches);
        }
        self.close_lane(&caches);
        None
    }

    fn flush_caches(&self, caches: &ThreadCaches) {
        for (class, cache) in caches.classes().iter().enumerate() {
            let _transit = self.classes[class].in_transit();
            let mut chain = Chain::new();
            let link = |slot| {
                // SAFETY: taken off the ring by this thread.
                unsafe { chain.push(slot) };
            };
            // SAFETY: the caller is the ring's owner; the closure only links.
            unsafe { cache.ring.drain(link) };
            self.publish_all(class, chain);
            self.publish_all(class, self.origins.take(cache.lane, class));
            self.classes[class].shared.give_up(&cache.spares);
        }
    }

    fn close_caches(&self, caches: &Arc<ThreadCaches>) {
        self.flush_caches(caches);
        self.caches.remove(caches, || self.keep_counts(caches));
        self.close_lane(caches);
    }

    fn is_closed(&self) -> bool {
        self.has_closed()
    }

    fn spot(&self) -> Spot {
        self.spot
    }
}

impl Core {
    /// Closes the lane of a thread that ends; what others sent there is free.
    fn close_lane(&self, caches: &ThreadCaches) {
        let lane = caches.classes().first().map_or(0, |cache| cache.lane);
        self.origins
            .close(lane, |class, chain| self.publish_all(class, chain));
    }

    /// Adds what a thread that ends has counted to what the pool has.
    fn keep_counts(&self, caches: &ThreadCaches) {
        for (class, cache) in self.classes.iter().zip(caches.classes()) {
            let counts = &class.counts;
            // Relaxed: a number.
            counts.hits.fetch_add(cache.ring.hits(), Ordering::Relaxed);
            for event in Event::ALL {
                counts.events.add_shared(event, cache.events.get(event));
            }
        }
    }

    /// Puts any number of free slots on the shared list, as many at a time as threads take.
    pub(crate) fn publish_all(&self, class: usize, mut chain: Chain<Slot>) {
        let most = self.classes[class].batch_max();
        while !chain.is_empty() {
            let mut batch = Batch::new();
            while batch.len() < most {
                let Some(slot) = chain.pop() else { break };
                batch.push(slot);
            }
            self.publish(class, &mut batch);
        }
    }
}
