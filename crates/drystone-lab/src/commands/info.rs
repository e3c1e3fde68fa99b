//! `drystone info`: the figures of a trace and a histogram of its sizes.

use std::process::ExitCode;

use drystone_trace::{Figures, Recording};
use serde::Serialize;

use super::{envelope, print};
use crate::cli::InfoArgs;
use crate::error::Failure;
use crate::sources;
use crate::text::{bytes, grouped, printable};

/// Longest bar of the histogram, in columns.
const BAR_COLUMNS: u64 = 40;

#[derive(Serialize)]
struct Info<'a> {
    trace: String,
    #[serde(flatten)]
    figures: &'a Figures,
    /// Whether the trace goes on to where its recording ended.
    complete: bool,
    /// Frees and reallocations of blocks older than the recording, and blocks whose end is not in it.
    unmatched: u64,
}

pub(crate) fn run(args: &InfoArgs) -> Result<ExitCode, Failure> {
    let trace = sources::read(&args.trace)?;
    let figures = Figures::of(&trace);
    let recording = trace.recording();
    let name = printable(&args.trace.display().to_string());
    if args.json {
        let info = Info {
            trace: name,
            figures: &figures,
            complete: recording.complete,
            unmatched: recording.unmatched,
        };
        print(&envelope::text("info", None, &info)?)?;
    } else {
        print(&text(&name, &figures))?;
        print(&missing(recording))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the trace lacks of the run, if anything.
fn missing(recording: Recording) -> String {
    let mut text = String::new();
    if !recording.complete {
        text += "The recording was cut off: this is what came before.\n";
    }
    if recording.unmatched > 0 {
        let count = grouped(recording.unmatched);
        text += &format!(
            "{count} frees or reallocations of blocks older than the recording, or blocks whose end \
             is not in it.\n"
        );
    }
    text
}

fn text(name: &str, f: &Figures) -> String {
    let n = grouped;
    let lines = [
        ("records", n(f.records)),
        ("threads", n(u64::from(f.threads))),
        ("objects", n(f.objects)),
        (
            "allocations",
            format!("{} plain, {} zeroed", n(f.allocations), n(f.zeroed)),
        ),
        ("frees", n(f.frees)),
        (
            "reallocations",
            format!(
                "{} grow, {} shrink, {} same size",
                n(f.reallocations.grow),
                n(f.reallocations.shrink),
                n(f.reallocations.same)
            ),
        ),
        (
            "by another thread",
            format!(
                "{} frees, {} reallocations",
                n(f.cross_thread_frees),
                n(f.cross_thread_reallocations)
            ),
        ),
        (
            "peak live",
            format!(
                "{} bytes ({})",
                n(f.peak_live_bytes),
                bytes(f.peak_live_bytes)
            ),
        ),
        ("peak live objects", n(f.peak_live_objects)),
        (
            "live at the end",
            format!(
                "{} objects, {} bytes",
                n(f.live_at_end.objects),
                n(f.live_at_end.bytes)
            ),
        ),
        (
            "sizes",
            format!(
                "{} distinct, largest {} bytes",
                n(f.sizes.distinct),
                n(f.sizes.max)
            ),
        ),
        (
            "requested in total",
            format!(
                "{} bytes ({})",
                n(f.requested_bytes),
                bytes(f.requested_bytes)
            ),
        ),
        (
            "freed within 63",
            format!(
                "{:.2} % of the frees",
                f.freed_within_63_records_ratio * 100.0
            ),
        ),
        ("ids used again", n(f.revived_objects)),
        ("timed", if f.timed { "yes" } else { "no" }.to_owned()),
    ];
    let mut text = format!("{name}\n");
    for (key, value) in lines {
        text += &format!("  {key:<19} {value}\n");
    }
    text += "\n  size up to       requests\n";
    let most = f
        .size_histogram
        .iter()
        .map(|bucket| bucket.requests)
        .max()
        .unwrap_or(0)
        .max(1);
    for bucket in &f.size_histogram {
        let columns = (bucket.requests * BAR_COLUMNS).div_ceil(most) as usize;
        let size = bytes(bucket.size_max_bytes);
        text += &format!(
            "  {size:>10}  {:>13}  {}\n",
            n(bucket.requests),
            "█".repeat(columns)
        );
    }
    text
}
