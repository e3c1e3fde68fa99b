//! What a child is asked, what it does, and what it answers.
//!
//! # What
//! [`run`] is generic over the target: it is compiled once for each contestant.
//!
//! # Cost
//! The program is mapped and read once, the slot table written once, before anything is measured.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{Outcome, PassOptions, pass, release};
use crate::error::Failure;
use crate::memory::{MemoryReader, Usage};
use crate::pace::Stalls;
use crate::perform::Tally;
use crate::program::Program;
use crate::resources::Resources;
use crate::slots::SlotTable;
use crate::target::{ReplayTarget, Workload};
use crate::touch::Touch;
use crate::watch::latency::{Latency, clock_pair_ns, histogram};
use crate::watch::memory::{Memory, MemoryLog, MemorySample};
use crate::watch::verify::Verify;
use crate::watch::{Fault, Plain};

/// A child's task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) target: String,
    pub(crate) program: PathBuf,
    pub(crate) touch: Touch,
    pub(crate) skew_records: u32,
    pub(crate) seed: u64,
    /// Each record at its time.
    pub(crate) paced: bool,
    pub(crate) work: Work,
}

/// Kinds of passes. They never share a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// One cold pass, `warm_passes` warm ones, one that samples latencies.
    Throughput { warm_passes: u32 },
    /// One pass that samples resident memory.
    Memory,
    /// One pass that checks every byte.
    Verify,
}

