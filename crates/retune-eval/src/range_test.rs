//! The learning-rate range test (Smith, arXiv:1506.01186): what the losses of a short training at rising rates say about
//! the rate to train with.
//!
//! Rates rise by equal factors, so places in the list are places on a logarithmic axis. Of every stretch of `w`
//! neighbouring steps the mean loss is a level, whose standard error is `s / sqrt(w)`, and the least-squares line through
//! its losses has a slope. The noise `s` of one batch comes from differences of neighbouring steps, which hardly see the
//! trend: `s² = mean((l_i - l_{i-1})²) / 2` (von Neumann 1941). It is taken from each stretch itself, since noise grows
//! with the rate, at its upper 95 % bound, since few steps can look calm by luck. A fall of less than [`CERTAIN`] standard
//! errors of the difference of two levels is taken for noise.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Standard errors that the fall of the loss has to exceed before a rate is suggested.
pub const CERTAIN: f64 = 4.0;
/// A level so many times the least one ends the test: nothing is learned beyond.
pub const RISEN: f64 = 4.0;
/// Fewest steps of a test: below, a stretch is too short for a level.
pub const LEAST_STEPS: usize = 20;
/// How far below the rate of the least loss a suggestion stays: there the loss is about to rise.
const MARGIN: f64 = 10.0;
/// The noise of `n` differences is known to `sqrt(3 / 4n)` of itself; this many `1 / sqrt(n)` reach its upper 95 % bound.
const BOUND: f64 = 1.645 * 0.866;

/// One step of the test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePoint {
    /// Learning rate of the step.
    pub lr: f64,
    /// Mean loss of its rows, before the step changed the weights.
    pub loss: f64,
    /// Mean loss of the stretch around it; absent near the ends, where no whole stretch fits.
    #[serde(default)]
    pub level: Option<f64>,
}

/// Why the test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestEnd {
    /// Every rate was tried.
    Finished,
    /// The loss rose to [`RISEN`] times its least level.
    Rose,
    /// The loss or the gradient was no longer a finite number.
    Diverged,
}

/// How much of the loss went away, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fall {
    /// The first level.
    pub from: f64,
    /// The least level.
    pub to: f64,
    /// Standard error of their difference, from the noise of single batches.
    pub standard_error: f64,
    /// Rate at which the level falls fastest.
    pub steepest: f64,
    /// Rate of the least level.
    pub least: f64,
    /// Whether the least level is the last one: larger rates may be better still.
    pub still_falling: bool,
}

impl Fall {
    /// Whether it is more than noise.
    pub fn certain(&self) -> bool {
        self.from - self.to >= CERTAIN * self.standard_error && self.from > self.to
    }
}

/// A finished range test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeTest {
    /// Every step, by rising rate.
    pub points: Vec<RatePoint>,
    /// Steps of a stretch.
    pub stretch: usize,
    /// Why it ended.
    pub end: TestEnd,
    /// What the levels show; `None` where they are too few.
    pub fall: Option<Fall>,
    /// The rate to train with: that of the steepest fall, at most a tenth of the rate of the least loss. `None` when the
    /// loss did not fall by more than its noise.
    pub suggestion: Option<f64>,
}

/// Steps of a stretch in a test of `steps`: about a tenth, odd, at least 5.
pub fn stretch(steps: usize) -> usize {
    2 * (steps / 20).max(2) + 1
}

impl RangeTest {
    /// Of the rates and losses of a test that was to have `steps` steps. Losses that are not finite are left out.
    pub fn new(losses: &[(f64, f64)], steps: usize, end: TestEnd) -> Self {
        let stretch = stretch(steps);
        let finite = losses.iter().filter(|(_, loss)| loss.is_finite());
        let mut points: Vec<RatePoint> = finite
            .map(|&(lr, loss)| RatePoint {
                lr,
                loss,
                level: None,
            })
            .collect();
        let losses: Vec<f64> = points.iter().map(|point| point.loss).collect();
        let levels: Vec<f64> = losses.windows(stretch).map(mean).collect();
        for (i, level) in levels.iter().enumerate() {
            points[i + stretch / 2].level = Some(*level);
        }
        let fall = fall(&points, &losses, &levels);
        let sure = fall.filter(Fall::certain);
        Self {
            points,
            stretch,
            end,
            fall,
            suggestion: sure.map(|fall| fall.steepest.min(fall.least / MARGIN)),
        }
    }

    /// What to say about the suggestion, or about why there is none and what to do.
    pub fn sentence(&self) -> String {
        let Some(fall) = self.fall else {
            return "the loss left the range before it could fall: begin with a lower rate (--from)".to_owned();
        };
        if !fall.certain() {
            return format!(
                "no rate is suggested: the loss falls by {:.4}, which is less than {CERTAIN} standard errors ({:.4}) of \
                 the noise of its batches; take four times the steps (--steps) or the rows per step (--batch-size)",
                fall.from - fall.to,
                CERTAIN * fall.standard_error
            );
        }
        let mut text = format!(
            "the loss falls fastest at {:.1e} and is least at {:.1e}",
            fall.steepest, fall.least
        );
        if fall.still_falling {
            text.push_str(", the last rate that was tried: a larger --to may show more");
        }
        text
    }
}

