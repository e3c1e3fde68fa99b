//! `drystone compare OLD.json NEW.json`: has anything become worse beyond the noise?
//!
//! # What
//! Throughput is worse if the interval of new over old lies below 1 and the median is farther from
//! 1 than the threshold and than the noise of both files, in logarithms. Where the noise exceeds
//! the threshold and nothing was shown, the row is too noisy to judge; below three rounds there is
//! no interval and no verdict. Memory has one pass a file and no interval: it is worse if the peak
//! grew by more than the threshold and by more than [`LEAST_BYTES`]. A row of the old file that
//! has lost its figures in the new one, or its trace, is no pass.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::{envelope, print};
use crate::error::{Failure, Reason};
use crate::results::{Results, Row, Settings, TargetFacts, TraceResult};
use crate::stats::{Ratio, Verdict};
use crate::table::{align_right, plain_table, trimmed};
use crate::text::{interval, percent, some_of};

/// A peak may differ by this from run to run: stacks, and pages that the C library keeps.
const LEAST_BYTES: u64 = 1 << 20;

#[derive(Serialize)]
struct Gate {
    threshold_ratio: f64,
    same_machine: bool,
    /// Rows that are slower, larger or lost.
    regressions: usize,
    lost: usize,
    too_noisy: usize,
    too_few_rounds: usize,
    rows: Vec<GateRow>,
    /// Rows that had no figures in the old file.
    not_compared: Vec<String>,
    targets: Vec<TargetFacts>,
}

#[derive(Serialize)]
struct GateRow {
    trace: String,
    target: String,
    throughput: Option<Ratio>,
    noise_ratio: Option<f64>,
    speed: Speed,
    memory_ratio: Option<f64>,
    larger: bool,
    /// Why there is nothing to compare with any more.
    lost: Option<String>,
    regression: bool,
}

/// What the gate says of a row's throughput.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Speed {
    NotWorse,
    Slower,
    TooNoisy,
    TooFewRounds,
    NotMeasured,
}

impl Speed {
    fn of(ratio: &Ratio, noise: f64, threshold: f64) -> Self {
        match ratio.verdict(noise) {
            Verdict::Unjudged => Self::TooFewRounds,
            _ if ratio.verdict(threshold.max(noise)) == Verdict::Slower => Self::Slower,
            Verdict::Same if noise > threshold => Self::TooNoisy,
            Verdict::Same | Verdict::Faster | Verdict::Slower => Self::NotWorse,
        }
    }
}

impl GateRow {
    fn name(&self) -> String {
        format!("{}: {}", self.trace, self.target)
    }

    fn verdict(&self) -> &'static str {
        match self.speed {
            _ if self.lost.is_some() => "lost",
            _ if self.regression => "worse",
            Speed::TooNoisy => "too noisy to judge",
            Speed::TooFewRounds => "too few rounds",
            Speed::NotWorse | Speed::Slower | Speed::NotMeasured => "",
        }
    }
}

pub(crate) fn run(
    old: &Path,
    new: &Path,
    threshold: f64,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let (old, new) = (Results::read(old)?, Results::read(new)?);
    same_settings(&old.settings, &new.settings)?;
    let gate = judge(&old, &new, threshold);
    if gate.rows.is_empty() {
        return Err(Failure::new(
            Reason::Invalid,
            "the old file has no figures to compare with",
            "compare measured results, not those of --verify",
        ));
    }
    let seed = Some(new.seed);
    print(&if as_json {
        envelope::text("gate", seed, &gate)?
    } else {
        text(&gate)
    })?;
    if gate.regressions == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let worse = gate.rows.iter().filter(|row| row.regression);
    let names: Vec<String> = worse
        .map(|row| format!("{} ({})", row.name(), row.verdict()))
        .collect();
    Err(Failure::new(
        Reason::Gate,
        format!(
            "{} of {} rows became worse or were lost: {}",
            gate.regressions,
            gate.rows.len(),
            some_of(&names)
        ),
        "measure again on a quiet machine before you believe it; --threshold sets the limit",
    ))
}

/// Refuses results of replays that were not the same task.
fn same_settings(old: &Settings, new: &Settings) -> Result<(), Failure> {
    let pairs = [
        ("--align", old.align.clone(), new.align.clone()),
        (
            "--touch",
            old.touch.name().to_owned(),
            new.touch.name().to_owned(),
        ),
        ("--mode", old.mode.clone(), new.mode.clone()),
        ("--threads", old.threads.clone(), new.threads.clone()),
        (
            "--skew",
            old.skew_records.to_string(),
            new.skew_records.to_string(),
        ),
    ];
    match pairs.iter().find(|(_, old, new)| old != new) {
        Some((setting, old, new)) => Err(Failure::usage(
            format!("the two files differ in {setting}: {old} against {new}"),
            "measure both with the same settings",
        )),
        None => Ok(()),
    }
}

fn judge(old: &Results, new: &Results, threshold: f64) -> Gate {
    let mut rows = Vec::new();
    let mut not_compared = Vec::new();
    let mut taken = vec![false; new.traces.len()];
    for old_trace in &old.traces {
        let counterpart = counterpart(old_trace, &new.traces, &mut taken);
        for old_row in &old_trace.rows {
            let new_row = counterpart
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|trace| {
                    let row = trace.rows.iter().find(|row| row.target == old_row.target);
                    row.map(|row| (*trace, row))
                        .ok_or_else(|| "the target is not in the new file".to_owned())
                });
            match judge_row((old_trace, old_row), new_row, threshold, new.seed) {
                Some(row) => rows.push(row),
                None => not_compared.push(format!("{}: {}", old_trace.name, old_row.target)),
            }
        }
    }
    let count = |wanted: fn(&GateRow) -> bool| rows.iter().filter(|row| wanted(row)).count();
    Gate {
        threshold_ratio: threshold,
        same_machine: old.host.cpu == new.host.cpu && old.host.cores == new.host.cores,
        regressions: count(|row| row.regression),
        lost: count(|row| row.lost.is_some()),
        too_noisy: count(|row| row.speed == Speed::TooNoisy),
        too_few_rounds: count(|row| row.speed == Speed::TooFewRounds),
        rows,
        not_compared,
        targets: new.targets.clone(),
    }
}

