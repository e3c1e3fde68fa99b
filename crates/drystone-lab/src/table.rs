//! Tables for the terminal and for pipes: plain text, 80 columns.

use std::io::IsTerminal;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::lab::HARNESS;
use crate::results::{Results, Row, TraceResult, Versus};
use crate::stats::Verdict;
use crate::target::Role;
use crate::text::{bytes, grouped, interval, nanoseconds, percent, sparkline, three_digits};

/// Columns of the memory curve.
const CURVE_COLUMNS: usize = 6;

/// How tables are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    bold: bool,
}

impl Style {
    /// Bold on a terminal that wants it; never in a pipe.
    pub(crate) fn of_stdout() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            bold: std::io::stdout().is_terminal() && !no_color,
        }
    }

    fn strong(self, text: &str) -> String {
        if self.bold {
            format!("\u{1b}[1m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Rows in the order of tables: the fastest first, failures last.
pub(crate) fn sorted(trace: &TraceResult) -> Vec<&Row> {
    let mut rows: Vec<&Row> = trace.rows.iter().collect();
    let speed = |row: &Row| row.throughput.as_ref().map_or(-1.0, |t| t.ops_per_s);
    rows.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
    rows
}

/// The role of a row's target; empty if the results do not know it.
pub(crate) fn role<'a>(results: &'a Results, row: &Row) -> &'a str {
    let name = row.target.split('#').next().unwrap_or(&row.target);
    let target = results.targets.iter().find(|t| t.name == name);
    target.map_or("", |t| t.role.as_str())
}

/// Marks after a target's name, explained in [`legend`].
pub(crate) fn marks(results: &Results, row: &Row) -> String {
    let mut marks = String::new();
    if role(results, row) == Role::Ceiling.name() {
        marks.push('*');
    }
    if row.refusals.is_some_and(|refusals| refusals.total() > 0) {
        marks.push('!');
    }
    marks
}

/// The comparison of one trace.
pub(crate) fn of_trace(results: &Results, trace: &TraceResult, style: Style) -> String {
    let rows = sorted(trace);
    let best = rows
        .iter()
        .position(|row| row.throughput.is_some() && marks(results, row).is_empty());
    let top = trace
        .rows
        .iter()
        // A ceiling's memory would flatten all others.
        .filter(|row| !marks(results, row).contains('*'))
        .filter_map(|row| row.memory.as_ref().map(|memory| memory.peak_bytes))
        .max()
        .unwrap_or(0);
    let mut table = plain_table();
    let versus = match trace.baseline.as_str() {
        short if short.len() <= 6 => format!("vs {short}"),
        _ => "vs base".to_owned(),
    };
    table.set_header([
        "target", "Mop/s", "net", &versus, "95 %", "p50", "p99", "p99.9", "MiB", "memory",
    ]);
    for row in &rows {
        table.add_row(cells(results, trace, row, top));
    }
    align_right(&mut table, 1..9);
    let heading = style.strong(&trace.name);
    let mut text = format!("{heading}: {}\n{}\n", headline(trace), grounds(trace));
    for (at, line) in trimmed(&table).lines().enumerate() {
        // The first line is the head.
        let is_best = best.is_some_and(|best| best + 1 == at);
        text += &if is_best {
            style.strong(line)
        } else {
            line.to_owned()
        };
        text.push('\n');
    }
    for row in rows.iter().filter(|row| !row.status.is_ok()) {
        text += &format!("{}: {}\n", row.target, row.status.sentence());
    }
    text
}

fn cells(results: &Results, trace: &TraceResult, row: &Row, top: u64) -> [String; 10] {
    let dash = || "-".to_owned();
    let rate = |ops: f64| three_digits(ops / 1e6);
    let (difference, range) = match &row.versus {
        Some(versus) => {
            let range = versus.ratio.interval();
            (
                difference(versus),
                range.map_or_else(dash, |(low, high)| interval(low, high)),
            )
        }
        None if row.target == trace.baseline => ("baseline".to_owned(), String::new()),
        None => (dash(), String::new()),
    };
    let latency = |pick: fn(&crate::results::Latency) -> u64| {
        row.latency
            .as_ref()
            .map_or_else(dash, |latency| nanoseconds(pick(latency)))
    };
    [
        row.target.clone() + &marks(results, row),
        match &row.throughput {
            Some(throughput) => rate(throughput.ops_per_s),
            None => row.status.word().to_owned(),
        },
        row.throughput
            .as_ref()
            .and_then(|t| t.net_ops_per_s)
            .map_or_else(dash, rate),
        difference,
        range,
        latency(|l| l.p50_ns),
        latency(|l| l.p99_ns),
        latency(|l| l.p999_ns),
        row.memory.as_ref().map_or_else(dash, |m| {
            three_digits(m.peak_bytes as f64 / f64::from(1 << 20))
        }),
        row.memory.as_ref().map_or_else(String::new, |memory| {
            let curve: Vec<u64> = memory
                .samples
                .iter()
                .map(|sample| sample.held_bytes)
                .collect();
            sparkline(&curve, CURVE_COLUMNS, top)
        }),
    ]
}

/// What a comparison says, in a cell.
pub(crate) fn difference(versus: &Versus) -> String {
    match versus.verdict {
        Verdict::Same => "same".to_owned(),
        Verdict::Faster | Verdict::Slower => percent(versus.ratio.median),
        Verdict::Unjudged => "-".to_owned(),
    }
}

/// What stands beside a trace's name.
pub(crate) fn headline(trace: &TraceResult) -> String {
    let threads = trace.threads_replayed;
    format!(
        "{} records, {threads} thread{}, peak live {}",
        grouped(trace.figure("records")),
        if threads == 1 { "" } else { "s" },
        bytes(trace.figure("peak_live_bytes")),
    )
}

/// What the figures of a trace rest on.
pub(crate) fn grounds(trace: &TraceResult) -> String {
    let noise = match trace.noise.against_itself.interval() {
        Some(_) => format!("noise {:.1}%", trace.noise.floor_ratio * 100.0),
        None => "noise not measured".to_owned(),
    };
    format!(
        "{} round{}, {noise}, replay without an allocator {} ns/op",
        trace.rounds,
        if trace.rounds == 1 { "" } else { "s" },
        three_digits(trace.harness_ns_per_op),
    )
}

/// What the columns and marks of [`of_trace`] mean.
pub(crate) fn legend(results: &Results) -> String {
    let mut lines = vec![
        "Mop/s: million operations a second; net: without the replay's own cost, an upper"
            .to_owned(),
        "bound of the speed. same: within the noise of the baseline against itself.".to_owned(),
        format!(
            "p50, p99, p99.9: ns of 1 in {} operations, the clock's cost included.",
            results.settings.latency_sampled_one_in
        ),
        "MiB: peak resident memory, without lazily freed pages and without the harness.".to_owned(),
    ];
    let rows = || results.traces.iter().flat_map(|trace| &trace.rows);
    let unjudged = |row: &Row| {
        row.versus
            .is_some_and(|versus| versus.verdict == Verdict::Unjudged)
    };
    if rows().any(unjudged) {
        lines.push("-: too few rounds for an interval; no difference is called.".to_owned());
    }
    if rows().any(|row| marks(results, row).contains('*')) {
        lines.push("* never gives memory back: a ceiling for speed, not a choice.".to_owned());
    }
    if rows().any(|row| marks(results, row).contains('!')) {
        lines.push(
            "! refused some requests (see the report): its figures are not comparable.".to_owned(),
        );
    }
    let is_harness = |row: &Row| row.target.split('#').next() == Some(HARNESS);
    let unmeasured =
        |row: &Row| row.throughput.is_some() && row.memory.is_none() && !is_harness(row);
    if rows().any(unmeasured) {
        lines.push(
            "Memory is not measured: this system has no summary of resident pages.".to_owned(),
        );
    }
    lines.join("\n")
}

/// A table without rules whose columns stand one space apart.
pub(crate) fn plain_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Aligns columns of numbers.
pub(crate) fn align_right(table: &mut Table, columns: core::ops::Range<usize>) {
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if columns.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The table's text without spaces at the ends of lines.
pub(crate) fn trimmed(table: &Table) -> String {
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}
