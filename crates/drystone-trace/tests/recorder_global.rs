//! `Recorder` as the allocator of a whole program, recorded because the environment says so.
#![cfg(all(unix, not(miri)))] // Starts programs, and asks the environment without the standard library.

use std::process::Command;

use drystone_backing::System;
use drystone_trace::{Figures, Recorder, Trace};

#[global_allocator]
static HEAP: Recorder<System> = Recorder::new(System);

const SIZE: usize = 12_345;
const COUNT: usize = 300;

/// What the recorded program does.
fn program() {
    let blocks: Vec<Vec<u8>> = (0..COUNT).map(|_| Vec::with_capacity(SIZE)).collect();
    let threads: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(|| (0..COUNT).map(|n| n.to_string()).collect::<Vec<_>>()))
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("no panic").len(), COUNT);
    }
    drop(blocks);
}

#[test]
fn a_program_is_recorded_when_the_environment_says_so() {
    if std::env::var_os("DRYSTONE_TRACE").is_some() {
        return program();
    }
    let name = format!("drystone-global-{}.dst", std::process::id());
    let file = std::env::temp_dir().join(name);
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "a_program_is_recorded_when_the_environment_says_so",
            "--exact",
        ])
        .env("DRYSTONE_TRACE", &file)
        .output()
        .expect("a process");
    assert!(child.status.success(), "{child:?}");
    assert!(
        child.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let trace = Trace::read(&file).expect("a trace");
    std::fs::remove_file(&file).expect("the file is there");

    assert!(trace.recording().complete);
    assert!(trace.threads() >= 5);
    let figures = Figures::of(&trace);
    let of_size = trace.records().iter().filter(|r| r.size == SIZE as u64);
    assert_eq!(of_size.count(), 2 * COUNT, "each was allocated and freed");
    assert!(figures.cross_thread_frees >= 4 * COUNT as u64);
    assert!(figures.peak_live_bytes >= (SIZE * COUNT) as u64);
}

#[test]
fn a_file_that_cannot_be_made_is_told_at_the_end() {
    if std::env::var_os("DRYSTONE_TRACE").is_some() {
        return program();
    }
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["a_file_that_cannot_be_made_is_told_at_the_end", "--exact"])
        .env("DRYSTONE_TRACE", "/no such folder/file.dst")
        .output()
        .expect("a process");
    assert!(
        child.status.success(),
        "the program itself is well: {child:?}"
    );
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(
        said.contains("DRYSTONE_TRACE: cannot make the file"),
        "{said}"
    );
}
