//! `drystone compare OLD.json NEW.json`: has anything become worse beyond the noise?
//!
//! # What
//! Throughput is worse if the interval of new over old lies below 1 and the median is below the
//! threshold and outside the noise of both files. Memory has one pass a file and no interval: it
//! is worse if the peak grew by more than the threshold and by more than [`LEAST_BYTES`].

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::print;
use crate::error::{Failure, Reason};
use crate::results::{Results, Row, SCHEMA, TraceResult, json_text};
use crate::stats::Ratio;
use crate::table::{align_right, plain_table, trimmed};
use crate::text::{interval, percent};

/// A peak may differ by this from run to run: stacks, and pages that the C library keeps.
const LEAST_BYTES: u64 = 1 << 20;

#[derive(Serialize)]
struct Gate {
    schema: &'static str,
    kind: &'static str,
    threshold_ratio: f64,
    same_machine: bool,
    regressions: usize,
    rows: Vec<GateRow>,
    /// Rows of the old file that have no counterpart with figures in the new one.
    not_compared: Vec<String>,
}

#[derive(Serialize)]
struct GateRow {
    trace: String,
    target: String,
    throughput: Option<Ratio>,
    memory_ratio: Option<f64>,
    regression: bool,
}

pub(crate) fn run(
    old: &Path,
    new: &Path,
    threshold: f64,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let (old, new) = (Results::read(old)?, Results::read(new)?);
    let gate = judge(&old, &new, threshold);
    if gate.rows.is_empty() {
        return Err(Failure::new(
            Reason::Invalid,
            "the two files have no trace and target in common",
            "compare results of the same traces and targets",
        ));
    }
    print(&if as_json {
        json_text(&gate)?
    } else {
        text(&gate)
    })?;
    match gate.regressions {
        0 => Ok(ExitCode::SUCCESS),
        regressions => Err(Failure::new(
            Reason::Gate,
            format!("{regressions} of {} rows became worse", gate.rows.len()),
            "measure again on a quiet machine before you believe it; --threshold sets the limit",
        )),
    }
}

fn judge(old: &Results, new: &Results, threshold: f64) -> Gate {
    let mut rows = Vec::new();
    let mut not_compared = Vec::new();
    for old_trace in &old.traces {
        let new_trace = new.traces.iter().find(|trace| trace.name == old_trace.name);
        for old_row in &old_trace.rows {
            let pair = new_trace.and_then(|trace| {
                let row = trace.rows.iter().find(|row| row.target == old_row.target)?;
                judge_row((old_trace, old_row), (trace, row), threshold, new.seed)
            });
            match pair {
                Some(row) => rows.push(row),
                None => not_compared.push(format!("{}: {}", old_trace.name, old_row.target)),
            }
        }
    }
    Gate {
        schema: SCHEMA,
        kind: "gate",
        threshold_ratio: threshold,
        same_machine: old.host.cpu == new.host.cpu && old.host.cores == new.host.cores,
        regressions: rows.iter().filter(|row| row.regression).count(),
        rows,
        not_compared,
    }
}

fn judge_row(
    (old_trace, old): (&TraceResult, &Row),
    (new_trace, new): (&TraceResult, &Row),
    threshold: f64,
    seed: u64,
) -> Option<GateRow> {
    let noise = old_trace.noise.floor_ratio.max(new_trace.noise.floor_ratio);
    let throughput = old
        .throughput
        .as_ref()
        .zip(new.throughput.as_ref())
        .map(|(old, new)| Ratio::unpaired(&new.rounds_ops_per_s, &old.rounds_ops_per_s, seed));
    let memory = old.memory.as_ref().zip(new.memory.as_ref());
    let memory_ratio =
        memory.map(|(old, new)| new.peak_bytes as f64 / old.peak_bytes.max(1) as f64);
    // What had figures and has none any more failed in the new run: that is no pass.
    let lost = old.status.is_ok() && !new.status.is_ok();
    if throughput.is_none() && memory_ratio.is_none() && !lost {
        return None;
    }
    let slower = throughput
        .is_some_and(|ratio| ratio.high < 1.0 && 1.0 - ratio.median > threshold.max(noise));
    let larger = memory.zip(memory_ratio).is_some_and(|((old, new), ratio)| {
        ratio > 1.0 + threshold && new.peak_bytes > old.peak_bytes + LEAST_BYTES
    });
    Some(GateRow {
        trace: old_trace.name.clone(),
        target: old.target.clone(),
        throughput,
        memory_ratio,
        regression: slower || larger || lost,
    })
}

fn text(gate: &Gate) -> String {
    let mut table = plain_table();
    table.set_header(["trace", "target", "speed", "95 %", "memory", ""]);
    for row in &gate.rows {
        table.add_row([
            row.trace.clone(),
            row.target.clone(),
            row.throughput
                .map_or_else(|| "-".to_owned(), |ratio| percent(ratio.median)),
            row.throughput
                .map_or_else(String::new, |ratio| interval(ratio.low, ratio.high)),
            row.memory_ratio.map_or_else(|| "-".to_owned(), percent),
            if row.regression { "worse" } else { "" }.to_owned(),
        ]);
    }
    align_right(&mut table, 2..5);
    let mut text = trimmed(&table) + "\n";
    for row in &gate.not_compared {
        text += &format!("not compared: {row}\n");
    }
    if !gate.same_machine {
        text += "the files come from different processors: speed is not comparable\n";
    }
    text
}
