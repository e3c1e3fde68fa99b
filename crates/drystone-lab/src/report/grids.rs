//! The tables of a report: the figures behind each plot.

use super::grid::Grid;
use crate::results::{Results, TraceResult};
use crate::table::{difference, marks, sorted};
use crate::text::{bytes, grouped, interval, nanoseconds, three_digits};

/// Requests of one range of sizes, as `info` prints them.
#[derive(serde::Deserialize)]
pub(crate) struct Bucket {
    pub(crate) size_max_bytes: u64,
    pub(crate) requests: u64,
    pub(crate) requested_bytes: u64,
}

/// The size histogram among a trace's figures.
pub(crate) fn histogram(trace: &TraceResult) -> Vec<Bucket> {
    let buckets = trace
        .figures
        .get("size_histogram")
        .cloned()
        .unwrap_or_default();
    serde_json::from_value(buckets).unwrap_or_default()
}

fn dash() -> String {
    "-".to_owned()
}

pub(crate) fn throughput(results: &Results, trace: &TraceResult) -> Grid {
    let versus = format!("against {}", trace.baseline);
    let mut grid = Grid::new([
        "target",
        "Mop/s",
        "p10 to p90",
        "net Mop/s",
        "ns/op",
        "net ns/op",
        "cold ns/op",
        &versus,
        "95 % interval",
        "refused",
    ]);
    for row in sorted(trace) {
        let name = row.target.clone() + &marks(results, row);
        let refused = row.refusals.map_or(0, |refusals| refusals.total());
        let Some(t) = &row.throughput else {
            let mut cells = vec![name, row.status.word().to_owned()];
            cells.resize(9, dash());
            cells.push(refused.to_string());
            grid.row(cells);
            continue;
        };
        let rate = |ops: f64| three_digits(ops / 1e6);
        let (word, range) = match &row.versus {
            Some(v) => {
                let range = v.ratio.interval();
                (
                    difference(v),
                    range.map_or_else(dash, |(low, high)| interval(low, high)),
                )
            }
            None if row.target == trace.baseline => ("baseline".to_owned(), dash()),
            None => (dash(), dash()),
        };
        grid.row([
            name,
            rate(t.ops_per_s),
            format!("{} to {}", rate(t.p10_ops_per_s), rate(t.p90_ops_per_s)),
            t.net_ops_per_s.map_or_else(dash, rate),
            three_digits(t.ns_per_op),
            three_digits(t.net_ns_per_op),
            three_digits(t.cold_ns_per_op),
            word,
            range,
            refused.to_string(),
        ]);
    }
    grid
}

pub(crate) fn memory(trace: &TraceResult) -> Grid {
    let mut grid = Grid::new([
        "target",
        "peak",
        "at end",
        "live peak",
        "peak / live",
        "mean waste",
        "lazily freed",
        "huge pages",
    ]);
    for row in sorted(trace) {
        let Some(m) = &row.memory else {
            continue;
        };
        let most = |pick: fn(&crate::results::MemoryPoint) -> u64| {
            bytes(m.samples.iter().map(pick).max().unwrap_or(0))
        };
        grid.row([
            row.target.clone(),
            bytes(m.peak_bytes),
            bytes(m.end_bytes),
            bytes(m.live_peak_bytes),
            three_digits(m.peak_over_live_ratio),
            format!("{:.0} %", m.mean_overhead_ratio * 100.0),
            most(|sample| sample.lazy_free_bytes),
            most(|sample| sample.anon_huge_bytes),
        ]);
    }
    grid
}

pub(crate) fn latency(trace: &TraceResult) -> Grid {
    let mut grid = Grid::new([
        "target",
        "p50 ns",
        "p90",
        "p99",
        "p99.9",
        "max",
        "samples",
        "clock pair",
    ]);
    for row in sorted(trace) {
        let Some(l) = &row.latency else {
            continue;
        };
        grid.row([
            row.target.clone(),
            nanoseconds(l.p50_ns),
            nanoseconds(l.p90_ns),
            nanoseconds(l.p99_ns),
            nanoseconds(l.p999_ns),
            nanoseconds(l.max_ns),
            grouped(l.samples),
            nanoseconds(l.clock_pair_ns),
        ]);
    }
    grid
}

pub(crate) fn waits(trace: &TraceResult) -> Grid {
    let mut grid = Grid::new([
        "target",
        "waits for a turn",
        "ms",
        "waits for the slowest",
        "ms",
        "minor faults",
        "switches",
    ]);
    for row in sorted(trace) {
        let (Some(stalls), Some(resources)) = (row.stalls, row.resources) else {
            continue;
        };
        grid.row([
            row.target.clone(),
            grouped(stalls.turns),
            three_digits(stalls.turn_ns as f64 / 1e6),
            grouped(stalls.skews),
            three_digits(stalls.skew_ns as f64 / 1e6),
            grouped(resources.minor_faults),
            grouped(resources.involuntary_switches),
        ]);
    }
    grid
}

pub(crate) fn sizes(trace: &TraceResult) -> Grid {
    let mut grid = Grid::new(["size up to", "requests", "bytes"]);
    for bucket in histogram(trace) {
        grid.row([
            bytes(bucket.size_max_bytes),
            grouped(bucket.requests),
            bytes(bucket.requested_bytes),
        ]);
    }
    grid
}

pub(crate) fn targets(results: &Results) -> Grid {
    let mut grid = Grid::of_text(["target", "what it is", "version", "flags"]);
    for target in &results.targets {
        grid.row([&target.name, &target.about, &target.version, &target.flags].map(Clone::clone));
    }
    for missing in &results.not_included {
        grid.row([missing.name.clone(), missing.reason.clone(), dash(), dash()]);
    }
    grid
}

/// One row a trace, one column a target: speed relative to the baseline.
pub(crate) fn overview(results: &Results) -> Grid {
    let mut names: Vec<&str> = Vec::new();
    for row in results.traces.iter().flat_map(|trace| &trace.rows) {
        if !names.contains(&row.target.as_str()) {
            names.push(&row.target);
        }
    }
    let mut grid = Grid::new(std::iter::once("trace").chain(names.iter().copied()));
    for trace in &results.traces {
        let cell = |name: &&str| {
            let Some(row) = trace.rows.iter().find(|row| row.target == *name) else {
                return dash();
            };
            match (&row.throughput, &row.versus) {
                (None, _) => row.status.word().to_owned(),
                (Some(_), Some(v)) => difference(v),
                (Some(t), None) => format!("{} Mop/s", three_digits(t.ops_per_s / 1e6)),
            }
        };
        grid.row(std::iter::once(trace.name.clone()).chain(names.iter().map(cell)));
    }
    grid
}
