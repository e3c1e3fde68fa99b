//! The program of the memory figures: a process for each figure of each contestant.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::{EXPERIMENTS, Experiment, contestants, figure};
use crate::Kind;
use crate::harness::Random;
use crate::report::{Contestant, percentile};
use crate::rivals::Rivals;

const USAGE: &str = "\
usage: memory [FIGURE ...] [--list] [--processes N] [--csv FILE] [--with PATH ...]

  FIGURE          a figure, or how the names of several begin; all without one
  --list          names the figures and exits
  --processes N   processes for each contestant (default 5)
  --csv FILE      also writes the figures there
  --with PATH     a program with rivals that this one cannot be linked with; may be repeated
";

/// The first line of the CSV.
const CSV_HEADER: &str = "row,arm,kind,processes,median,p10,p90,ratio_best_rival,unit";

/// Does what the arguments of this process say, with the rivals `R`; `ours` says whether this
/// program has the contestants of drystone.
#[must_use]
pub fn main<R: Rivals>(ours: bool) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["--arms"] => {
            for arm in contestants::<R>(ours) {
                println!("{} {}", arm.kind.name(), arm.name);
            }
            Ok(())
        }
        ["--raw", id, arm] => print_figure::<R>(ours, id, arm),
        _ => parse(&words).and_then(|options| compare(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

/// The child's part.
fn print_figure<R: Rivals>(ours: bool, id: &str, arm: &str) -> Result<(), String> {
    let experiment = EXPERIMENTS.iter().find(|experiment| experiment.id == id);
    let value = experiment.and_then(|experiment| figure::<R>(experiment, ours, arm));
    println!("{}", value.ok_or(format!("no {id} of {arm} here"))?);
    Ok(())
}

struct Options {
    experiments: Vec<&'static Experiment>,
    processes: usize,
    csv: Option<PathBuf>,
    with: Vec<PathBuf>,
    list: bool,
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        experiments: Vec::new(),
        processes: 5,
        csv: None,
        with: Vec::new(),
        list: false,
    };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word {
            "--list" => options.list = true,
            "--processes" => {
                let number = value()?.parse().ok().filter(|&number| number > 0);
                options.processes = number.ok_or("--processes is a number above 0")?;
            }
            "--csv" => options.csv = Some(value()?.into()),
            "--with" => options.with.push(value()?.into()),
            flag if flag.starts_with('-') => return Err(format!("{flag}?\n{USAGE}")),
            start => {
                let before = options.experiments.len();
                let named = EXPERIMENTS.iter().filter(|e| e.id.starts_with(start));
                options.experiments.extend(named);
                if options.experiments.len() == before {
                    return Err(format!("no figure is named {start}"));
                }
            }
        }
    }
    if options.experiments.is_empty() {
        options.experiments.extend(&EXPERIMENTS);
    }
    Ok(options)
}

/// A contestant and the program that has it.
struct Entry {
    program: PathBuf,
    contestant: Contestant,
}

fn compare(options: &Options) -> Result<(), String> {
    if options.list {
        EXPERIMENTS.iter().for_each(|e| println!("{}", e.id));
        return Ok(());
    }
    let own = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let mut entries = Vec::new();
    for program in std::iter::once(&own).chain(&options.with) {
        entries.extend(entries_of(program)?);
    }
    let mut csv = format!("{CSV_HEADER}\n");
    for experiment in &options.experiments {
        let values = gather(options.processes, experiment, &entries)?;
        let summaries = summarise(&entries, &values);
        println!("{}", table(experiment, &summaries));
        for summary in &summaries {
            csv.push_str(&summary.csv(experiment, options.processes));
        }
    }
    if let Some(path) = &options.csv {
        std::fs::write(path, csv).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    Ok(())
}

fn entries_of(program: &Path) -> Result<Vec<Entry>, String> {
    let text = output_of(Command::new(program).arg("--arms"))?;
    text.lines()
        .map(|line| {
            let (kind, name) = line.split_once(' ').ok_or(format!("not an arm: {line}"))?;
            let contestant = Contestant {
                name: name.to_owned(),
                kind: Kind::parse(kind).ok_or(format!("not a kind: {kind}"))?,
            };
            Ok(Entry {
                program: program.to_owned(),
                contestant,
            })
        })
        .collect()
}

fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} failed: {}", text.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The figures of every contestant, taken in random order, round after round.
fn gather(
    processes: usize,
    experiment: &Experiment,
    entries: &[Entry],
) -> Result<Vec<Vec<f64>>, String> {
    let mut values = vec![Vec::with_capacity(processes); entries.len()];
    let mut order: Vec<usize> = (0..entries.len()).collect();
    let mut random = Random::new(1);
    for _ in 0..processes {
        random.shuffle(&mut order);
        for &place in &order {
            let entry = &entries[place];
            let mut command = Command::new(&entry.program);
            command.args(["--raw", experiment.id, &entry.contestant.name]);
            let text = output_of(&mut command)?;
            let value = text.trim().parse();
            values[place].push(value.map_err(|_| format!("not a figure: {text}"))?);
        }
    }
    Ok(values)
}

