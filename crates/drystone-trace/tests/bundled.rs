//! The four recorded traces of real programs, pinned figure by figure.
#![cfg(not(miri))] // Reads files of several megabytes, which the interpreter takes hours for.

use std::path::PathBuf;

use drystone_trace::{Figures, LiveAtEnd, Reallocations, Sizes, Trace};

fn read(program: &str) -> Trace {
    let traces = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../drystone-lab/traces");
    Trace::read(&traces.join(format!("{program}.satrace.zst"))).expect("a bundled trace is valid")
}

/// Compares all figures; the histogram only by its sum, and the share of short lives in percent
/// with as many digits as `short_percent` has.
fn pin(program: &str, expected: Figures, short_percent: &str) {
    let trace = read(program);
    let figures = Figures::of(&trace);
    let precision = short_percent
        .split_once('.')
        .map_or(0, |(_, digits)| digits.len());
    let percent = 100.0 * figures.freed_within_63_records_ratio;
    assert_eq!(format!("{percent:.precision$}"), short_percent, "{program}");
    let bytes: u64 = figures
        .size_histogram
        .iter()
        .map(|bucket| bucket.requested_bytes)
        .sum();
    assert_eq!(bytes, figures.requested_bytes, "{program}");
    let known = Figures {
        freed_within_63_records_ratio: figures.freed_within_63_records_ratio,
        size_histogram: figures.size_histogram.clone(),
        ..expected
    };
    assert_eq!(figures, known, "{program}");
    assert!(
        trace.records().iter().all(|record| record.size > 0),
        "{program}"
    );
}

#[test]
fn sqlite() {
    let expected = Figures {
        records: 945_002,
        threads: 1,
        objects: 384_443,
        allocations: 384_443,
        zeroed: 0,
        frees: 384_428,
        reallocations: Reallocations {
            grow: 116_131,
            shrink: 60_000,
            same: 0,
        },
        cross_thread_frees: 0,
        cross_thread_reallocations: 0,
        peak_live_bytes: 15_571_996,
        peak_live_objects: 9_390,
        live_at_end: LiveAtEnd {
            objects: 15,
            bytes: 8_937,
        },
        sizes: Sizes {
            distinct: 122,
            max: 2_048_008,
        },
        requested_bytes: 90_560_332,
        timed: false,
        revived_objects: 0,
        freed_within_63_records_ratio: 0.0,
        size_histogram: Vec::new(),
    };
    pin("sqlite", expected, "95.8");
}

#[test]
fn lua() {
    let expected = Figures {
        records: 562_460,
        threads: 1,
        objects: 251_192,
        allocations: 251_192,
        zeroed: 0,
        frees: 251_192,
        reallocations: Reallocations {
            grow: 60_066,
            shrink: 5,
            same: 5,
        },
        cross_thread_frees: 0,
        cross_thread_reallocations: 0,
        peak_live_bytes: 13_072_768,
        peak_live_objects: 221_132,
        live_at_end: LiveAtEnd {
            objects: 0,
            bytes: 0,
        },
        sizes: Sizes {
            distinct: 96,
            max: 1_048_576,
        },
        requested_bytes: 23_637_066,
        timed: false,
        revived_objects: 0,
        freed_within_63_records_ratio: 0.0,
        size_histogram: Vec::new(),
    };
    pin("lua", expected, "0.03");
}

#[test]
fn python_mt() {
    let expected = Figures {
        records: 1_264_157,
        threads: 5,
        objects: 612_883,
        allocations: 575_325,
        zeroed: 37_558,
        frees: 612_308,
        reallocations: Reallocations {
            grow: 37_299,
            shrink: 1_627,
            same: 40,
        },
        cross_thread_frees: 56_654,
        cross_thread_reallocations: 0,
        peak_live_bytes: 5_170_877,
        peak_live_objects: 38_954,
        live_at_end: LiveAtEnd {
            objects: 575,
            bytes: 88_992,
        },
        sizes: Sizes {
            distinct: 1_120,
            max: 207_552,
        },
        requested_bytes: 47_716_202,
        timed: false,
        revived_objects: 0,
        freed_within_63_records_ratio: 0.0,
        size_histogram: Vec::new(),
    };
    pin("python-mt", expected, "80.8");
}

#[test]
fn rg_mt() {
    let expected = Figures {
        records: 1_328_643,
        threads: 3,
        objects: 591_085,
        allocations: 582_199,
        zeroed: 8_886,
        frees: 590_039,
        reallocations: Reallocations {
            grow: 147_519,
            shrink: 0,
            same: 0,
        },
        cross_thread_frees: 68_214,
        cross_thread_reallocations: 13,
        peak_live_bytes: 3_172_264,
        peak_live_objects: 3_840,
        live_at_end: LiveAtEnd {
            objects: 1_046,
            bytes: 473_087,
        },
        sizes: Sizes {
            distinct: 489,
            max: 1_769_472,
        },
        requested_bytes: 342_631_188,
        timed: false,
        revived_objects: 0,
        freed_within_63_records_ratio: 0.0,
        size_histogram: Vec::new(),
    };
    pin("rg-mt", expected, "64.9");
    let aligned_to_32 = read("rg-mt")
        .records()
        .iter()
        .filter(|r| r.align_log2 == 5)
        .count();
    assert_eq!(aligned_to_32, 499);
}

#[test]
fn raw_form_and_dump_of_a_real_trace_come_back_identical() {
    let trace = read("lua");
    assert_eq!(Trace::from_bytes(&trace.to_bytes()).unwrap(), trace);
    let mut dump = Vec::new();
    trace.write_dump(&mut dump).unwrap();
    assert_eq!(
        Trace::parse_dump(core::str::from_utf8(&dump).unwrap()).unwrap(),
        trace
    );
}
