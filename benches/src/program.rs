//! The program of the rows: measures them and prints a table for each.
//!
//! The rounds of a row are spread over several processes, because the placement of code and memory
//! differs from one to the next. Several builds of this program, linked in different section
//! orders, can be passed with `--binary`: at this scale one link is not a measurement.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use drystone_arena::GlobalArena;
use drystone_core::Fast;

use crate::report::{self, Contestant};
use crate::{Kind, Plan, Row, Sample, rows};

const USAGE: &str = "\
usage: rows [ROW ...] [--limits] [--list] [--processes N] [--rounds N] [--slice-ms N]
            [--huge] [--csv FILE] [--binary PATH ...] [--with PATH ...]

  ROW             a row, or how the names of several begin; all rows without one
  --limits        the rows whose name begins with limit-
  --list          names the rows and exits
  --processes N   processes for each binary (default 3)
  --rounds N      rounds in each process (default 12)
  --slice-ms N    how long one run of one contestant takes (default 4)
  --huge          the process-wide arena asks for huge pages, as mimalloc does unasked
  --csv FILE      also writes the figures there
  --binary PATH   another build of this program to take rounds from; may be repeated
  --with PATH     a program with rivals that this one cannot be linked with, to take rounds of the
                  arena and thread-cache rows from; may be repeated
";

struct Options {
    rows: Vec<&'static str>,
    processes: u32,
    plan: Plan,
    csv: Option<PathBuf>,
    binaries: Vec<PathBuf>,
    with: Vec<PathBuf>,
    list: bool,
    huge: bool,
    /// A child: prints raw samples of the one row named.
    raw: bool,
}

/// Does what the arguments of this process say, with rows built by `build`.
#[must_use]
pub fn main(build: fn(&str) -> Option<Row>) -> ExitCode {
    let outcome = parse(std::env::args().skip(1)).and_then(|options| {
        if options.list {
            rows::IDS.iter().for_each(|id| println!("{id}"));
            Ok(())
        } else if options.raw {
            print_samples(&options, build)
        } else {
            compare(&options, build)
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
        with: Vec::new(),
        list: false,
        huge: false,
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
            "--huge" => options.huge = true,
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
            "--with" => {
                options
                    .with
                    .push(args.next().ok_or("--with needs a path")?.into());
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

/// The row of this name; without one, those whose names begin so.
fn matching(start: &str) -> Result<Vec<&'static str>, String> {
    if let Some(id) = rows::IDS.into_iter().find(|&id| id == start) {
        return Ok(vec![id]);
    }
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

fn built(id: &str, build: fn(&str) -> Option<Row>) -> Result<Row, String> {
    build(id).ok_or_else(|| format!("this program has no row {id}"))
}

/// The child's part: measures in this process; prints a line for each arm and each sample.
fn print_samples(options: &Options, build: fn(&str) -> Option<Row>) -> Result<(), String> {
    if options.huge {
        GlobalArena::<Fast>::new()
            .advise_huge_pages()
            .map_err(|e| format!("no huge pages: {e}"))?;
    }
    let mut out = std::io::stdout().lock();
    let unwritable = |e| format!("cannot write samples: {e}");
    for id in &options.rows {
        let mut row = built(id, build)?;
        for arm in &row.arms {
            writeln!(out, "arm {} {}", arm.kind.name(), arm.name).map_err(unwritable)?;
        }
        for sample in row.measure(options.plan) {
            writeln!(out, "{} {} {}", sample.round, sample.arm, sample.ns).map_err(unwritable)?;
        }
    }
    Ok(())
}

fn compare(options: &Options, build: fn(&str) -> Option<Row>) -> Result<(), String> {
    let mut csv = String::from(report::CSV_HEADER);
    csv.push('\n');
    for id in &options.rows {
        // Only its words are needed here.
        let mut row = built(id, build)?;
        row.arms.clear();
        let field = gather(options, id)?;
        let summaries = report::summarise(&field.contestants, &field.samples);
        println!("{}", report::table(&row, &summaries));
        csv.push_str(&report::csv(&row, &summaries));
    }
    if let Some(path) = &options.csv {
        std::fs::write(path, csv).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    Ok(())
}

/// Whoever took part in a row, in any process, and their samples.
#[derive(Default)]
struct Field {
    contestants: Vec<Contestant>,
    samples: Vec<Sample>,
}

impl Field {
    /// Adds what one process printed; its rounds come after those of the others.
    fn add(&mut self, output: &str, first_round: u32) -> Result<(), String> {
        let mut arms = Vec::new();
        for line in output.lines() {
            if let Some(contestant) = parse_contestant(line) {
                arms.push(self.place_of(contestant));
                continue;
            }
            let mut sample = parse_sample(line).ok_or_else(|| format!("not a sample: {line}"))?;
            sample.round += first_round;
            sample.arm = *arms
                .get(sample.arm)
                .ok_or_else(|| format!("of an unknown arm: {line}"))?;
            self.samples.push(sample);
        }
        Ok(())
    }

    fn place_of(&mut self, contestant: Contestant) -> usize {
        let known = self.contestants.iter().position(|c| *c == contestant);
        known.unwrap_or_else(|| {
            self.contestants.push(contestant);
            self.contestants.len() - 1
        })
    }
}

/// Collects the samples of a row from every process of every binary.
fn gather(options: &Options, id: &str) -> Result<Field, String> {
    let with = options.with.iter().filter(|_| rows::takes_rivals(id));
    let mut field = Field::default();
    let mut process = 0;
    for _ in 0..options.processes {
        for binary in options.binaries.iter().chain(with.clone()) {
            let output = Command::new(binary)
                .args(["--raw", id])
                .args(options.huge.then_some("--huge"))
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
            let text = String::from_utf8_lossy(&output.stdout);
            field.add(&text, process * options.plan.rounds)?;
            process += 1;
        }
    }
    Ok(field)
}

fn parse_contestant(line: &str) -> Option<Contestant> {
    let (kind, name) = line.strip_prefix("arm ")?.split_once(' ')?;
    Some(Contestant {
        name: name.to_owned(),
        kind: Kind::parse(kind)?,
    })
}

fn parse_sample(line: &str) -> Option<Sample> {
    let mut fields = line.split(' ');
    let round = fields.next()?.parse().ok()?;
    let arm = fields.next()?.parse().ok()?;
    let ns = fields.next()?.parse().ok()?;
    Some(Sample { round, arm, ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_of_two_programs_are_joined_by_name() {
        let mut field = Field::default();
        field
            .add("arm ours A\narm rival B b\n0 0 1.5\n0 1 2\n", 0)
            .unwrap();
        field.add("arm rival C\narm ours A\n0 1 3\n", 7).unwrap();
        let names: Vec<_> = field.contestants.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["A", "B b", "C"]);
        let last = field.samples.last().unwrap();
        assert_eq!((last.round, last.arm, last.ns), (7, 0, 3.0));
    }

    #[test]
    fn a_row_is_not_taken_for_the_beginning_of_another() {
        assert_eq!(matching("thread-cache-20m").unwrap().len(), 1);
        assert!(matching("thread-cache-").unwrap().len() > 1);
        assert!(matching("no-row").is_err());
    }

    #[test]
    fn samples_of_no_arm_are_refused() {
        let mut field = Field::default();
        assert!(field.add("0 0 1.5", 0).is_err());
        assert!(field.add("arm friend A", 0).is_err());
    }
}
