//! `drystone compare`, and the default run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::{gate, measured, print, targets};
use crate::cli::CompareOptions;
use crate::error::{Failure, Reason};
use crate::lab::Lab;
use crate::report;
use crate::sources::{self, Source};
use crate::table::{self, Style};

/// Rounds when none are asked for: at least and at most.
const ROUNDS: (u32, u32) = (3, 5);

/// `threshold` is `None` in the default run, which has no files.
pub(crate) fn run(
    lab: &Lab,
    files: &[PathBuf],
    options: &CompareOptions,
    threshold: Option<f64>,
) -> Result<ExitCode, Failure> {
    if targets::asked(&options.measure.with) {
        return targets::list(lab, options.measure.json);
    }
    for file in files {
        let name = file.display().to_string();
        reachable(file).map_err(|e| Failure::io(&name, "cannot read it", &e))?;
    }
    if let Some(threshold) = threshold
        && let Some((old, new)) = result_files(files)?
    {
        return gate::run(old, new, threshold, options.measure.json);
    }
    traces(lab, files, options)
}

/// The two files if they are results.
fn result_files(files: &[PathBuf]) -> Result<Option<(&Path, &Path)>, Failure> {
    let results = files.iter().filter(|file| begins_like_json(file)).count();
    match files {
        [old, new] if results == 2 => Ok(Some((old, new))),
        _ if results > 0 => Err(Failure::usage(
            "compare takes either traces or two result files",
            "for the gate: `drystone compare OLD.json NEW.json`",
        )),
        _ => Ok(None),
    }
}

/// Whether a named file can be read. Pipes are not opened: they can be read only once.
fn reachable(path: &Path) -> std::io::Result<()> {
    if path == Path::new("-") {
        return Ok(());
    }
    let kind = std::fs::metadata(path)?;
    if kind.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    if kind.is_file() {
        std::fs::File::open(path)?;
    }
    Ok(())
}

/// No trace form begins with a brace.
fn begins_like_json(path: &Path) -> bool {
    if path == Path::new("-") || !path.is_file() {
        return false;
    }
    let mut first = [0u8; 1];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == *b"{"
}

fn traces(lab: &Lab, files: &[PathBuf], options: &CompareOptions) -> Result<ExitCode, Failure> {
    let measure = &options.measure;
    let chosen = lab.choose(&measure.with)?;
    let (sources, notes) = if files.is_empty() {
        sources::standard(options.traces.as_deref(), measure.seed)?
    } else if options.traces.is_some() {
        return Err(Failure::new(
            Reason::Usage,
            "--traces and named files exclude each other",
            "name the files, or the directory",
        ));
    } else {
        (
            files.iter().cloned().map(Source::File).collect(),
            Vec::new(),
        )
    };
    let style = Style::of_stdout();
    let mut said = Ok(());
    if !measure.json {
        for note in &notes {
            print(&format!("note: {note}\n"))?;
        }
    }
    let request = measured::Request {
        kind: "compare",
        mode: "asap",
        pacing: None,
        sources,
        notes,
        options: measure,
        chosen,
        threads: measure.threads,
        rounds: options.rounds.map_or(ROUNDS, |rounds| (rounds, rounds)),
        budget: Duration::from_secs(options.budget),
    };
    report::make_directory(&options.report)?;
    measured::prepare_out(measure)?;
    let results = measured::measure(lab, request, |results, trace| {
        if !measure.json && said.is_ok() {
            said = print(&(table::of_trace(results, trace, style) + "\n"));
        }
    })?;
    said?;
    let page = report::write(&results, &options.report, true)?;
    measured::write_out(&results, measure)?;
    if measure.json {
        print(&results.to_json()?)?;
    } else {
        print(&closing(&results, &page))?;
    }
    measured::verdict(&results)
}

fn closing(results: &crate::results::Results, page: &Path) -> String {
    let mut text = table::legend(results) + "\n";
    for label in &results.labels {
        text += &format!("{label}\n");
    }
    let missing: Vec<&str> = results
        .not_included
        .iter()
        .map(|m| m.name.as_str())
        .collect();
    if !missing.is_empty() {
        text += &format!(
            "Not in this build: {} (see --with list).\n",
            missing.join(", ")
        );
    }
    text += &format!(
        "{:.0} s, seed {}. Report:\n{}\n",
        results.duration_s,
        results.seed,
        page.display()
    );
    text
}
