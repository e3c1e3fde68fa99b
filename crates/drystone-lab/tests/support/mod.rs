//! What the tests of the program have in common.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use drystone_trace::{Op, Record, Trace};
use serde_json::Value;

pub(crate) fn drystone(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drystone"))
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn json(output: &Output) -> Value {
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["schema"], "drystone/1");
    value
}

/// A file for one test alone.
pub(crate) fn file(name: &str, contents: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, contents).unwrap();
    path
}

pub(crate) fn text(path: &Path) -> &str {
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
pub(crate) fn tiny() -> Trace {
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
