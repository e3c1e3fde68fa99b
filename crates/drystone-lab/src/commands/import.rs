//! `drystone import`: any known form as `.dst`.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use drystone_trace::Trace;
use serde_json::json;

use super::{envelope, print, print_bytes};
use crate::cli::ImportArgs;
use crate::error::Failure;
use crate::text::{grouped, printable};

/// How the text of a dump begins.
const DUMP: &str = "satrace-dump";

pub(crate) fn run(args: &ImportArgs) -> Result<ExitCode, Failure> {
    let to_stdout = args.output == Path::new("-");
    if to_stdout && args.json {
        return Err(Failure::usage(
            "standard output cannot hold the trace and --json",
            "write the trace to a file, or leave --json out",
        ));
    }
    let trace = read(&args.trace)?;
    let bytes = trace.to_dst();
    if to_stdout {
        return print_bytes(&bytes).map(|()| ExitCode::SUCCESS);
    }
    let name = printable(&args.output.display().to_string());
    std::fs::write(&args.output, &bytes).map_err(|e| Failure::io(&name, "cannot write it", &e))?;
    let (records, timed) = (trace.records().len(), trace.times_ns().is_some());
    if args.json {
        let written = json!({
            "records": records,
            "timed": timed,
            "bytes": bytes.len(),
            "output": name,
        });
        print(&envelope::text("import", None, written)?)?;
    } else {
        let times = if timed { "with times" } else { "without times" };
        let records = grouped(records as u64);
        print(&format!("{name}: {records} records {times}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The trace in the file at `path`, which may be a dump.
fn read(path: &Path) -> Result<Trace, Failure> {
    match dump(path) {
        Some(text) => Ok(Trace::parse_dump(&text)?),
        None => Ok(Trace::read(path)?),
    }
}

/// The text of the file at `path`, if it is a dump. What cannot be read as one is left to the reader
/// of traces, which says why.
fn dump(path: &Path) -> Option<String> {
    let mut first = [0; DUMP.len()];
    let mut file = std::fs::File::open(path).ok()?;
    file.read_exact(&mut first).ok()?;
    if first != *DUMP.as_bytes() {
        return None;
    }
    std::fs::read_to_string(path).ok()
}
