//! The command line.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::commands;
use crate::error::{Failure, Reason};
use crate::lab::Lab;
use crate::program::{Align, Threads};
use crate::touch::Touch;

/// Replays allocation traces over allocators and compares them.
///
/// Without a command: `compare` over the bundled and the synthetic traces.
#[derive(Debug, Parser)]
#[command(name = "drystone", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: CompareOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a program and record what it allocates
    Record(RecordArgs),
    /// Print the figures of a trace
    Info(InfoArgs),
    /// Print a trace as text, one operation a line
    Dump(DumpArgs),
    /// Write any form of a trace as .dst
    Import(ImportArgs),
    /// Replay one trace in full detail
    Replay(ReplayArgs),
    /// Compare allocators on traces, or two result files
    Compare(CompareArgs),
    /// Write HTML and Markdown again from a result file
    Report(ReportArgs),
    /// Write a synthetic trace
    Synth(SynthArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Trace to write [default: the program's name and .dst]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Recording build of the malloc library [default: beside this program, or in target/release]
    #[arg(long, value_name = "LIBRARY")]
    pub(crate) preload: Option<PathBuf>,
    /// Record children too, each to its own file, with the number of the process for %p in the name
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print one JSON object; the program's standard output goes to standard error then
    #[arg(long)]
    pub(crate) json: bool,
    /// Program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Trace file, raw or zstd; `-` reads standard input
    #[arg(value_name = "TRACE")]
    pub(crate) trace: PathBuf,
    /// Print where the chunks of a .dst file are instead, by its index, without reading them
    #[arg(long)]
    pub(crate) chunks: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Trace file, raw or zstd; `-` reads standard input
    #[arg(value_name = "TRACE")]
    pub(crate) trace: PathBuf,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Trace file in any form, or the text of a dump; `-` reads a trace from standard input
    #[arg(value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// File to write; `-` writes standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `replay` and `compare` have in common.
#[derive(Debug, Clone, Args)]
pub(crate) struct MeasureOptions {
    /// Targets, separated by commas; `list` prints those of this build
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) with: Vec<String>,
    /// Target that the others are compared with [default: `system`, or the first]
    #[arg(long, value_name = "TARGET")]
    pub(crate) baseline: Option<String>,
    /// `keep` the recorded threads, or fold them to this many
    #[arg(long, value_name = "keep|N", default_value = "keep", value_parser = parse_threads)]
    pub(crate) threads: Threads,
    /// Bytes of a block that are written when it is handed out
    #[arg(long, default_value = "page")]
    pub(crate) touch: Touch,
    /// `rust` replays alignment 16 as what a Rust type of that size would ask for
    #[arg(long, value_name = "recorded|rust", default_value = "recorded", value_parser = parse_align)]
    pub(crate) align: Align,
    /// Records that a thread may run ahead of the slowest
    #[arg(long, value_name = "RECORDS", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) skew: u32,
    /// Seed of the order of runs and of sampling; also of synthetic traces
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seconds after which one run of one target counts as hung
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// Write the results to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Show no progress line
    #[arg(long)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// As fast as possible.
    Asap,
    /// Memory at the recorded pace; speed and latency as fast as possible.
    Paced,
    /// Global order on one thread, checked and not timed: the same result in every run.
    Step,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Trace file, raw or zstd; `-` reads standard input
    #[arg(value_name = "TRACE", required_unless_present = "with")]
    pub(crate) trace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) measure: MeasureOptions,
    /// How the records follow each other
    #[arg(long, default_value = "asap")]
    pub(crate) mode: Mode,
    /// With --mode paced: so many times faster than recorded [default: 1]
    #[arg(long, value_name = "TIMES", conflicts_with = "rate", value_parser = parse_warp)]
    pub(crate) warp: Option<f64>,
    /// With --mode paced, for a trace without times: records a second
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: Option<u64>,
    /// Rounds of measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Only verify: every byte written and checked, nothing measured
    #[arg(long)]
    pub(crate) verify: bool,
}

