//! `drystone replay`: one trace in full detail.

use std::process::ExitCode;
use std::time::Duration;

use super::{measured, print, targets};
use crate::cli::{Mode, ReplayArgs};
use crate::error::Failure;
use crate::lab::Lab;
use crate::program::Threads;
use crate::results::{Results, TraceResult};
use crate::schedule::Pacing;
use crate::sources::Source;
use crate::table::{self, Style, align_right, plain_table, trimmed};
use crate::target::Role;
use crate::text::{bytes, grouped, three_digits};

/// Targets when none are named, as far as this build has them.
const USUAL: [&str; 2] = ["size-classed", "system"];

pub(crate) fn run(lab: &Lab, args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let options = &args.measure;
    if targets::asked(&options.with) {
        return targets::list(lab, options.json);
    }
    let trace = args.trace.clone().ok_or_else(|| {
        Failure::usage("replay needs a trace", "`drystone replay TRACE --with A,B`")
    })?;
    let step = args.mode == Mode::Step;
    if step && !matches!(options.threads, Threads::Keep | Threads::Fold(1)) {
        return Err(Failure::usage(
            "--mode step replays on one thread",
            "leave --threads out, or use --mode asap",
        ));
    }
    let pacing = pacing(args)?;
    let usual: Vec<String> = USUAL
        .iter()
        .filter(|n| lab.find(n).is_some())
        .map(|&n| n.to_owned())
        .collect();
    let with = if options.with.is_empty() {
        &usual
    } else {
        &options.with
    };
    let rounds = if step || args.verify { 0 } else { args.rounds };
    let request = measured::Request {
        kind: "replay",
        mode: match args.mode {
            Mode::Asap => "asap",
            Mode::Paced => "paced",
            Mode::Step => "step",
        },
        pacing,
        sources: vec![Source::File(trace)],
        notes: Vec::new(),
        options,
        chosen: lab.choose(with)?,
        threads: if step {
            Threads::Fold(1)
        } else {
            options.threads
        },
        rounds: (rounds, rounds),
        budget: Duration::ZERO,
    };
    measured::prepare_out(options)?;
    let mut said = Ok(());
    let style = Style::of_stdout();
    let results = measured::measure(lab, request, |results, trace| {
        if !options.json {
            said = print(&text(results, trace, style));
        }
    })?;
    said?;
    measured::write_out(&results, options)?;
    if options.json {
        print(&results.to_json()?)?;
    }
    measured::verdict(&results)
}

/// The pace that the options ask for.
fn pacing(args: &ReplayArgs) -> Result<Option<Pacing>, Failure> {
    match (args.mode, args.rate) {
        (Mode::Paced, _) if args.verify => Err(Failure::usage(
            "--verify measures nothing, so nothing can be paced",
            "leave --mode or --verify out",
        )),
        (Mode::Paced, Some(per_second)) => Ok(Some(Pacing::Rate { per_second })),
        (Mode::Paced, None) => Ok(Some(Pacing::Recorded {
            warp: args.warp.unwrap_or(1.0),
        })),
        _ if args.rate.is_some() || args.warp.is_some() => Err(Failure::usage(
            "--warp and --rate are for --mode paced",
            "`drystone replay TRACE --mode paced`",
        )),
        _ => Ok(None),
    }
}

fn text(results: &Results, trace: &TraceResult, style: Style) -> String {
    let mut text = if trace.rounds > 0 {
        let table = table::of_trace(results, trace, style);
        let legend = table::legend(results);
        format!(
            "{table}\n{}\n\n{}\n\n{legend}\n",
            memory(trace),
            waits(trace)
        )
    } else {
        format!("{}: {}\n", trace.name, scope(trace))
    };
    text += &format!("\n{}\n", verification(results, trace));
    for label in &results.labels {
        text += &format!("{label}\n");
    }
    text
}

fn scope(trace: &TraceResult) -> String {
    format!(
        "{} records, {} thread{}, verified and not timed",
        grouped(trace.figure("records")),
        trace.threads_replayed,
        if trace.threads_replayed == 1 { "" } else { "s" }
    )
}

fn memory(trace: &TraceResult) -> String {
    let mut table = plain_table();
    table.set_header([
        "memory",
        "peak",
        "at end",
        "live peak",
        "peak/live",
        "mean waste",
        "cold",
    ]);
    for row in table::sorted(trace) {
        let dash = || "-".to_owned();
        let m = row.memory.as_ref();
        let cold = row.throughput.as_ref().map(|t| t.cold_ns_per_op);
        table.add_row([
            row.target.clone(),
            m.map_or_else(dash, |m| bytes(m.peak_bytes)),
            m.map_or_else(dash, |m| bytes(m.end_bytes)),
            m.map_or_else(dash, |m| bytes(m.live_peak_bytes)),
            m.map_or_else(dash, |m| three_digits(m.peak_over_live_ratio)),
            m.map_or_else(dash, |m| format!("{:.0}%", m.mean_overhead_ratio * 100.0)),
            cold.map_or_else(dash, |ns| format!("{} ns", three_digits(ns))),
        ]);
    }
    align_right(&mut table, 1..7);
    trimmed(&table)
}

fn waits(trace: &TraceResult) -> String {
    let mut table = plain_table();
    table.set_header([
        "waits, refusals",
        "turns",
        "for",
        "skew",
        "for",
        "refused",
        "skipped",
        "faults",
    ]);
    let ms = |ns: u64| format!("{} ms", three_digits(ns as f64 / 1e6));
    for row in table::sorted(trace) {
        let stalls = row.stalls.unwrap_or_default();
        let refused = row.refusals.map_or(0, |refusals| refusals.total());
        let skipped = row
            .refusals
            .map_or(0, |refusals| refusals.skipped_operations);
        table.add_row([
            row.target.clone(),
            stalls.turns.to_string(),
            ms(stalls.turn_ns),
            stalls.skews.to_string(),
            ms(stalls.skew_ns),
            refused.to_string(),
            skipped.to_string(),
            row.resources.unwrap_or_default().minor_faults.to_string(),
        ]);
    }
    align_right(&mut table, 1..8);
    trimmed(&table)
}

fn verification(results: &Results, trace: &TraceResult) -> String {
    let mut table = plain_table();
    table.set_header([
        "verified",
        "blocks",
        "wrong bytes",
        "refused",
        "digest of outcomes",
    ]);
    let mut unverified = String::new();
    for row in &trace.rows {
        let Some(verified) = row.verification else {
            let why = if row.status.is_ok() && table::role(results, row) == Role::Harness.name() {
                "not verified: one shared block".to_owned()
            } else {
                row.status.sentence()
            };
            unverified += &format!("\n{}: {why}", row.target);
            continue;
        };
        table.add_row([
            row.target.clone(),
            grouped(verified.blocks_checked),
            verified.wrong_bytes.to_string(),
            row.refusals
                .map_or(0, |refusals| refusals.total())
                .to_string(),
            if trace.threads_replayed == 1 {
                format!("{:016x}", verified.digest)
            } else {
                "-".to_owned()
            },
        ]);
    }
    align_right(&mut table, 1..4);
    trimmed(&table) + &unverified
}
