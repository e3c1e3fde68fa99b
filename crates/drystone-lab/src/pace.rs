//! How the threads of a replay wait for each other.
//!
//! # What
//! Two rules keep a replay near the recorded order. *Turns*: an operation on a slot that another
//! thread used last waits until that operation is over. *Skew*: no thread runs more than a given
//! number of records ahead of the slowest, or the live set, and with it every memory figure, would
//! be fiction.
//!
//! # Invariants
//! I1: a thread publishes its progress before it waits, so the slowest published record is the
//! slowest thread's.
//! I2: the record of least number that is not executed can always go on: its predecessor on its
//! slot, and the record that starts its thread, have lower numbers, and no thread is slower. So
//! the replay ends.
//!
//! # Threads
//! Progress is one atomic for each thread on lines of its own; a finished thread stands at
//! `u32::MAX`.
//!
//! # Cost
//! One comparison an operation; every [`PUBLISH_EVERY`] records a store and a walk over the
//! threads. One thread alone never waits and never publishes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Records between two publications of a thread's progress.
const PUBLISH_EVERY: u32 = 256;

/// Rounds of busy waiting before the processor is yielded: while every thread can have a core,
/// and while the awaited one may be waiting for this one's.
const SPINS: u32 = 200;
const SPINS_CROWDED: u32 = 4;

#[repr(align(128))]
struct Progress {
    /// Record that the thread executes next; later ones may still stand here as earlier.
    record: AtomicU32,
    started: AtomicBool,
}

/// What the threads of one pass know of each other.
pub(crate) struct Pace {
    progress: Vec<Progress>,
    handles: OnceLock<Vec<Thread>>,
    stopped: AtomicBool,
    skew: u32,
    spins: u32,
}

/// Why a wait ended early: a thread found a fault and the pass is over.
pub(crate) struct Stopped;

/// Time that a thread spent waiting for others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stalls {
    pub(crate) turns: u64,
    pub(crate) turn_time: Duration,
    pub(crate) skews: u64,
    pub(crate) skew_time: Duration,
}

impl Pace {
    /// For threads whose first records are given.
    pub(crate) fn new(first_records: impl Iterator<Item = u32>, skew: u32) -> Self {
        let progress: Vec<Progress> = first_records
            .map(|record| Progress {
                record: AtomicU32::new(record),
                started: AtomicBool::new(false),
            })
            .collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            spins: if progress.len() > cores {
                SPINS_CROWDED
            } else {
                SPINS
            },
            progress,
            handles: OnceLock::new(),
            stopped: AtomicBool::new(false),
            skew: skew.max(1),
        }
    }

    /// Tells whom to wake; called once, before [`go`](Self::go).
    pub(crate) fn introduce(&self, handles: Vec<Thread>) {
        // A second call would be by the same engine with the same threads.
        let _ = self.handles.set(handles);
    }

    /// Starts the thread of record 0, and those that have no record to wait for.
    pub(crate) fn go(&self) {
        for thread in 0..self.progress.len() {
            let first = self.progress[thread].record.load(Ordering::Relaxed);
            if first == 0 || first == u32::MAX {
                self.start(thread);
            }
        }
    }

    /// Lets a thread begin.
    #[cold]
    pub(crate) fn start(&self, thread: usize) {
        // Release: partners with the load in `await_start`.
        self.progress[thread].started.store(true, Ordering::Release);
        if let Some(handle) = self.handles.get().and_then(|handles| handles.get(thread)) {
            handle.unpark();
        }
    }

    /// Returns when this thread may begin.
    pub(crate) fn await_start(&self, thread: usize) {
        // Acquire: partners with the store in `start`.
        while !self.progress[thread].started.load(Ordering::Acquire) {
            std::thread::park();
        }
    }

    /// Ends the pass for everybody.
    #[cold]
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        for thread in 0..self.progress.len() {
            self.start(thread);
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Says that this thread has no more records.
    pub(crate) fn finish(&self, thread: usize) {
        self.progress[thread]
            .record
            .store(u32::MAX, Ordering::Relaxed);
    }

    pub(crate) fn publish(&self, thread: usize, record: u32) {
        // Relaxed: progress orders nothing but the waiting itself; blocks change hands by turns.
        self.progress[thread]
            .record
            .store(record, Ordering::Relaxed);
    }

    fn slowest_other(&self, thread: usize) -> u32 {
        let others = self
            .progress
            .iter()
            .enumerate()
            .filter(|&(other, _)| other != thread);
        others
            .map(|(_, p)| p.record.load(Ordering::Relaxed))
            .min()
            .unwrap_or(u32::MAX)
    }

    /// Publishes progress at `record` and waits until the slowest thread is near enough. Returns
    /// the record at which to call again.
    #[cold]
    pub(crate) fn checkpoint(
        &self,
        thread: usize,
        record: u32,
        stalls: &mut Stalls,
    ) -> Result<u32, Stopped> {
        self.publish(thread, record);
        let near = || {
            let slowest = self.slowest_other(thread);
            (record <= slowest.saturating_add(self.skew)).then_some(slowest)
        };
        let slowest = match near() {
            Some(slowest) => slowest,
            None => {
                stalls.skews += 1;
                self.wait(&mut stalls.skew_time, near)?
            }
        };
        let horizon = slowest.saturating_add(self.skew).saturating_add(1);
        Ok(record.saturating_add(PUBLISH_EVERY).min(horizon))
    }

    /// Waits until `turn` stands at `number`.
    #[inline]
    pub(crate) fn await_turn(
        &self,
        thread: usize,
        record: u32,
        turn: &AtomicU32,
        number: u32,
        stalls: &mut Stalls,
    ) -> Result<(), Stopped> {
        // Acquire: partners with the Release store in `pass_turn`; it brings the slot's cells and
        // the block's bytes.
        if turn.load(Ordering::Acquire) == number {
            return Ok(());
        }
        self.publish(thread, record);
        stalls.turns += 1;
        self.wait(&mut stalls.turn_time, || {
            (turn.load(Ordering::Acquire) == number).then_some(())
        })
    }

    #[cold]
    fn wait<T>(&self, waited: &mut Duration, ready: impl Fn() -> Option<T>) -> Result<T, Stopped> {
        let since = Instant::now();
        loop {
            for _ in 0..self.spins {
                if let Some(value) = ready() {
                    *waited += since.elapsed();
                    return Ok(value);
                }
                std::hint::spin_loop();
            }
            if self.is_stopped() {
                return Err(Stopped);
            }
            std::thread::yield_now();
        }
    }
}

