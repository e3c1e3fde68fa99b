//! `Recorder`: what a known program did is what the file says, on one thread and on several; what goes
//! wrong is told.
#![cfg(not(miri))] // Writes files.

use std::fs;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use drystone_backing::System;
use drystone_core::{
    AllocError, Allocator, Contents, Deallocator, HeapSegment, NonZeroLayout, Reset,
};
use drystone_layout::BumpArena;
use drystone_trace::{
    Chunks, EventKind, Figures, Op, RecordError, Recorder, Trace, finish_recording, mark, record_to,
};

/// There is one recording in a process, so one test at a time records.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("drystone-{name}-{}.dst", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn trace(&self) -> Trace {
        Trace::read(&self.0).expect("a trace")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("a layout")
}

/// A block that may change threads.
struct Sent(NonNull<u8>);
// SAFETY: the system's blocks may be freed on any thread.
unsafe impl Send for Sent {}

#[test]
fn a_known_program_comes_back() {
    let _alone = alone();
    let file = Scratch::new("known");
    let recorder = Recorder::new(System);
    let before = recorder.allocate(layout(40, 8)).expect("memory").cast();

    record_to(&file.0).expect("a new file");
    assert!(matches!(record_to(&file.0), Err(RecordError::Busy)));
    let first = recorder.allocate(layout(100, 16)).expect("memory").cast();
    let zeroed = recorder
        .allocate_zeroed(layout(64, 64))
        .expect("memory")
        .cast();
    // SAFETY: the block is live with this layout.
    let first = unsafe { recorder.grow(first, layout(100, 16), layout(3000, 16)) };
    let first = first.expect("memory").cast();
    // SAFETY: the block is live with this layout.
    let first = unsafe { recorder.shrink(first, layout(3000, 16), layout(50, 32)) };
    let first = first.expect("memory").cast();
    // SAFETY: the block is live with this layout.
    unsafe { recorder.deallocate(zeroed, layout(64, 64)) };
    // SAFETY: the block is live with this layout; the recording does not know it.
    unsafe { recorder.deallocate(before, layout(40, 8)) };
    let recorded = finish_recording().expect("a whole file");
    assert!(matches!(finish_recording(), Err(RecordError::NotRecording)));
    // SAFETY: the block is live with this layout; it is not recorded any more.
    unsafe { recorder.deallocate(first, layout(50, 32)) };

    let trace = file.trace();
    // Two reallocations count twice, and a free that is unmatched is not in the trace.
    assert_eq!(recorded.operations, 5 + 2 + 1 + trace.events().len() as u64);
    assert_eq!(recorded.bytes, fs::metadata(&file.0).expect("a file").len());
    assert!(trace.recording().complete);
    assert_eq!(trace.recording().unmatched, 1);
    let rows: Vec<_> = trace
        .records()
        .iter()
        .map(|r| (r.thread, r.op, r.object, r.size, r.align_log2))
        .collect();
    let expected = [
        (0, Op::Allocate, 0, 100, 4),
        (0, Op::AllocateZeroed, 1, 64, 6),
        (0, Op::Reallocate, 0, 3000, 4),
        (0, Op::Reallocate, 0, 50, 5),
        (0, Op::Free, 1, 64, 0),
    ];
    assert_eq!(rows, expected);
    let times = trace.times_ns().expect("a recorder has a clock");
    // From the start of the recording, shortly before.
    assert!(times.len() == 5 && times[0] < 1_000_000_000, "{times:?}");
    assert!(times.is_sorted());
}

/// Refuses everything that is larger than a page.
struct Small;

// SAFETY: the blocks are the system's.
unsafe impl Deallocator for Small {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the block is the system's; same requirements.
        unsafe { System.deallocate(ptr, layout) };
    }
}

// SAFETY: the blocks are the system's.
unsafe impl Allocator for Small {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size().get() > 4096 {
            return Err(AllocError);
        }
        System.allocate(layout)
    }
}