/// A child's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Throughput(ThroughputAnswer),
    Memory(MemoryAnswer),
    Verified(VerifyAnswer),
    /// A wrong byte.
    Fault(Fault),
    /// The target could not be made, or the system refused something.
    Unable(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ThroughputAnswer {
    pub(crate) cold_ns: u64,
    pub(crate) warm_ns: Vec<u64>,
    pub(crate) tally: Tally,
    pub(crate) stalls: StallFigures,
    /// Latencies in nanoseconds and how often each was seen.
    pub(crate) latencies: Vec<(u64, u64)>,
    pub(crate) clock_pair_ns: u64,
    pub(crate) resources: Resources,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemoryAnswer {
    /// `None` where the system does not tell.
    pub(crate) measured: Option<Measured>,
    pub(crate) live_peak_bytes: u64,
    pub(crate) tally: Tally,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Resident before the target was made and the first record replayed.
    pub(crate) harness: Usage,
    pub(crate) samples: Vec<MemorySample>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VerifyAnswer {
    pub(crate) tally: Tally,
    pub(crate) blocks_checked: u64,
    /// Of all outcomes in order; the same in every run when one thread replays.
    pub(crate) digest: u64,
}

/// Waits of all threads of the last warm pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StallFigures {
    pub(crate) turns: u64,
    pub(crate) turn_ns: u64,
    pub(crate) skews: u64,
    pub(crate) skew_ns: u64,
}

impl From<Stalls> for StallFigures {
    fn from(stalls: Stalls) -> Self {
        Self {
            turns: stalls.turns,
            turn_ns: nanoseconds(stalls.turn_time),
            skews: stalls.skews,
            skew_ns: nanoseconds(stalls.skew_time),
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Does the job on targets that `make` makes.
pub(crate) fn run<T: ReplayTarget>(
    job: &Job,
    make: &dyn Fn(&Workload) -> Result<T, String>,
) -> Answer {
    match prepare(job).and_then(|bench| bench.run(job, make)) {
        Ok(answer) => answer,
        Err(Unable::Fault(fault)) => Answer::Fault(fault),
        Err(Unable::Other(message)) => Answer::Unable(message),
    }
}

enum Unable {
    Fault(Fault),
    Other(String),
}

impl From<Fault> for Unable {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Failure> for Unable {
    fn from(failure: Failure) -> Self {
        Self::Other(failure.message)
    }
}

struct Bench {
    program: Program,
    slots: SlotTable,
    options: PassOptions,
}

fn prepare(job: &Job) -> Result<Bench, Unable> {
    let file =
        File::open(&job.program).map_err(|e| Failure::io("program", "cannot open it", &e))?;
    let program = Program::map(&file)?;
    let slots = SlotTable::new(program.slots)
        .map_err(|e| Failure::io("slot table", "cannot map it", &e))?;
    let options = PassOptions {
        touch: job.touch,
        skew: job.skew_records,
        paced: job.paced,
    };
    Ok(Bench {
        program,
        slots,
        options,
    })
}

impl Bench {
    fn run<T: ReplayTarget>(
        self,
        job: &Job,
        make: &dyn Fn(&Workload) -> Result<T, String>,
    ) -> Result<Answer, Unable> {
        let workload = self.program.workload;
        let make = || make(&workload).map_err(Unable::Other);
        match job.work {
            Work::Throughput { warm_passes } => {
                let target = make()?;
                self.throughput(target, warm_passes, job.seed)
                    .map(Answer::Throughput)
            }
            Work::Memory => self.memory(&make).map(Answer::Memory),
            Work::Verify => {
                let target = make()?;
                self.verify(&target).map(Answer::Verified)
            }
        }
    }

    fn plain<T: ReplayTarget>(&mut self, target: &mut T) -> Result<Outcome<Plain>, Unable> {
        let watches = vec![Plain; self.program.thread_count()];
        let outcome = pass(
            &*target,
            &self.program,
            &self.slots,
            self.options,
            watches,
            || {},
        )?;
        self.tidy(target)?;
        Ok(outcome)
    }

    fn tidy<T: ReplayTarget>(&mut self, target: &mut T) -> Result<(), Unable> {
        release(&*target, &self.program, &mut self.slots, &mut Plain)?;
        target.between_passes();
        Ok(())
    }

    fn throughput<T: ReplayTarget>(
        mut self,
        mut target: T,
        warm_passes: u32,
        seed: u64,
    ) -> Result<ThroughputAnswer, Unable> {
        let before = Resources::now();
        let cold = self.plain(&mut target)?;
        let mut last = cold.elapsed;
        let (mut tally, mut stalls) = (cold.tally, cold.stalls);
        let mut warm_ns = Vec::with_capacity(warm_passes as usize);
        for _ in 0..warm_passes {
            let warm = self.plain(&mut target)?;
            last = warm.elapsed;
            (tally, stalls) = (warm.tally, warm.stalls);
            warm_ns.push(nanoseconds(last));
        }
        let resources = Resources::now().since(&before);
        debug_assert!(last > Duration::ZERO || self.program.records == 0);
        let latencies = self.latencies(&mut target, seed)?;
        Ok(ThroughputAnswer {
            cold_ns: nanoseconds(cold.elapsed),
            warm_ns,
            tally,
            stalls: stalls.into(),
            latencies,
            clock_pair_ns: clock_pair_ns(),
            resources,
        })
    }

    fn latencies<T: ReplayTarget>(
        &mut self,
        target: &mut T,
        seed: u64,
    ) -> Result<Vec<(u64, u64)>, Unable> {
        let threads = self.program.thread_count();
        let watches = (0..threads as u64)
            .map(|t| Latency::new(seed.wrapping_add(t)))
            .collect();
        let outcome = pass(
            &*target,
            &self.program,
            &self.slots,
            self.options,
            watches,
            || {},
        )?;
        self.tidy(target)?;
        let mut all = histogram();
        for watch in outcome.watches {
            // The bounds are the same, so no value can be out of range.
            let _ = all.add(watch.into_histogram());
        }
        Ok(all
            .iter_recorded()
            .map(|value| (value.value_iterated_to(), value.count_at_value()))
            .collect())
    }

    fn memory<T: ReplayTarget>(
        mut self,
        make: &dyn Fn() -> Result<T, Unable>,
    ) -> Result<MemoryAnswer, Unable> {
        let Some(reader) = MemoryReader::open() else {
            let mut target = make()?;
            let outcome = self.plain(&mut target)?;
            let live_peak_bytes = self.program.workload.peak_live_bytes;
            return Ok(MemoryAnswer {
                measured: None,
                live_peak_bytes,
                tally: outcome.tally,
            });
        };
        let p = &self.program;
        let log = MemoryLog::new(reader, p.records, p.sample_every, p.peak_record);
        let unmade = log.read().unwrap_or_default();
        let mut target = make()?;
        let made = log.read().unwrap_or_default();
        let mut ready = Usage::default();
        let watches = (0..p.thread_count()).map(|_| Memory(&log)).collect();
        let outcome = pass(&target, p, &self.slots, self.options, watches, || {
            ready = log.read().unwrap_or_default();
        })?;
        log.sample_end(p.records);
        let tally = outcome.tally;
        self.tidy(&mut target)?;
        Ok(MemoryAnswer {
            measured: Some(Measured {
                harness: without(ready, unmade, made),
                samples: log.samples(),
            }),
            live_peak_bytes: log.live_peak_bytes(),
            tally,
        })
    }

    fn verify<T: ReplayTarget>(mut self, target: &T) -> Result<VerifyAnswer, Unable> {
        let new = Verify::new(self.program.workload.requested_bytes, self.program.records);
        let watches = vec![new.clone(); self.program.thread_count()];
        let mut outcome = pass(
            target,
            &self.program,
            &self.slots,
            self.options,
            watches,
            || {},
        )?;
        let mut last = new;
        release(target, &self.program, &mut self.slots, &mut last)?;
        outcome.watches.push(last);
        Ok(VerifyAnswer {
            tally: outcome.tally,
            blocks_checked: outcome.watches.iter().map(Verify::blocks_checked).sum(),
            digest: outcome.watches.iter().fold(0, |all, w| all ^ w.digest()),
        })
    }
}

/// `ready` without what making the target added: that is the target's own memory.
fn without(ready: Usage, unmade: Usage, made: Usage) -> Usage {
    let mut fields = ready.fields();
    for ((field, before), after) in fields.iter_mut().zip(unmade.fields()).zip(made.fields()) {
        *field = field.saturating_sub(after.saturating_sub(before));
    }
    Usage::from_fields(fields)
}