/// The trace of the same name and figures, each at most once; or why there is none.
fn counterpart<'a>(
    old: &TraceResult,
    new: &'a [TraceResult],
    taken: &mut [bool],
) -> Result<&'a TraceResult, String> {
    let identity =
        |trace: &TraceResult| ["records", "requested_bytes"].map(|key| trace.figure(key));
    let mut namesakes = (0..new.len())
        .filter(|&at| !taken[at] && new[at].name == old.name)
        .peekable();
    let namesake = namesakes.peek().copied();
    let Some(at) = namesakes.find(|&at| identity(&new[at]) == identity(old)) else {
        return Err(match namesake {
            Some(at) => {
                let ([old_records, old_bytes], [records, bytes]) =
                    (identity(old), identity(&new[at]));
                format!(
                    "the trace is another one: {old_records} records and {old_bytes} bytes \
                     against {records} and {bytes}"
                )
            }
            None => "the trace is not in the new file".to_owned(),
        });
    };
    taken[at] = true;
    Ok(&new[at])
}

/// `None` if the old row has no figures that could become worse.
fn judge_row(
    (old_trace, old): (&TraceResult, &Row),
    new: Result<(&TraceResult, &Row), String>,
    threshold: f64,
    seed: u64,
) -> Option<GateRow> {
    if !old.status.is_ok() || old.throughput.is_none() && old.memory.is_none() {
        return None;
    }
    let mut judged = GateRow {
        trace: old_trace.name.clone(),
        target: old.target.clone(),
        throughput: None,
        noise_ratio: None,
        speed: Speed::NotMeasured,
        memory_ratio: None,
        larger: false,
        lost: None,
        regression: false,
    };
    match new {
        Err(why) => judged.lost = Some(why),
        Ok((new_trace, new)) => {
            judged.lost = lost(old, new);
            if let Some((old, new)) = old.throughput.as_ref().zip(new.throughput.as_ref()) {
                let ratio = Ratio::unpaired(&new.rounds_ops_per_s, &old.rounds_ops_per_s, seed);
                let noise = old_trace.noise.floor_ratio.max(new_trace.noise.floor_ratio);
                judged.throughput = Some(ratio);
                judged.noise_ratio = Some(noise);
                judged.speed = Speed::of(&ratio, noise, threshold);
            }
            if let Some((old, new)) = old.memory.as_ref().zip(new.memory.as_ref()) {
                let ratio = new.peak_bytes as f64 / old.peak_bytes.max(1) as f64;
                judged.memory_ratio = Some(ratio);
                judged.larger =
                    ratio > 1.0 + threshold && new.peak_bytes > old.peak_bytes + LEAST_BYTES;
            }
        }
    }
    judged.regression = judged.speed == Speed::Slower || judged.larger || judged.lost.is_some();
    Some(judged)
}

/// What had figures and has none any more is no pass.
fn lost(old: &Row, new: &Row) -> Option<String> {
    if !new.status.is_ok() {
        return Some(new.status.sentence());
    }
    let figures = [
        (
            "throughput",
            old.throughput.is_some(),
            new.throughput.is_some(),
        ),
        ("memory", old.memory.is_some(), new.memory.is_some()),
    ];
    let gone = figures.into_iter().find(|&(_, old, new)| old && !new)?;
    Some(format!("{} was not measured", gone.0))
}

fn text(gate: &Gate) -> String {
    let dash = || "-".to_owned();
    let mut table = plain_table();
    table.set_header(["trace", "target", "speed", "95 %", "memory", ""]);
    for row in &gate.rows {
        let range = row.throughput.and_then(|ratio| ratio.interval());
        table.add_row([
            row.trace.clone(),
            row.target.clone(),
            row.throughput
                .map_or_else(dash, |ratio| percent(ratio.median)),
            range.map_or_else(dash, |(low, high)| interval(low, high)),
            row.memory_ratio.map_or_else(dash, percent),
            row.verdict().to_owned(),
        ]);
    }
    align_right(&mut table, 2..5);
    let mut text = trimmed(&table) + "\n";
    for row in &gate.rows {
        if let Some(why) = &row.lost {
            text += &format!("lost: {}: {why}\n", row.name());
        }
    }
    for row in &gate.not_compared {
        text += &format!("not compared: {row}\n");
    }
    if !gate.same_machine {
        text += "the files come from different processors: speed is not comparable\n";
    }
    text + &summary(gate)
}

/// The last line: nothing is silently let pass.
fn summary(gate: &Gate) -> String {
    let mut line = format!(
        "{} rows: {} worse",
        gate.rows.len(),
        gate.regressions - gate.lost
    );
    for (count, what) in [
        (gate.lost, "lost"),
        (gate.too_noisy, "too noisy to judge"),
        (gate.too_few_rounds, "with too few rounds for an interval"),
    ] {
        if count > 0 {
            line += &format!(", {count} {what}");
        }
    }
    line + "\n"
}
