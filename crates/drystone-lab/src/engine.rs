//! One pass over a program: its threads, from the first record to the last.
//!
//! # What
//! [`pass`] replays every step on a target. [`release`] frees what the program left live.
//!
//! # Data flow
//! ```text
//!  Program (read only) ──steps──▶ Performer ──calls──▶ target
//!                                   │  ▲
//!                                   ▼  │ block, layout, turn
//!                                 SlotTable ◀── other threads
//! ```
//!
//! # Threads
//! The recording's first thread is the calling one; the others are created before the clock
//! starts, sleep until the record before their first was executed, and end after their last.
//!
//! # Cost
//! Nothing is allocated between the first step and the last.

use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use drystone_backing::page_size;

use crate::pace::{Pace, Stalls, Stopped, pass_turn};
use crate::perform::{Performer, Tally};
use crate::program::{Program, flag};
use crate::schedule::{AtOnce, InTime, Schedule};
use crate::slots::SlotTable;
use crate::target::ReplayTarget;
use crate::touch::Touch;
use crate::watch::{Fault, Watch};

/// Settings of a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassOptions {
    pub(crate) touch: Touch,
    pub(crate) skew: u32,
    /// Each record at its time, if the program has times.
    pub(crate) paced: bool,
}

/// What a pass did.
pub(crate) struct Outcome<W> {
    /// From the first step to the end of the last thread's last.
    pub(crate) elapsed: Duration,
    pub(crate) tally: Tally,
    pub(crate) stalls: Stalls,
    /// The threads' watchers.
    pub(crate) watches: Vec<W>,
}

struct ThreadOutcome<W> {
    ended: Instant,
    tally: Tally,
    stalls: Stalls,
    watch: W,
    fault: Option<Fault>,
}

/// Replays `program` on `target` with one watcher for each thread.
///
/// `ready` is called when all threads exist and nothing has been replayed. Returns the fault of
/// the lowest record if a watcher found one.
pub(crate) fn pass<T: ReplayTarget, W: Watch>(
    target: &T,
    program: &Program,
    slots: &SlotTable,
    options: PassOptions,
    watches: Vec<W>,
    ready: impl FnOnce(),
) -> Result<Outcome<W>, Fault> {
    let threads = program.thread_count();
    debug_assert_eq!(watches.len(), threads);
    let pace = Pace::new((0..threads).map(|t| program.first_record(t)), options.skew);
    let results: Mutex<Vec<ThreadOutcome<W>>> = Mutex::new(Vec::with_capacity(threads));
    let page_bytes = page_size();
    let start = OnceLock::new();
    let worker = |thread: usize, watch: W| {
        pace.await_start(thread);
        let tally = Tally::default();
        let performer = Performer {
            target,
            watch,
            touch: options.touch,
            page_bytes,
            tally,
        };
        let due_ns = program.due_ns(thread).filter(|_| options.paced);
        let outcome = match (due_ns, start.get()) {
            (Some(due_ns), Some(&began)) => {
                let in_time = InTime { began, due_ns };
                run_thread(thread, program, slots, &pace, performer, &in_time)
            }
            _ => run_thread(thread, program, slots, &pace, performer, &AtOnce),
        };
        results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(outcome);
    };
    let began = std::thread::scope(|scope| {
        let mut watches = watches.into_iter();
        let own = watches.next();
        let mut handles = vec![std::thread::current()];
        for (thread, watch) in (1..).zip(watches) {
            let worker = &worker;
            let spawned = scope.spawn(move || worker(thread, watch));
            handles.push(spawned.thread().clone());
        }
        pace.introduce(handles);
        ready();
        let began = Instant::now();
        // Before any thread starts; set once.
        let _ = start.set(began);
        pace.go();
        if let Some(watch) = own {
            worker(0, watch);
        }
        began
    });
    collect(
        began,
        results.into_inner().unwrap_or_else(PoisonError::into_inner),
    )
}

