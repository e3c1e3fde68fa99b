//! Faulty allocators under the lab: what each does to the table, the reason and the exit code.
//!
//! This binary is a lab of its own, as a user's crate would be: with [`VARIABLE`] set its main
//! function is the program with the faulty targets plugged in; otherwise it runs the tests, which
//! start it again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use drystone_lab::{Description, FromGlobal, Lab, ReplayTarget};
use drystone_trace::synth::Scenario;
use serde_json::Value;

const VARIABLE: &str = "DRYSTONE_LAB_UNDER_TEST";

/// What goes wrong at the [`WHEN`]th allocation.
#[derive(Clone, Copy)]
enum Fault {
    Abort,
    Hang,
    Overlap,
    Misalign,
    Dirty,
    LoseContents,
    Refuse,
}

const WHEN: u32 = 20;

struct Faulty {
    fault: Fault,
    calls: AtomicU32,
    last: AtomicPtr<u8>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            calls: AtomicU32::new(0),
            last: AtomicPtr::default(),
        }
    }

    fn fault_now(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        (call == WHEN).then_some(self.fault)
    }
}

// SAFETY: deliberately broken; run for verification only. Every pointer handed out is valid for
// its size, so that the lab itself stays sound: blocks are larger than asked by a page.
unsafe impl ReplayTarget for Faulty {
    unsafe fn allocate(&self, layout: Layout) -> *mut u8 {
        let (larger, _) = layout.extend(Layout::new::<[u8; 4096]>()).unwrap();
        // SAFETY: the size is not 0.
        let block = unsafe { System.alloc_zeroed(larger) };
        let block = match self.fault_now() {
            None | Some(Fault::Dirty | Fault::LoseContents) => block,
            Some(Fault::Abort) => std::process::abort(),
            Some(Fault::Hang) => loop {
                std::thread::park();
            },
            Some(Fault::Overlap) => self.last.load(Ordering::Relaxed),
            Some(Fault::Misalign) => block.wrapping_add(1),
            Some(Fault::Refuse) => return core::ptr::null_mut(),
        };
        self.last.store(block, Ordering::Relaxed);
        block
    }

    unsafe fn allocate_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.allocate(layout) };
        if matches!(self.fault, Fault::Dirty) && !block.is_null() {
            // SAFETY: the block holds a page more than asked.
            unsafe { block.write(7) };
        }
        block
    }

    // Nothing is given back: overlapping blocks would be freed twice.
    unsafe fn deallocate(&self, _: *mut u8, _: Layout) {}

    unsafe fn reallocate(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the size is not 0.
        let moved = unsafe { self.allocate(new) };
        if !moved.is_null() && !matches!(self.fault, Fault::LoseContents) {
            // SAFETY: both blocks hold so many bytes; identical blocks are allowed.
            unsafe { moved.copy_from(block, layout.size().min(new_size)) };
        }
        moved
    }
}

fn lab() -> Lab {
    let faults = [
        ("abort", Fault::Abort),
        ("hang", Fault::Hang),
        ("overlap", Fault::Overlap),
        ("misalign", Fault::Misalign),
        ("dirty", Fault::Dirty),
        ("lose", Fault::LoseContents),
        ("refuse", Fault::Refuse),
    ];
    let lab = Lab::new()
        .target(
            Description::new("mine", "std's allocator once more"),
            |_| Ok(FromGlobal(System)),
        )
        .target(Description::new("unable", "cannot be made"), |_| {
            Err::<FromGlobal<System>, _>("no room today".to_owned())
        });
    faults.into_iter().fold(lab, |lab, (name, fault)| {
        lab.target(Description::new(name, "faulty"), move |_| {
            Ok(Faulty::new(fault))
        })
    })
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faulty");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn trace() -> PathBuf {
    let path = folder().join("grow.satrace");
    std::fs::write(&path, Scenario::GrowingVectors.generate(3, 600).to_bytes()).unwrap();
    path
}

fn zeroed_trace() -> PathBuf {
    let path = folder().join("zeroed.satrace");
    std::fs::write(&path, Scenario::TensorBatch.generate(3, 300).to_bytes()).unwrap();
    path
}

fn run(arguments: &[&str], trace: &Path) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["replay", "--rounds", "1", "--json"])
        .args(arguments)
        .arg(trace)
        .env(VARIABLE, "1")
        .output()
        .unwrap()
}

/// Exit code, the rows by target, and what was said on standard error.
fn outcome(output: &Output) -> (i32, Value, String) {
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr.clone()).unwrap();
    (
        output.status.code().unwrap(),
        results["traces"][0]["rows"].clone(),
        complaint,
    )
}

fn row<'a>(rows: &'a Value, target: &str) -> &'a Value {
    let rows = rows.as_array().unwrap();
    rows.iter().find(|row| row["target"] == target).unwrap()
}

