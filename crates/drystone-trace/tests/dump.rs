//! The text form: its exact lines, its way back, and its errors.

mod common;

use common::sample;
use drystone_trace::synth::Scenario;
use drystone_trace::{Fault, Op, Trace, TraceErrorKind};

const SAMPLE: &str = "\
satrace-dump 1
threads 2
objects 3
records 9
# thread operation object size align
0 allocate 0 100 16
1 allocate-zeroed 1 0 8
0 reallocate 0 250 16
1 free 0 250
0 allocate 2 4096 4096
0 reallocate 1 8 8
1 allocate 0 60 32
1 reallocate 2 512 4096
0 free 2 512
";

fn dump(trace: &Trace) -> String {
    let mut text = Vec::new();
    trace
        .write_dump(&mut text)
        .expect("writing to memory succeeds");
    String::from_utf8(text).expect("a dump is text")
}

#[test]
fn golden() {
    assert_eq!(dump(&sample()), SAMPLE);
    assert_eq!(Trace::parse_dump(SAMPLE).unwrap(), sample());
}

#[test]
fn every_scenario_comes_back() {
    for scenario in Scenario::ALL {
        let trace = scenario.generate(5, if cfg!(miri) { 40 } else { 3000 });
        assert_eq!(
            Trace::parse_dump(&dump(&trace)).unwrap(),
            trace,
            "{}",
            scenario.name()
        );
    }
}

#[test]
fn comments_blank_lines_and_white_space_are_passed_over() {
    let text = "# by hand\n\nsatrace-dump\t1\r\nthreads 1\n  objects 1\nrecords 1\n\n\
                0   allocate 0 16 8  \n # the end";
    let trace = Trace::parse_dump(text).unwrap();
    assert_eq!(trace.records()[0].op, Op::Allocate);
    assert_eq!(trace.records()[0].align_log2, 3);
}

#[test]
fn errors_name_the_line() {
    let cases = [
        ("", "line 1: expected the title line \"satrace-dump 1\""),
        (
            "satrace-dump 2\n",
            "line 1: expected the title line \"satrace-dump 1\"",
        ),
        (
            "satrace-dump 1\nthreads\n",
            "line 2: expected \"threads N\", N below 2^32",
        ),
        (
            "satrace-dump 1\nthreads 4294967296\n",
            "line 2: expected \"threads N\", N below 2^32",
        ),
        (
            "satrace-dump 1\nthreads 1 1\n",
            "line 2: expected \"threads N\", N below 2^32",
        ),
        (
            "satrace-dump 1\nthreads 1\nobjects -1\n",
            "line 3: expected \"objects N\"",
        ),
    ];
    for (text, expected) in cases {
        let error = Trace::parse_dump(text).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text:?}");
        assert_eq!(error.kind(), TraceErrorKind::Invalid);
        assert_eq!((error.byte(), error.record()), (None, None));
    }
}

#[test]
fn errors_of_records_name_record_and_line() {
    let head = "satrace-dump 1\nthreads 1\nobjects 1\nrecords 2\n# comment\n0 allocate 0 8 8\n\n";
    let cases = [
        ("x free 0 8", "expected a thread index below 65536"),
        ("65536 free 0 8", "expected a thread index below 65536"),
        ("+0 free 0 8", "expected a thread index below 65536"),
        (
            "0 release 0 8",
            "expected allocate, allocate-zeroed, free or reallocate",
        ),
        ("0 free 4294967296 8", "expected an object id below 2^32"),
        ("0 free 0", "expected a size in bytes"),
        ("0 reallocate 0 8", "expected a power of two"),
        ("0 reallocate 0 8 12", "expected a power of two"),
        ("0 reallocate 0 8 0", "expected a power of two"),
        ("0 free 0 8 8", "expected the end of the line"),
        ("0 allocate 0 8 8", "allocation of object 0, which is live"),
        (
            "0 free 0 9",
            "free of object 0 states 9 bytes, but it has 8",
        ),
        (
            "1 free 0 8",
            "thread 1 is out of range: the header announces 1",
        ),
    ];
    for (line, expected) in cases {
        let error = Trace::parse_dump(&format!("{head}{line}\n")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("record 1 (line 8): {expected}"),
            "{line:?}"
        );
        assert_eq!(
            (error.record(), error.line(), error.byte()),
            (Some(1), Some(8), None)
        );
    }
}

#[test]
fn counts_are_checked() {
    let short = SAMPLE.replace("records 9", "records 10");
    let error = Trace::parse_dump(&short).unwrap_err();
    assert_eq!(error.to_string(), "line 14: 10 records announced, 9 found");
    let huge = SAMPLE.replace("records 9", "records 18446744073709551615");
    assert!(matches!(
        Trace::parse_dump(&huge).unwrap_err().fault(),
        Fault::DumpCount { .. }
    ));
    let objects = SAMPLE.replace("objects 3", "objects 1000000000000");
    let error = Trace::parse_dump(&objects).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 4: 1000000000000 objects announced for 9 records"
    );
}
