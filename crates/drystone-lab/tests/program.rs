//! The program from outside: exit codes, JSON keys, the report, the form of its output.

mod support;

use std::path::Path;
use std::process::Command;

use drystone_trace::Trace;
use drystone_trace::synth::Scenario;
use serde_json::Value;
use support::{code, drystone, file, json, stdout, text, tiny};

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
    let number = u64::from_str_radix(digest.as_str().unwrap(), 16).unwrap();
    assert_ne!(number, 0);
    assert_eq!(digest.as_str().unwrap().len(), 16);
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

/// The rule of the report, from the figures of a row: different only if the interval excludes 1 and the
/// median is further from it than the noise.
fn verdict(versus: &Value, floor_ratio: f64) -> &'static str {
    let [ratio, low, high] =
        ["ratio", "low_ratio", "high_ratio"].map(|key| versus[key].as_f64().unwrap());
    let excludes_one = low > 1.0 || high < 1.0;
    match ratio.ln().abs() > floor_ratio.ln_1p() && excludes_one {
        false => "same",
        true if ratio > 1.0 => "faster",
        true => "slower",
    }
}

/// How the speeds of two copies differ is the machine's affair, and what is called the same is tested
/// beside the rule; here both do the same work, are timed in the same rounds and judged by that rule.
#[test]
fn a_target_against_itself_does_the_same_work_and_is_judged_by_the_noise_of_its_rounds() {
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
    let trace = &results["traces"][0];
    let [first, second] = &trace["rows"].as_array().unwrap()[..] else {
        panic!("two rows: {trace}");
    };
    assert_eq!(
        (&first["target"], &second["target"]),
        (&"system".into(), &"system#2".into())
    );
    for (row, key) in [first, second].into_iter().zip(["first", "second"]) {
        let rounds = row["throughput"]["rounds_ops_per_s"].as_array().unwrap();
        assert_eq!(rounds.len(), 11, "{key}");
        assert!(row["verification"]["blocks_checked"].as_u64() > Some(0));
    }
    assert_eq!(first["verification"], second["verification"]);
    assert_eq!(first["refusals"], second["refusals"]);
    assert!(first["versus"].is_null(), "the baseline is the reference");
    let noise = &trace["noise"];
    let floor_ratio = noise["floor_ratio"].as_f64().unwrap();
    let versus = &second["versus"];
    assert!(floor_ratio >= 0.01, "{noise}");
    assert_eq!(versus["verdict"], verdict(versus, floor_ratio), "{versus}");
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

#[test]
fn an_unreadable_argument_of_compare_is_named_with_code_4() {
    let old = file("readable.json", b"{}");
    let trace = file("readable.satrace", &tiny().to_bytes());
    for readable in [&old, &trace] {
        for pair in [
            [text(readable), "no-such.json"],
            ["no-such.json", text(readable)],
        ] {
            let output = drystone(&["compare", pair[0], pair[1]]);
            let complaint = String::from_utf8(output.stderr.clone()).unwrap();
            assert_eq!(code(&output), 4, "{complaint}");
            assert!(
                complaint.starts_with("error: no-such.json: "),
                "{complaint}"
            );
        }
    }
    assert_eq!(code(&drystone(&["compare", text(&old), "."])), 4);
}

#[test]
#[cfg(target_os = "linux")]
fn help_meets_closed_pipes_and_full_devices_without_a_panic() {
    use std::process::Stdio;

    for argument in ["--help", "--version"] {
        let start = |stdout: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_drystone"));
            command.arg(argument).stdout(stdout).stderr(Stdio::piped());
            command.spawn().unwrap().wait_with_output().unwrap()
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = start(writer.into());
        assert_eq!((code(&closed), closed.stderr), (0, Vec::new()));
        let full = std::fs::File::create("/dev/full").unwrap();
        let full = start(full.into());
        let complaint = String::from_utf8(full.stderr.clone()).unwrap();
        assert_eq!(code(&full), 4, "{complaint}");
        assert!(
            complaint.starts_with("error: standard output: "),
            "{complaint}"
        );
    }
    let full = std::fs::File::create("/dev/full").unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_drystone"))
        .arg("--no-such-option")
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn every_json_object_says_where_it_comes_from() {
    let trace = file("envelope.satrace", &tiny().to_bytes());
    let run = ["--rounds", "3", "--json", "--with", "system"];
    let run = drystone(&[&["replay", text(&trace)], &run[..]].concat());
    let results = file("envelope.json", &run.stdout);
    let synthetic = Path::new(env!("CARGO_TARGET_TMPDIR")).join("envelope-synth");
    let scenario = ["synth", "--scenario", "larson-like", "--records", "100"];
    let commands: [(Vec<&str>, Value); 6] = [
        (vec!["info", text(&trace)], Value::Null),
        (
            vec!["report", text(&results), "-o", "envelope-report"],
            1.into(),
        ),
        (vec!["compare", text(&results), text(&results)], 1.into()),
        (
            [&scenario, &["--seed", "9", "-o", text(&synthetic)][..]].concat(),
            9.into(),
        ),
        (vec!["synth", "--scenario", "list"], Value::Null),
        (vec!["compare", "--with", "list"], Value::Null),
    ];
    for (mut arguments, seed) in commands {
        arguments.push("--json");
        let said = json(&drystone(&arguments));
        assert!(said["kind"].is_string(), "{said}");
        assert_eq!(said["seed"], seed, "{arguments:?}");
        assert!(said["host"]["cores"].is_u64(), "{arguments:?}");
        let command = said["command"].as_str().unwrap();
        assert!(command.starts_with(&format!("drystone {}", arguments[0])));
    }
}

#[test]
fn a_target_that_is_no_allocator_is_not_called_verified() {
    let path = file("null.satrace", &tiny().to_bytes());
    let output = drystone(&["replay", text(&path), "--verify", "--with", "null,system"]);
    let shown = stdout(&output);
    assert_eq!(code(&output), 0, "{shown}");
    assert!(
        shown.contains("null: not verified: one shared block\n"),
        "{shown}"
    );
}

#[test]
fn complaints_about_options_keep_their_context() {
    let good = file("for-context", &tiny().to_bytes());
    let cases: [(&[&str], &str); 5] = [
        (&["info"], "<TRACE>"),
        (
            &["replay", text(&good), "--touch", "some"],
            "ends, page, all",
        ),
        (&["replay", text(&good), "--tuch", "page"], "`--touch`"),
        (&["rplay", text(&good)], "`replay`"),
        (&["--rounds", "3", "--budget", "4"], "--rounds"),
    ];
    for (arguments, wanted) in cases {
        let output = drystone(arguments);
        let complaint = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(code(&output), 2, "{complaint}");
        assert!(complaint.contains(wanted), "{complaint}");
        assert_eq!(complaint.lines().count(), 2, "{complaint}");
    }
}

#[test]
fn what_is_to_be_written_is_created_before_the_traces_are_read() {
    let damaged = file("unread.satrace", b"damaged");
    let output = drystone(&["replay", text(&damaged), "--out", "no/such/out.json"]);
    assert_eq!(code(&output), 4, "{output:?}");
    let blocked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unread.satrace/report");
    let output = drystone(&["compare", text(&damaged), "--report", text(&blocked)]);
    assert_eq!(code(&output), 4, "{output:?}");
}

#[test]
fn a_trace_without_records_is_refused() {
    let empty = Trace::from_records(0, 0, Vec::new()).unwrap();
    let path = file("without-records", &empty.to_bytes());
    for command in ["info", "replay", "compare"] {
        let output = drystone(&[command, text(&path)]);
        let complaint = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(code(&output), 3, "{command}: {complaint}");
        assert!(complaint.contains("no records to replay"), "{complaint}");
    }
    assert_eq!(code(&drystone(&["dump", text(&path)])), 0);
}

#[test]
fn a_synthetic_trace_goes_to_standard_output() {
    let scenario = ["synth", "--scenario", "larson-like", "--records", "500"];
    let output = drystone(&[&scenario, &["-o", "-"][..]].concat());
    assert_eq!(code(&output), 0);
    let trace = Scenario::LarsonLike.generate(1, 500);
    assert_eq!(output.stdout, trace.to_bytes());
    let both = drystone(&[&scenario, &["-o", "-", "--json"][..]].concat());
    assert_eq!(code(&both), 2);
}

#[test]
fn namesakes_and_names_with_control_characters_are_told_apart_and_harmless() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("namesakes");
    let paths = ["p1", "p2"].map(|part| {
        std::fs::create_dir_all(folder.join(part)).unwrap();
        let path = folder.join(part).join("x\u{1b}[2J_y_.satrace");
        std::fs::write(&path, tiny().to_bytes()).unwrap();
        path
    });
    let report = folder.join("report");
    let arguments = [
        "--rounds",
        "1",
        "--with",
        "system",
        "--report",
        text(&report),
    ];
    let output = drystone(
        &[
            &["compare", text(&paths[0]), text(&paths[1])],
            &arguments[..],
        ]
        .concat(),
    );
    let shown = stdout(&output);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    for part in ["p1", "p2"] {
        let name = format!("{part}/x\u{fffd}[2J_y_");
        assert!(shown.contains(&format!("{name}: 300 records")), "{shown}");
    }
    let markdown = std::fs::read_to_string(report.join("report.md")).unwrap();
    assert!(!markdown.contains('\u{1b}'));
    assert!(
        markdown.contains("## p1/x\u{fffd}\\[2J\\_y\\_\n"),
        "{markdown}"
    );
    assert!(
        markdown.contains("| target | what it is | version | flags |\n| --- | --- | --- | --- |")
    );
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
    let grounds = "# round, noise not measured, replay without an allocator # ns/op";
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

/// A trace with times comes back from every form; one without is replayed at a chosen pace only.
#[test]
fn times_pass_through_every_form_and_pace_the_replay() {
    let times = (0..tiny().records().len() as u64)
        .map(|n| n * 1_000_000)
        .collect();
    let timed = tiny().with_times_ns(times).unwrap();
    let recorded = file("timed.dst", &timed.to_dst());
    let dump = drystone(&["dump", text(&recorded)]);
    let dump = file("timed.dump", &dump.stdout);
    let back = Path::new(env!("CARGO_TARGET_TMPDIR")).join("timed-again.dst");
    let import = drystone(&["import", text(&dump), "-o", text(&back), "--json"]);
    assert_eq!(code(&import), 0);
    assert_eq!(json(&import)["timed"], true);
    assert_eq!(
        std::fs::read(&back).unwrap(),
        std::fs::read(&recorded).unwrap()
    );
    assert_eq!(
        json(&drystone(&["info", text(&back), "--json"]))["timed"],
        true
    );

    // A millisecond apart, at half the speed: longer than all the passes that are not paced.
    let raw = file("untimed.satrace", &tiny().to_bytes());
    let paced = [
        "--mode",
        "paced",
        "--with",
        "system",
        "--rounds",
        "1",
        "--no-progress",
        "--json",
    ];
    let began = std::time::Instant::now();
    let arguments = [&["replay", text(&recorded), "--warp", "0.5"], &paced[..]].concat();
    let replayed = json(&drystone(&arguments));
    assert!(
        began.elapsed() >= std::time::Duration::from_millis(2 * tiny().records().len() as u64 - 2)
    );
    assert_eq!(replayed["settings"]["mode"], "paced");
    let labels = replayed["labels"].to_string();
    assert!(
        labels.contains("paced at 0.5 times the recorded speed"),
        "{labels}"
    );

    let refused = drystone(&[&["replay", text(&raw)], &paced[..]].concat());
    assert_eq!(code(&refused), 2);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(complaint.contains("the trace has no times"), "{complaint}");
    let rated = drystone(&[&["replay", text(&raw), "--rate", "100000"], &paced[..]].concat());
    assert_eq!(code(&rated), 0);
    assert!(
        json(&rated)["labels"]
            .to_string()
            .contains("synthetic pacing")
    );
    let unpaced = drystone(&["replay", text(&raw), "--warp", "2"]);
    assert_eq!(code(&unpaced), 2);
}

/// What a recorder writes, the lab replays: the same counts and sizes.
#[test]
fn a_recorded_program_is_replayed() {
    use drystone_backing::System;
    use drystone_core::{Allocator, Deallocator, NonZeroLayout};
    use drystone_trace::{Recorder, finish_recording, record_to};

    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recorded.dst");
    let recorder = Recorder::new(System);
    record_to(&path).unwrap();
    let layout = |size: usize| NonZeroLayout::from_size_align(size, 8).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for size in 1..=500 {
                    let block = recorder.allocate(layout(size)).unwrap().cast();
                    // SAFETY: the block is live with this layout.
                    let block = unsafe { recorder.grow(block, layout(size), layout(size + 100)) };
                    // SAFETY: the block is live with its new layout.
                    unsafe { recorder.deallocate(block.unwrap().cast(), layout(size + 100)) };
                }
            });
        }
    });
    finish_recording().unwrap();

    let info = json(&drystone(&["info", text(&path), "--json"]));
    assert_eq!(info["records"], 3000);
    assert_eq!(info["threads"], 2);
    assert_eq!(info["allocations"], 1000);
    assert_eq!(info["reallocations"]["grow"], 1000);
    assert_eq!(info["frees"], 1000);
    assert_eq!(info["live_at_end"]["objects"], 0);
    assert_eq!(info["sizes"]["max"], 600);
    // 1 + .. + 500 twice, and each a hundred more at its new size.
    assert_eq!(info["requested_bytes"], 2 * (2 * 125_250 + 500 * 100));
    assert_eq!(
        (&info["complete"], &info["unmatched"]),
        (&true.into(), &0.into())
    );
    let replay = drystone(&[
        "replay",
        text(&path),
        "--mode",
        "step",
        "--with",
        "system,size-classed",
        "--json",
    ]);
    assert_eq!(code(&replay), 0);
    let rows = json(&replay)["traces"][0]["rows"].clone();
    for row in rows.as_array().unwrap() {
        assert_eq!(row["verification"]["wrong_bytes"], 0, "{row}");
        assert_eq!(row["verification"]["blocks_checked"], 2000, "{row}");
    }
}
