//! [`PoolStats`] and [`ClassStats`]: what a pool has done and holds.

use core::fmt;

/// What a pool has done and what it holds.
///
/// Counters only rise; all else is of the moment. The figures of a pool that is in use meanwhile are
/// each right at some moment during the call, not all at the same one.
///
/// ```
/// use drystone_pool::{BufferPool, BufferPoolConfig};
///
/// let pool = BufferPool::new(BufferPoolConfig::for_network())?;
/// let _buf = pool.try_alloc(3000)?;
/// let stats = pool.stats();
/// let class = &stats.classes[2];
/// assert_eq!((class.size_bytes, class.in_use), (4096, 1));
/// println!("{stats}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct PoolStats {
    /// The classes, by rising size.
    pub classes: Vec<ClassStats>,
    /// Bytes that count against the ceiling: the strides of all buffers that exist, and untracked
    /// buffers.
    pub budget_used_bytes: u64,
    /// The ceiling, if there is one.
    pub budget_limit_bytes: Option<u64>,
    /// Bytes of buffers that are out, of all classes.
    pub pinned_bytes: u64,
    /// Bytes of untracked buffers that are out, with their records.
    pub fallback_bytes: u64,
    /// Untracked buffers handed out because there was no other: the sum over the classes. Counter.
    pub fallbacks: u64,
    /// Untracked buffers handed out for any reason. Counter.
    pub untracked: u64,
    /// Requests above the largest class, and that class's figure. Counter.
    pub oversized: u64,
    /// Bytes of the regions. Outside the ceiling is what they are longer than their buffers.
    pub region_bytes: u64,
    /// Regions.
    pub regions: u64,
    /// Bytes of the tables: the records of the buffers that exist, and the lists with a place for each
    /// that may exist, whose pages have memory only where they were used. Outside the ceiling.
    pub table_bytes: u64,
    /// Threads that have caches of the pool.
    pub threads: u64,
    /// Times that the source refused a region. Counter.
    pub source_failures: u64,
    /// Times that the system refused to be advised of huge pages. Counter.
    pub advice_refused: u64,
}

/// What a class has done and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct ClassStats {
    /// The bytes of a buffer.
    pub size_bytes: u64,
    /// The bytes from one buffer to the next, which the ceiling counts.
    pub stride_bytes: u64,
    /// The most buffers that there may be.
    pub limit: u64,
    /// The most that a thread caches.
    pub cache_capacity: u64,
    /// Buffers that exist.
    pub created: u64,
    /// Buffers that views have, or who waited and has not come yet.
    pub in_use: u64,
    /// Bytes of buffers that are out: their strides, however little of them a view shows.
    pub pinned_bytes: u64,
    /// Free buffers in threads' caches.
    pub cached: u64,
    /// Free buffers in the shared list.
    pub free: u64,
    /// Requests that wait.
    pub waiting: u64,
    /// Requests served from the thread's cache. Counter.
    pub hits: u64,
    /// Requests that were not. Counter.
    pub misses: u64,
    /// Times that buffers came from the shared list to a thread. Counter.
    pub refills: u64,
    /// Times that a full cache gave its cold end away. Counter.
    pub spills: u64,
    /// Requests that found nothing free and could make nothing, also where untracked memory or a
    /// wait served them then. Counter. With the smallest class: also those below the pool's least size
    /// that found no memory.
    pub exhausted: u64,
    /// Requests served by a larger class. Counter.
    pub borrowed: u64,
    /// Requests of [`alloc`](crate::BufferPool::alloc) for this class that got untracked memory, since
    /// there was no buffer. Counter. With the largest class: also those above it.
    pub fallbacks: u64,
    /// Requests above the largest class. Counter. 0 but for the largest class.
    pub oversized: u64,
    /// Searches through all threads' caches. Counter.
    pub sweeps: u64,
}

impl PoolStats {
    /// The class that serves `bytes`, if any does.
    #[must_use]
    pub fn class(&self, bytes: usize) -> Option<&ClassStats> {
        self.classes
            .iter()
            .find(|class| class.size_bytes >= bytes as u64)
    }

    /// The sum of a figure over all classes.
    #[must_use]
    pub fn total(&self, figure: impl Fn(&ClassStats) -> u64) -> u64 {
        self.classes.iter().map(figure).sum()
    }

    /// What is not of a class.
    pub(crate) fn figures(&self) -> [Figure; 12] {
        [
            Figure::gauge("budget_used_bytes", self.budget_used_bytes),
            Figure::gauge("pinned_bytes", self.pinned_bytes),
            Figure::gauge("fallback_bytes", self.fallback_bytes),
            Figure::counter("fallbacks", self.fallbacks),
            Figure::counter("untracked", self.untracked),
            Figure::counter("oversized", self.oversized),
            Figure::gauge("regions", self.regions),
            Figure::gauge("region_bytes", self.region_bytes),
            Figure::gauge("table_bytes", self.table_bytes),
            Figure::gauge("threads", self.threads),
            Figure::counter("source_failures", self.source_failures),
            Figure::counter("advice_refused", self.advice_refused),
        ]
    }
}

impl ClassStats {
    /// What there is, in the order of the table's columns.
    pub(crate) fn figures(&self) -> [Figure; 16] {
        [
            Figure::gauge("created", self.created),
            Figure::gauge("in_use", self.in_use),
            Figure::gauge("pinned_bytes", self.pinned_bytes),
            Figure::gauge("cached", self.cached),
            Figure::gauge("free", self.free),
            Figure::gauge("waiting", self.waiting),
            Figure::counter("hits", self.hits),
            Figure::counter("misses", self.misses),
            Figure::counter("refills", self.refills),
            Figure::counter("spills", self.spills),
            Figure::counter("exhausted", self.exhausted),
            Figure::counter("borrowed", self.borrowed),
            Figure::counter("fallbacks", self.fallbacks),
            Figure::counter("oversized", self.oversized),
            Figure::counter("sweeps", self.sweeps),
            Figure::gauge("limit", self.limit),
        ]
    }
}

/// A figure as exporters see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: u64,
    /// Only rises.
    #[cfg_attr(
        not(any(feature = "metrics", feature = "prometheus")),
        expect(dead_code, reason = "for exporters")
    )]
    pub(crate) is_counter: bool,
}

impl Figure {
    const fn gauge(name: &'static str, value: u64) -> Self {
        Self {
            name,
            value,
            is_counter: false,
        }
    }

    const fn counter(name: &'static str, value: u64) -> Self {
        Self {
            name,
            value,
            is_counter: true,
        }
    }
}

impl fmt::Display for PoolStats {
    /// A table with a line for each class, and a line for each figure of the whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}", "size")?;
        for figure in ClassStats::default().figures() {
            write!(f, "{:>14}", figure.name)?;
        }
        writeln!(f)?;
        for class in &self.classes {
            write!(f, "{:>10}", class.size_bytes)?;
            for figure in class.figures() {
                write!(f, "{:>14}", figure.value)?;
            }
            writeln!(f)?;
        }
        for figure in self.figures() {
            writeln!(f, "{:<20}{:>20}", figure.name, figure.value)?;
        }
        match self.budget_limit_bytes {
            Some(bytes) => write!(f, "{:<20}{bytes:>20}", "budget_limit_bytes"),
            None => write!(f, "{:<20}{:>20}", "budget_limit_bytes", "none"),
        }
    }
}