#[test]
fn refusals_leave_no_record_and_nested_recorders_one() {
    let _alone = alone();
    let file = Scratch::new("refusals");
    let recorder = Recorder::new(Recorder::new(Small));
    record_to(&file.0).expect("a new file");
    assert!(recorder.allocate(layout(5000, 8)).is_err());
    let block = recorder.allocate(layout(8, 8)).expect("memory").cast();
    // SAFETY: the block is live with this layout.
    assert!(unsafe { recorder.grow(block, layout(8, 8), layout(5000, 8)) }.is_err());
    // SAFETY: a refused resize leaves the block as it was.
    unsafe { recorder.deallocate(block, layout(8, 8)) };
    finish_recording().expect("a whole file");
    let ops: Vec<_> = file.trace().records().iter().map(|r| r.op).collect();
    assert_eq!(ops, [Op::Allocate, Op::Free]);
}

/// A reset ends the blocks of its own allocator and no others; blocks that grew in place have their size.
#[test]
fn a_reset_ends_what_it_ends() {
    let _alone = alone();
    let file = Scratch::new("reset");
    let range = HeapSegment::new(layout(4096, 16)).expect("memory");
    let mut arena = Recorder::new(BumpArena::new(range));
    let recorder = Recorder::new(System);
    record_to(&file.0).expect("a new file");
    let kept = recorder.allocate(layout(100, 8)).expect("memory").cast();
    for round in 0..3 {
        let first = arena.allocate(layout(64, 8)).expect("room").cast();
        // SAFETY: the block is live with this layout.
        let grown = unsafe { arena.grow_in_place(first, layout(64, 8), layout(70 + round, 8)) };
        grown.expect("the last block of an arena");
        // SAFETY: the block is live with this layout.
        let more = unsafe { arena.grow_in_place(first, layout(70 + round, 8), layout(9000, 8)) };
        assert!(more.is_err(), "larger than the arena");
        arena.allocate(layout(8, 8)).expect("room");
        arena.reset();
    }
    // SAFETY: the block is live with this layout.
    unsafe { recorder.deallocate(kept, layout(100, 8)) };
    // Three ranges that ended, and two operations for each block that grew.
    let operations = finish_recording().expect("a whole file").operations;
    let trace = file.trace();
    assert_eq!(operations, 2 + 3 * 5 + trace.events().len() as u64);
    let figures = Figures::of(&trace);
    assert_eq!(trace.recording().unmatched, 0);
    assert_eq!((figures.allocations, figures.frees), (7, 7));
    assert_eq!(figures.reallocations.grow, 3);
    assert_eq!(figures.peak_live_bytes, 100 + 72 + 8);
    assert_eq!(figures.live_at_end.objects, 0);
}

/// Threads that hand their blocks to another one, which resizes and frees them: more threads than there
/// are lanes, more operations than a lane holds.
#[test]
fn threads_come_back() {
    const THREADS: u64 = 80;
    const BLOCKS: u64 = 2_000;
    let _alone = alone();
    let file = Scratch::new("threads");
    let recorder = Recorder::new(System);
    record_to(&file.0).expect("a new file");
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel::<(u64, Sent)>();
        for thread in 0..THREADS {
            let (sender, recorder) = (sender.clone(), &recorder);
            scope.spawn(move || {
                for number in 0..BLOCKS {
                    let size = 1 + (thread * 31 + number * 7) % 500;
                    let block = recorder.allocate(layout(size as usize, 8)).expect("memory");
                    if number % 3 == 0 {
                        sender.send((size, Sent(block.cast()))).expect("a receiver");
                    } else {
                        // SAFETY: the block is live with this layout.
                        unsafe { recorder.deallocate(block.cast(), layout(size as usize, 8)) };
                    }
                }
            });
        }
        drop(sender);
        for (size, Sent(block)) in receiver {
            let old = layout(size as usize, 8);
            // SAFETY: the block is live with this layout.
            let block = unsafe { recorder.grow(block, old, layout(600, 8)) };
            // SAFETY: the block is live with its new layout.
            unsafe { recorder.deallocate(block.expect("memory").cast(), layout(600, 8)) };
        }
    });
    let recorded = finish_recording().expect("a whole file");
    let trace = file.trace();
    let sent = THREADS * BLOCKS.div_ceil(3);
    let figures = Figures::of(&trace);
    assert!(trace.recording().complete);
    assert_eq!(trace.recording().unmatched, 0);
    assert_eq!(trace.threads() as u64, THREADS + 1);
    assert_eq!(figures.allocations, THREADS * BLOCKS);
    assert_eq!(figures.frees, THREADS * BLOCKS);
    assert_eq!(figures.reallocations.grow, sent);
    assert_eq!(figures.cross_thread_frees, sent);
    assert_eq!(figures.live_at_end.objects, 0);
    let events = trace.events();
    let operations = 2 * THREADS * BLOCKS + 2 * sent + events.len() as u64;
    assert_eq!(recorded.operations, operations);
    let starts = events
        .iter()
        .filter(|event| event.kind == EventKind::ThreadStart);
    assert!(starts.count() as u64 >= THREADS);
    let chunks = Chunks::read(&file.0).expect("a .dst file");
    assert!(chunks.indexed);
    let indexed: u64 = chunks.entries.iter().map(|c| u64::from(c.operations)).sum();
    assert_eq!(indexed, operations);
    let windows = 64 << 10; // That each thread may leave unused at the end.
    let used = recorded.bytes.saturating_sub(THREADS * windows);
    let per_operation = used as f64 / recorded.operations as f64;
    assert!(per_operation < 14.0, "{per_operation} bytes an operation");
}