/// What `compare` takes beside files.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompareOptions {
    #[command(flatten)]
    pub(crate) measure: MeasureOptions,
    /// Rounds of measurement [default: 3 to 5, as the budget allows]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,
    /// Seconds that all rounds together may take, beyond the least number of rounds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 75,
        conflicts_with = "rounds"
    )]
    pub(crate) budget: u64,
    /// Directory of the traces to compare on when no file is named
    #[arg(long, value_name = "DIR")]
    pub(crate) traces: Option<PathBuf>,
    /// Directory for index.html, report.md and results.json
    #[arg(long, value_name = "DIR", default_value = "target/drystone-report")]
    pub(crate) report: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Trace files; or two result files, old and new
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) options: CompareOptions,
    /// For two result files: a regression up to this is let pass
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = parse_percent)]
    pub(crate) threshold: f64,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A results.json
    #[arg(value_name = "RESULTS")]
    pub(crate) results: PathBuf,
    /// Directory for index.html and report.md
    #[arg(
        short,
        long,
        value_name = "DIR",
        default_value = "target/drystone-report"
    )]
    pub(crate) output: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SynthArgs {
    /// Scenario; `list` prints them
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: String,
    /// The same seed gives the same trace
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Records to write
    #[arg(long, default_value_t = 200_000, value_parser = parse_records)]
    pub(crate) records: usize,
    /// File to write, in the raw form; `-` writes standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Most records of a synthetic trace.
const RECORDS_MAX: usize = 100_000_000;

fn parse_records(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse() {
        Ok(records @ 1..=RECORDS_MAX) => Ok(records),
        _ => Err(format!("a number from 1 to {RECORDS_MAX}")),
    }
}

fn parse_threads(text: &str) -> Result<Threads, String> {
    match text.parse() {
        _ if text == "keep" => Ok(Threads::Keep),
        Ok(threads @ 1..) => Ok(Threads::Fold(threads)),
        _ => Err("`keep` or a number from 1 to 65535".to_owned()),
    }
}

fn parse_align(text: &str) -> Result<Align, String> {
    match text {
        "recorded" => Ok(Align::Recorded),
        "rust" => Ok(Align::Rust),
        _ => Err("`recorded` or `rust`".to_owned()),
    }
}

fn parse_warp(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(warp) if (0.001..=1e6).contains(&warp) => Ok(warp),
        _ => Err("a number from 0.001 to 1000000".to_owned()),
    }
}

fn parse_percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim().parse::<f64>() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("a percentage such as 5%".to_owned()),
    }
}

/// Whether a progress line may be drawn.
pub(crate) fn wants_progress(options: &MeasureOptions) -> bool {
    !options.no_progress && std::io::stderr().is_terminal()
}

/// Parses this process's arguments and runs the command.
pub(crate) fn run(lab: &Lab) -> Result<ExitCode, Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match cli.command {
        None => commands::compare::run(lab, &[], &cli.compare, None),
        Some(Command::Compare(args)) => {
            commands::compare::run(lab, &args.files, &args.options, Some(args.threshold))
        }
        Some(Command::Record(args)) => commands::record::run(&args),
        Some(Command::Info(args)) => commands::info::run(&args),
        Some(Command::Dump(args)) => commands::dump::run(&args),
        Some(Command::Import(args)) => commands::import::run(&args),
        Some(Command::Replay(args)) => commands::replay::run(lab, &args),
        Some(Command::Report(args)) => commands::report::run(&args),
        Some(Command::Synth(args)) => commands::synth::run(&args),
    }
}

/// Help and version go to standard output; anything else is an error in this program's form.
fn usage(error: &clap::Error) -> Result<ExitCode, Failure> {
    if !error.use_stderr() {
        return commands::print(&error.to_string()).map(|()| ExitCode::SUCCESS);
    }
    Err(Failure::new(
        Reason::Usage,
        usage_message(error),
        usage_hint(error),
    ))
}

/// The first line, completed by the arguments that clap puts on lines of their own.
fn usage_message(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    if !line.ends_with(':') {
        return line.to_owned();
    }
    let kind = match error.kind() {
        ErrorKind::ArgumentConflict => ContextKind::PriorArg,
        _ => ContextKind::InvalidArg,
    };
    format!("{line} {}", context(error, kind).join(", "))
}

/// What to write instead, as far as clap knows it.
fn usage_hint(error: &clap::Error) -> String {
    let suggested = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
        ContextKind::Suggested,
    ];
    if let Some(first) = suggested
        .into_iter()
        .find_map(|kind| context(error, kind).into_iter().next())
    {
        return format!("did you mean `{first}`?");
    }
    let valid = [ContextKind::ValidValue, ContextKind::ValidSubcommand];
    for kind in valid {
        let values = context(error, kind);
        if !values.is_empty() {
            return format!("possible values: {}", values.join(", "));
        }
    }
    let name = Cli::command().get_name().to_owned();
    format!("`{name} --help` lists commands and options")
}

/// Texts that clap keeps beside its message.
fn context(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
        Some(ContextValue::StyledStrs(texts)) => texts.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}
