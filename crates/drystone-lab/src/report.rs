//! The report: one HTML page without outside references, Markdown, and the results.

use std::path::{Path, PathBuf};

use crate::error::Failure;
use crate::results::Results;

/// Writes `index.html` and `report.md`, and `results.json` if asked, into `directory`; returns
/// the page's path.
pub(crate) fn write(
    results: &Results,
    directory: &Path,
    with_results: bool,
) -> Result<PathBuf, Failure> {
    let name = directory.display().to_string();
    std::fs::create_dir_all(directory).map_err(|e| Failure::io(&name, "cannot create it", &e))?;
    let page = directory.join("index.html");
    let mut files = vec![
        (page.clone(), String::new()),
        (directory.join("report.md"), String::new()),
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
