//! [`Stats`]: what an allocator has done and what it holds.

use core::fmt;
use core::ops::Sub;

/// What an allocator has done and what it holds: plain data, for every allocator the same.
///
/// *Counters* only rise: allocations, deallocations, reallocations, failures, the bytes asked for
/// and given back, corruption events. *Gauges* describe the moment: the peak and the capacity.
/// `later - earlier` subtracts the counters and keeps the gauges of the later one.
///
/// The figures of an allocator that other threads use meanwhile are each right at some moment
/// during the call, not all at the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct Stats {
    /// Blocks handed out.
    pub allocations: u64,
    /// Blocks taken back.
    pub deallocations: u64,
    /// Blocks that were grown or shrunk, in place or not. Neither an allocation nor a
    /// deallocation is counted for them.
    pub reallocations: u64,
    /// Requests refused, of any kind.
    pub failures: u64,
    /// Bytes asked for in all: the requested sizes, and what growing added.
    pub allocated_bytes: u64,
    /// Bytes given back in all: the requested sizes, and what shrinking took.
    pub deallocated_bytes: u64,
    /// The highest that [`live_bytes`](Stats::live_bytes) has been.
    pub peak_live_bytes: u64,
    /// How many times bookkeeping was found damaged.
    pub corruption_events: u64,
    /// The bytes that can be handed out in all; `None` where there is no fixed limit.
    pub capacity_bytes: Option<u64>,
}

impl Stats {
    /// Blocks handed out and not taken back.
    #[must_use]
    pub const fn live_blocks(&self) -> u64 {
        self.allocations.saturating_sub(self.deallocations)
    }

    /// Requested bytes of the live blocks.
    #[must_use]
    pub const fn live_bytes(&self) -> u64 {
        self.allocated_bytes.saturating_sub(self.deallocated_bytes)
    }
}

impl Sub for Stats {
    type Output = Self;

    /// What happened between `earlier` and `self`: counters are subtracted (never below 0), gauges
    /// are those of `self`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            allocations: self.allocations.saturating_sub(earlier.allocations),
            deallocations: self.deallocations.saturating_sub(earlier.deallocations),
            reallocations: self.reallocations.saturating_sub(earlier.reallocations),
            failures: self.failures.saturating_sub(earlier.failures),
            allocated_bytes: self.allocated_bytes.saturating_sub(earlier.allocated_bytes),
            deallocated_bytes: self
                .deallocated_bytes
                .saturating_sub(earlier.deallocated_bytes),
            peak_live_bytes: self.peak_live_bytes,
            corruption_events: self
                .corruption_events
                .saturating_sub(earlier.corruption_events),
            capacity_bytes: self.capacity_bytes,
        }
    }
}

impl fmt::Display for Stats {
    /// A table of two columns, a figure a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("allocations", self.allocations),
            ("deallocations", self.deallocations),
            ("reallocations", self.reallocations),
            ("failures", self.failures),
            ("live blocks", self.live_blocks()),
            ("live bytes", self.live_bytes()),
            ("peak live bytes", self.peak_live_bytes),
            ("allocated bytes", self.allocated_bytes),
            ("deallocated bytes", self.deallocated_bytes),
            ("corruption events", self.corruption_events),
        ];
        for (name, value) in rows {
            writeln!(f, "{name:<18}{value:>20}")?;
        }
        match self.capacity_bytes {
            Some(bytes) => write!(f, "{:<18}{bytes:>20}", "capacity bytes"),
            None => write!(f, "{:<18}{:>20}", "capacity bytes", "no limit"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    #[test]
    fn a_delta_subtracts_counters_and_keeps_gauges() {
        let earlier = Stats {
            allocations: 3,
            allocated_bytes: 30,
            peak_live_bytes: 30,
            ..Stats::default()
        };
        let later = Stats {
            allocations: 10,
            deallocations: 4,
            allocated_bytes: 100,
            deallocated_bytes: 40,
            peak_live_bytes: 70,
            capacity_bytes: Some(4096),
            ..Stats::default()
        };
        let delta = later - earlier;
        assert_eq!((delta.allocations, delta.deallocations), (7, 4));
        assert_eq!(delta.allocated_bytes, 70);
        assert_eq!(delta.peak_live_bytes, 70);
        assert_eq!(delta.capacity_bytes, Some(4096));
        assert_eq!((later.live_blocks(), later.live_bytes()), (6, 60));
        assert_eq!((earlier - later).allocations, 0);
    }

    #[test]
    fn the_table_names_every_figure_once() {
        let text = Stats {
            allocations: 12_345,
            ..Stats::default()
        }
        .to_string();
        assert_eq!(text.lines().count(), 11);
        assert!(text.contains("12345"));
        assert!(text.ends_with("no limit"));
    }
}