struct Summary<'a> {
    contestant: &'a Contestant,
    median: f64,
    p10: f64,
    p90: f64,
    /// `None` if there is no rival or its figure is not above 0.
    to_best_rival: Option<f64>,
}

fn summarise<'a>(entries: &'a [Entry], values: &[Vec<f64>]) -> Vec<Summary<'a>> {
    let medians = values.iter().map(|values| percentile(values, 0.5));
    let best = entries
        .iter()
        .zip(medians)
        .filter(|(entry, _)| entry.contestant.kind == Kind::Rival)
        .map(|(_, median)| median)
        .min_by(f64::total_cmp)
        .filter(|&best| best > 0.0);
    entries
        .iter()
        .zip(values)
        .map(|(entry, values)| {
            let median = percentile(values, 0.5);
            Summary {
                contestant: &entry.contestant,
                median,
                p10: percentile(values, 0.1),
                p90: percentile(values, 0.9),
                to_best_rival: best.map(|best| median / best),
            }
        })
        .collect()
}

fn shown(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}"))
}

fn table(experiment: &Experiment, summaries: &[Summary<'_>]) -> String {
    let Experiment {
        id, unit, about, ..
    } = experiment;
    let mut text = format!("{id}: {about} ({unit})\n");
    text += &format!(
        "  {:<32}{:>10}{:>10}{:>10}{:>10}\n",
        "", "median", "p10", "p90", "x rival"
    );
    for summary in summaries {
        text += &format!(
            "  {:<32}{:>10.3}{:>10.3}{:>10.3}{:>10}\n",
            summary.contestant.name,
            summary.median,
            summary.p10,
            summary.p90,
            shown(summary.to_best_rival)
        );
    }
    text
}

impl Summary<'_> {
    fn csv(&self, experiment: &Experiment, processes: usize) -> String {
        format!(
            "{},{},{},{processes},{:.4},{:.4},{:.4},{},{}\n",
            experiment.id,
            self.contestant.name,
            self.contestant.kind.name(),
            self.median,
            self.p10,
            self.p90,
            shown(self.to_best_rival),
            experiment.unit
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: Kind) -> Entry {
        Entry {
            program: PathBuf::new(),
            contestant: Contestant {
                name: name.to_owned(),
                kind,
            },
        }
    }

    #[test]
    fn ratios_are_to_the_least_rival() {
        let entries = [
            entry("ours", Kind::Ours),
            entry("a", Kind::Rival),
            entry("b", Kind::Rival),
        ];
        let summaries = summarise(&entries, &[vec![1.0, 3.0, 2.0], vec![8.0], vec![4.0]]);
        assert_eq!(summaries[0].median, 2.0);
        assert_eq!(summaries[0].to_best_rival, Some(0.5));
        assert_eq!(summaries[2].to_best_rival, Some(1.0));
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        let entries = [entry("ours", Kind::Ours), entry("a", Kind::Rival)];
        let summaries = summarise(&entries, &[vec![1.0], vec![0.0]]);
        assert_eq!(summaries[0].to_best_rival, None);
    }

    #[test]
    fn arguments() {
        let options = parse(&["memory-2", "--processes", "3", "--with", "other"]).unwrap();
        assert_eq!(options.experiments.len(), 1);
        assert_eq!(options.processes, 3);
        assert_eq!(options.with, [PathBuf::from("other")]);
        assert!(parse(&["--processes", "0"]).is_err());
        assert!(parse(&["memory-none"]).is_err());
        assert_eq!(parse(&[]).unwrap().experiments.len(), EXPERIMENTS.len());
    }
}
