//! Measures the rows and prints a table for each.
//!
//! The rounds of a row are spread over several processes, because the placement of code and memory
//! differs from one to the next. Several builds of this program, linked in different section
//! orders, can be passed with `--binary`: at this scale one link is not a measurement.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use drystone_benches::{Plan, Row, Sample, report, rows};

const USAGE: &str = "\
usage: rows [ROW ...] [--limits] [--list] [--processes N] [--rounds N] [--slice-ms N]
            [--csv FILE] [--binary PATH ...]

  ROW             a row, or the beginning of its name; all rows without one
  --limits        the rows whose name begins with limit-
  --list          names the rows and exits
  --processes N   processes for each binary (default 3)
  --rounds N      rounds in each process (default 12)
  --slice-ms N    how long one run of one contestant takes (default 4)
  --csv FILE      also writes the figures there
  --binary PATH   another build of this program to take rounds from; may be repeated
";

struct Options {
    rows: Vec<&'static str>,
    processes: u32,
    plan: Plan,
    csv: Option<PathBuf>,
    binaries: Vec<PathBuf>,
    list: bool,
    /// A child: prints raw samples of the one row named.
    raw: bool,
}

fn main() -> ExitCode {
    let outcome = parse(std::env::args().skip(1)).and_then(|options| {
        if options.list {
            rows::IDS.iter().for_each(|id| println!("{id}"));
            Ok(())
        } else if options.raw {
            print_samples(&options)
        } else {
            compare(&options)
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        rows: Vec::new(),
        processes: 3,
        plan: Plan {
            rounds: 12,
            slice: Duration::from_millis(4),
            seed: 1,
        },
        csv: None,
        binaries: Vec::new(),
        list: false,
        raw: false,
    };
    while let Some(arg) = args.next() {
        let mut number = |least: u64| -> Result<u64, String> {
            let text = args.next().ok_or(format!("{arg} needs a number"))?;
            let value = text
                .parse()
                .map_err(|_| format!("{arg}: {text} is not a number"))?;
            if value < least {
                Err(format!("{arg}: {value} is below {least}"))
            } else {
                Ok(value)
            }
        };
        match arg.as_str() {
            "--list" => options.list = true,
            "--raw" => options.raw = true,
            "--limits" => options.rows.extend(matching("limit-")?),
            "--processes" => options.processes = number(1)? as u32,
            "--rounds" => options.plan.rounds = number(1)? as u32,
            "--slice-ms" => options.plan.slice = Duration::from_millis(number(1)?),
            "--seed" => options.plan.seed = number(0)?,
            "--csv" => options.csv = Some(args.next().ok_or("--csv needs a file")?.into()),
            "--binary" => {
                options
                    .binaries
                    .push(args.next().ok_or("--binary needs a path")?.into());
            }
            "--help" | "-h" => return Err(format!("\n{USAGE}")),
            flag if flag.starts_with('-') => return Err(format!("unknown option {flag}\n{USAGE}")),
            row => options.rows.extend(matching(row)?),
        }
    }
    if options.rows.is_empty() {
        options.rows.extend(rows::IDS);
    }
    if options.binaries.is_empty() {
        let own = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        options.binaries.push(own);
    }
    Ok(options)
}

fn matching(start: &str) -> Result<Vec<&'static str>, String> {
    let found: Vec<_> = rows::IDS
        .into_iter()
        .filter(|id| id.starts_with(start))
        .collect();
    if found.is_empty() {
        return Err(format!(
            "no row is named {start}; there are {}",
            rows::IDS.join(", ")
        ));
    }
    Ok(found)
}

/// The child's part: measures in this process and prints a line for each sample.
fn print_samples(options: &Options) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    for id in &options.rows {
        let mut row = rows::build(id).expect("names come from the list");
        for sample in row.measure(options.plan) {
            writeln!(out, "{} {} {}", sample.round, sample.arm, sample.ns)
                .map_err(|e| format!("cannot write samples: {e}"))?;
        }
    }
    Ok(())
}

fn compare(options: &Options) -> Result<(), String> {
    let mut csv = String::from(report::CSV_HEADER);
    csv.push('\n');
    for id in &options.rows {
        let row = rows::build(id).expect("names come from the list");
        let samples = gather(options, &row)?;
        let summaries = report::summarise(&row, &samples);
        println!("{}", report::table(&row, &summaries));
        csv.push_str(&report::csv(&row, &summaries));
    }
    if let Some(path) = &options.csv {
        std::fs::write(path, csv).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    Ok(())
}

/// Collects the samples of `row` from every process of every binary.
fn gather(options: &Options, row: &Row) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    let mut process = 0;
    for _ in 0..options.processes {
        for binary in &options.binaries {
            let output = Command::new(binary)
                .args(["--raw", row.id])
                .args(["--rounds", &options.plan.rounds.to_string()])
                .args(["--slice-ms", &options.plan.slice.as_millis().to_string()])
                .args([
                    "--seed",
                    &(options.plan.seed + u64::from(process)).to_string(),
                ])
                .output()
                .map_err(|e| format!("cannot run {}: {e}", binary.display()))?;
            if !output.status.success() {
                let text = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{} failed: {}", binary.display(), text.trim()));
            }
            let first_round = process * options.plan.rounds;
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let mut sample = parse_sample(line).ok_or(format!("not a sample: {line}"))?;
                sample.round += first_round;
                samples.push(sample);
            }
            process += 1;
        }
    }
    Ok(samples)
}

fn parse_sample(line: &str) -> Option<Sample> {
    let mut fields = line.split(' ');
    let round = fields.next()?.parse().ok()?;
    let arm = fields.next()?.parse().ok()?;
    let ns = fields.next()?.parse().ok()?;
    Some(Sample { round, arm, ns })
}
