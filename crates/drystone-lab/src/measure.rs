//! All that is measured on one trace: verification, memory, interleaved rounds.
//!
//! # What
//! Each contestant verifies once and shows its memory once; then rounds of throughput, in which
//! every contestant, the harness and the baseline once more run in random order. A contestant
//! that fails is out of the trace, and the rest goes on.
//!
//! # Cost
//! The rounds end when their number is reached, or when the time is up and the least number is.

mod summary;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use drystone_trace::{Figures, Trace};

use crate::child;
use crate::error::Failure;
use crate::job::{Answer, Job, MemoryAnswer, ThroughputAnswer, VerifyAnswer, Work};
use crate::lab::{Contestant, HARNESS, Lab};
use crate::program::{Align, Plan, Threads};
use crate::progress::Progress;
use crate::random::Random;
use crate::results::{Status, TraceResult};
use crate::schedule::Pacing;
use crate::shared_file::SharedFile;
use crate::target::Role;
use crate::touch::Touch;

/// How a trace is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plans {
    pub(crate) threads: Threads,
    pub(crate) align: Align,
    pub(crate) touch: Touch,
    pub(crate) skew_records: u32,
    pub(crate) seed: u64,
    pub(crate) limit: Duration,
    pub(crate) warm_passes: u32,
    /// Least and greatest number of rounds; no rounds and no memory pass if the latter is 0.
    pub(crate) rounds: (u32, u32),
    pub(crate) baseline: String,
    /// The pace of the memory pass; the others are as fast as possible.
    pub(crate) pacing: Option<Pacing>,
}

/// A contestant under measurement.
struct Arm<'a> {
    /// Name in the table; the baseline's second appearance and repeated names carry a number.
    label: String,
    contestant: &'a Contestant,
    kind: Kind,
    status: Status,
    verified: Option<VerifyAnswer>,
    memory: Option<MemoryAnswer>,
    rounds: Vec<ThroughputAnswer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Contestant,
    Harness,
    /// The baseline against itself.
    Again,
}

/// Measures contestants on traces, one after the other.
pub(crate) struct Measurement<'a> {
    lab: &'a Lab,
    chosen: Vec<&'a Contestant>,
    plans: Plans,
    progress: Progress,
    /// Work of the traces that are done.
    done: u64,
}

impl<'a> Measurement<'a> {
    pub(crate) fn new(
        lab: &'a Lab,
        chosen: Vec<&'a Contestant>,
        plans: Plans,
        progress: Progress,
    ) -> Self {
        Self {
            lab,
            chosen,
            plans,
            progress,
            done: 0,
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Measures on one trace. `share` is the time that its rounds may take beyond the least
    /// number; `weight` its part of the progress line.
    pub(crate) fn trace(
        &mut self,
        name: &str,
        synthetic: bool,
        trace: &Trace,
        share: Duration,
        weight: u64,
    ) -> Result<TraceResult, Failure> {
        let mut plan = Plan::new(trace, self.plans.threads, self.plans.align)?;
        if let Some(pacing) = self.plans.pacing {
            plan = plan.paced(pacing.times_ns(trace)?);
        }
        let program = SharedFile::new(&plan.to_bytes()?)
            .map_err(|e| Failure::io("program file", "cannot write it", &e))?;
        let mut arms = self.arms()?;
        let mut run = Runs {
            name,
            program: program.path().to_owned(),
            plans: &self.plans,
            duration: plan.duration(),
            progress: &self.progress,
            started: Instant::now(),
            expected: 0,
            finished: 0,
            units: (self.done, weight),
        };
        let rounds = run.all(&mut arms, share)?;
        self.done += weight;
        self.progress.reach(self.done);
        let figures = Figures::of(trace);
        Ok(summary::of_trace(
            name,
            synthetic,
            &plan,
            &figures,
            &self.plans,
            rounds,
            arms,
        ))
    }

    fn arms(&self) -> Result<Vec<Arm<'a>>, Failure> {
        let arm = |label: String, contestant: &'a Contestant, kind| Arm {
            label,
            contestant,
            kind,
            status: Status::Ok,
            verified: None,
            memory: None,
            rounds: Vec::new(),
        };
        let mut arms: Vec<Arm<'a>> = Vec::new();
        for &contestant in &self.chosen {
            let name = &contestant.description.name;
            let earlier = arms
                .iter()
                .filter(|a| &a.contestant.description.name == name)
                .count();
            let label = if earlier == 0 {
                name.clone()
            } else {
                format!("{name}#{}", earlier + 1)
            };
            arms.push(arm(label, contestant, Kind::Contestant));
        }
        if self.plans.rounds.1 > 0 {
            let missing = |name: &str| Failure::internal(&format!("there is no target {name}"));
            let baseline = &self.plans.baseline;
            let again = self.lab.find(baseline).ok_or_else(|| missing(baseline))?;
            let harness = self.lab.find(HARNESS).ok_or_else(|| missing(HARNESS))?;
            arms.push(arm(format!("{baseline} again"), again, Kind::Again));
            arms.push(arm(HARNESS.to_owned(), harness, Kind::Harness));
        }
        Ok(arms)
    }
}

