//! Medians, ratios within a round, the table and the CSV.

use std::fmt::Write as _;

use crate::{Kind, Row, Sample};

/// The figures of one arm.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The arm's name.
    pub arm: &'static str,
    /// Its part in the row.
    pub kind: Kind,
    /// Rounds measured.
    pub rounds: usize,
    /// Median, 10th and 90th percentile, in nanoseconds for one unit.
    pub median_ns: f64,
    /// The 10th percentile.
    pub p10_ns: f64,
    /// The 90th percentile.
    pub p90_ns: f64,
    /// The median of the ratios to the best rival in the same round; `None` without a rival.
    pub to_best_rival: Option<f64>,
    /// The median of the ratios to the limit in the same round; `None` without a limit.
    pub to_limit: Option<f64>,
    /// The median of the ratios of the control to the first of our arms: the noise floor.
    pub noise: Option<f64>,
}

/// Summarises the samples of `row`.
#[must_use]
pub fn summarise(row: &Row, samples: &[Sample]) -> Vec<Summary> {
    let medians: Vec<f64> = (0..row.arms.len())
        .map(|arm| percentile(&of_arm(samples, arm), 0.5))
        .collect();
    let best = |kind: Kind| {
        (0..row.arms.len())
            .filter(|&arm| row.arms[arm].kind == kind)
            .min_by(|&a, &b| medians[a].total_cmp(&medians[b]))
    };
    let first = |kind: Kind| row.arms.iter().position(|arm| arm.kind == kind);
    let (rival, limit) = (best(Kind::Rival), best(Kind::Limit));
    let noise = first(Kind::Control)
        .zip(first(Kind::Ours).or(limit))
        .map(|(control, ours)| ratio(samples, control, ours));
    row.arms
        .iter()
        .enumerate()
        .map(|(index, arm)| {
            let values = of_arm(samples, index);
            Summary {
                arm: arm.name,
                kind: arm.kind,
                rounds: values.len(),
                median_ns: medians[index],
                p10_ns: percentile(&values, 0.1),
                p90_ns: percentile(&values, 0.9),
                to_best_rival: rival.map(|rival| ratio(samples, index, rival)),
                to_limit: limit.map(|limit| ratio(samples, index, limit)),
                noise,
            }
        })
        .collect()
}

fn of_arm(samples: &[Sample], arm: usize) -> Vec<f64> {
    samples
        .iter()
        .filter(|sample| sample.arm == arm)
        .map(|sample| sample.ns)
        .collect()
}

/// The median over the rounds of what `arm` took relative to `other` in the same round.
fn ratio(samples: &[Sample], arm: usize, other: usize) -> f64 {
    let mut ratios = Vec::new();
    for sample in samples.iter().filter(|sample| sample.arm == arm) {
        let partner = samples
            .iter()
            .find(|s| s.arm == other && s.round == sample.round);
        if let Some(partner) = partner {
            ratios.push(sample.ns / partner.ns);
        }
    }
    percentile(&ratios, 0.5)
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len => sorted[((len - 1) as f64 * share).round() as usize],
    }
}

/// The table for one row.
#[must_use]
pub fn table(row: &Row, summaries: &[Summary]) -> String {
    let mut text = format!("{}: {} (ns for one {})\n", row.id, row.about, row.unit);
    let _ = writeln!(
        text,
        "  {:<26}{:>9}{:>9}{:>9}{:>10}{:>10}",
        "", "median", "p10", "p90", "x rival", "x limit"
    );
    for summary in summaries {
        let _ = writeln!(
            text,
            "  {:<26}{:>9.3}{:>9.3}{:>9.3}{:>10}{:>10}",
            summary.arm,
            summary.median_ns,
            summary.p10_ns,
            summary.p90_ns,
            shown(summary.to_best_rival),
            shown(summary.to_limit)
        );
    }
    if let Some(noise) = summaries.first().and_then(|summary| summary.noise) {
        let _ = writeln!(text, "  noise floor, the same arm twice: {noise:.3}");
    }
    text
}

fn shown(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}"))
}

/// The first line of the CSV.
pub const CSV_HEADER: &str =
    "row,arm,kind,rounds,median_ns,p10_ns,p90_ns,ratio_best_rival,ratio_limit,noise_ratio";

/// The CSV lines of one row.
#[must_use]
pub fn csv(row: &Row, summaries: &[Summary]) -> String {
    let mut text = String::new();
    for s in summaries {
        let _ = writeln!(
            text,
            "{},{},{},{},{:.4},{:.4},{:.4},{},{},{}",
            row.id,
            s.arm.replace(',', ";"),
            s.kind.name(),
            s.rounds,
            s.median_ns,
            s.p10_ns,
            s.p90_ns,
            shown(s.to_best_rival),
            shown(s.to_limit),
            shown(s.noise)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arm;

    fn row() -> Row {
        let arm = |name, kind| Arm::new(name, kind, |_| {});
        Row {
            id: "t",
            unit: "unit",
            about: "a test",
            arms: vec![
                arm("limit", Kind::Limit),
                arm("ours", Kind::Ours),
                arm("slow rival", Kind::Rival),
                arm("fast rival", Kind::Rival),
                arm("again", Kind::Control),
            ],
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // Round 1 runs at half speed throughout; the ratios do not see it.
        let mut samples = Vec::new();
        for (round, scale) in [(0, 1.0), (1, 2.0), (2, 1.0)] {
            for (arm, ns) in [1.0, 1.5, 9.0, 3.0, 1.5].into_iter().enumerate() {
                samples.push(Sample {
                    round,
                    arm,
                    ns: ns * scale,
                });
            }
        }
        let summaries = summarise(&row(), &samples);
        assert_eq!(summaries[1].to_best_rival, Some(0.5));
        assert_eq!(summaries[1].to_limit, Some(1.5));
        assert_eq!(summaries[1].noise, Some(1.0));
        assert_eq!(summaries[1].median_ns, 1.5);
        assert_eq!(csv(&row(), &summaries).lines().count(), 5);
        assert!(table(&row(), &summaries).contains("noise floor"));
    }

    #[test]
    fn percentiles_interpolate_to_the_nearest_rank() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!(percentile(&values, 0.5), 3.0);
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(percentile(&values, 1.0), 5.0);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
