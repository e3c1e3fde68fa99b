//! When each record of a paced replay is due.
//!
//! # What
//! [`Pacing`] says how the times come about: those of the recording, some times faster, or a fixed rate
//! where the recording has none. A pass that is paced waits for each record's time. Allocators that give
//! memory back by the clock show only so what they hold.
//!
//! # Threads
//! Each waits for its own records; one that waits long has said how far it is, so that the others do not
//! take it for slow.
//!
//! # Cost
//! A pass that is not paced has none of this: the loop is compiled without it.

use std::time::{Duration, Instant};

use drystone_trace::Trace;

use crate::error::Failure;
use crate::pace::{Pace, Stopped};

/// How a replay is paced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pacing {
    /// As recorded, so many times faster.
    Recorded { warp: f64 },
    /// So many records a second, evenly.
    Rate { per_second: u64 },
}

impl Pacing {
    /// The words that mark results: which figures are paced, and how.
    pub(crate) fn label(self) -> String {
        const SCOPE: &str =
            "memory is that of a paced pass; speed and latency are as fast as possible";
        match self {
            Self::Recorded { warp: 1.0 } => format!("paced as recorded: {SCOPE}"),
            Self::Recorded { warp } => format!("paced at {warp} times the recorded speed: {SCOPE}"),
            Self::Rate { per_second } => {
                format!("synthetic pacing of {per_second} records a second: {SCOPE}")
            }
        }
    }

    /// When each record of `trace` is due, in nanoseconds from the start.
    pub(crate) fn times_ns(self, trace: &Trace) -> Result<Vec<u64>, Failure> {
        match (self, trace.times_ns()) {
            (Self::Recorded { warp }, Some(times)) => {
                Ok(times.iter().map(|&ns| (ns as f64 / warp) as u64).collect())
            }
            (Self::Recorded { .. }, None) => Err(Failure::usage(
                "--mode paced: the trace has no times",
                "record it as .dst, or choose a pace by --rate RECORDS_PER_SECOND",
            )),
            (Self::Rate { per_second }, _) => Ok((0..trace.records().len() as u128)
                .map(|n| (n * 1_000_000_000 / u128::from(per_second.max(1))) as u64)
                .collect()),
        }
    }
}

/// Whether a thread's next step has to wait for its time.
pub(crate) trait Schedule {
    /// Returns when the step of this number among the thread's is due; `record` is its record.
    fn await_step(&self, at: usize, record: u32, pace: &Pace, thread: usize)
    -> Result<(), Stopped>;
}

/// As fast as possible.
pub(crate) struct AtOnce;

impl Schedule for AtOnce {
    #[inline]
    fn await_step(&self, _: usize, _: u32, _: &Pace, _: usize) -> Result<(), Stopped> {
        Ok(())
    }
}

/// Each step at its time.
pub(crate) struct InTime<'a> {
    pub(crate) began: Instant,
    /// For each step of the thread.
    pub(crate) due_ns: &'a [u64],
}

/// A thread that has longer to wait sleeps; the rest it waits awake, since sleep ends late.
const AWAKE: Duration = Duration::from_micros(200);
/// The longest sleep before it is looked whether the pass was stopped.
const NAP: Duration = Duration::from_millis(50);

impl Schedule for InTime<'_> {
    #[inline]
    fn await_step(
        &self,
        at: usize,
        record: u32,
        pace: &Pace,
        thread: usize,
    ) -> Result<(), Stopped> {
        let due = Duration::from_nanos(self.due_ns[at]);
        if self.began.elapsed() >= due {
            return Ok(());
        }
        pace.publish(thread, record);
        loop {
            let left = due.saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            if pace.is_stopped() {
                return Err(Stopped);
            }
            match left.checked_sub(AWAKE) {
                Some(sleep) => std::thread::sleep(sleep.min(NAP)),
                None => std::thread::yield_now(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use drystone_trace::synth::Scenario;

    use super::*;
    use crate::error::Reason;

    #[test]
    fn times_come_from_the_recording_or_from_a_rate() {
        let plain = Scenario::ALL[0].generate(1, 100);
        let recorded = Pacing::Recorded { warp: 4.0 };
        let refused = recorded.times_ns(&plain).unwrap_err();
        assert_eq!(refused.reason, Reason::Usage);
        let rate = Pacing::Rate { per_second: 1000 };
        let even = rate.times_ns(&plain).unwrap();
        assert_eq!(even[..3], [0, 1_000_000, 2_000_000]);
        let timed = plain.with_times_ns(even).unwrap();
        assert_eq!(
            recorded.times_ns(&timed).unwrap()[..3],
            [0, 250_000, 500_000]
        );
    }

    #[test]
    fn a_stopped_pass_ends_the_wait() {
        let pace = Pace::new([0].into_iter(), 1);
        pace.stop();
        let far = InTime {
            began: Instant::now(),
            due_ns: &[u64::MAX],
        };
        assert!(far.await_step(0, 0, &pace, 0).is_err());
    }
}
