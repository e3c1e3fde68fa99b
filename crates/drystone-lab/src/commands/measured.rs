//! What `replay` and `compare` share: from options to results.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cli::{MeasureOptions, wants_progress};
use crate::error::{Failure, Reason};
use crate::host::Host;
use crate::lab::{Contestant, Lab};
use crate::measure::{Measurement, Plans};
use crate::program::{Align, Threads};
use crate::progress::Progress;
use crate::results::{NotIncluded, Results, SCHEMA, Settings, Status, TargetFacts, TraceResult};
use crate::schedule::Pacing;
use crate::sources::{self, Source};
use crate::targets::not_included;
use crate::text::{printable, some_of};
use crate::touch::Touch;
use crate::watch::latency::ONE_IN;

/// Target that the others are compared with unless told otherwise.
const USUAL_BASELINE: &str = "system";

/// Passes of a round after the cold one.
const WARM_PASSES: u32 = 2;

/// What a command asks to be measured.
pub(crate) struct Request<'a> {
    pub(crate) kind: &'a str,
    pub(crate) mode: &'a str,
    pub(crate) sources: Vec<Source>,
    pub(crate) notes: Vec<String>,
    pub(crate) options: &'a MeasureOptions,
    pub(crate) chosen: Vec<&'a Contestant>,
    pub(crate) threads: Threads,
    /// Least and greatest number of rounds; 0 and 0 only verifies.
    pub(crate) rounds: (u32, u32),
    /// Time that all rounds may take.
    pub(crate) budget: Duration,
    /// The pace of the memory pass.
    pub(crate) pacing: Option<Pacing>,
}

/// Measures and hands each trace's results on as soon as they are there.
pub(crate) fn measure(
    lab: &Lab,
    request: Request<'_>,
    mut show: impl FnMut(&Results, &TraceResult),
) -> Result<Results, Failure> {
    let started = Instant::now();
    let options = request.options;
    let plans = plans(lab, &request)?;
    let host = Host::of_this_machine();
    let mut labels = host.labels();
    labels.extend(request.notes);
    labels.extend(labels_of(options));
    labels.extend(request.pacing.map(Pacing::label));
    let mut results = Results {
        schema: SCHEMA.to_owned(),
        kind: request.kind.to_owned(),
        command: command_line(),
        seed: options.seed,
        duration_s: 0.0,
        host,
        settings: settings(request.mode, &plans),
        targets: request
            .chosen
            .iter()
            .map(|contestant| facts(contestant))
            .collect(),
        not_included: missing(),
        labels,
        traces: Vec::new(),
    };
    let weights: Vec<u64> = request
        .sources
        .iter()
        .map(|s| s.weight() + 50_000)
        .collect();
    let total: u64 = weights.iter().sum();
    let progress = Progress::new(wants_progress(options), total);
    let mut measurement = Measurement::new(lab, request.chosen, plans, progress);
    let mut left = total;
    let names = sources::names(&request.sources);
    for ((source, weight), name) in request.sources.iter().zip(weights).zip(names) {
        measurement.progress().say(&format!("{name} · loading"));
        let trace = source.load()?;
        let time_left = request.budget.saturating_sub(started.elapsed());
        let share = time_left.mul_f64(weight as f64 / left.max(1) as f64);
        left -= weight;
        let result = measurement.trace(&name, source.is_synthetic(), &trace, share, weight)?;
        label_threads(&mut results, &result);
        // The legend speaks of the marks in this trace's table too.
        results.traces.push(result);
        if let Some(result) = results.traces.last() {
            measurement.progress().aside(|| show(&results, result));
        }
    }
    results.duration_s = started.elapsed().as_secs_f64();
    Ok(results)
}

fn plans(lab: &Lab, request: &Request<'_>) -> Result<Plans, Failure> {
    let options = request.options;
    let chosen = |name: &str| request.chosen.iter().any(|c| c.description.name == name);
    let baseline = match &options.baseline {
        Some(name) if chosen(name) => name.clone(),
        Some(name) => {
            let known = if lab.find(name).is_some() {
                "not among the targets"
            } else {
                "unknown"
            };
            return Err(Failure::usage(
                format!("--baseline: {name} is {known}"),
                "name one of the targets of --with",
            ));
        }
        None if chosen(USUAL_BASELINE) => USUAL_BASELINE.to_owned(),
        None => request
            .chosen
            .first()
            .map(|c| c.description.name.clone())
            .unwrap_or_default(),
    };
    Ok(Plans {
        threads: request.threads,
        align: options.align,
        touch: options.touch,
        skew_records: options.skew,
        seed: options.seed,
        limit: Duration::from_secs(options.limit),
        warm_passes: WARM_PASSES,
        rounds: request.rounds,
        baseline,
        pacing: request.pacing,
    })
}

