//! The figures of the runs, as tables.

use std::fmt::Write as _;
use std::time::Duration;

use super::measure::Run;
use super::rivals::{MIMALLOC, OWN, SYSTEM};

/// The runs of a program on one allocator.
pub(crate) struct Cell {
    pub(crate) runs: Vec<Run>,
}

/// The runs of a program.
pub(crate) struct Row {
    name: &'static str,
    /// In the order of the allocators.
    pub(crate) cells: Vec<Cell>,
    /// What was not as it is with the system's allocator.
    pub(crate) differences: Vec<String>,
}

/// A figure of a program on an allocator; none if it did not run.
type Figure = fn(&Cell) -> Option<f64>;

impl Row {
    pub(crate) fn new(name: &'static str, allocators: usize) -> Self {
        Self {
            name,
            cells: (0..allocators).map(|_| Cell::new()).collect(),
            differences: Vec::new(),
        }
    }

    /// Enters something that is not about the allocator.
    pub(crate) fn note(&mut self, what: String) {
        self.differences.push(what);
    }

    pub(crate) fn wrong(&self) -> impl Iterator<Item = &str> {
        self.differences.iter().map(String::as_str)
    }
}

impl Cell {
    fn new() -> Self {
        Self { runs: Vec::new() }
    }

    fn median(&self, of: impl Fn(&Run) -> f64) -> Option<f64> {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    fn cpu(&self) -> Option<f64> {
        self.median(|run| seconds(run.cpu))
    }

    fn wall(&self) -> Option<f64> {
        self.median(|run| seconds(run.wall))
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn peak_mib(&self) -> Option<f64> {
        self.median(|run| run.peak_kib as f64 / 1024.0)
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A line about one program, for whoever waits.
pub(crate) fn line<'a>(row: &Row, names: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("{:<14}", row.name);
    for (name, cell) in names.zip(&row.cells) {
        if let (Some(cpu), Some(peak)) = (cell.cpu(), cell.peak_mib()) {
            let _ = write!(text, " {name} {cpu:.2} s {peak:.0} MiB;");
        }
    }
    text += match row.differences.is_empty() {
        true => " same output",
        false => " DIFFERENT",
    };
    text
}

/// All figures: processor time and wall time in seconds, peak memory in MiB, medians of the runs.
pub(crate) fn table(rows: &[Row], names: &[&str]) -> String {
    let mut text = String::new();
    let parts: [(&str, Figure); 3] = [
        ("processor time, s", Cell::cpu),
        ("wall time, s", Cell::wall),
        ("peak resident memory of a process, MiB", Cell::peak_mib),
    ];
    for (title, figure) in parts {
        let _ = write!(text, "{title}\n{:<14}", "");
        for name in names {
            let _ = write!(text, "{name:>11}");
        }
        text += "\n";
        for row in rows {
            let _ = write!(text, "{:<14}", row.name);
            for cell in &row.cells {
                match figure(cell) {
                    Some(value) => drop(write!(text, "{value:>11.2}")),
                    None => text += "          -",
                }
            }
            text += "\n";
        }
        for rival in [SYSTEM, MIMALLOC] {
            if let Some(mean) = mean_ratio(rows, names, rival, figure) {
                let _ = writeln!(text, "{OWN} / {rival}, geometric mean: {mean:.3}");
            }
        }
        text += "\n";
    }
    let best = rows.iter().filter(|row| is_best(row, names)).count();
    let _ = writeln!(
        text,
        "{OWN} has the least processor time in {best} of {} programs",
        rows.len()
    );
    text
}

/// The figures as lines of values, medians of the runs.
pub(crate) fn csv(rows: &[Row], names: &[&str]) -> String {
    let mut text = "program,allocator,processor_s,wall_s,peak_mib\n".to_owned();
    for row in rows {
        for (name, cell) in names.iter().zip(&row.cells) {
            if let (Some(cpu), Some(wall), Some(peak)) = (cell.cpu(), cell.wall(), cell.peak_mib())
            {
                let _ = writeln!(text, "{},{name},{cpu:.3},{wall:.3},{peak:.2}", row.name);
            }
        }
    }
    text
}

fn index_of(names: &[&str], name: &str) -> Option<usize> {
    names.iter().position(|other| *other == name)
}

fn mean_ratio(rows: &[Row], names: &[&str], rival: &str, figure: Figure) -> Option<f64> {
    let (own, rival) = (index_of(names, OWN)?, index_of(names, rival)?);
    let logarithms: Vec<f64> = rows
        .iter()
        .filter_map(|row| Some((figure(&row.cells[own])? / figure(&row.cells[rival])?).ln()))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a few programs")]
    let count = logarithms.len() as f64;
    (count > 0.0).then(|| (logarithms.iter().sum::<f64>() / count).exp())
}

fn is_best(row: &Row, names: &[&str]) -> bool {
    let own = index_of(names, OWN).and_then(|own| row.cells[own].cpu());
    let least = row.cells.iter().filter_map(Cell::cpu).reduce(f64::min);
    own.is_some() && own == least
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(cpu_ms: &[u64]) -> Cell {
        let run = |cpu_ms: &u64| Run {
            status: 0,
            is_over_time: false,
            out: Vec::new(),
            err: Vec::new(),
            wall: Duration::from_millis(*cpu_ms),
            cpu: Duration::from_millis(*cpu_ms),
            peak_kib: *cpu_ms * 1024,
        };
        Cell {
            runs: cpu_ms.iter().map(run).collect(),
        }
    }

    fn row(system: &[u64], own: &[u64], mimalloc: &[u64]) -> Row {
        Row {
            name: "p",
            cells: [system, own, mimalloc].map(cell).into(),
            differences: Vec::new(),
        }
    }

    const NAMES: &[&str] = &[SYSTEM, OWN, MIMALLOC];

    #[test]
    fn figures_are_medians_and_means_are_geometric() {
        let rows = [
            row(&[100, 900, 200], &[400], &[100]),
            row(&[800], &[200], &[200]),
        ];
        assert_eq!(rows[0].cells[0].cpu(), Some(0.2));
        let mean = mean_ratio(&rows, NAMES, MIMALLOC, Cell::cpu).unwrap();
        assert!((mean - 2.0).abs() < 1e-9, "{mean}");
        let text = table(&rows, NAMES);
        assert!(
            text.contains("drystone / mimalloc, geometric mean: 2.000"),
            "{text}"
        );
        assert!(text.contains("least processor time in 1 of 2"), "{text}");
        let csv = csv(&rows, NAMES);
        assert!(csv.contains("\np,drystone,0.400,0.400,400.00\n"), "{csv}");
    }

    #[test]
    fn a_program_that_did_not_run_has_no_figures() {
        let rows = [row(&[], &[], &[])];
        assert!(table(&rows, NAMES).contains("          -"));
        assert_eq!(mean_ratio(&rows, NAMES, SYSTEM, Cell::cpu), None);
    }
}