#[test]
fn a_file_that_cannot_be_made_is_told() {
    let _alone = alone();
    let nowhere = std::env::temp_dir().join("drystone-no-such-folder/file.dst");
    assert!(matches!(record_to(&nowhere), Err(RecordError::Create(_))));
    #[cfg(target_os = "linux")]
    assert!(matches!(
        record_to("/dev/full".as_ref()),
        Err(RecordError::Create(_))
    ));
    assert!(matches!(finish_recording(), Err(RecordError::NotRecording)));
}

/// A disk that is full after 100 000 bytes: the recording ends there and says so, the program goes on, and
/// the file is a trace of what came before.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    const TEST: &str = "a_full_disk_is_told";
    const CHILD: &str = "DRYSTONE_FULL_DISK";
    if std::env::var_os(CHILD).is_none() {
        let child = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args([TEST, "--exact", "--nocapture"])
            .env(CHILD, "1")
            // Through a pipe: the limit below is one on every file, also a log that is long already.
            .output()
            .expect("a process");
        assert!(child.status.success(), "{child:?}");
        return;
    }
    let limit = libc::rlimit {
        rlim_cur: 100_000,
        rlim_max: 100_000,
    };
    // SAFETY: this process is the test's own; a write past the limit fails instead of killing it.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // SAFETY: the limit is a valid value.
    let limited = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
    assert_eq!(limited, 0);

    let file = Scratch::new("full");
    let recorder = Recorder::new(System);
    record_to(&file.0).expect("a new file");
    for _ in 0..100_000 {
        let block = recorder.allocate(layout(24, 8)).expect("memory").cast();
        // SAFETY: the block is live with this layout.
        unsafe { recorder.deallocate(block, layout(24, 8)) };
    }
    let Err(RecordError::Write {
        error,
        operations,
        lost,
    }) = finish_recording()
    else {
        panic!("a full disk is not silent");
    };
    assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
    assert!(
        operations > 5_000 && lost > 0,
        "{operations} kept, {lost} lost"
    );
    let trace = file.trace();
    assert!(!trace.recording().complete);
    let events = trace.events().len();
    assert_eq!((trace.records().len() + events) as u64, operations);
    // The next recording begins afresh.
    let next = Scratch::new("after-full");
    record_to(&next.0).expect("a new file");
    assert_eq!(finish_recording().expect("a whole file").operations, 0);
}

