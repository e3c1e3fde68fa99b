//! The report as Markdown: the tables, without plots.

use super::grid::markdown;
use super::grids;
use super::told;
use crate::results::Results;
use crate::table::legend;

pub(crate) fn page(results: &Results) -> String {
    let mut text = format!(
        "# drystone {}\n\n{}\n\n",
        markdown(&results.kind),
        markdown(&results.command)
    );
    for label in &results.labels {
        text += &format!("- **{}**\n", markdown(label));
    }
    text += "\n| | |\n|---|---|\n";
    for (key, value) in super::facts(results) {
        text += &format!("| {key} | {} |\n", markdown(&value));
    }
    text += "\n## Targets\n\n";
    text += &grids::targets(results).to_markdown();
    text += "\n## Overview\n\n";
    text += &grids::overview(results).to_markdown();
    text += &format!("\n```text\n{}\n```\n", legend(results));
    for trace in &results.traces {
        text += &format!("\n## {}\n\n{}\n\n", markdown(&trace.name), told(trace));
        text += &grids::throughput(results, trace).to_markdown();
        for row in trace.rows.iter().filter(|row| !row.status.is_ok()) {
            text += &format!(
                "\n**{}**: {}\n",
                markdown(&row.target),
                markdown(&row.status.sentence())
            );
        }
        for (title, grid) in [
            ("Memory", grids::memory(trace)),
            ("Latency", grids::latency(trace)),
            ("Waits and faults", grids::waits(trace)),
            ("Sizes", grids::sizes(trace)),
        ] {
            if !grid.rows.is_empty() {
                text += &format!("\n### {title}\n\n{}", grid.to_markdown());
            }
        }
    }
    text
}
