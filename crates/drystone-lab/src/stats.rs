//! Medians, bootstrap intervals, and when two figures are called different.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;

/// Differences below this are never called different: builds that differ only in their link
/// layout differ as much.
pub(crate) const LEAST_NOISE_RATIO: f64 = 0.01;

/// Median; 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Quantile `q` in `0..=1`, interpolated; 0 of nothing.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// A median ratio with its bootstrap 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    #[serde(rename = "ratio")]
    pub(crate) median: f64,
    #[serde(rename = "low_ratio")]
    pub(crate) low: f64,
    #[serde(rename = "high_ratio")]
    pub(crate) high: f64,
}

impl Ratio {
    /// Of rounds that belong together in pairs: the median of their ratios.
    pub(crate) fn paired(ours: &[f64], theirs: &[f64], seed: u64) -> Self {
        let ratios: Vec<f64> = ours
            .iter()
            .zip(theirs)
            .filter(|(_, t)| **t > 0.0)
            .map(|(o, t)| o / t)
            .collect();
        bootstrap(seed, median(&ratios), |random| {
            median(&resample(&ratios, random))
        })
    }

    /// Of rounds of two separate runs: the ratio of their medians.
    pub(crate) fn unpaired(ours: &[f64], theirs: &[f64], seed: u64) -> Self {
        let of = |ours: &[f64], theirs: &[f64]| match median(theirs) {
            0.0 => 1.0,
            base => median(ours) / base,
        };
        bootstrap(seed, of(ours, theirs), |random| {
            of(&resample(ours, random), &resample(theirs, random))
        })
    }

    /// The greatest distance from 1 that the interval reaches.
    pub(crate) fn reach(&self) -> f64 {
        (self.low - 1.0).abs().max((self.high - 1.0).abs())
    }

    /// Different only if the interval excludes 1 and the difference exceeds `noise_ratio`.
    pub(crate) fn verdict(&self, noise_ratio: f64) -> Verdict {
        let excludes_one = self.low > 1.0 || self.high < 1.0;
        if !excludes_one || (self.median - 1.0).abs() <= noise_ratio {
            Verdict::Same
        } else if self.median > 1.0 {
            Verdict::Faster
        } else {
            Verdict::Slower
        }
    }
}

/// What a comparison with the baseline says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// Within the noise.
    Same,
    Faster,
    Slower,
}

fn bootstrap(seed: u64, median: f64, statistic: impl Fn(&mut Random) -> f64) -> Ratio {
    let mut random = Random::new(seed);
    let values: Vec<f64> = (0..RESAMPLES).map(|_| statistic(&mut random)).collect();
    Ratio {
        median,
        low: quantile(&values, 0.025),
        high: quantile(&values, 0.975),
    }
}

fn resample(values: &[f64], random: &mut Random) -> Vec<f64> {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    values
        .iter()
        .map(|_| values[random.below(count) as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25), 2.0);
        assert_eq!(quantile(&[5.0, 1.0], 1.0), 5.0);
    }

    #[test]
    fn a_clear_difference_is_called_one() {
        let fast = [200.0, 205.0, 198.0, 203.0, 201.0];
        let slow = [100.0, 101.0, 99.0, 100.0, 102.0];
        let ratio = Ratio::paired(&fast, &slow, 1);
        assert!(ratio.low > 1.9 && ratio.high < 2.1, "{ratio:?}");
        assert_eq!(ratio.verdict(0.02), Verdict::Faster);
        assert_eq!(
            Ratio::paired(&slow, &fast, 1).verdict(0.02),
            Verdict::Slower
        );
    }

    #[test]
    fn an_interval_around_one_is_the_same() {
        let ours = [100.0, 110.0, 90.0, 105.0, 95.0];
        let theirs = [101.0, 100.0, 99.0, 100.0, 100.0];
        assert_eq!(Ratio::paired(&ours, &theirs, 1).verdict(0.0), Verdict::Same);
    }

    #[test]
    fn a_difference_below_the_noise_is_the_same() {
        let ours = [103.0; 5];
        let theirs = [100.0; 5];
        let ratio = Ratio::paired(&ours, &theirs, 1);
        assert_eq!(ratio.verdict(0.05), Verdict::Same);
        assert_eq!(ratio.verdict(LEAST_NOISE_RATIO), Verdict::Faster);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let (ours, theirs) = ([1.0, 2.0, 4.0], [1.5, 1.5, 1.0]);
        assert_eq!(
            Ratio::unpaired(&ours, &theirs, 7),
            Ratio::unpaired(&ours, &theirs, 7)
        );
    }
}