fn settings(mode: &str, plans: &Plans) -> Settings {
    Settings {
        mode: mode.to_owned(),
        threads: match plans.threads {
            Threads::Keep => "keep".to_owned(),
            Threads::Fold(threads) => threads.to_string(),
        },
        align: match plans.align {
            Align::Recorded => "recorded",
            Align::Rust => "rust",
        }
        .to_owned(),
        touch: plans.touch,
        skew_records: plans.skew_records,
        warm_passes: plans.warm_passes,
        latency_sampled_one_in: ONE_IN,
        limit_s: plans.limit.as_secs(),
        baseline: plans.baseline.clone(),
    }
}

fn facts(contestant: &Contestant) -> TargetFacts {
    let d = &contestant.description;
    TargetFacts {
        name: d.name.clone(),
        about: d.about.clone(),
        version: d.version.clone(),
        flags: d.flags.clone(),
        role: d.role.name().to_owned(),
    }
}

fn missing() -> Vec<NotIncluded> {
    let missing = not_included().into_iter();
    missing
        .map(|(name, reason)| NotIncluded {
            name: name.to_owned(),
            reason: reason.to_owned(),
        })
        .collect()
}

fn labels_of(options: &MeasureOptions) -> Vec<String> {
    let mut labels = Vec::new();
    if options.align == Align::Rust {
        labels.push(
            "alignments as a Rust program would ask: not comparable with recorded ones".to_owned(),
        );
    }
    if options.touch == Touch::None {
        labels.push("blocks are not touched: resident memory is not a program's".to_owned());
    }
    labels
}

fn label_threads(results: &mut Results, trace: &TraceResult) {
    if trace.threads_replayed as usize > results.host.cores {
        results.labels.push(format!(
            "{}: more threads than cores: scheduling, not contention",
            trace.name
        ));
    }
}

/// The command, with file names in place of paths: a path may tell a user's name.
pub(super) fn command_line() -> String {
    let short = |argument: String| match argument.rsplit_once(['/', '\\']) {
        Some((before, file)) => match before.split_once('=') {
            Some((option, _)) if option.starts_with("--") => format!("{option}={file}"),
            _ => file.to_owned(),
        },
        None => argument,
    };
    let arguments = std::env::args_os()
        .skip(1)
        .map(|a| short(a.to_string_lossy().into_owned()));
    let words: Vec<String> = std::iter::once("drystone".to_owned())
        .chain(arguments)
        .collect();
    printable(&words.join(" "))
}

/// Creates the file that `--out` names, before anything is measured for it. What it holds stays
/// until the results replace it.
pub(super) fn prepare_out(options: &MeasureOptions) -> Result<(), Failure> {
    let Some(path) = &options.out else {
        return Ok(());
    };
    let name = path.display().to_string();
    let mut create = std::fs::OpenOptions::new();
    create.append(true).create(true);
    create
        .open(path)
        .map(|_| ())
        .map_err(|e| Failure::io(&name, "cannot create it", &e))
}

/// Writes the results where `--out` says.
pub(crate) fn write_out(results: &Results, options: &MeasureOptions) -> Result<(), Failure> {
    let Some(path) = &options.out else {
        return Ok(());
    };
    let name = path.display().to_string();
    std::fs::write(path, results.to_json()?).map_err(|e| Failure::io(&name, "cannot write it", &e))
}

/// Success, or the worst that happened to a target: a wrong byte before a crash.
pub(crate) fn verdict(results: &Results) -> Result<ExitCode, Failure> {
    let rows = || results.traces.iter().flat_map(|trace| &trace.rows);
    let failed: Vec<String> = results
        .traces
        .iter()
        .flat_map(|trace| trace.rows.iter().map(move |row| (trace, row)))
        .filter(|(_, row)| !row.status.is_ok())
        .map(|(trace, row)| format!("{}: {}: {}", trace.name, row.target, row.status.sentence()))
        .collect();
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let all = rows().count();
    let message = format!(
        "{} of {all} rows failed: {}",
        failed.len(),
        some_of(&failed)
    );
    if rows().any(|row| matches!(row.status, Status::WrongByte(_))) {
        return Err(Failure::new(
            Reason::Gate,
            message,
            "wrong byte: an allocator handed out memory that was not its own to give, or lost \
             contents",
        ));
    }
    let hint = "`drystone replay TRACE --with NAME` runs one target alone";
    let hint = match all - failed.len() {
        0 => format!("no row is complete; {hint}"),
        1 => format!("the other row is complete; {hint}"),
        others => format!("the other {others} rows are complete; {hint}"),
    };
    Err(Failure::new(Reason::Target, message, hint))
}
