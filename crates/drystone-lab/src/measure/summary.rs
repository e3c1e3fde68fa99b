//! From the answers of the children to the figures of a trace.

use drystone_trace::Figures;

use super::{Arm, Kind, Plans};
use crate::job::{MemoryAnswer, ThroughputAnswer};
use crate::program::Plan;
use crate::results::{
    Latency, LiveCurve, Memory, MemoryPoint, Noise, Refusals, Row, Throughput, TraceResult,
    Verification, Versus,
};
use crate::stats::{LEAST_NOISE_RATIO, Ratio, median, quantile};

/// Percentiles of the latency plot.
const CURVE_PERCENT: [f64; 9] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// What the rows of a trace refer to.
struct Reference<'a> {
    records: usize,
    seed: u64,
    baseline: &'a str,
    baseline_rates: Vec<f64>,
    harness_ns: Vec<f64>,
    noise_ratio: f64,
}

pub(super) fn of_trace(
    name: &str,
    synthetic: bool,
    plan: &Plan,
    figures: &Figures,
    plans: &Plans,
    rounds: u32,
    arms: Vec<Arm<'_>>,
) -> TraceResult {
    let records = plan.records;
    let rates = |arm: &Arm<'_>| -> Vec<f64> {
        arm.rounds
            .iter()
            .map(|round| ops_per_s(round, records))
            .collect()
    };
    let contestants = || arms.iter().filter(|arm| arm.kind == Kind::Contestant);
    let healthy = |arm: &&Arm<'_>| arm.status.is_ok();
    let baseline = contestants()
        .filter(healthy)
        .find(|arm| arm.label == plans.baseline)
        .or_else(|| contestants().find(healthy));
    let baseline_rates = baseline.map(rates).unwrap_or_default();
    let of_kind = |kind| arms.iter().find(move |arm: &&Arm<'_>| arm.kind == kind);
    let again = of_kind(Kind::Again).map(rates).unwrap_or_default();
    // The second arm is the asked baseline's; it says nothing of another one.
    let same = baseline.is_some_and(|arm| arm.label == plans.baseline);
    let against_itself = if same && again.len() == baseline_rates.len() && !again.is_empty() {
        Ratio::paired(&again, &baseline_rates, plans.seed)
    } else {
        Ratio::unmeasured()
    };
    let floor_ratio = against_itself.reach().max(LEAST_NOISE_RATIO);
    let harness_ns = of_kind(Kind::Harness).map_or_else(Vec::new, |arm| {
        arm.rounds
            .iter()
            .map(|round| ns_per_op(round, records))
            .collect()
    });
    let reference = Reference {
        records,
        seed: plans.seed,
        baseline: baseline.map_or("", |arm| arm.label.as_str()),
        baseline_rates,
        harness_ns,
        noise_ratio: floor_ratio,
    };
    TraceResult {
        name: name.to_owned(),
        synthetic,
        threads_replayed: u32::try_from(plan.thread_count()).unwrap_or(u32::MAX),
        figures: serde_json::to_value(figures).unwrap_or_default(),
        live_curve: LiveCurve {
            sample_every_records: plan.sample_every,
            live_bytes: plan.live_curve.clone(),
        },
        rounds,
        baseline: reference.baseline.to_owned(),
        harness_ns_per_op: median(&reference.harness_ns),
        noise: Noise {
            against_itself,
            floor_ratio,
        },
        rows: contestants().map(|arm| row(arm, &reference)).collect(),
    }
}

