//! Medians, ratios within a round, the table and the CSV.

use std::fmt::Write as _;

use crate::{Kind, Row, Sample};

/// One arm, as whoever reads its samples knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contestant {
    /// The arm's name.
    pub name: String,
    /// Its part in the row.
    pub kind: Kind,
}

/// The figures of one arm.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The arm's name.
    pub arm: String,
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

/// Summarises the samples of these contestants. Those of different programs share no round; what
/// compares them is our first arm, which every program measures.
#[must_use]
pub fn summarise(contestants: &[Contestant], samples: &[Sample]) -> Vec<Summary> {
    let medians: Vec<f64> = (0..contestants.len())
        .map(|arm| percentile(&of_arm(samples, arm), 0.5))
        .collect();
    let first = |kind: Kind| contestants.iter().position(|arm| arm.kind == kind);
    let ours = first(Kind::Ours);
    let relative = |arm: usize| ours.and_then(|ours| shared_rounds(samples, arm, ours));
    let cost = |arm: usize| relative(arm).unwrap_or(medians[arm]);
    let best = |kind: Kind| {
        (0..contestants.len())
            .filter(|&arm| contestants[arm].kind == kind && !medians[arm].is_nan())
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
    };
    let (rival, limit) = (best(Kind::Rival), best(Kind::Limit));
    let ratio = |arm: usize, other: usize| {
        shared_rounds(samples, arm, other).or_else(|| Some(relative(arm)? / relative(other)?))
    };
    let noise = first(Kind::Control)
        .zip(ours.or(limit))
        .and_then(|(control, ours)| ratio(control, ours));
    contestants
        .iter()
        .enumerate()
        .map(|(index, arm)| {
            let values = of_arm(samples, index);
            Summary {
                arm: arm.name.clone(),
                kind: arm.kind,
                rounds: values.len(),
                median_ns: medians[index],
                p10_ns: percentile(&values, 0.1),
                p90_ns: percentile(&values, 0.9),
                to_best_rival: rival.and_then(|rival| ratio(index, rival)),
                to_limit: limit.and_then(|limit| ratio(index, limit)),
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

/// The median over the rounds of what `arm` took relative to `other` in the same round; `None` if
/// they share none.
fn shared_rounds(samples: &[Sample], arm: usize, other: usize) -> Option<f64> {
    let mut ratios = Vec::new();
    for sample in samples.iter().filter(|sample| sample.arm == arm) {
        let partner = samples
            .iter()
            .find(|s| s.arm == other && s.round == sample.round);
        if let Some(partner) = partner {
            ratios.push(sample.ns / partner.ns);
        }
    }
    (!ratios.is_empty()).then(|| percentile(&ratios, 0.5))
}

/// The value below which this share of the values lies.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
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
        "  {:<32}{:>12}{:>12}{:>12}{:>10}{:>10}",
        "", "median", "p10", "p90", "x rival", "x limit"
    );
    for summary in summaries {
        let _ = writeln!(
            text,
            "  {:<32}{:>12.3}{:>12.3}{:>12.3}{:>10}{:>10}",
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

    fn row() -> Row {
        Row {
            id: "t",
            unit: "unit",
            about: "a test",
            arms: Vec::new(),
        }
    }

    fn contestants() -> Vec<Contestant> {
        let kinds = [
            ("limit", Kind::Limit),
            ("ours", Kind::Ours),
            ("slow rival", Kind::Rival),
            ("fast rival", Kind::Rival),
            ("again", Kind::Control),
        ];
        let named = kinds.map(|(name, kind)| Contestant {
            name: name.to_owned(),
            kind,
        });
        named.to_vec()
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
        let summaries = summarise(&contestants(), &samples);
        assert_eq!(summaries[1].to_best_rival, Some(0.5));
        assert_eq!(summaries[1].to_limit, Some(1.5));
        assert_eq!(summaries[1].noise, Some(1.0));
        assert_eq!(summaries[1].median_ns, 1.5);
        assert_eq!(csv(&row(), &summaries).lines().count(), 5);
        assert!(table(&row(), &summaries).contains("noise floor"));
    }

    #[test]
    fn contestants_of_different_programs_are_compared_through_ours() {
        // The second program runs at half speed, and its rival is the better one.
        let sample = |round, arm, ns| Sample { round, arm, ns };
        let samples = [
            sample(0, 1, 1.0),
            sample(0, 2, 2.0),
            sample(1, 1, 2.0),
            sample(1, 3, 3.0),
        ];
        let summaries = summarise(&contestants(), &samples);
        assert_eq!(summaries[1].to_best_rival, Some(1.0 / 1.5));
        assert_eq!(summaries[2].to_best_rival, Some(2.0 / 1.5));
        assert_eq!(summaries[3].to_best_rival, Some(1.0));
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
