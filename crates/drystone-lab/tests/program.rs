//! The program from outside: exit codes, JSON keys, the report, the form of its output.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use drystone_trace::synth::Scenario;
use drystone_trace::{Op, Record, Trace};
use serde_json::Value;

fn drystone(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drystone"))
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["schema"], "drystone/1");
    value
}

/// A file for one test alone.
fn file(name: &str, contents: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, contents).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn record(object: u32, thread: u16, op: Op, align_log2: u8, size: u64) -> Record {
    Record {
        object,
        thread,
        op,
        align_log2,
        size,
    }
}

/// Two threads; reallocations by another thread, one that changes the alignment, a size of 0, and
/// blocks that are live at the end.
fn tiny() -> Trace {
    let mut records = Vec::new();
    for round in 0..40u32 {
        let object = round * 3;
        records.push(record(object, 0, Op::Allocate, 4, 100));
        records.push(record(object + 1, 1, Op::AllocateZeroed, 3, 40));
        records.push(record(object + 2, 0, Op::Allocate, 0, 0));
        records.push(record(object, 1, Op::Reallocate, 4, 300));
        records.push(record(object + 1, 0, Op::Reallocate, 6, 20));
        records.push(record(object, 0, Op::Free, 0, 300));
        if round % 2 == 0 {
            records.push(record(object + 1, 1, Op::Free, 0, 20));
        }
        records.push(record(object + 2, 1, Op::Free, 0, 0));
    }
    Trace::from_records(2, 120, records).unwrap()
}

/// Byte `at` of a good trace replaced.
fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut trace = tiny().to_bytes();
    trace[at..at + bytes.len()].copy_from_slice(bytes);
    trace
}

#[test]
fn every_damaged_trace_has_its_exit_code_and_one_line() {
    let good = tiny().to_bytes();
    let mut compressed = vec![0x28, 0xB5, 0x2F, 0xFD];
    compressed.extend([0xFF; 40]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("bad-magic", patched(0, b"X")),
        ("unknown-version", patched(8, &[9])),
        ("truncated-header", good[..20].to_vec()),
        ("truncated", good[..good.len() - 5].to_vec()),
        ("trailing", [good.as_slice(), &[0]].concat()),
        ("huge-count", patched(16, &u64::MAX.to_le_bytes())),
        ("operation", patched(32 + 6, &[9])),
        ("thread", patched(32 + 4, &[77, 0])),
        ("object", patched(32, &[0xEE, 0xEE, 0xEE, 0xEE])),
        ("dead-free", patched(32 + 6, &[2, 0])),
        ("live-allocation", patched(32 + 16, &[0])),
        ("alignment", patched(32 + 7, &[200])),
        ("damaged-compression", compressed),
        ("text", b"hello\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let path = file(&format!("damaged-{name}"), &bytes);
        for command in ["info", "dump", "replay", "compare"] {
            let output = drystone(&[command, text(&path)]);
            let complaint = String::from_utf8(output.stderr.clone()).unwrap();
            assert_eq!(code(&output), 3, "{command} {name}: {complaint}");
            assert!(
                complaint.starts_with("error: "),
                "{command} {name}: {complaint}"
            );
            assert!(
                complaint.contains(&format!("damaged-{name}")),
                "{complaint}"
            );
            assert_eq!(
                complaint.lines().count(),
                2,
                "{command} {name}: {complaint}"
            );
            assert!(!complaint.contains("panicked"), "{complaint}");
        }
    }
}

#[test]
fn a_damaged_record_is_named_with_its_byte() {
    let path = file("damaged-place", &patched(32 + 6, &[2, 0]));
    let complaint = String::from_utf8(drystone(&["info", text(&path)]).stderr).unwrap();
    assert!(complaint.contains("record 0 (byte 32): "), "{complaint}");
}

#[test]
fn what_cannot_be_read_is_code_4() {
    let missing = drystone(&["info", "no-such-file"]);
    assert_eq!(code(&missing), 4);
    let directory = drystone(&["replay", "."]);
    assert_eq!(code(&directory), 4);
    let good = file("for-unwritable", &tiny().to_bytes());
    let unwritable = drystone(&["dump", text(&good), "-o", "no/such/folder/dump"]);
    assert_eq!(code(&unwritable), 4);
}

#[test]
fn a_wrong_command_line_is_code_2() {
    let good = file("for-usage", &tiny().to_bytes());
    let wrong: [&[&str]; 12] = [
        &["no-such-command"],
        &["info"],
        &["--no-such-option"],
        &["replay"],
        &["replay", text(&good), "--with", "nobody"],
        &["replay", text(&good), "--threads", "0"],
        &["replay", text(&good), "--rounds", "0"],
        &["replay", text(&good), "--touch", "some"],
        &["replay", text(&good), "--mode", "step", "--threads", "2"],
        &["replay", text(&good), "--baseline", "null"],
        &["synth", "--scenario", "nothing", "-o", "x"],
        &["dump", text(&good), "--json"],
    ];
    for arguments in wrong {
        let output = drystone(arguments);
        let complaint = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}: {complaint}");
        assert!(complaint.starts_with("error: "), "{complaint}");
        assert_eq!(complaint.lines().count(), 2, "{complaint}");
    }
    assert_eq!(code(&drystone(&["--help"])), 0);
    assert_eq!(code(&drystone(&["--version"])), 0);
}