fn row(arm: &Arm<'_>, reference: &Reference<'_>) -> Row {
    let healthy = arm.status.is_ok();
    let last = arm.rounds.last().filter(|_| healthy);
    let throughput = last
        .map(|_| throughput(&arm.rounds, reference))
        .filter(|t| t.ops_per_s > 0.0);
    let versus = throughput
        .as_ref()
        .filter(|t| {
            arm.label != reference.baseline
                && t.rounds_ops_per_s.len() == reference.baseline_rates.len()
        })
        .map(|t| {
            let ratio = Ratio::paired(
                &t.rounds_ops_per_s,
                &reference.baseline_rates,
                reference.seed,
            );
            Versus {
                ratio,
                verdict: ratio.verdict(reference.noise_ratio),
            }
        });
    let tally = last
        .map(|round| round.tally)
        .or_else(|| arm.verified.as_ref().map(|verified| verified.tally));
    Row {
        target: arm.label.clone(),
        status: arm.status.clone(),
        verification: arm.verified.as_ref().map(|verified| Verification {
            blocks_checked: verified.blocks_checked,
            wrong_bytes: 0,
            digest: verified.digest,
        }),
        throughput,
        versus,
        latency: last.and_then(|_| latency(&arm.rounds)),
        memory: arm.memory.as_ref().filter(|_| healthy).and_then(memory),
        refusals: tally.map(|tally| Refusals {
            oversized: tally.refused_oversized,
            exhausted: tally.refused_exhausted,
            skipped_operations: tally.skipped,
        }),
        stalls: last.map(|round| round.stalls),
        resources: last.map(|round| round.resources),
    }
}

/// Nanoseconds an operation of the warm passes of a round.
fn ns_per_op(round: &ThroughputAnswer, records: usize) -> f64 {
    let warm: Vec<f64> = round.warm_ns.iter().map(|&ns| ns as f64).collect();
    median(&warm) / records.max(1) as f64
}

fn ops_per_s(round: &ThroughputAnswer, records: usize) -> f64 {
    match ns_per_op(round, records) {
        ns if ns > 0.0 => 1e9 / ns,
        _ => 0.0,
    }
}

fn throughput(rounds: &[ThroughputAnswer], reference: &Reference<'_>) -> Throughput {
    let records = reference.records;
    let rates: Vec<f64> = rounds
        .iter()
        .map(|round| ops_per_s(round, records))
        .collect();
    let gross: Vec<f64> = rounds
        .iter()
        .map(|round| ns_per_op(round, records))
        .collect();
    let cold: Vec<f64> = rounds
        .iter()
        .map(|round| round.cold_ns as f64 / records.max(1) as f64)
        .collect();
    let net: Vec<f64> = gross
        .iter()
        .zip(&reference.harness_ns)
        .map(|(g, h)| g - h)
        .collect();
    let net_ns_per_op = median(&net);
    Throughput {
        ops_per_s: median(&rates),
        net_ops_per_s: (net_ns_per_op > 0.0).then(|| 1e9 / net_ns_per_op),
        ns_per_op: median(&gross),
        net_ns_per_op,
        cold_ns_per_op: median(&cold),
        p10_ops_per_s: quantile(&rates, 0.1),
        p90_ops_per_s: quantile(&rates, 0.9),
        rounds_ops_per_s: rates,
    }
}

