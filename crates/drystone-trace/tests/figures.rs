//! The figures of a trace small enough to count by hand, and their JSON keys.

mod common;

use common::{records, sample};
use drystone_trace::{Figures, LiveAtEnd, Op, Reallocations, SizeBucket, Sizes, Trace};

fn bucket(size_max_bytes: u64, requests: u64, requested_bytes: u64) -> SizeBucket {
    SizeBucket {
        size_max_bytes,
        requests,
        requested_bytes,
    }
}

fn expected() -> Figures {
    Figures {
        records: 9,
        threads: 2,
        objects: 3,
        allocations: 3,
        zeroed: 1,
        frees: 2,
        reallocations: Reallocations {
            grow: 2,
            shrink: 1,
            same: 0,
        },
        cross_thread_frees: 1,
        cross_thread_reallocations: 2,
        // Object 1 with 8 bytes, object 2 with 4096, and object 0 again with 60.
        peak_live_bytes: 4164,
        peak_live_objects: 3,
        live_at_end: LiveAtEnd {
            objects: 2,
            bytes: 68,
        },
        sizes: Sizes {
            distinct: 7,
            max: 4096,
        },
        requested_bytes: 100 + 250 + 4096 + 8 + 60 + 512,
        timed: false,
        revived_objects: 1,
        freed_within_63_records_ratio: 1.0,
        size_histogram: vec![
            bucket(1, 1, 0),
            bucket(2, 0, 0),
            bucket(4, 0, 0),
            bucket(8, 1, 8),
            bucket(16, 0, 0),
            bucket(32, 0, 0),
            bucket(64, 1, 60),
            bucket(128, 1, 100),
            bucket(256, 1, 250),
            bucket(512, 1, 512),
            bucket(1024, 0, 0),
            bucket(2048, 0, 0),
            bucket(4096, 1, 4096),
        ],
    }
}

#[test]
fn counted_by_hand() {
    assert_eq!(Figures::of(&sample()), expected());
}

#[test]
fn short_lives_end_at_63_records() {
    let mut rows = vec![(0, Op::Allocate, 0, 8, 3), (0, Op::Allocate, 1, 8, 3)];
    rows.extend((0..62).map(|_| (0, Op::Reallocate, 1, 8, 3)));
    rows.extend([(0, Op::Free, 1, 8, 0), (0, Op::Free, 0, 8, 0)]);
    let trace = Trace::from_records(1, 2, records(&rows)).unwrap();
    // Object 1 lives for 63 records, object 0 for 65.
    let figures = Figures::of(&trace);
    assert_eq!(figures.freed_within_63_records_ratio, 0.5);
    assert_eq!(figures.reallocations.same, 62);
}

#[test]
fn sums_that_overflow_stand_as_the_maximum() {
    let size = isize::MAX as u64;
    let rows: Vec<_> = (0..3)
        .map(|object| (0, Op::Allocate, object, size, 0))
        .collect();
    let figures = Figures::of(&Trace::from_records(1, 3, records(&rows)).unwrap());
    let sum = u64::try_from(3 * u128::from(size)).unwrap_or(u64::MAX);
    assert_eq!(figures.peak_live_bytes, sum);
    assert_eq!(figures.requested_bytes, sum);
    assert_eq!(figures.size_histogram, [bucket(size + 1, 3, sum)]);
}

#[test]
fn the_empty_trace_has_no_figures_but_zero() {
    let figures = Figures::of(&Trace::from_records(0, 0, Vec::new()).unwrap());
    assert_eq!(
        (figures.records, figures.freed_within_63_records_ratio),
        (0, 0.0)
    );
    assert!(figures.size_histogram.is_empty());
}

#[cfg(feature = "serde")]
#[test]
fn json_keys() {
    let json = serde_json::to_value(Figures::of(&sample())).unwrap();
    let buckets = json["size_histogram"].as_array().unwrap();
    assert_eq!(
        buckets[0],
        serde_json::json!({ "size_max_bytes": 1, "requests": 1, "requested_bytes": 0 })
    );
    let mut json = json;
    json["size_histogram"] = serde_json::json!(buckets_len(&sample()));
    let expected = serde_json::json!({
        "records": 9,
        "threads": 2,
        "objects": 3,
        "allocations": 3,
        "zeroed": 1,
        "frees": 2,
        "reallocations": { "grow": 2, "shrink": 1, "same": 0 },
        "cross_thread_frees": 1,
        "cross_thread_reallocations": 2,
        "peak_live_bytes": 4164,
        "peak_live_objects": 3,
        "live_at_end": { "objects": 2, "bytes": 68 },
        "sizes": { "distinct": 7, "max": 4096 },
        "requested_bytes": 5026,
        "timed": false,
        "revived_objects": 1,
        "freed_within_63_records_ratio": 1.0,
        "size_histogram": 13,
    });
    assert_eq!(json, expected);
}

#[cfg(feature = "serde")]
fn buckets_len(trace: &Trace) -> usize {
    Figures::of(trace).size_histogram.len()
}
