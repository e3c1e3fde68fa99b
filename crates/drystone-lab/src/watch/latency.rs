//! The time of one in N operations.
//!
//! # What
//! A pair of clock reads costs more than a fast allocation, so only one operation in
//! [`ONE_IN`] on average is timed, with a random distance to the next: a fixed stride would beat
//! with the program's own rhythm. The cost of an empty pair is measured and reported, not
//! subtracted.
//!
//! # Cost
//! A decrement an operation; two clock reads and a histogram update a sample. The histogram is of
//! fixed size.

use hdrhistogram::Histogram;
use std::time::Instant;

use super::Watch;
use crate::random::Random;

/// Mean distance between two samples, in operations.
pub(crate) const ONE_IN: u32 = 32;

/// Ten seconds: longer operations count as ten seconds.
const LONGEST_NS: u64 = 10_000_000_000;

/// Samples latencies of one thread.
pub(crate) struct Latency {
    histogram: Histogram<u64>,
    random: Random,
    left: u32,
    since: Option<Instant>,
}

/// An empty histogram with 3 significant digits up to [`LONGEST_NS`].
pub(crate) fn histogram() -> Histogram<u64> {
    // The bounds are constants of the documented range, so construction cannot fail; a histogram
    // that resizes itself would be the answer if it did.
    Histogram::new_with_bounds(1, LONGEST_NS, 3)
        .unwrap_or_else(|_| unreachable!("constant bounds are valid"))
}

impl Latency {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let left = random.below(2 * ONE_IN) + 1;
        Self {
            histogram: histogram(),
            random,
            left,
            since: None,
        }
    }

    pub(crate) fn into_histogram(self) -> Histogram<u64> {
        self.histogram
    }
}

impl Watch for Latency {
    #[inline]
    fn before(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.left = self.random.below(2 * ONE_IN - 1) + 1;
            self.since = Some(Instant::now());
        }
    }

    #[inline]
    fn after(&mut self) {
        if let Some(since) = self.since.take() {
            let ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.histogram.saturating_record(ns.max(1));
        }
    }
}

/// Median cost of an empty pair of clock reads, in nanoseconds.
pub(crate) fn clock_pair_ns() -> u64 {
    let mut pairs: Vec<u64> = (0..1001)
        .map(|_| u64::try_from(Instant::now().elapsed().as_nanos()).unwrap_or(u64::MAX))
        .collect();
    pairs.sort_unstable();
    pairs[pairs.len() / 2]
}