/// Hands a slot on: its next operation is `number`.
#[inline]
pub(crate) fn pass_turn(turn: &AtomicU32, number: u32) {
    // Release: partners with the Acquire loads in `await_turn`.
    turn.store(number, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_waits_for_one_that_is_too_far_behind() {
        let pace = Pace::new([0, 0].into_iter(), 10);
        let mut stalls = Stalls::default();
        assert!(
            pace.checkpoint(0, 10, &mut stalls)
                .is_ok_and(|next| next == 11)
        );
        assert_eq!(stalls.skews, 0);
        pace.finish(1);
        assert!(
            pace.checkpoint(0, 11, &mut stalls)
                .is_ok_and(|next| next == 11 + PUBLISH_EVERY)
        );
    }

    #[test]
    fn threads_without_a_core_each_yield_soon() {
        let of = |threads| Pace::new(core::iter::repeat_n(0, threads), 10).spins;
        assert_eq!(of(1), SPINS);
        assert_eq!(of(100_000), SPINS_CROWDED);
    }

    #[test]
    fn a_stopped_pass_ends_every_wait() {
        let pace = Pace::new([0, 0].into_iter(), 10);
        pace.stop();
        let mut stalls = Stalls::default();
        assert!(pace.checkpoint(0, 1000, &mut stalls).is_err());
        assert!(
            pace.await_turn(0, 1000, &AtomicU32::new(0), 1, &mut stalls)
                .is_err()
        );
        assert_eq!((stalls.skews, stalls.turns), (1, 1));
    }

    #[test]
    fn turns_hand_over_what_was_written_before() {
        let turn = AtomicU32::new(0);
        let value = AtomicU32::new(0);
        let pace = Pace::new([0, 0].into_iter(), 1000);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                value.store(7, Ordering::Relaxed);
                pass_turn(&turn, 1);
            });
            let mut stalls = Stalls::default();
            assert!(pace.await_turn(1, 1, &turn, 1, &mut stalls).is_ok());
            assert_eq!(value.load(Ordering::Relaxed), 7);
        });
    }
}
