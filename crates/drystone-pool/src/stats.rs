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
    /// Bytes of buffers that are out: their strides, however little of them a view shows.
    pub pinned_bytes: u64,
    /// Bytes of untracked buffers that are out, with their records.
    pub fallback_bytes: u64,
    /// Untracked buffers handed out because there was no other. Counter.
    pub fallbacks: u64,
    /// Untracked buffers handed out for any reason. Counter.
    pub untracked: u64,
    /// Requests above the largest class. Counter.
    pub oversized: u64,
    /// Bytes of the regions. Outside the ceiling is what they are longer than their buffers.
    pub region_bytes: u64,
    /// Regions.
    pub regions: u64,
    /// Bytes of the tables with the buffers' records, outside the ceiling.
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
    /// Times that a full cache gave its cold half away. Counter.
    pub spills: u64,
    /// Requests refused because nothing was free and nothing could be made. Counter.
    pub exhausted: u64,
    /// Requests served by a larger class. Counter.
    pub borrowed: u64,
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

    /// Names and values of what is not of a class.
    pub(crate) fn figures(&self) -> [(&'static str, u64); 12] {
        [
            ("budget used bytes", self.budget_used_bytes),
            ("pinned bytes", self.pinned_bytes),
            ("fallback bytes", self.fallback_bytes),
            ("fallbacks", self.fallbacks),
            ("untracked", self.untracked),
            ("oversized", self.oversized),
            ("regions", self.regions),
            ("region bytes", self.region_bytes),
            ("table bytes", self.table_bytes),
            ("threads", self.threads),
            ("source failures", self.source_failures),
            ("advice refused", self.advice_refused),
        ]
    }
}

impl ClassStats {
    /// Names and values, in the order of the table's columns.
    pub(crate) fn figures(&self) -> [(&'static str, u64); 13] {
        [
            ("created", self.created),
            ("in use", self.in_use),
            ("cached", self.cached),
            ("free", self.free),
            ("waiting", self.waiting),
            ("hits", self.hits),
            ("misses", self.misses),
            ("refills", self.refills),
            ("spills", self.spills),
            ("exhausted", self.exhausted),
            ("borrowed", self.borrowed),
            ("sweeps", self.sweeps),
            ("limit", self.limit),
        ]
    }
}

impl fmt::Display for PoolStats {
    /// A table with a line for each class, and a line for each figure of the whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}", "size")?;
        for (name, _) in ClassStats::default().figures() {
            write!(f, "{name:>11}")?;
        }
        writeln!(f)?;
        for class in &self.classes {
            write!(f, "{:>10}", class.size_bytes)?;
            for (_, value) in class.figures() {
                write!(f, "{value:>11}")?;
            }
            writeln!(f)?;
        }
        for (name, value) in self.figures() {
            writeln!(f, "{name:<20}{value:>20}")?;
        }
        match self.budget_limit_bytes {
            Some(bytes) => write!(f, "{:<20}{bytes:>20}", "budget limit bytes"),
            None => write!(f, "{:<20}{:>20}", "budget limit bytes", "none"),
        }
    }
}
