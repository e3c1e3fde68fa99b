//! The report: one HTML page without outside references, Markdown, and the results.

mod grid;
mod grids;
mod html;
mod markdown;
mod plots;

use std::path::{Path, PathBuf};

use crate::error::Failure;
use crate::results::{Results, TraceResult};
use crate::table::{grounds, headline};

/// Writes `index.html` and `report.md`, and `results.json` if asked, into `directory`; returns
/// the page's path.
pub(crate) fn write(
    results: &Results,
    directory: &Path,
    with_results: bool,
) -> Result<PathBuf, Failure> {
    make_directory(directory)?;
    let page = directory.join("index.html");
    let mut files = vec![
        (page.clone(), html::page(results)),
        (directory.join("report.md"), markdown::page(results)),
    ];
    if with_results {
        files.push((directory.join("results.json"), results.to_json()?));
    }
    for (path, text) in files {
        let name = path.display().to_string();
        std::fs::write(&path, text).map_err(|e| Failure::io(&name, "cannot write it", &e))?;
    }
    Ok(page)
}

/// Makes the directory of a report: before anything is measured for it.
pub(crate) fn make_directory(directory: &Path) -> Result<(), Failure> {
    let name = directory.display().to_string();
    std::fs::create_dir_all(directory).map_err(|e| Failure::io(&name, "cannot create it", &e))
}

/// What stands below a trace's name.
fn told(trace: &TraceResult) -> String {
    format!("{}; {}", headline(trace), grounds(trace))
}

/// The head of a report as pairs: the machine, the build, the settings.
fn facts(results: &Results) -> Vec<(&'static str, String)> {
    let s = &results.settings;
    let mut pairs = results.host.pairs();
    pairs.push((
        "replay",
        format!(
            "mode {}, threads {}, alignment {}, touch {}, skew {} records",
            s.mode,
            s.threads,
            s.align,
            s.touch.name(),
            s.skew_records
        ),
    ));
    pairs.push((
        "passes",
        format!(
            "one process each: verify, memory, and in every round one cold and {} warm; latency \
             of 1 in {} operations in a pass of its own",
            s.warm_passes, s.latency_sampled_one_in
        ),
    ));
    pairs.push(("seed", results.seed.to_string()));
    pairs.push(("duration", format!("{:.0} s", results.duration_s)));
    pairs
}
