//! How the figures of [`PoolStats`] are gathered.

use drystone_sync::atomic::{AtomicU64, Ordering};

use crate::core::Core;
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
        let mut threads = 0;
        self.caches.each_while(|caches| {
            threads += 1;
            for (class, cache) in classes.iter_mut().zip(caches.classes()) {
                class.cached += cache.ring.len_hint() as u64;
                class.hits += cache.ring.hits();
                class.misses += cache.misses.get();
                class.refills += cache.refills.get();
                class.spills += cache.spills.get();
            }
            true
        });
        for class in &mut classes {
            class.in_use = class.created.saturating_sub(class.cached + class.free);
        }
        let mut stats = PoolStats {
            pinned_bytes: classes
                .iter()
                .map(|class| class.in_use * class.stride_bytes)
                .sum(),
            classes,
            budget_used_bytes: self.budget.used() as u64,
            budget_limit_bytes: self.budget.limit().map(|bytes| bytes as u64),
            fallback_bytes: read(&self.counts.untracked_bytes),
            fallbacks: read(&self.counts.fallbacks),
            untracked: read(&self.counts.untracked),
            oversized: read(&self.counts.oversized),
            threads,
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
            hits: read(&own.counts.hits),
            misses: read(&own.counts.misses),
            refills: read(&own.counts.refills),
            spills: read(&own.counts.spills),
            exhausted: read(&own.counts.exhausted),
            borrowed: read(&own.counts.borrowed),
            sweeps: read(&own.counts.sweeps),
            ..ClassStats::default()
        }
    }
}