/// Of all rounds together.
fn latency(rounds: &[ThroughputAnswer]) -> Option<Latency> {
    let mut counts: Vec<(u64, u64)> = rounds
        .iter()
        .flat_map(|round| round.latencies.iter().copied())
        .collect();
    counts.sort_unstable();
    let samples: u64 = counts.iter().map(|(_, count)| count).sum();
    let max_ns = counts.last()?.0;
    let within = |percent: f64| {
        let wanted = ((percent / 100.0) * samples as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = counts.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        at.map_or(max_ns, |(ns, _)| *ns)
    };
    let pairs: Vec<f64> = rounds
        .iter()
        .map(|round| round.clock_pair_ns as f64)
        .collect();
    Some(Latency {
        p50_ns: within(50.0),
        p90_ns: within(90.0),
        p99_ns: within(99.0),
        p999_ns: within(99.9),
        max_ns,
        samples,
        clock_pair_ns: median(&pairs) as u64,
        curve: CURVE_PERCENT
            .map(|percent| (percent, within(percent)))
            .to_vec(),
    })
}

/// `None` where memory is not measured.
fn memory(answer: &MemoryAnswer) -> Option<Memory> {
    let measured = answer.measured.as_ref()?;
    let harness_bytes = measured.harness.held_bytes();
    let samples: Vec<MemoryPoint> = measured
        .samples
        .iter()
        .map(|sample| MemoryPoint {
            record: sample.record,
            live_bytes: sample.live_bytes,
            held_bytes: sample.usage.held_bytes().saturating_sub(harness_bytes),
            rss_bytes: sample.usage.rss_bytes,
            pss_bytes: sample.usage.pss_bytes,
            anonymous_bytes: sample.usage.anonymous_bytes,
            lazy_free_bytes: sample.usage.lazy_free_bytes,
            anon_huge_bytes: sample.usage.anon_huge_bytes,
        })
        .collect();
    let peak_bytes = samples.iter().map(|sample| sample.held_bytes).max()?;
    let overheads: Vec<f64> = samples
        .iter()
        .filter(|sample| sample.held_bytes > 0)
        .map(|s| (s.held_bytes as f64 - s.live_bytes as f64) / s.held_bytes as f64)
        .collect();
    Some(Memory {
        peak_bytes,
        end_bytes: samples.last().map_or(0, |sample| sample.held_bytes),
        live_peak_bytes: answer.live_peak_bytes,
        peak_over_live_ratio: peak_bytes as f64 / answer.live_peak_bytes.max(1) as f64,
        mean_overhead_ratio: overheads.iter().sum::<f64>() / overheads.len().max(1) as f64,
        harness_bytes,
        samples,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drystone_trace::Figures;
    use drystone_trace::synth::Scenario;

    use super::*;
    use crate::lab::{HARNESS, Lab};
    use crate::program::{Align, Threads};
    use crate::results::Status;
    use crate::stats::Verdict;
    use crate::touch::Touch;

    /// Times of rounds, and the same ones in another order.
    const ROUNDS_NS: [u64; 7] = [100, 104, 98, 107, 101, 99, 103];
    const AGAIN_NS: [u64; 7] = [103, 99, 101, 98, 107, 104, 100];

    fn arm<'a>(lab: &'a Lab, label: &str, kind: Kind, rounds_ns: &[u64]) -> Arm<'a> {
        let round = |ns: &u64| ThroughputAnswer {
            cold_ns: *ns,
            warm_ns: vec![*ns],
            tally: Default::default(),
            stalls: Default::default(),
            latencies: Vec::new(),
            clock_pair_ns: 0,
            resources: Default::default(),
        };
        Arm {
            label: label.to_owned(),
            contestant: lab.find(HARNESS).expect("every lab has it"),
            kind,
            status: Status::Ok,
            verified: None,
            memory: None,
            rounds: rounds_ns.iter().map(round).collect(),
        }
    }

    /// The verdict on `rounds_ns`, where the baseline ran twice with the times above.
    fn judged(rounds_ns: &[u64]) -> Verdict {
        let trace = Scenario::ServerChurn.generate(1, 100);
        let plans = Plans {
            threads: Threads::Fold(1),
            align: Align::Recorded,
            touch: Touch::Page,
            skew_records: 1,
            seed: 1,
            limit: Duration::ZERO,
            warm_passes: 1,
            rounds: (7, 7),
            baseline: "base".to_owned(),
            pacing: None,
        };
        let plan = Plan::new(&trace, plans.threads, plans.align).expect("small");
        let lab = Lab::new();
        let arms = vec![
            arm(&lab, "base", Kind::Contestant, &ROUNDS_NS),
            arm(&lab, "base", Kind::Again, &AGAIN_NS),
            arm(&lab, "other", Kind::Contestant, rounds_ns),
        ];
        let figures = Figures::of(&trace);
        let result = of_trace("synthetic", true, &plan, &figures, &plans, 7, arms);
        assert!(result.rows[0].versus.is_none(), "the baseline");
        result.rows[1]
            .versus
            .as_ref()
            .expect("seven rounds")
            .verdict
    }

    #[test]
    fn a_target_against_itself_is_the_same() {
        assert_eq!(judged(&ROUNDS_NS), Verdict::Same);
        assert_eq!(judged(&AGAIN_NS), Verdict::Same);
        let mut backwards = ROUNDS_NS;
        backwards.reverse();
        assert_eq!(judged(&backwards), Verdict::Same);
    }

    #[test]
    fn a_difference_within_the_noise_of_the_baseline_is_the_same_and_one_beyond_it_is_not() {
        assert_eq!(judged(&ROUNDS_NS.map(|ns| ns + 2)), Verdict::Same);
        assert_eq!(judged(&ROUNDS_NS.map(|ns| ns * 5 / 4)), Verdict::Slower);
        assert_eq!(judged(&ROUNDS_NS.map(|ns| ns * 3 / 4)), Verdict::Faster);
    }
}
