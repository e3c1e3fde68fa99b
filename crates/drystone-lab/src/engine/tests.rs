//! The replay loop on programs made by hand.

use core::alloc::{GlobalAlloc, Layout};
use std::alloc::System;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use drystone_trace::synth::Scenario;
use drystone_trace::{Figures, Op, Record, Trace};

use super::*;
use crate::program::{Align, Plan, Threads};
use crate::shared_file::SharedFile;
use crate::target::FromGlobal;
use crate::watch::Plain;
use crate::watch::latency::Latency;
use crate::watch::memory::{Memory, MemoryLog};
use crate::watch::verify::Verify;

/// Counts every allocation of this test binary while [`ARMED`].
struct Counting;

static ARMED: AtomicBool = AtomicBool::new(false);
static COUNTED: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ARMED.load(Ordering::Relaxed) {
            COUNTED.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// std's allocator, arming the counter from its first call to its last. It does not pass through
/// the counter itself.
struct Arming {
    left: AtomicU64,
}

impl Arming {
    fn call(&self) {
        ARMED.store(
            self.left.fetch_sub(1, Ordering::Relaxed) > 1,
            Ordering::Relaxed,
        );
    }
}

// SAFETY: every call is passed on to std's allocator.
unsafe impl ReplayTarget for Arming {
    unsafe fn allocate(&self, layout: Layout) -> *mut u8 {
        self.call();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn allocate_zeroed(&self, layout: Layout) -> *mut u8 {
        self.call();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn deallocate(&self, block: *mut u8, layout: Layout) {
        self.call();
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn reallocate(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.call();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

const OPTIONS: PassOptions = PassOptions {
    touch: Touch::Page,
    skew: 1000,
    paced: false,
};

fn program(trace: &Trace, threads: Threads, align: Align) -> (Program, SlotTable) {
    let plan = Plan::new(trace, threads, align).unwrap();
    let file = SharedFile::new(&plan.to_bytes().unwrap()).unwrap();
    let program = Program::map(&File::open(file.path()).unwrap()).unwrap();
    let slots = SlotTable::new(program.slots).unwrap();
    (program, slots)
}

/// Serialises the tests that look at the process-wide counter.
static ALONE: Mutex<()> = Mutex::new(());

fn allocations_while_replaying<W: Watch>(
    trace: &Trace,
    watches: impl Fn(&Program) -> Vec<W>,
) -> u64 {
    let (program, mut slots) = program(trace, Threads::Keep, Align::Recorded);
    let target = Arming {
        left: AtomicU64::new(trace.records().len() as u64),
    };
    let watches = watches(&program);
    COUNTED.store(0, Ordering::Relaxed);
    let outcome = pass(&target, &program, &slots, OPTIONS, watches, || {});
    let disarmed = !ARMED.swap(false, Ordering::Relaxed);
    let counted = COUNTED.load(Ordering::Relaxed);
    assert!(outcome.is_ok() && disarmed, "the pass was not whole");
    release(&target, &program, &mut slots, &mut Plain).unwrap();
    ARMED.store(false, Ordering::Relaxed);
    counted
}

#[test]
fn the_loop_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for trace in [
        Scenario::LarsonLike.generate(1, 20_000),
        Scenario::GrowingVectors.generate(1, 2_000),
    ] {
        let plain = |p: &Program| vec![Plain; p.thread_count()];
        let latency = |p: &Program| (0..p.thread_count() as u64).map(Latency::new).collect();
        // Other tests of this binary may allocate meanwhile, so one clean run of a few decides.
        let clean = |count: &mut dyn FnMut() -> u64| (0..50).any(|_| count() == 0);
        assert!(clean(&mut || allocations_while_replaying(&trace, plain)));
        assert!(clean(&mut || allocations_while_replaying(&trace, latency)));
        assert!(clean(&mut || {
            let Some(reader) = crate::memory::MemoryReader::open() else {
                return 0;
            };
            let records = trace.records().len() as u32;
            let log = MemoryLog::new(reader, records, 64, 100);
            let threads = trace.threads();
            let watches = |_: &Program| (0..threads).map(|_| Memory(&log)).collect();
            allocations_while_replaying(&trace, watches)
        }));
    }
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

#[test]
fn a_third_thread_that_reallocates_is_waited_for() {
    // The pointer goes from thread 0 to 1 to 2 and back, over and over, with nothing else to do.
    let mut records = vec![record(0, 0, Op::Allocate, 4, 64)];
    for step in 1..3000u32 {
        records.push(record(
            0,
            (step % 3) as u16,
            Op::Reallocate,
            4,
            64 + u64::from(step % 7),
        ));
    }
    records.push(record(0, 1, Op::Free, 0, 64 + 2999 % 7));
    let trace = Trace::from_records(3, 1, records).unwrap();
    for align in [Align::Recorded, Align::Rust] {
        let (program, mut slots) = program(&trace, Threads::Keep, align);
        for _ in 0..3 {
            let watches = vec![Verify::new(1, 1); 3];
            let target = FromGlobal(System);
            let outcome = pass(&target, &program, &slots, OPTIONS, watches, || {});
            let outcome = outcome.unwrap_or_else(|fault| panic!("{fault:?}"));
            assert_eq!(outcome.tally.operations, 3001);
            release(&target, &program, &mut slots, &mut Plain).unwrap();
        }
    }
}

#[test]
fn skew_of_one_record_still_ends() {
    let trace = Scenario::ProducerConsumer.generate(5, 3000);
    let (program, slots) = program(&trace, Threads::Keep, Align::Recorded);
    let options = PassOptions {
        touch: Touch::Ends,
        skew: 1,
        paced: false,
    };
    let watches = vec![Plain; program.thread_count()];
    let outcome = pass(
        &FromGlobal(System),
        &program,
        &slots,
        options,
        watches,
        || {},
    );
    assert_eq!(outcome.map(|o| o.tally.operations).ok(), Some(3000));
}

#[test]
fn a_plan_knows_the_peak_and_every_operation_goes_once() {
    for scenario in Scenario::ALL {
        let trace = scenario.generate(2, 3000);
        let figures = Figures::of(&trace);
        for threads in [Threads::Keep, Threads::Fold(1), Threads::Fold(2)] {
            let plan = Plan::new(&trace, threads, Align::Recorded).unwrap();
            assert_eq!(plan.workload.peak_live_bytes, figures.peak_live_bytes);
            assert_eq!(plan.workload.peak_live_blocks, figures.peak_live_objects);
            let (program, _) = program(&trace, threads, Align::Recorded);
            let mut seen: Vec<u32> = (0..program.thread_count())
                .flat_map(|thread| program.steps(thread).iter().map(|step| step.record))
                .collect();
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..trace.records().len() as u32));
        }
    }
}

#[test]
fn one_thread_never_waits_and_needs_no_more_slots_than_live_blocks() {
    let trace = Scenario::LarsonLike.generate(1, 10_000);
    let (program, _) = program(&trace, Threads::Fold(1), Align::Recorded);
    let waits = flag::WAITS | flag::PUBLISHES;
    assert!(program.steps(0).iter().all(|step| !step.has(waits)));
    assert_eq!(program.slots as u64, program.workload.peak_live_blocks);
}

#[test]
fn alignments_follow_the_choice() {
    let records = vec![
        record(0, 0, Op::Allocate, 4, 24),
        record(1, 0, Op::Allocate, 4, 48),
        record(2, 0, Op::Allocate, 5, 24),
        record(0, 0, Op::Reallocate, 4, 64),
        record(2, 0, Op::Reallocate, 4, 64),
    ];
    let trace = Trace::from_records(1, 3, records).unwrap();
    let kinds = |align| -> Vec<(u8, u8)> {
        let (program, _) = program(&trace, Threads::Keep, align);
        program
            .steps(0)
            .iter()
            .map(|step| (step.op, step.align_log2))
            .collect()
    };
    use crate::program::op::{ALLOCATE, MOVE, REALLOCATE};
    let recorded = [
        (ALLOCATE, 4),
        (ALLOCATE, 4),
        (ALLOCATE, 5),
        (REALLOCATE, 4),
        (MOVE, 4),
    ];
    assert_eq!(kinds(Align::Recorded), recorded);
    let rust = [
        (ALLOCATE, 3),
        (ALLOCATE, 4),
        (ALLOCATE, 5),
        (REALLOCATE, 3),
        (REALLOCATE, 5),
    ];
    assert_eq!(kinds(Align::Rust), rust);
}