#[test]
fn info_has_its_keys_and_reads_standard_input() {
    let path = file("info.satrace", &tiny().to_bytes());
    let info = json(&drystone(&["info", "--json", text(&path)]));
    for key in [
        "records",
        "threads",
        "objects",
        "allocations",
        "zeroed",
        "frees",
        "reallocations",
        "cross_thread_frees",
        "cross_thread_reallocations",
        "peak_live_bytes",
        "peak_live_objects",
        "live_at_end",
        "sizes",
        "requested_bytes",
        "timed",
    ] {
        assert!(!info[key].is_null(), "{key}");
    }
    assert_eq!(
        (&info["kind"], &info["records"]),
        (&"info".into(), &300.into())
    );
    assert_eq!(info["live_at_end"]["objects"], 20);
    let output = Command::new(env!("CARGO_BIN_EXE_drystone"))
        .args(["info", "-", "--json"])
        .stdin(std::fs::File::open(&path).unwrap())
        .output()
        .unwrap();
    assert_eq!(json(&output)["records"], 300);
}

#[test]
fn a_dump_is_the_trace() {
    let path = file("dump.satrace", &tiny().to_bytes());
    let dump = stdout(&drystone(&["dump", text(&path)]));
    assert_eq!(Trace::parse_dump(&dump).unwrap(), tiny());
    let again = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dump.txt");
    assert_eq!(
        code(&drystone(&["dump", text(&path), "-o", text(&again)])),
        0
    );
    assert_eq!(std::fs::read_to_string(again).unwrap(), dump);
}

#[test]
fn synthetic_traces_are_written_and_the_same_for_the_same_seed() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [a, b] = ["synth-a", "synth-b"].map(|name| folder.join(name));
    for path in [&a, &b] {
        let arguments = [
            "synth",
            "--scenario",
            "larson-like",
            "--records",
            "500",
            "-o",
            text(path),
            "--json",
        ];
        let output = drystone(&arguments);
        assert_eq!(code(&output), 0);
        assert_eq!(json(&output)["kind"], "synth");
    }
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    assert!(Trace::read(&a).is_ok());
}

/// Everything but the time that it took.
fn without_clock(mut results: Value) -> Value {
    results["duration_s"] = Value::Null;
    results
}

#[test]
fn step_gives_the_same_result_in_every_run() {
    let path = file("step.satrace", &tiny().to_bytes());
    let run = || {
        let output = drystone(&[
            "replay",
            text(&path),
            "--mode",
            "step",
            "--json",
            "--with",
            "system,size-classed,size-classed-stats,fallback,bump",
        ]);
        assert_eq!(code(&output), 0, "{output:?}");
        without_clock(json(&output))
    };
    let (first, second) = (run(), run());
    assert_eq!(
        serde_json::to_string(&first).unwrap(),
        serde_json::to_string(&second).unwrap()
    );
    let rows = first["traces"][0]["rows"].as_array().unwrap();
    let digest = &rows[0]["verification"]["digest"];
    assert!(digest.as_u64().is_some_and(|digest| digest != 0));
    assert!(
        rows.iter()
            .all(|row| &row["verification"]["digest"] == digest)
    );
}

