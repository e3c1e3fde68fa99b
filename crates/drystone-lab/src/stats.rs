//! Medians, bootstrap intervals, and when two figures are called different.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;

/// Differences below this are never called different: builds that differ only in their link
/// layout differ as much.
pub(crate) const LEAST_NOISE_RATIO: f64 = 0.01;

/// Rounds below which a bootstrap interval says nothing: of one round its width is 0.
const LEAST_ROUNDS: usize = 3;

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

/// A median ratio with its bootstrap 95 % interval; without one if there were too few rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    #[serde(rename = "ratio")]
    pub(crate) median: f64,
    #[serde(rename = "low_ratio")]
    pub(crate) low: Option<f64>,
    #[serde(rename = "high_ratio")]
    pub(crate) high: Option<f64>,
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
        bootstrap(seed, ratios.len(), median(&ratios), |random| {
            median(&resample(&ratios, random))
        })
    }

    /// Of rounds of two separate runs: the ratio of their medians.
    pub(crate) fn unpaired(ours: &[f64], theirs: &[f64], seed: u64) -> Self {
        let of = |ours: &[f64], theirs: &[f64]| match median(theirs) {
            0.0 => 1.0,
            base => median(ours) / base,
        };
        let rounds = ours.len().min(theirs.len());
        bootstrap(seed, rounds, of(ours, theirs), |random| {
            of(&resample(ours, random), &resample(theirs, random))
        })
    }

    /// No difference, and nothing measured that would bound it.
    pub(crate) fn unmeasured() -> Self {
        Self {
            median: 1.0,
            low: None,
            high: None,
        }
    }

    /// Both ends of the interval.
    pub(crate) fn interval(&self) -> Option<(f64, f64)> {
        self.low.zip(self.high)
    }

    /// The greatest difference that the interval reaches, upwards or as much downwards: 1.0 stands
    /// for twice and for half. 0 without an interval.
    pub(crate) fn reach(&self) -> f64 {
        self.interval().map_or(0.0, |(low, high)| {
            distance(low).max(distance(high)).exp_m1()
        })
    }

    /// Different only if the interval excludes 1 and the difference exceeds `noise_ratio`, which
    /// is the same distance in both directions: 1.0 covers from half to twice.
    pub(crate) fn verdict(&self, noise_ratio: f64) -> Verdict {
        let Some((low, high)) = self.interval() else {
            return Verdict::Unjudged;
        };
        let excludes_one = low > 1.0 || high < 1.0;
        if !excludes_one || distance(self.median) <= noise_ratio.ln_1p() {
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
    /// Too few rounds for an interval.
    Unjudged,
}

/// Distance of a ratio from 1 in natural logarithms, finite for 0.
fn distance(ratio: f64) -> f64 {
    const LEAST: f64 = 1e-9;
    ratio.clamp(LEAST, LEAST.recip()).ln().abs()
}

fn bootstrap(
    seed: u64,
    rounds: usize,
    median: f64,
    statistic: impl Fn(&mut Random) -> f64,
) -> Ratio {
    if rounds < LEAST_ROUNDS {
        return Ratio {
            median,
            ..Ratio::unmeasured()
        };
    }
    let mut random = Random::new(seed);
    let values: Vec<f64> = (0..RESAMPLES).map(|_| statistic(&mut random)).collect();
    Ratio {
        median,
        low: Some(quantile(&values, 0.025)),
        high: Some(quantile(&values, 0.975)),
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
        let (low, high) = ratio.interval().unwrap();
        assert!(low > 1.9 && high < 2.1, "{ratio:?}");
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
    fn noise_beyond_100_percent_hides_no_greater_slowdown() {
        let slow = Ratio::paired(&[20.0; 5], &[100.0; 5], 1);
        assert_eq!(slow.verdict(1.5), Verdict::Slower);
        assert_eq!(slow.verdict(5.0), Verdict::Same);
        let fast = Ratio::paired(&[100.0; 5], &[20.0; 5], 1);
        assert_eq!(fast.verdict(1.5), Verdict::Faster);
    }

    #[test]
    fn noise_reaches_as_far_down_as_up() {
        let half = Ratio::paired(&[50.0; 3], &[100.0; 3], 1);
        let twice = Ratio::paired(&[100.0; 3], &[50.0; 3], 1);
        assert!((half.reach() - 1.0).abs() < 1e-9, "{half:?}");
        assert!((twice.reach() - 1.0).abs() < 1e-9, "{twice:?}");
        let nothing = Ratio::paired(&[0.0; 3], &[1.0; 3], 1);
        assert!(nothing.reach().is_finite());
    }

    #[test]
    fn fewer_than_three_rounds_have_no_interval_and_no_verdict() {
        for rounds in 0..LEAST_ROUNDS {
            let (ours, theirs) = (vec![200.0; rounds], vec![100.0; rounds]);
            for ratio in [
                Ratio::paired(&ours, &theirs, 1),
                Ratio::unpaired(&ours, &[100.0; 5], 1),
                Ratio::unpaired(&[200.0; 5], &theirs, 1),
            ] {
                assert_eq!(ratio.interval(), None);
                assert_eq!(ratio.verdict(0.0), Verdict::Unjudged);
            }
        }
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
