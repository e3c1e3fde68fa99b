//! How the figures of [`PoolStats`] are gathered.

use drystone_sync::atomic::{AtomicU64, Ordering};

use crate::core::Core;
use crate::event::{Event, Events};
use crate::{ClassStats, PoolStats};

/// A counter at some moment.
fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Core {
    /// How often the source has refused a region.
    pub(crate) fn source_failures(&self) -> u64 {
        read(&self.counts.source_failures)
    }

    /// What the pool has done and holds.
    pub(crate) fn stats(&self) -> PoolStats {
        let mut classes: Vec<_> = (0..self.classes.len())
            .map(|c| self.class_stats(c))
            .collect();
        let threads = self.add_events(&mut classes);
        for class in &mut classes {
            class.in_use = class.created.saturating_sub(class.cached + class.free);
            class.pinned_bytes = class.in_use * class.stride_bytes;
        }
        let total = |figure: fn(&ClassStats) -> u64| classes.iter().map(figure).sum();
        let mut stats = PoolStats {
            pinned_bytes: total(|class| class.pinned_bytes),
            fallbacks: total(|class| class.fallbacks),
            oversized: total(|class| class.oversized),
            budget_used_bytes: self.budget.used() as u64,
            budget_limit_bytes: self.budget.limit().map(|bytes| bytes as u64),
            fallback_bytes: read(&self.counts.untracked_bytes),
            untracked: read(&self.counts.untracked),
            threads,
            classes,
            source_failures: read(&self.counts.source_failures),
            advice_refused: read(&self.counts.advice_refused),
            ..PoolStats::default()
        };
        self.regions.for_each(|region| {
            // SAFETY: regions live while the table is locked.
            let region = unsafe { region.as_ref() };
            stats.regions += 1;
            stats.region_bytes += region.bytes() as u64;
            stats.table_bytes += region.table_bytes() as u64;
        });
        for class in &self.classes {
            stats.table_bytes += class.shared.table_bytes() as u64;
        }
        stats
    }

    /// Adds what threads have counted and cached; the answer is how many have caches.
    ///
    /// Counts of threads that ended are read under the lock under which a thread's are added to them, so
    /// that none is missed and none is counted twice.
    fn add_events(&self, classes: &mut [ClassStats]) -> u64 {
        self.caches.with(|threads| {
            for (class, own) in classes.iter_mut().zip(&self.classes) {
                class.add(read(&own.counts.hits), &own.counts.events);
            }
            for caches in threads {
                for (class, cache) in classes.iter_mut().zip(caches.classes()) {
                    class.cached += cache.ring.len_hint() as u64;
                    class.add(cache.ring.hits(), &cache.events);
                }
            }
            threads.len() as u64
        })
    }

    /// What is known of a class without its threads.
    fn class_stats(&self, class: usize) -> ClassStats {
        let own = &self.classes[class];
        ClassStats {
            size_bytes: own.shape.size as u64,
            stride_bytes: own.shape.stride as u64,
            limit: u64::from(own.shape.limit),
            cache_capacity: own.shape.cache_capacity as u64,
            created: u64::from(own.created()),
            free: own.shared.len_hint() as u64,
            waiting: self.waiters.with(|queues| queues.waiting(class)) as u64,
            sweeps: read(&own.counts.sweeps),
            ..ClassStats::default()
        }
    }
}

impl ClassStats {
    fn add(&mut self, hits: u64, events: &Events) {
        self.hits += hits;
        self.misses += events.get(Event::Miss);
        self.refills += events.get(Event::Refill);
        self.spills += events.get(Event::Spill);
        self.exhausted += events.get(Event::Exhausted);
        self.borrowed += events.get(Event::Borrowed);
        self.fallbacks += events.get(Event::Fallback);
        self.oversized += events.get(Event::Oversized);
    }
}
