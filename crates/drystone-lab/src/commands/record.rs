//! `drystone record`: runs a program on the recording build of the malloc library.
//!
//! The program keeps its standard streams and its exit status. It is started by this program again, which
//! becomes it: so that its process number is known and set in its environment, and a wrapper that becomes
//! another program is recorded as that.

mod launch;
mod library;
mod made;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use drystone_trace::{Figures, Trace};
use serde::Serialize;

pub(crate) use launch::LAUNCH_COMMAND;
pub(crate) use launch::launch;

use super::{envelope, print};
use crate::cli::RecordArgs;
use crate::error::{Failure, Reason};
use crate::text::{bytes, grouped, printable};

/// What stands for the number of a process in the name of a trace.
const PROCESS: &str = "%p";

/// One file that came of it.
#[derive(Serialize)]
struct Made {
    trace: String,
    /// Whether the trace goes on to the program's orderly end.
    complete: bool,
    unmatched: u64,
    lost: u64,
    bytes: u64,
    bytes_per_record_ratio: f64,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
struct Recorded {
    library: String,
    program: Vec<String>,
    /// The program's own, or 128 and the number of the signal that ended it.
    exit_code: i32,
    duration_ns: u64,
    traces: Vec<Made>,
}

pub(crate) fn run(args: &RecordArgs) -> Result<ExitCode, Failure> {
    let library = library::find(args.preload.as_deref())?;
    let output = output(args)?;
    made::clear(&output)?;
    let begun = (SystemTime::now(), Instant::now());
    let exit_code = launch::wait(&library, &output, args)?;
    let duration_ns = u64::try_from(begun.1.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut traces = Vec::new();
    let mut failed = None;
    for path in made::files(&output, begun.0) {
        match made(&path) {
            Ok(made) => traces.push(made),
            Err(failure) => failed = Some(failure),
        }
    }
    let recorded = Recorded {
        library: printable(&library.display().to_string()),
        program: args.command.iter().map(shown).collect(),
        exit_code,
        duration_ns,
        traces,
    };
    if args.json {
        print(&envelope::text("record", None, &recorded)?)?;
    } else {
        eprint!("{}", text(&recorded));
    }
    if let Some(failure) = failed {
        eprintln!("{failure}");
    } else if recorded.traces.is_empty() {
        eprintln!("{}", nothing(&output));
    }
    // The program's own, whatever became of its recording.
    Ok(ExitCode::from(u8::try_from(exit_code).unwrap_or(u8::MAX)))
}

fn shown(word: &OsString) -> String {
    printable(&word.to_string_lossy())
}

/// Where the trace goes. With `--follow` the number of a process is in the name.
fn output(args: &RecordArgs) -> Result<PathBuf, Failure> {
    let named = args.output.clone().unwrap_or_else(|| {
        let program = args.command.first().map(Path::new);
        let name = program.and_then(Path::file_name).unwrap_or_default();
        let mut name = name.to_owned();
        name.push(".dst");
        name.into()
    });
    let name = named.to_string_lossy().into_owned();
    if named == Path::new("-") {
        return Err(Failure::usage(
            "record cannot write its trace to standard output, which is the program's",
            "name a file with `-o FILE`",
        ));
    }
    let has_process = name.contains(PROCESS);
    if has_process && !args.follow {
        return Err(Failure::usage(
            format!(
                "-o {name}: {PROCESS} stands for the number of a process, and children are not followed"
            ),
            "add --follow, or choose another name",
        ));
    }
    if !args.follow || has_process {
        return Ok(named);
    }
    let stem = name.strip_suffix(".dst").unwrap_or(&name);
    Ok(format!("{stem}.{PROCESS}.dst").into())
}

fn made(path: &Path) -> Result<Made, Failure> {
    let trace = Trace::read(path)?;
    let figures = Figures::of(&trace);
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    Ok(Made {
        trace: printable(&path.display().to_string()),
        complete: trace.recording().complete,
        unmatched: trace.recording().unmatched,
        lost: trace.lost(),
        bytes: length,
        bytes_per_record_ratio: length as f64 / figures.records.max(1) as f64,
        figures,
    })
}

fn text(recorded: &Recorded) -> String {
    let mut text = String::new();
    for made in &recorded.traces {
        let figures = &made.figures;
        text += &format!(
            "{}: {} records, {} threads, {} ({:.1} bytes a record)\n",
            made.trace,
            grouped(figures.records),
            grouped(u64::from(figures.threads)),
            bytes(made.bytes),
            made.bytes_per_record_ratio,
        );
        text += &format!(
            "  peak live {}; live at the end {} objects, {} bytes; {:.2} s\n",
            bytes(figures.peak_live_bytes),
            grouped(figures.live_at_end.objects),
            grouped(figures.live_at_end.bytes),
            recorded.duration_ns as f64 / 1e9,
        );
        if !made.complete {
            text +=
                "  It was killed, or left without its exit handlers: this is what came before.\n";
        }
        if made.lost > 0 {
            let lost = grouped(made.lost);
            text += &format!("  {lost} operations could not be recorded.\n");
        }
    }
    text
}

fn nothing(output: &Path) -> Failure {
    Failure::new(
        Reason::Unreadable,
        format!("{}: the program made no trace", output.display()),
        "a program that is linked statically, has rights of its own (setuid), or brings its own malloc \
         cannot be recorded",
    )
}