#[test]
fn every_composition_verifies_with_all_threads_folded_threads_and_rust_alignments() {
    for (name, trace) in [
        ("tiny", tiny()),
        ("larson", Scenario::LarsonLike.generate(1, 4000)),
        ("handover", Scenario::ProducerConsumer.generate(1, 4000)),
    ] {
        let path = file(&format!("verify-{name}.satrace"), &trace.to_bytes());
        for options in [
            &["--threads", "keep"][..],
            &["--threads", "2", "--skew", "1"],
            &["--threads", "1"],
            &["--align", "rust", "--skew", "64"],
        ] {
            let all = [
                "replay",
                text(&path),
                "--verify",
                "--json",
                "--with",
                "system,size-classed,size-classed-stats,fallback,bump",
            ];
            let output = drystone(&[&all, options].concat());
            assert_eq!(code(&output), 0, "{name} {options:?}: {output:?}");
            let results = json(&output);
            for row in results["traces"][0]["rows"].as_array().unwrap() {
                assert_eq!(row["verification"]["wrong_bytes"], 0, "{row}");
                assert!(
                    row["verification"]["blocks_checked"].as_u64().unwrap() > 100,
                    "{row}"
                );
                assert_eq!(row["refusals"]["exhausted"], 0, "{row}");
            }
        }
    }
}

