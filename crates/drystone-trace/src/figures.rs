//! What a trace amounts to, in numbers.

use crate::record::{Op, Record};
use crate::trace::Trace;

/// Lifetimes of at most this many records count as short.
const SHORT_LIFE_RECORDS: u64 = 63;

/// Counts, peaks and sizes of a trace. With the feature `serde` each field is a JSON key of the
/// same name.
///
/// Sizes are the requested ones, in bytes: those of allocations and the new sizes of
/// reallocations. Sums that exceed `u64` stand as `u64::MAX`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Figures {
    /// Operations.
    pub records: u64,
    /// Threads.
    pub threads: u32,
    /// Object ids.
    pub objects: u64,
    /// Allocations that did not ask for zeroed memory.
    pub allocations: u64,
    /// Allocations that asked for zeroed memory.
    pub zeroed: u64,
    /// Frees.
    pub frees: u64,
    /// Reallocations, by direction.
    pub reallocations: Reallocations,
    /// Frees by a thread other than the one that allocated the object.
    pub cross_thread_frees: u64,
    /// Reallocations by a thread other than the one that allocated the object.
    pub cross_thread_reallocations: u64,
    /// Most bytes that were live at one time.
    pub peak_live_bytes: u64,
    /// Most objects that were live at one time.
    pub peak_live_objects: u64,
    /// What was never freed.
    pub live_at_end: LiveAtEnd,
    /// The sizes asked for.
    pub sizes: Sizes,
    /// Sum of all sizes asked for.
    pub requested_bytes: u64,
    /// Whether the trace knows when each operation happened. The `.satrace` form does not.
    pub timed: bool,
    /// Allocations under an id that had been freed before.
    pub revived_objects: u64,
    /// Share of the frees, 0 to 1, that came at most 63 records after the allocation; 0 if there
    /// is no free.
    pub freed_within_63_records_ratio: f64,
    /// Sizes in powers of two, smallest first, from the first bucket that holds something to the
    /// last.
    pub size_histogram: Vec<SizeBucket>,
}

/// Reallocations by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Reallocations {
    /// To a larger size.
    pub grow: u64,
    /// To a smaller size.
    pub shrink: u64,
    /// To the same size.
    pub same: u64,
}

/// What is live behind the last record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LiveAtEnd {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The sizes that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Sizes {
    /// How many different ones.
    pub distinct: u64,
    /// The largest, in bytes.
    pub max: u64,
}

/// The requests of one range of sizes: above half of `size_max_bytes`, up to and including it. The
/// first bucket, of 1 byte, holds size 0 too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SizeBucket {
    /// Largest size of the bucket, a power of two.
    pub size_max_bytes: u64,
    /// Allocations and reallocations.
    pub requests: u64,
    /// Sum of their sizes.
    pub requested_bytes: u64,
}

impl Figures {
    /// Measures `trace` in one pass, with 24 bytes an object and 8 bytes a request.
    pub fn of(trace: &Trace) -> Figures {
        let mut pass = Pass::new(trace);
        for (number, record) in trace.records().iter().enumerate() {
            pass.step(number as u64, record);
        }
        pass.finish(trace)
    }
}

/// The last known state of an object.
#[derive(Clone, Copy, Default)]
struct Object {
    size: u64,
    /// Record number of the allocation.
    born: u64,
    thread: u16,
    /// Whether a record has allocated it yet.
    seen: bool,
}

struct Pass {
    objects: Vec<Object>,
    sizes: Vec<u64>,
    ops: [u64; 4],
    reallocations: Reallocations,
    cross_thread_frees: u64,
    cross_thread_reallocations: u64,
    live_objects: u64,
    peak_live_objects: u64,
    live_bytes: u128,
    peak_live_bytes: u128,
    revived_objects: u64,
    short_lives: u64,
}

impl Pass {
    fn new(trace: &Trace) -> Pass {
        Pass {
            objects: vec![Object::default(); trace.objects() as usize],
            sizes: Vec::new(),
            ops: [0; 4],
            reallocations: Reallocations::default(),
            cross_thread_frees: 0,
            cross_thread_reallocations: 0,
            live_objects: 0,
            peak_live_objects: 0,
            live_bytes: 0,
            peak_live_bytes: 0,
            revived_objects: 0,
            short_lives: 0,
        }
    }

