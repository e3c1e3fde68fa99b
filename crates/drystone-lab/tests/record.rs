//! `drystone record`: a program keeps its streams and its exit code, and its trace replays.
#![cfg(target_os = "linux")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use drystone_trace::{Event, EventKind, Trace};
use support::{code, drystone, json, stdout, text};

/// The recording build of the malloc library.
fn library() -> &'static str {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let path = LIBRARY.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recording");
        let built = Command::new(env!("CARGO"))
            .args(["build", "-p", "drystone-malloc", "--features", "record"])
            .arg("--target-dir")
            .arg(&dir)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        dir.join("debug/libdrystone_malloc.so")
    });
    text(path)
}

/// Where a test's trace goes.
fn trace(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("recorded-{name}.dst"))
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_drystone");

/// Records what a shell does.
fn record_script(trace: &Path, script: &str) -> Output {
    let options = ["record", "--preload", library(), "-o", text(trace)];
    drystone(&[&options[..], &["--", "sh", "-c", script]].concat())
}

#[test]
fn a_recorded_program_replays_without_a_wrong_byte() {
    let trace = trace("replays");
    let recorded = drystone(&[
        "record",
        "--preload",
        library(),
        "-o",
        text(&trace),
        "--json",
        "--",
        PROGRAM,
        "synth",
        "--scenario",
        "larson-like",
        "--records",
        "20000",
        "-o",
        "/dev/null",
    ]);
    assert_eq!(code(&recorded), 0, "{recorded:?}");
    let recorded_json = json(&recorded);
    assert_eq!(recorded_json["kind"], "record");
    assert_eq!(recorded_json["exit_code"], 0);
    let made = &recorded_json["traces"][0];
    assert_eq!(made["complete"], true);
    assert_eq!(made["lost"], 0);
    assert_eq!(made["unmatched"], 0);
    // What the program itself says of its trace goes to standard error then.
    let said = String::from_utf8(recorded.stderr).unwrap();
    assert!(said.contains("20 000 records of larson-like"), "{said}");

    let info = json(&drystone(&["info", text(&trace), "--json"]));
    for key in ["records", "allocations", "peak_live_bytes", "live_at_end"] {
        assert_eq!(made[key], info[key], "{key}");
    }
    assert!(info["records"].as_u64().unwrap() > 500);
    assert!(info["peak_resident_bytes"].as_u64().unwrap() > 1 << 16);
    let chunks = json(&drystone(&["info", text(&trace), "--chunks", "--json"]));
    assert_eq!(chunks["indexed"], true);
    assert_eq!(chunks["chunks"][0]["first_order"], 0);
    let all = "arena,arena-checked,arena-hardened,arena-cached,size-classed,fallback,system";
    let replayed = drystone(&[
        "replay",
        text(&trace),
        "--verify",
        "--with",
        all,
        "--json",
        "--no-progress",
    ]);
    assert_eq!(code(&replayed), 0, "{}", stdout(&replayed));
    // Packed, it is the same trace.
    let packed = named(&trace, "packed");
    let imported = drystone(&["import", text(&trace), "-o", text(&packed)]);
    assert_eq!(code(&imported), 0);
    let (before, after) = (Trace::read(&trace).unwrap(), Trace::read(&packed).unwrap());
    assert_eq!(before, after);
    let starts = |event: &Event| event.kind == EventKind::ThreadStart;
    assert!(before.events().iter().any(starts));
    assert!(packed.metadata().unwrap().len() < trace.metadata().unwrap().len());
}

fn named(path: &Path, word: &str) -> PathBuf {
    path.with_extension(format!("{word}.dst"))
}

#[test]
fn the_programs_own_streams_and_exit_code_are_kept() {
    let trace = trace("code");
    let script = "read line; echo \"got $line\"; echo said >&2; exit 7";
    let mut command = Command::new(PROGRAM);
    command.args(["record", "--preload", library(), "-o", text(&trace), "--"]);
    command.args(["sh", "-c", script]);
    // What the build of the tests leaves in the environment, which the library does not know.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DRYSTONE_") {
            command.env_remove(name);
        }
    }
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"hello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 7);
    assert_eq!(stdout(&output), "got hello\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("said\n"), "{said}");
    assert!(said.contains("recorded-code.dst: "), "{said}");
    Trace::read(&trace).unwrap();

    let killed = record_script(&trace, "kill -9 $$");
    assert_eq!(code(&killed), 128 + 9);
    assert!(!Trace::read(&trace).unwrap().recording().complete);
}

/// A program that becomes another one is recorded as that; with `--follow` each process has its trace.
#[test]
fn what_a_program_becomes_and_what_it_starts() {
    let trace = trace("becomes");
    let list = format!("exec {PROGRAM} synth --scenario list");
    let output = record_script(&trace, &list);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(Trace::read(&trace).unwrap().recording().complete);

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("followed");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let name = folder.join("run.dst");
    let two = format!("{PROGRAM} synth --scenario list >/dev/null; {list} >/dev/null");
    let output = drystone(&[
        "record",
        "--follow",
        "--preload",
        library(),
        "-o",
        text(&name),
        "--json",
        "--",
        "sh",
        "-c",
        &two,
    ]);
    let traces = json(&output)["traces"].as_array().unwrap().len();
    assert_eq!(traces, 2, "{output:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), traces);
}

#[test]
fn what_is_missing_is_said_with_the_command_that_makes_it() {
    let missing = drystone(&["record", "--preload", "/no/such.so", "--", "true"]);
    assert_eq!(code(&missing), 4);
    let silent = support::file("silent.so", b"a library that does not record");
    let silent = drystone(&["record", "--preload", text(&silent), "--", "true"]);
    assert_eq!(code(&silent), 4);
    let said = String::from_utf8(silent.stderr).unwrap();
    assert!(
        said.contains("cargo build --release -p drystone-malloc --features record"),
        "{said}"
    );
    let program = drystone(&["record", "--preload", library(), "--", "/no/such/program"]);
    assert_eq!(code(&program), 4);
    let said = String::from_utf8(program.stderr).unwrap();
    assert!(said.contains("/no/such/program: cannot run it"), "{said}");
    for arguments in [
        &["record", "--preload", library(), "-o", "-", "--", "true"][..],
        &[
            "record",
            "--preload",
            library(),
            "-o",
            "%p.dst",
            "--",
            "true",
        ],
        &["record"],
    ] {
        assert_eq!(code(&drystone(arguments)), 2, "{arguments:?}");
    }
}
