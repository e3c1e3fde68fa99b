//! Resident memory over the records of a replay.
//!
//! # What
//! The thread that executes every K-th record, and the one that reaches the recorded peak, reads
//! the process's memory. Live bytes are counted as the replay goes, because threads may reach
//! another peak than the recording did.
//!
//! # Threads
//! One [`MemoryLog`] is shared; each record belongs to one thread, so each of its places is
//! written once.
//!
//! # Cost
//! Two atomic operations an operation and a system call of up to a millisecond a sample: the pass
//! is not timed.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Watch;
use crate::memory::{MemoryReader, Usage};
use crate::program::Step;

/// A sample before anything was sampled.
const EMPTY: u64 = u64::MAX;

#[derive(Default)]
struct Place {
    record: AtomicU64,
    live: AtomicU64,
    usage: [AtomicU64; 5],
}

/// All samples of a pass.
pub(crate) struct MemoryLog {
    reader: MemoryReader,
    sample_every: u32,
    peak_record: u32,
    places: Vec<Place>,
    live: AtomicI64,
    live_peak: AtomicI64,
}

/// One sample.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct MemorySample {
    pub(crate) record: u64,
    pub(crate) live_bytes: u64,
    #[serde(flatten)]
    pub(crate) usage: Usage,
}

impl MemoryLog {
    pub(crate) fn new(
        reader: MemoryReader,
        records: u32,
        sample_every: u32,
        peak_record: u32,
    ) -> Self {
        // One for every K-th record, one for the peak, one for the end.
        let places = records / sample_every + 3;
        let empty = || {
            let place = Place::default();
            place.record.store(EMPTY, Ordering::Relaxed);
            place
        };
        Self {
            reader,
            sample_every,
            peak_record,
            places: (0..places).map(|_| empty()).collect(),
            live: AtomicI64::new(0),
            live_peak: AtomicI64::new(0),
        }
    }

    /// What is resident now.
    pub(crate) fn read(&self) -> Option<Usage> {
        self.reader.read()
    }

    /// The last sample, after the last record and before what is live is freed.
    pub(crate) fn sample_end(&self, records: u32) {
        self.sample(self.places.len() - 2, records);
    }

    fn sample(&self, place: usize, record: u32) {
        let (Some(place), Some(usage)) = (self.places.get(place), self.reader.read()) else {
            return;
        };
        let live = u64::try_from(self.live.load(Ordering::Relaxed)).unwrap_or(0);
        place.live.store(live, Ordering::Relaxed);
        for (cell, value) in place.usage.iter().zip(usage.fields()) {
            cell.store(value, Ordering::Relaxed);
        }
        place.record.store(u64::from(record), Ordering::Relaxed);
    }

    /// Greatest live bytes of the replay itself.
    pub(crate) fn live_peak_bytes(&self) -> u64 {
        u64::try_from(self.live_peak.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// The samples in the order of their records.
    pub(crate) fn samples(&self) -> Vec<MemorySample> {
        let mut samples: Vec<MemorySample> = self
            .places
            .iter()
            .filter(|place| place.record.load(Ordering::Relaxed) != EMPTY)
            .map(|place| MemorySample {
                record: place.record.load(Ordering::Relaxed),
                live_bytes: place.live.load(Ordering::Relaxed),
                usage: Usage::from_fields(
                    place
                        .usage
                        .each_ref()
                        .map(|cell| cell.load(Ordering::Relaxed)),
                ),
            })
            .collect();
        samples.sort_by_key(|sample| sample.record);
        samples
    }
}

/// The watcher of one thread.
pub(crate) struct Memory<'a>(pub(crate) &'a MemoryLog);

impl Watch for Memory<'_> {
    #[inline]
    fn finished(&mut self, step: &Step, live_delta_bytes: i64) {
        let log = self.0;
        let live = log.live.fetch_add(live_delta_bytes, Ordering::Relaxed) + live_delta_bytes;
        log.live_peak.fetch_max(live, Ordering::Relaxed);
        if step.record.is_multiple_of(log.sample_every) {
            log.sample((step.record / log.sample_every) as usize, step.record);
        } else if step.record == log.peak_record {
            log.sample(log.places.len() - 1, step.record);
        }
    }
}