/// The runs on one trace.
struct Runs<'a> {
    name: &'a str,
    program: PathBuf,
    plans: &'a Plans,
    /// What a paced pass takes at least.
    duration: Duration,
    progress: &'a Progress,
    started: Instant,
    /// Runs of this trace, all and so far.
    expected: u64,
    finished: u64,
    /// Where this trace begins on the progress line, and its length.
    units: (u64, u64),
}

impl Runs<'_> {
    /// Returns the number of rounds.
    fn all(&mut self, arms: &mut [Arm<'_>], share: Duration) -> Result<u32, Failure> {
        let (least, most) = self.plans.rounds;
        let contestants = arms
            .iter()
            .filter(|arm| arm.kind == Kind::Contestant)
            .count() as u64;
        let passes = if most == 0 { 1 } else { 2 };
        self.expected = contestants * passes + arms.len() as u64 * u64::from(most);
        let mut random = Random::new(self.plans.seed);
        self.once(arms, Work::Verify, &mut random)?;
        let one_left = |arms: &[Arm<'_>]| {
            arms.iter()
                .any(|arm| arm.kind == Kind::Contestant && arm.status.is_ok())
        };
        if most == 0 || !one_left(arms) {
            return Ok(0);
        }
        self.once(arms, Work::Memory, &mut random)?;
        let mut rounds = 0;
        let mut slowest = Duration::ZERO;
        while rounds < least || rounds < most && self.started.elapsed() + slowest <= share {
            let began = Instant::now();
            self.round(arms, rounds, &mut random)?;
            slowest = slowest.max(began.elapsed());
            rounds += 1;
        }
        Ok(rounds)
    }

    fn once(
        &mut self,
        arms: &mut [Arm<'_>],
        work: Work,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let mut order: Vec<usize> = (0..arms.len()).collect();
        random.shuffle(&mut order);
        for at in order {
            let arm = &mut arms[at];
            // A harness has no contents to verify, and nothing to hold.
            let harness = arm.contestant.description.role == Role::Harness;
            if arm.kind == Kind::Contestant && !harness && arm.status.is_ok() {
                let what = if work == Work::Verify {
                    "verifying"
                } else {
                    "memory"
                };
                self.progress
                    .say(&format!("{} · {} · {what}", self.name, arm.label));
                self.run(arm, work, random.next())?;
            }
        }
        Ok(())
    }

    fn round(
        &mut self,
        arms: &mut [Arm<'_>],
        round: u32,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let mut order: Vec<usize> = (0..arms.len()).collect();
        random.shuffle(&mut order);
        let work = Work::Throughput {
            warm_passes: self.plans.warm_passes,
        };
        for at in order {
            let arm = &mut arms[at];
            if arm.status.is_ok() {
                self.progress.say(&format!(
                    "{} · {} · round {}",
                    self.name,
                    arm.label,
                    round + 1
                ));
                self.run(arm, work, random.next())?;
            }
        }
        Ok(())
    }

    fn run(&mut self, arm: &mut Arm<'_>, work: Work, seed: u64) -> Result<(), Failure> {
        let job = Job {
            target: arm.contestant.description.name.clone(),
            program: self.program.clone(),
            touch: self.plans.touch,
            skew_records: self.plans.skew_records,
            seed,
            paced: work == Work::Memory && self.plans.pacing.is_some(),
            work,
        };
        let limit = if job.paced {
            self.plans.limit + self.duration
        } else {
            self.plans.limit
        };
        match child::run(&job, limit)? {
            Ok(Answer::Throughput(answer)) => arm.rounds.push(answer),
            Ok(Answer::Memory(answer)) => arm.memory = Some(answer),
            Ok(Answer::Verified(answer)) => arm.verified = Some(answer),
            Ok(Answer::Fault(fault)) => arm.status = Status::WrongByte(fault),
            Ok(Answer::Unable(reason)) => arm.status = Status::Unable { reason },
            Err(end) => arm.status = Status::Failed(end),
        }
        self.finished += 1;
        let (from, length) = self.units;
        self.progress
            .reach(from + length * self.finished.min(self.expected) / self.expected.max(1));
        Ok(())
    }
}