    fn step(&mut self, number: u64, record: &Record) {
        self.ops[record.op as usize] += 1;
        match record.op {
            Op::Allocate | Op::AllocateZeroed => self.allocate(number, record),
            Op::Free => self.free(number, record),
            Op::Reallocate => self.reallocate(record),
        }
        self.peak_live_objects = self.peak_live_objects.max(self.live_objects);
        self.peak_live_bytes = self.peak_live_bytes.max(self.live_bytes);
    }

    fn allocate(&mut self, number: u64, record: &Record) {
        let object = &mut self.objects[record.object as usize];
        self.revived_objects += u64::from(object.seen);
        *object = Object {
            size: record.size,
            born: number,
            thread: record.thread,
            seen: true,
        };
        self.sizes.push(record.size);
        self.live_objects += 1;
        self.live_bytes += u128::from(record.size);
    }

    fn free(&mut self, number: u64, record: &Record) {
        let object = &self.objects[record.object as usize];
        self.cross_thread_frees += u64::from(object.thread != record.thread);
        self.short_lives += u64::from(number - object.born <= SHORT_LIFE_RECORDS);
        self.live_objects -= 1;
        self.live_bytes -= u128::from(object.size);
    }

    fn reallocate(&mut self, record: &Record) {
        let object = &mut self.objects[record.object as usize];
        self.cross_thread_reallocations += u64::from(object.thread != record.thread);
        let direction = match record.size.cmp(&object.size) {
            core::cmp::Ordering::Greater => &mut self.reallocations.grow,
            core::cmp::Ordering::Less => &mut self.reallocations.shrink,
            core::cmp::Ordering::Equal => &mut self.reallocations.same,
        };
        *direction += 1;
        self.live_bytes -= u128::from(object.size);
        self.live_bytes += u128::from(record.size);
        object.size = record.size;
        self.sizes.push(record.size);
    }

    fn finish(mut self, trace: &Trace) -> Figures {
        self.sizes.sort_unstable();
        let size_histogram = histogram(&self.sizes);
        let requested: u128 = self.sizes.iter().map(|&size| u128::from(size)).sum();
        let max = self.sizes.last().copied().unwrap_or(0);
        self.sizes.dedup();
        let frees = self.ops[Op::Free as usize];
        Figures {
            records: trace.records().len() as u64,
            threads: trace.threads(),
            objects: trace.objects(),
            allocations: self.ops[Op::Allocate as usize],
            zeroed: self.ops[Op::AllocateZeroed as usize],
            frees,
            reallocations: self.reallocations,
            cross_thread_frees: self.cross_thread_frees,
            cross_thread_reallocations: self.cross_thread_reallocations,
            peak_live_bytes: clamp(self.peak_live_bytes),
            peak_live_objects: self.peak_live_objects,
            live_at_end: LiveAtEnd {
                objects: self.live_objects,
                bytes: clamp(self.live_bytes),
            },
            sizes: Sizes {
                distinct: self.sizes.len() as u64,
                max,
            },
            requested_bytes: clamp(requested),
            timed: trace.times_ns().is_some(),
            revived_objects: self.revived_objects,
            freed_within_63_records_ratio: self.short_lives as f64 / frees.max(1) as f64,
            size_histogram,
        }
    }
}

fn clamp(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Buckets of `sorted`, in powers of two.
fn histogram(sorted: &[u64]) -> Vec<SizeBucket> {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        return Vec::new();
    };
    // A valid size is at most isize::MAX, so the next power of two exists.
    let mut size_max_bytes = first.max(&1).next_power_of_two();
    let mut rest = sorted;
    let mut buckets = Vec::new();
    while !rest.is_empty() {
        let (inside, above) = rest.split_at(rest.partition_point(|&size| size <= size_max_bytes));
        let bytes: u128 = inside.iter().map(|&size| u128::from(size)).sum();
        let requests = inside.len() as u64;
        buckets.push(SizeBucket {
            size_max_bytes,
            requests,
            requested_bytes: clamp(bytes),
        });
        size_max_bytes = size_max_bytes.saturating_mul(2);
        rest = above;
    }
    debug_assert!(
        buckets
            .last()
            .is_some_and(|bucket| bucket.size_max_bytes >= *last)
    );
    buckets
}
