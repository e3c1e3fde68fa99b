//! The report as one HTML page: style and plots inline, no script, nothing fetched.

use super::grid::{Grid, escaped};
use super::grids;
use super::plots::{self, palette};
use super::told;
use crate::results::{Results, TraceResult};
use crate::table::legend;

const STYLE: &str = include_str!("page.css");

pub(crate) fn page(results: &Results) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>drystone {kind}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>drystone {kind}</h1>\n<p><code>{command}</code></p>\n",
        kind = escaped(&results.kind),
        command = escaped(&results.command),
    );
    html += &head(results);
    for (number, trace) in results.traces.iter().enumerate() {
        html += &section(results, trace, number);
    }
    html + "</body>\n</html>\n"
}

fn head(results: &Results) -> String {
    let mut html = String::new();
    if !results.labels.is_empty() {
        let items: String = results
            .labels
            .iter()
            .map(|label| format!("<li>{}</li>", escaped(label)))
            .collect();
        html += &format!("<ul class=\"labels\">{items}</ul>\n");
    }
    html += "<dl>\n";
    for (key, value) in super::facts(results) {
        html += &format!("<dt>{}</dt><dd>{}</dd>\n", escaped(key), escaped(&value));
    }
    html += "</dl>\n<h2>Targets</h2>\n<div class=\"prose\">";
    html += &grids::targets(results).to_html();
    html += "</div>\n<h2>Overview</h2>\n<p>Speed against the baseline; its own in Mop/s.</p>\n";
    html += &grids::overview(results).to_html();
    html += &format!("<pre>{}</pre>\n<nav>", escaped(&legend(results)));
    for (number, trace) in results.traces.iter().enumerate() {
        html += &format!("<a href=\"#trace-{number}\">{}</a>", escaped(&trace.name));
    }
    html + "</nav>\n"
}

fn section(results: &Results, trace: &TraceResult, number: usize) -> String {
    let mut html = format!(
        "<h2 id=\"trace-{number}\">{}</h2>\n<p>{}</p>\n",
        escaped(&trace.name),
        escaped(&told(trace)),
    );
    for row in trace.rows.iter().filter(|row| !row.status.is_ok()) {
        let (name, reason) = (escaped(&row.target), escaped(&row.status.sentence()));
        html += &format!("<p><strong>{name}</strong>: {reason}</p>\n");
    }
    html += &key(trace);
    let speed = format!("Speed against {}, with 95 % intervals", trace.baseline);
    html += &figure(
        &speed,
        plots::throughput::svg(trace),
        &grids::throughput(results, trace),
    );
    html += &figure(
        "Memory over the records: resident less lazily freed, and live (thick)",
        plots::memory::svg(trace),
        &grids::memory(trace),
    );
    html += &figure(
        "Latency of sampled operations: share of operations, and the time they stay within",
        plots::latency::svg(trace),
        &grids::latency(trace),
    );
    html += &figure("Waits and faults", None, &grids::waits(trace));
    html + &figure(
        "Sizes asked for",
        plots::sizes::svg(trace),
        &grids::sizes(trace),
    )
}

/// Which colour is whose; the second round of colours has hollow marks.
fn key(trace: &TraceResult) -> String {
    let items: String = trace
        .rows
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let class = if palette::is_hollow(at) {
                " class=\"ringed\""
            } else {
                ""
            };
            let tone = palette::css(at);
            format!(
                "<span{class} style=\"--tone:{tone}\">{}</span>",
                escaped(&row.target)
            )
        })
        .collect();
    format!("<p class=\"key\">{items}</p>\n")
}

fn figure(caption: &str, svg: Option<String>, grid: &Grid) -> String {
    if grid.rows.is_empty() {
        return String::new();
    }
    let svg = svg.unwrap_or_default();
    let caption = escaped(caption);
    format!(
        "<figure>\n<figcaption>{caption}</figcaption>\n{svg}\n{}</figure>\n",
        grid.to_html()
    )
}