/// Tells during a test when the loss has risen so far that it may end.
#[derive(Debug, Clone)]
pub struct Watch {
    stretch: usize,
    recent: VecDeque<f64>,
    least: f64,
}

impl Watch {
    /// Of a test of `steps`.
    pub fn new(steps: usize) -> Self {
        Self {
            stretch: stretch(steps),
            recent: VecDeque::new(),
            least: f64::INFINITY,
        }
    }

    /// Takes the next loss; whether the level of the last stretch is above [`RISEN`] times the least one.
    pub fn risen(&mut self, loss: f64) -> bool {
        self.recent.push_back(loss);
        if self.recent.len() < self.stretch {
            return false;
        }
        let level = self.recent.iter().sum::<f64>() / self.stretch as f64;
        self.recent.pop_front();
        self.least = self.least.min(level);
        level > RISEN * self.least
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// What the levels show: `levels[i]` is that of the losses `i..i + stretch`.
fn fall(points: &[RatePoint], losses: &[f64], levels: &[f64]) -> Option<Fall> {
    let stretch = losses.len() + 1 - levels.len();
    let least = (0..levels.len()).min_by(|&a, &b| levels[a].total_cmp(&levels[b]))?;
    // Beyond the least stretch the loss does not fall.
    let lines = losses[..least + stretch].windows(stretch).map(slope);
    let steepest = lines.enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let error = |level: usize| noise(&losses[level..level + stretch]) / (stretch as f64).sqrt();
    let rate = |level: usize| points[level + stretch / 2].lr;
    Some(Fall {
        from: levels[0],
        to: levels[least],
        standard_error: error(0).hypot(error(least)),
        steepest: rate(steepest.0),
        least: rate(least),
        still_falling: least + 1 == levels.len(),
    })
}

/// Upper 95 % bound of the deviation of single losses.
fn noise(losses: &[f64]) -> f64 {
    let jumps: Vec<f64> = losses.windows(2).map(|w| (w[1] - w[0]).powi(2)).collect();
    (mean(&jumps) / 2.0).sqrt() * (1.0 + BOUND / (jumps.len() as f64).sqrt())
}

/// Slope of the least-squares line through equally spaced values.
fn slope(values: &[f64]) -> f64 {
    let middle = (values.len() - 1) as f64 / 2.0;
    let (mut xx, mut xy) = (0.0, 0.0);
    for (i, value) in values.iter().enumerate() {
        let x = i as f64 - middle;
        xx += x * x;
        xy += x * value;
    }
    xy / xx
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::bootstrap::Random;

    const STEPS: usize = 100;

    /// A normal number of mean 0 and deviation 1 (Box and Muller).
    fn normal(random: &mut Random) -> f64 {
        let mut uniform = || (random.below(1 << 30) as f64 + 0.5) / f64::from(1 << 30);
        (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
    }

    /// Rates from 1e-7 to 1 and the losses of `of` at their logarithms (base 10), with noise.
    fn measured(of: &dyn Fn(f64) -> f64, noise: f64, seed: u64) -> Vec<(f64, f64)> {
        let mut random = Random::new(seed, 0);
        let place = |i: usize| -7.0 + 7.0 * i as f64 / (STEPS - 1) as f64;
        let one = |i: usize| {
            (
                10_f64.powf(place(i)),
                of(place(i)) + noise * normal(&mut random),
            )
        };
        (0..STEPS).map(one).collect()
    }

    /// Falls from 0.7 by half around 1e-4 and rises beyond 1e-2.
    fn usual(log: f64) -> f64 {
        0.7 - 0.35 / (1.0 + (-4.0 * (log + 4.0)).exp()) + 2.0 * (log + 2.0).max(0.0).powi(2)
    }

    #[test]
    fn the_suggestion_is_where_the_loss_falls_fastest() {
        let found = RangeTest::new(&measured(&usual, 0.0, 0), STEPS, TestEnd::Finished);
        let fall = found.fall.unwrap();
        assert!((fall.steepest.log10() + 4.0).abs() < 0.08, "{fall:?}");
        assert!((fall.from - 0.7).abs() < 1e-3 && (fall.to - 0.35).abs() < 0.01);
        assert!(!fall.still_falling);
        assert_eq!(found.suggestion, Some(fall.steepest));
        // With the noise of batches it moves by less than half a power of ten.
        for seed in 0..20 {
            let found = RangeTest::new(&measured(&usual, 0.04, seed), STEPS, TestEnd::Finished);
            let log = found.suggestion.unwrap().log10();
            assert!((log + 4.0).abs() < 0.5, "seed {seed}: {log}");
        }
    }

    #[test]
    fn it_stays_a_tenth_below_the_rate_of_the_least_loss() {
        // The fall is steepest at its end, where the loss is about to rise.
        let cliff = |log: f64| match log {
            l if l < -4.0 => 0.7,
            l if l < -3.0 => 0.7 - 0.4 * (l + 4.0).powi(3),
            l => 0.3 + 3.0 * (l + 3.0),
        };
        let found = RangeTest::new(&measured(&cliff, 0.0, 0), STEPS, TestEnd::Finished);
        let fall = found.fall.unwrap();
        assert!(
            fall.least / 10.0 < fall.steepest && fall.steepest <= fall.least,
            "{fall:?}"
        );
        assert_eq!(found.suggestion, Some(fall.least / 10.0));
    }

    #[test]
    fn noise_alone_suggests_nothing() {
        for (noise, seeds) in [(0.01, 200), (0.3, 200)] {
            for seed in 0..seeds {
                let flat = measured(&|_| 0.7, noise, seed);
                let found = RangeTest::new(&flat, STEPS, TestEnd::Finished);
                assert_eq!(found.suggestion, None, "seed {seed}: {:?}", found.fall);
            }
        }
        // Neither does noise that grows with the rate: the least of many wild levels is low by luck.
        let mut lucky = 0;
        for seed in 0..200 {
            let mut growing = measured(&|_| 0.0, 1.0, seed);
            for (lr, loss) in &mut growing {
                *loss = 0.7 + *loss * (0.01 + 0.3 / (1.0 + (-3.0 * (lr.log10() + 3.0)).exp()));
            }
            let found = RangeTest::new(&growing, STEPS, TestEnd::Finished);
            lucky += usize::from(found.suggestion.is_some());
        }
        assert!(lucky <= 2, "{lucky} of 200");
        // Or noise that ends in a rise.
        let rising = |log: f64| 0.7 + 5.0 * (log + 3.0).max(0.0);
        for seed in 0..200 {
            let found = RangeTest::new(&measured(&rising, 0.05, seed), STEPS, TestEnd::Rose);
            assert_eq!(found.suggestion, None, "seed {seed}: {:?}", found.fall);
        }
        let text = RangeTest::new(&measured(&|_| 0.7, 0.1, 1), STEPS, TestEnd::Finished).sentence();
        assert!(
            text.contains("--batch-size") && text.contains("--steps"),
            "{text}"
        );
        let same = RangeTest::new(&[(1e-3, 0.5); 30], 30, TestEnd::Finished);
        assert_eq!(same.suggestion, None);
    }

    #[test]
    fn a_test_that_diverges_at_once_says_to_begin_lower() {
        let found = RangeTest::new(&[(1e-3, 0.7), (1e-2, f64::NAN)], STEPS, TestEnd::Diverged);
        assert_eq!(
            (found.points.len(), found.fall, found.suggestion),
            (1, None, None)
        );
        assert!(found.sentence().contains("--from"));
        let none = RangeTest::new(&[], STEPS, TestEnd::Diverged);
        assert_eq!((none.points.len(), none.suggestion), (0, None));
    }

    #[test]
    fn what_came_before_the_end_counts_when_the_loss_is_no_longer_finite() {
        let mut losses = measured(&usual, 0.0, 0);
        let whole = RangeTest::new(&losses, STEPS, TestEnd::Finished);
        losses.truncate(72);
        losses[71].1 = f64::INFINITY;
        let cut = RangeTest::new(&losses, STEPS, TestEnd::Diverged);
        assert_eq!(cut.suggestion, whole.suggestion);
        assert_eq!(cut.points.len(), 71);
    }

    #[test]
    fn a_loss_that_falls_to_the_end_asks_for_larger_rates() {
        let losses = measured(&|log| 0.7 - 0.05 * (log + 7.0), 0.001, 3);
        let found = RangeTest::new(&losses, STEPS, TestEnd::Finished);
        assert!(found.fall.unwrap().still_falling);
        assert!(found.sentence().contains("--to"), "{}", found.sentence());
    }

    #[test]
    fn the_test_ends_when_the_level_has_risen_four_times() {
        assert_eq!((stretch(STEPS), stretch(20)), (11, 5));
        let mut watch = Watch::new(STEPS);
        let mut all = |losses: &[f64]| losses.iter().filter(|loss| watch.risen(**loss)).count();
        assert_eq!(all(&[0.5; 30]), 0);
        // One wild batch is not enough.
        assert_eq!(all(&[1.7; 20]), 0);
        assert_eq!(all(&[4.0]), 0);
        // The wild one, three of these and seven of 1.7 are 2.03 on average, beyond four times 0.5.
        assert_eq!(all(&[2.13; 2]), 0);
        assert_eq!(all(&[2.13; 9]), 9);
        assert!(!Watch::new(STEPS).risen(0.1));
    }
}
