//! `DRYSTONE_TRACE`: what a program did is what its trace says, however it ends.
//!
//! `cargo test -p drystone-malloc --features record --test record`; without the feature, that the variable is
//! named and not obeyed.
#![cfg(target_os = "linux")]

mod common;

use common::{is_preloaded, preloaded, text};

#[cfg(not(feature = "record"))]
#[test]
fn a_build_that_does_not_record_says_so_once() {
    let test = "a_build_that_does_not_record_says_so_once";
    if is_preloaded() {
        return;
    }
    let output = common::run({
        let mut program = preloaded(test);
        program.env("DRYSTONE_TRACE", "/nowhere/trace.dst");
        program
    });
    let said = text(&output.stderr);
    let line = "drystone: DRYSTONE_TRACE needs a build with the feature record; it is not obeyed\n";
    assert_eq!(said.matches(line).count(), 1, "{said}");
}

#[cfg(feature = "record")]
mod recorded {
    use std::ffi::c_void;
    use std::fs;
    use std::hint::black_box;
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};
    use std::{ptr, thread};

    use drystone_trace::{EventKind, Figures, Op, Record, Trace};

    use super::{common, is_preloaded, preloaded, text};

    /// A directory for the files of one test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("record-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a directory");
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("trace.dst")
        }

        fn trace(&self) -> Trace {
            Trace::read(&self.file()).expect("a trace")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Runs a test of this module again, on the library, recorded to `name`.
    fn record(test: &str, name: &Path) -> Output {
        let mut program = preloaded(&format!("recorded::{test}"));
        program.env("DRYSTONE_TRACE", name);
        program.output().expect("the program starts")
    }

    fn malloc(size: usize) -> *mut c_void {
        // SAFETY: no requirements.
        let block = unsafe { libc::malloc(size) };
        assert!(!block.is_null());
        // The compiler leaves out blocks that nobody looks at.
        black_box(block)
    }

    fn free(block: *mut c_void) {
        // SAFETY: each block is freed once.
        unsafe { libc::free(block) };
    }

    fn of_size(trace: &Trace, op: Op, size: u64) -> Vec<Record> {
        let records = trace.records().iter().copied();
        records
            .filter(|record| record.op == op && record.size == size)
            .collect()
    }

    /// How many blocks of a size are live at the end.
    fn left(trace: &Trace, size: u64) -> usize {
        let mut sizes = vec![0; trace.objects() as usize];
        for record in trace.records() {
            sizes[record.object as usize] = match record.op {
                Op::Free => 0,
                _ => record.size,
            };
        }
        sizes.into_iter().filter(|found| *found == size).count()
    }

    const PLAIN: usize = 12_345;
    const ZEROED: usize = 11_099;
    const ALIGNED: usize = 7_777;
    const GROWN: usize = 45_678;
    const OF_THREADS: usize = 3_331;

    fn program() {
        assert!(std::env::var_os("DRYSTONE_TRACE").is_none(), "taken out");
        let blocks: Vec<_> = (0..300).map(|_| malloc(PLAIN)).collect();
        blocks[100..].iter().for_each(|block| free(*block));
        // SAFETY: no requirements.
        let zeroed = black_box(unsafe { libc::calloc(ZEROED / 11, 11) });
        let mut aligned = ptr::null_mut();
        // SAFETY: a valid place.
        let code = unsafe { libc::posix_memalign(&raw mut aligned, 4096, ALIGNED) };
        assert_eq!(code, 0);
        free(aligned);
        // SAFETY: the block is live.
        let grown = black_box(unsafe { libc::realloc(zeroed, GROWN) });
        assert!(!grown.is_null());
        // SAFETY: the block is live; no size is so large.
        let refused = black_box(unsafe { libc::realloc(grown, black_box(usize::MAX / 2 + 1)) });
        assert!(refused.is_null());
        let threads: Vec<_> = (0..4)
            .map(|_| thread::spawn(|| (0..50).for_each(|_| free(malloc(OF_THREADS)))))
            .collect();
        for thread in threads {
            thread.join().expect("a thread");
        }
    }

    #[test]
    fn the_operators_of_cpp_are_recorded_once() {
        if is_preloaded() {
            return;
        }
        let Some(program) = common::compile("c++", "recorded.cpp", &["-std=c++17"]) else {
            return;
        };
        let scratch = Scratch::new("cpp");
        let output = Command::new(program)
            .env("LD_PRELOAD", common::library())
            .env("DRYSTONE_TRACE", scratch.file())
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let trace = scratch.trace();
        for (size, made, kept) in [(23_456, 30, 10), (12_321, 1, 0), (15_872, 1, 0)] {
            assert_eq!(
                of_size(&trace, Op::Allocate, size).len(),
                made,
                "{size} bytes"
            );
            assert_eq!(left(&trace, size), kept, "{size} bytes");
        }
        let aligned = of_size(&trace, Op::Allocate, 15_872);
        assert_eq!(aligned[0].align_log2, 9);
    }

    #[test]
    fn a_program_comes_back() {
        if is_preloaded() {
            return program();
        }
        let scratch = Scratch::new("program");
        let output = record("a_program_comes_back", &scratch.file());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text(&output.stderr), "");
        let trace = scratch.trace();
        assert!(trace.recording().complete);
        assert_eq!(trace.lost(), 0);
        let count = |op, size: usize| of_size(&trace, op, size as u64).len();
        assert_eq!(
            (count(Op::Allocate, PLAIN), count(Op::Free, PLAIN)),
            (300, 200)
        );
        assert_eq!(left(&trace, PLAIN as u64), 100);
        assert_eq!(count(Op::AllocateZeroed, ZEROED), 1);
        assert_eq!(
            (count(Op::Reallocate, GROWN), count(Op::Free, GROWN)),
            (1, 0)
        );
        assert_eq!(left(&trace, GROWN as u64), 1);
        let aligned = of_size(&trace, Op::Allocate, ALIGNED as u64);
        let aligns: Vec<u8> = aligned.iter().map(|record| record.align_log2).collect();
        assert_eq!(aligns, [12]);
        let plain = of_size(&trace, Op::Allocate, PLAIN as u64);
        assert!(plain.iter().all(|record| record.align_log2 == 4));
        let mut threads: Vec<u16> = of_size(&trace, Op::Allocate, OF_THREADS as u64)
            .iter()
            .map(|record| record.thread)
            .collect();
        assert_eq!((threads.len(), count(Op::Free, OF_THREADS)), (200, 200));
        threads.sort_unstable();
        threads.dedup();
        assert_eq!(threads.len(), 4);
        let exits = trace.events().iter();
        let exits = exits.filter(|event| event.kind == EventKind::ThreadExit);
        assert!(exits.count() >= 4, "{:?}", trace.events());
    }

    /// Blocks of three threads, then the end of the process, whatever it is.
    fn threads_then(end: fn()) {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                thread::spawn(|| {
                    for _ in 0..5_000 {
                        free(malloc(PLAIN));
                    }
                    malloc(GROWN);
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a thread");
        }
        end();
    }

    fn assert_threads_came_back(trace: &Trace) {
        assert!(!trace.recording().complete);
        let count = |op, size: usize| of_size(trace, op, size as u64).len();
        assert_eq!(
            (count(Op::Allocate, PLAIN), count(Op::Free, PLAIN)),
            (15_000, 15_000)
        );
        assert_eq!(left(trace, GROWN as u64), 3);
    }

    #[test]
    fn a_program_that_is_killed_comes_back() {
        if is_preloaded() {
            return threads_then(|| {
                // SAFETY: ends the process.
                unsafe { libc::raise(libc::SIGKILL) };
            });
        }
        let scratch = Scratch::new("killed");
        let output = record("a_program_that_is_killed_comes_back", &scratch.file());
        assert_eq!(output.status.signal(), Some(libc::SIGKILL));
        assert_threads_came_back(&scratch.trace());
    }

    #[test]
    fn a_program_that_leaves_without_its_handlers_comes_back() {
        if is_preloaded() {
            // SAFETY: ends the process.
            return threads_then(|| unsafe { libc::_exit(3) });
        }
        let scratch = Scratch::new("left");
        let test = "a_program_that_leaves_without_its_handlers_comes_back";
        let output = record(test, &scratch.file());
        assert_eq!(output.status.code(), Some(3));
        assert_threads_came_back(&scratch.trace());
    }

    #[test]
    fn many_threads_come_back() {
        const THREADS: usize = 100;
        if is_preloaded() {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| thread::spawn(|| (0..500).for_each(|_| free(malloc(OF_THREADS)))))
                .collect();
            for thread in threads {
                thread.join().expect("a thread");
            }
            return;
        }
        let scratch = Scratch::new("many");
        let output = record("many_threads_come_back", &scratch.file());
        assert!(output.status.success(), "{output:?}");
        let trace = scratch.trace();
        assert!(trace.recording().complete);
        let allocations = of_size(&trace, Op::Allocate, OF_THREADS as u64).len();
        assert_eq!(allocations, THREADS * 500);
        assert_eq!(left(&trace, OF_THREADS as u64), 0);
        assert_eq!(trace.lost(), 0);
    }

    /// Forks children under threads that allocate; each leaves one block of its own.
    fn forks() {
        thread::scope(|scope| {
            scope.spawn(|| (0..20_000).for_each(|_| free(malloc(OF_THREADS))));
            for child in 0..20 {
                // SAFETY: the child allocates and ends.
                let process = unsafe { libc::fork() };
                if process == 0 {
                    malloc(PLAIN + child);
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(0) };
                }
                let mut status = 1;
                // SAFETY: a child of this process, and a valid place.
                let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
                assert_eq!(ended, process);
                assert_eq!(status, 0);
            }
        });
    }

    #[test]
    fn children_leave_the_trace_alone() {
        if is_preloaded() {
            return forks();
        }
        let scratch = Scratch::new("forks");
        let output = record("children_leave_the_trace_alone", &scratch.file());
        assert!(output.status.success(), "{output:?}");
        let trace = scratch.trace();
        assert!(trace.recording().complete);
        assert_eq!(
            of_size(&trace, Op::Allocate, OF_THREADS as u64).len(),
            20_000
        );
        let children = (0..20).map(|child| of_size(&trace, Op::Allocate, PLAIN as u64 + child));
        assert_eq!(children.flatten().count(), 0);
        let forks = trace.events().iter();
        assert_eq!(
            forks.filter(|event| event.kind == EventKind::Fork).count(),
            20
        );
    }

    #[test]
    fn children_have_traces_of_their_own() {
        if is_preloaded() {
            return forks();
        }
        let scratch = Scratch::new("children");
        let name = scratch.0.join("%p.dst");
        let output = record("children_have_traces_of_their_own", &name);
        assert!(output.status.success(), "{output:?}");
        let mut own = Vec::new();
        for entry in fs::read_dir(&scratch.0).expect("a list") {
            let trace = Trace::read(&entry.expect("an entry").path()).expect("a trace");
            let blocks = (0..20)
                .filter(|child| !of_size(&trace, Op::Allocate, PLAIN as u64 + child).is_empty());
            let blocks: Vec<_> = blocks.collect();
            if !trace.recording().complete {
                let mut first = trace.events().iter().take(2);
                assert!(first.any(|event| event.kind == EventKind::Fork));
                assert_eq!(blocks.len(), 1);
            }
            own.extend(blocks);
        }
        own.sort_unstable();
        assert_eq!(own, (0..20).collect::<Vec<u64>>());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told_and_the_program_runs() {
        let test = "a_file_that_cannot_be_made_is_told_and_the_program_runs";
        if is_preloaded() {
            return free(malloc(PLAIN));
        }
        for (name, reason) in [
            ("/nowhere/trace.dst", "No such file or directory"),
            ("/dev/full", "it would be no regular file"),
            ("/dev/null", "it would be no regular file"),
        ] {
            let output = record(test, Path::new(name));
            assert!(output.status.success(), "{output:?}");
            let line = format!(
                "drystone: DRYSTONE_TRACE={name}: cannot make the file: {reason}; nothing is recorded\n"
            );
            assert_eq!(text(&output.stderr), line);
        }
    }

    /// No file may be longer than 200 000 bytes: the recording ends, the program does not.
    #[test]
    fn a_full_disk_is_told_and_the_program_runs() {
        if is_preloaded() {
            let limit = libc::rlimit {
                rlim_cur: 200_000,
                rlim_max: 200_000,
            };
            // SAFETY: a valid value. What is beyond the limit is answered by a signal, unless the
            // recorder looks first.
            let code = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
            assert_eq!(code, 0);
            return (0..50_000).for_each(|_| free(malloc(OF_THREADS)));
        }
        let scratch = Scratch::new("full");
        let output = record("a_full_disk_is_told_and_the_program_runs", &scratch.file());
        assert!(output.status.success(), "{output:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains("cannot write the file: File too large; "),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        let trace = scratch.trace();
        assert!(!trace.recording().complete);
        assert!(Figures::of(&trace).records > 10_000);
    }

    /// A process that another one is named for does not record, and a program that it becomes does.
    #[test]
    fn the_process_that_is_named_is_recorded() {
        if is_preloaded() {
            return free(malloc(PLAIN));
        }
        let scratch = Scratch::new("named");
        let mut program = preloaded("recorded::the_process_that_is_named_is_recorded");
        program.env("DRYSTONE_TRACE", scratch.file());
        program.env("DRYSTONE_TRACE_PROCESS", "1");
        assert!(program.output().expect("a process").status.success());
        assert!(!scratch.file().exists());
    }
}