/// What is recorded is in the file at once, and needs no end to be read.
#[test]
fn an_unfinished_file_is_a_trace() {
    let _alone = alone();
    let file = Scratch::new("unfinished");
    let recorder = Recorder::new(System);
    record_to(&file.0).expect("a new file");
    mark("before\nbehind");
    let block = recorder.allocate(layout(77, 8)).expect("memory").cast();
    thread::scope(|scope| {
        scope.spawn(|| recorder.allocate(layout(78, 8)).expect("memory").len());
    });
    let trace = file.trace();
    assert!(!trace.recording().complete);
    let sizes: Vec<_> = trace.records().iter().map(|record| record.size).collect();
    assert_eq!(sizes, [77, 78]);
    let names = trace.events().iter().filter_map(|event| match &event.kind {
        EventKind::Mark(name) => Some((name.as_str(), event.position)),
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), [("before", 0)]);
    assert!(!Chunks::read(&file.0).expect("a .dst file").indexed);
    // SAFETY: the block is live with this layout.
    unsafe { recorder.deallocate(block, layout(77, 8)) };
    finish_recording().expect("a whole file");
    assert!(file.trace().recording().complete);
    let packed = file.trace().to_dst();
    assert_eq!(Trace::from_bytes(&packed).expect("a trace"), file.trace());
}

/// A program that closes every descriptor, and opens files of its own: none of them is written to.
#[cfg(target_os = "linux")]
#[test]
fn a_descriptor_that_is_somebody_elses_is_left_alone() {
    use std::os::fd::AsRawFd as _;

    let _alone = alone();
    let file = Scratch::new("closed");
    let other = Scratch::new("other");
    let recorder = Recorder::new(System);
    record_to(&file.0).expect("a new file");
    let inode = std::os::unix::fs::MetadataExt::ino;
    let wanted = inode(&fs::metadata(&file.0).expect("a file"));
    let theirs = fs::File::create(&other.0).expect("a file");
    for entry in fs::read_dir("/proc/self/fd").expect("a list") {
        let entry = entry.expect("an entry");
        if fs::metadata(entry.path()).is_ok_and(|found| inode(&found) == wanted) {
            let number = entry
                .file_name()
                .to_string_lossy()
                .parse()
                .expect("a number");
            // SAFETY: the descriptor is the recorder's, which finds out.
            assert_eq!(unsafe { libc::dup2(theirs.as_raw_fd(), number) }, number);
        }
    }
    for _ in 0..20_000 {
        let block = recorder.allocate(layout(24, 8)).expect("memory").cast();
        // SAFETY: the block is live with this layout.
        unsafe { recorder.deallocate(block, layout(24, 8)) };
    }
    let Err(RecordError::Write { error, lost, .. }) = finish_recording() else {
        panic!("a descriptor that is gone is told");
    };
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    assert!(lost > 0);
    assert_eq!(fs::metadata(&other.0).expect("a file").len(), 0);
    // Nor is it closed.
    assert!(
        fs::read_dir("/proc/self/fd").is_ok_and(|mut list| list.any(|entry| {
            let path = entry.map(|entry| entry.path()).unwrap_or_default();
            let is_theirs = fs::metadata(&path)
                .is_ok_and(|found| inode(&found) == inode(&theirs.metadata().expect("a file")));
            is_theirs && path.file_name() != Some(theirs.as_raw_fd().to_string().as_ref())
        }))
    );
    assert!(file.trace().records().len() > 1_000, "what came before");
}

/// A child of a fork has its parent's memory and its file, and must not write to it.
#[cfg(target_os = "linux")]
#[test]
fn a_child_of_a_fork_leaves_the_file_alone() {
    let _alone = alone();
    let file = Scratch::new("fork");
    let recorder = Recorder::new(System);
    record_to(&file.0).expect("a new file");
    let block = recorder.allocate(layout(16, 8)).expect("memory").cast();
    // SAFETY: the child calls only what a child of a threaded program may: the allocator under test is the
    // C library's, which survives a fork, and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        for _ in 0..20_000 {
            if let Ok(block) = recorder.allocate(layout(16, 8)) {
                // SAFETY: the block is live with this layout.
                unsafe { recorder.deallocate(block.cast(), layout(16, 8)) };
            }
        }
        let code = i32::from(finish_recording().is_ok());
        // SAFETY: ends the child.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the child is ours; the pointer is to a live number.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child does not end the recording");
    // SAFETY: the block is live with this layout.
    unsafe { recorder.deallocate(block, layout(16, 8)) };
    finish_recording().expect("a whole file");
    let trace = file.trace();
    assert_eq!(trace.records().len(), 2);
    assert!(
        trace
            .events()
            .iter()
            .any(|event| event.kind == EventKind::Fork)
    );
}
