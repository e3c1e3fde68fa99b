//! `drystone report`: the report again, from a result file.

use std::process::ExitCode;

use serde_json::json;

use super::{envelope, print};
use crate::cli::ReportArgs;
use crate::error::Failure;
use crate::report;
use crate::results::Results;

pub(crate) fn run(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let results = Results::read(&args.results)?;
    let page = report::write(&results, &args.output, false)?;
    if args.json {
        let written = json!({
            "html": page.display().to_string(),
            "markdown": page.with_file_name("report.md").display().to_string(),
            "targets": results.targets,
        });
        print(&envelope::text("report", Some(results.seed), written)?)?;
    } else {
        print(&format!("{}\n", page.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