#[test]
fn a_replay_measures_every_figure() {
    let trace = Scenario::ServerChurn.generate(1, 5000);
    let path = file("figures.satrace", &trace.to_bytes());
    let results = json(&drystone(&[
        "replay",
        text(&path),
        "--rounds",
        "2",
        "--json",
        "--with",
        "system,size-classed,null",
    ]));
    assert_eq!(results["kind"], "replay");
    for key in [
        "command",
        "seed",
        "duration_s",
        "host",
        "settings",
        "targets",
        "labels",
        "traces",
    ] {
        assert!(!results[key].is_null(), "{key}");
    }
    let trace = &results["traces"][0];
    assert!(trace["harness_ns_per_op"].as_f64().unwrap() > 0.0);
    let rows = trace["rows"].as_array().unwrap();
    for row in rows.iter().filter(|row| row["target"] != "null") {
        assert_eq!(
            row["throughput"]["rounds_ops_per_s"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        for key in ["p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns", "samples"] {
            assert!(row["latency"][key].as_u64().unwrap() > 0, "{key}");
        }
        if cfg!(target_os = "linux") {
            let memory = &row["memory"];
            let samples = memory["samples"].as_array().unwrap();
            assert!(samples.len() > 200, "{}", samples.len());
            assert!(memory["peak_bytes"].as_u64() > Some(0));
            let live_peak = memory["live_peak_bytes"].as_u64().unwrap();
            assert!(live_peak >= trace["figures"]["peak_live_bytes"].as_u64().unwrap() / 2);
            assert_eq!(samples.last().unwrap()["record"], 5000);
        }
    }
    let versus = rows
        .iter()
        .find(|row| row["target"] == "size-classed")
        .unwrap();
    assert!(versus["versus"]["ratio"].is_f64() && versus["versus"]["verdict"].is_string());
}

#[test]
fn a_target_against_itself_is_the_same() {
    let path = file(
        "same.satrace",
        &Scenario::ServerChurn.generate(1, 20_000).to_bytes(),
    );
    let results = json(&drystone(&[
        "replay",
        text(&path),
        "--threads",
        "1",
        "--rounds",
        "11",
        "--json",
        "--with",
        "system,system",
    ]));
    let rows = results["traces"][0]["rows"].as_array().unwrap();
    assert_eq!(rows[1]["target"], "system#2");
    assert_eq!(
        rows[1]["versus"]["verdict"], "same",
        "{}",
        rows[1]["versus"]
    );
}

#[test]
fn a_comparison_writes_its_report_and_prints_its_path_last() {
    let path = file("report-tiny.satrace", &tiny().to_bytes());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-out");
    let output = drystone(&[
        "compare",
        text(&path),
        "--rounds",
        "1",
        "--report",
        text(&folder),
        "--with",
        "system,size-classed,bump",
    ]);
    assert_eq!(code(&output), 0, "{output:?}");
    let page = folder.join("index.html");
    assert_eq!(stdout(&output).lines().last(), Some(text(&page)));
    let html = std::fs::read_to_string(&page).unwrap();
    for outside in [
        "http:", "https:", "//", "src=", "@import", "url(", "<script", "<link", "<img",
    ] {
        assert!(!html.contains(outside), "{outside} in the report");
    }
    assert!(html.matches("<svg").count() >= 3);
    assert!(html.contains("prefers-color-scheme: dark"));
    let markdown = std::fs::read_to_string(folder.join("report.md")).unwrap();
    assert!(markdown.contains("| size-classed"));

    let again = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-again");
    let results = folder.join("results.json");
    let output = drystone(&["report", text(&results), "-o", text(&again), "--json"]);
    assert_eq!(code(&output), 0);
    assert_eq!(json(&output)["kind"], "report");
    assert_eq!(
        std::fs::read_to_string(again.join("index.html")).unwrap(),
        html
    );
}

/// Results of a real run with its speeds multiplied.
fn scaled(results: &Value, factor: f64) -> Vec<u8> {
    let mut results = results.clone();
    for row in results["traces"][0]["rows"].as_array_mut().unwrap() {
        row["throughput"]["rounds_ops_per_s"] = [99.0, 100.0, 101.0]
            .map(|rate| rate * factor * 1e4)
            .to_vec()
            .into();
    }
    results["traces"][0]["noise"]["floor_ratio"] = 0.01.into();
    serde_json::to_vec(&results).unwrap()
}

#[test]
fn the_gate_lets_pass_what_is_not_worse() {
    let path = file("gate.satrace", &tiny().to_bytes());
    let output = drystone(&[
        "replay",
        text(&path),
        "--rounds",
        "1",
        "--json",
        "--with",
        "system",
    ]);
    let results = json(&output);
    let old = file("gate-old.json", &scaled(&results, 1.0));
    let slower = file("gate-slower.json", &scaled(&results, 0.8));
    let faster = file("gate-faster.json", &scaled(&results, 1.3));
    assert_eq!(code(&drystone(&["compare", text(&old), text(&old)])), 0);
    assert_eq!(code(&drystone(&["compare", text(&old), text(&faster)])), 0);
    assert_eq!(code(&drystone(&["compare", text(&old), text(&slower)])), 1);
    let lenient = ["compare", text(&old), text(&slower), "--threshold", "30%"];
    assert_eq!(code(&drystone(&lenient)), 0);
    let gate = json(&drystone(&["compare", text(&old), text(&slower), "--json"]));
    assert_eq!(
        (&gate["kind"], &gate["regressions"]),
        (&"gate".into(), &1.into())
    );
    let mixed = drystone(&["compare", text(&old), text(&path)]);
    assert_eq!(code(&mixed), 2);
    let damaged = file("gate-damaged.json", b"{\"schema\": 1}");
    assert_eq!(code(&drystone(&["compare", text(&old), text(&damaged)])), 3);
}

/// Numbers as `#` and runs of spaces as one: what differs from run to run.
fn masked(line: &str) -> String {
    let digit_or_sign = |c: char| c.is_ascii_digit() || ".+-".contains(c);
    let word = |word: &str| {
        let number = word.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c));
        if number {
            format!("#{}", word.trim_start_matches(digit_or_sign))
        } else {
            word.to_owned()
        }
    };
    line.split_whitespace()
        .map(word)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn output_in_a_pipe_is_plain_and_fits_80_columns() {
    let path = file("snapshot.satrace", &tiny().to_bytes());
    let output = drystone(&[
        "compare",
        text(&path),
        "--rounds",
        "1",
        "--report",
        "snapshot-report",
        "--with",
        "system,size-classed-stats,null",
    ]);
    let text = stdout(&output);
    assert!(!text.contains('\u{1b}'), "escape sequences in a pipe");
    for line in text.lines() {
        assert!(
            line.chars().count() <= 80,
            "{} columns: {line}",
            line.chars().count()
        );
    }
    let lines: Vec<String> = text.lines().map(masked).collect();
    let head = "snapshot: # records, # threads, peak live # B";
    assert_eq!(lines[0], head, "{text}");
    let grounds = "# round, noise #%, replay without an allocator # ns/op";
    assert_eq!(lines[1], grounds, "{text}");
    assert_eq!(
        lines[2], "target Mop/s net vs system # % p50 p99 p99.9 MiB memory",
        "{text}"
    );
    let mut names: Vec<&str> = text
        .lines()
        .skip(3)
        .take(3)
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["null", "size-classed-stats", "system"], "{text}");
    assert!(
        text.lines().any(|line| line.contains(" baseline ")),
        "{text}"
    );
    assert_eq!(
        lines.last().map(String::as_str),
        Some("snapshot-report/index.html")
    );
}