fn a_crash_is_a_row_and_the_others_are_complete() {
    let (code, rows, complaint) = outcome(&run(&["--with", "system,abort,mine"], &trace()));
    assert_eq!(code, 5, "{complaint}");
    assert_eq!(row(&rows, "abort")["status"]["outcome"], "failed");
    assert_eq!(row(&rows, "abort")["status"]["state"], "crashed");
    assert!(
        complaint.starts_with("error: 1 of 3 rows failed: grow: abort: crashed: "),
        "{complaint}"
    );
    assert_eq!(complaint.lines().count(), 2, "{complaint}");
    for healthy in ["system", "mine"] {
        assert_eq!(row(&rows, healthy)["status"]["outcome"], "ok");
        assert!(
            row(&rows, healthy)["throughput"]["ops_per_s"]
                .as_f64()
                .unwrap()
                > 0.0
        );
    }
}

fn every_failed_target_is_named_and_the_hint_counts_the_others() {
    let (code, _, complaint) = outcome(&run(&["--with", "abort,unable"], &trace()));
    assert_eq!(code, 5, "{complaint}");
    assert!(complaint.contains("2 of 2 rows failed: "), "{complaint}");
    assert!(complaint.contains("grow: abort: "), "{complaint}");
    assert!(complaint.contains("grow: unable: "), "{complaint}");
    assert!(
        complaint.contains("hint: no row is complete"),
        "{complaint}"
    );
    let (_, _, complaint) = outcome(&run(&["--with", "abort,mine"], &trace()));
    assert!(
        complaint.contains("the other row is complete"),
        "{complaint}"
    );
}

fn a_hang_ends_at_its_limit() {
    let arguments = ["--with", "hang,mine", "--limit", "1"];
    let (code, rows, complaint) = outcome(&run(&arguments, &trace()));
    assert_eq!(code, 5, "{complaint}");
    assert_eq!(row(&rows, "hang")["status"]["state"], "timed_out");
    assert!(row(&rows, "mine")["throughput"].is_object());
}

fn what_cannot_be_made_says_why() {
    let (code, rows, complaint) = outcome(&run(&["--with", "unable,mine"], &trace()));
    assert_eq!(code, 5);
    assert_eq!(row(&rows, "unable")["status"]["reason"], "no room today");
    assert!(complaint.contains("no room today"), "{complaint}");
}

fn wrong_bytes_name_their_record() {
    let cases = [
        ("overlap", trace(), "changed while it was live"),
        ("misalign", trace(), "not aligned"),
        ("lose", trace(), "changed in a reallocation"),
        ("dirty", zeroed_trace(), "of a zeroed block"),
    ];
    for (target, trace, what) in cases {
        let with = format!("{target},mine");
        let (code, rows, complaint) = outcome(&run(&["--verify", "--with", &with], &trace));
        assert_eq!(code, 1, "{target}: {complaint}");
        let status = &row(&rows, target)["status"];
        assert_eq!(status["outcome"], "wrong_byte", "{target}");
        assert!(status["record"].is_u64(), "{target}");
        assert!(
            complaint.contains(": record ") && complaint.contains(what),
            "{complaint}"
        );
        assert_eq!(row(&rows, "mine")["status"]["outcome"], "ok");
    }
}

fn a_refusal_is_counted_and_the_replay_goes_on() {
    let (code, rows, complaint) = outcome(&run(&["--with", "refuse"], &trace()));
    assert_eq!(code, 0, "{complaint}");
    let refusals = &row(&rows, "refuse")["refusals"];
    // The last warm pass is not the one that refuses; the verifying pass is.
    assert_eq!(refusals["oversized"], 0);
    let verified = outcome(&run(&["--with", "refuse", "--verify"], &trace())).1;
    assert_eq!(row(&verified, "refuse")["refusals"]["exhausted"], 1);
}

fn a_plugged_in_target_is_listed() {
    let output = run(&["--with", "list"], &trace());
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let targets = list["targets"].as_array().unwrap();
    assert!(targets.iter().any(|target| target["name"] == "mine"));
    assert!(targets.iter().any(|target| target["name"] == "system"));
}

fn main() -> ExitCode {
    if std::env::var_os(VARIABLE).is_some() {
        return lab().run();
    }
    let tests: [(&str, fn()); 7] = [
        (
            "a_crash_is_a_row_and_the_others_are_complete",
            a_crash_is_a_row_and_the_others_are_complete,
        ),
        (
            "every_failed_target_is_named_and_the_hint_counts_the_others",
            every_failed_target_is_named_and_the_hint_counts_the_others,
        ),
        ("a_hang_ends_at_its_limit", a_hang_ends_at_its_limit),
        ("what_cannot_be_made_says_why", what_cannot_be_made_says_why),
        (
            "wrong_bytes_name_their_record",
            wrong_bytes_name_their_record,
        ),
        (
            "a_refusal_is_counted_and_the_replay_goes_on",
            a_refusal_is_counted_and_the_replay_goes_on,
        ),
        (
            "a_plugged_in_target_is_listed",
            a_plugged_in_target_is_listed,
        ),
    ];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen = tests
        .iter()
        .filter(|(name, _)| filter.is_none_or(|part| name.contains(part)));
    let mut code = ExitCode::SUCCESS;
    for (name, test) in chosen {
        if arguments.iter().any(|argument| argument == "--list") {
            println!("{name}: test");
        } else if std::panic::catch_unwind(test).is_ok() {
            println!("test {name} ... ok");
        } else {
            println!("test {name} ... FAILED");
            code = ExitCode::FAILURE;
        }
    }
    code
}
