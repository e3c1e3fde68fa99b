//! `drystone info`: the figures of a trace and a histogram of its sizes.

use std::path::Path;
use std::process::ExitCode;

use drystone_trace::{Chunks, EventKind, Figures, Recording, Trace};
use serde::Serialize;
use serde_json::json;

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
    /// Operations that the recorder could not write.
    lost: u64,
    /// Marks, samples of memory, beginnings and ends of threads, forks, gaps.
    events: usize,
    /// The most resident memory of the recorded program that was seen; `null` if it was not looked at.
    peak_resident_bytes: Option<u64>,
}

pub(crate) fn run(args: &InfoArgs) -> Result<ExitCode, Failure> {
    if args.chunks {
        return chunks(args);
    }
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
            lost: trace.lost(),
            events: trace.events().len(),
            peak_resident_bytes: peak_resident(&trace),
        };
        print(&envelope::text("info", None, &info)?)?;
    } else {
        print(&text(&name, &figures))?;
        print(&events(&trace))?;
        print(&missing(recording))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The most resident memory of the recorded program that its recorder saw.
fn peak_resident(trace: &Trace) -> Option<u64> {
    let samples = trace.events().iter().filter_map(|event| match &event.kind {
        EventKind::Sample(sample) => Some(sample.rss_bytes),
        _ => None,
    });
    samples.max()
}

/// What the trace tells beside the operations, if anything.
fn events(trace: &Trace) -> String {
    let mut text = String::new();
    if !trace.events().is_empty() {
        let count = grouped(trace.events().len() as u64);
        let resident = peak_resident(trace).map_or_else(String::new, |peak| {
            format!(", {} resident at most", bytes(peak))
        });
        text += &format!("\n{count} events{resident}.\n");
    }
    for event in trace.events() {
        if let EventKind::Mark(name) = &event.kind {
            let record = grouped(event.position);
            text += &format!("  mark before record {record}: {}\n", printable(name));
        }
    }
    if trace.lost() > 0 {
        let lost = grouped(trace.lost());
        text += &format!("{lost} operations could not be recorded.\n");
    }
    text
}

/// Where the chunks of a file are.
fn chunks(args: &InfoArgs) -> Result<ExitCode, Failure> {
    if args.trace == Path::new("-") {
        return Err(Failure::usage(
            "info --chunks goes to the end of the file, which standard input does not let it",
            "name the file",
        ));
    }
    let chunks = Chunks::read(&args.trace)?;
    let name = printable(&args.trace.display().to_string());
    if args.json {
        let entries = chunks.entries.iter().map(|entry| {
            json!({
                "byte": entry.byte,
                "thread": entry.thread,
                "operations": entry.operations,
                "first_order": entry.first_order,
                "first_tick": entry.first_tick,
            })
        });
        let listed = json!({
            "trace": name,
            "indexed": chunks.indexed,
            "chunks": entries.collect::<Vec<_>>(),
        });
        print(&envelope::text("chunks", None, listed)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let found = if chunks.indexed {
        "by its index"
    } else {
        "it has no index"
    };
    let count = grouped(chunks.entries.len() as u64);
    let mut text = format!("{name}: {count} chunks, {found}\n");
    text += "            byte   thread  operations  first order\n";
    for entry in &chunks.entries {
        text += &format!(
            "{:>16} {:>8} {:>11} {:>12}\n",
            entry.byte, entry.thread, entry.operations, entry.first_order
        );
    }
    print(&text)?;
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