fn collect<W>(began: Instant, outcomes: Vec<ThreadOutcome<W>>) -> Result<Outcome<W>, Fault> {
    let mut all = Outcome {
        elapsed: Duration::ZERO,
        tally: Tally::default(),
        stalls: Stalls::default(),
        watches: Vec::with_capacity(outcomes.len()),
    };
    let mut fault: Option<Fault> = None;
    for outcome in outcomes {
        all.elapsed = all.elapsed.max(outcome.ended.duration_since(began));
        all.tally.add(&outcome.tally);
        all.stalls.turns += outcome.stalls.turns;
        all.stalls.turn_time += outcome.stalls.turn_time;
        all.stalls.skews += outcome.stalls.skews;
        all.stalls.skew_time += outcome.stalls.skew_time;
        all.watches.push(outcome.watch);
        if let Some(found) = outcome.fault
            && fault
                .as_ref()
                .is_none_or(|known| found.record < known.record)
        {
            fault = Some(found);
        }
    }
    fault.map_or(Ok(all), Err)
}

fn run_thread<T: ReplayTarget, W: Watch>(
    thread: usize,
    program: &Program,
    slots: &SlotTable,
    pace: &Pace,
    mut performer: Performer<'_, T, W>,
    schedule: &impl Schedule,
) -> ThreadOutcome<W> {
    let mut stalls = Stalls::default();
    let ran = run_steps(
        thread,
        program,
        slots,
        pace,
        &mut performer,
        &mut stalls,
        schedule,
    );
    let fault = match ran {
        Ok(()) | Err(None) => None,
        Err(Some(fault)) => {
            pace.stop();
            Some(fault)
        }
    };
    let ended = Instant::now();
    pace.finish(thread);
    ThreadOutcome {
        ended,
        tally: performer.tally,
        stalls,
        watch: performer.watch,
        fault,
    }
}

/// `Err(None)` says that another thread stopped the pass.
fn run_steps<T: ReplayTarget, W: Watch>(
    thread: usize,
    program: &Program,
    slots: &SlotTable,
    pace: &Pace,
    performer: &mut Performer<'_, T, W>,
    stalls: &mut Stalls,
    schedule: &impl Schedule,
) -> Result<(), Option<Fault>> {
    if pace.is_stopped() {
        return Err(None);
    }
    let slots = slots.slots();
    let alone = program.thread_count() == 1;
    let mut checkpoint = if alone { u32::MAX } else { 0 };
    for (at, step) in program.steps(thread).iter().enumerate() {
        schedule
            .await_step(at, step.record, pace, thread)
            .map_err(no_fault)?;
        if step.record >= checkpoint {
            checkpoint = pace
                .checkpoint(thread, step.record, stalls)
                .map_err(no_fault)?;
        }
        let slot = &slots[step.slot as usize];
        if step.has(flag::WAITS) {
            pace.await_turn(thread, step.record, &slot.turn, step.turn, stalls)
                .map_err(no_fault)?;
        }
        performer.perform(step, slot).map_err(Some)?;
        if step.has(flag::PUBLISHES | flag::STARTS) {
            hand_on(
                program,
                pace,
                step.record,
                step.flags,
                &slot.turn,
                step.turn,
            );
        }
    }
    Ok(())
}

fn no_fault(_: Stopped) -> Option<Fault> {
    None
}

#[cold]
fn hand_on(
    program: &Program,
    pace: &Pace,
    record: u32,
    flags: u8,
    turn: &std::sync::atomic::AtomicU32,
    number: u32,
) {
    if flags & flag::PUBLISHES != 0 {
        pass_turn(turn, number.wrapping_add(1));
    }
    if flags & flag::STARTS != 0 {
        for thread in program.started_by(record) {
            pace.start(thread);
        }
    }
}

/// Gives every block that is still live back, after checking it; then rewinds the table.
pub(crate) fn release<T: ReplayTarget, W: Watch>(
    target: &T,
    program: &Program,
    slots: &mut SlotTable,
    watch: &mut W,
) -> Result<(), Fault> {
    for (number, slot) in (0u32..).zip(slots.slots()) {
        let block = slot.block();
        if block.is_null() {
            continue;
        }
        let step = crate::program::Step {
            size: 1,
            slot: number,
            turn: 0,
            record: program.records,
            op: crate::program::op::FREE,
            align_log2: 0,
            flags: 0,
            unused: 0,
        };
        // SAFETY: the pass is over, so every slot is this thread's; its block is live, of its
        // layout.
        unsafe { watch.leaving(&step, block, slot.layout()) }?;
        // SAFETY: as above; the table is rewound below, so nobody uses the block again.
        unsafe { target.deallocate(block, slot.layout()) };
    }
    slots.rewind();
    Ok(())
}

#[cfg(test)]
mod tests;
