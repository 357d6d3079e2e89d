//! Label-efficiency curves: the score over the number of labels, for the tuned model and its floors.
//!
//! Bands and gaps are means over seeds with 95 % intervals by Student's t. A forecast fits the inverse power law
//! `score(n) = a - b n^-c` (Cortes et al. 1994; Hestness et al. 2017, arXiv:1712.00409) and resamples its residuals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Random, interval};
use crate::metrics::metric;
use crate::records::Interval;
use crate::significance::mean_within;

/// Resamples of the residuals behind a forecast.
const RESAMPLES: usize = 1000;

/// Exponents tried: from nearly logarithmic to saturated within the range of the points.
const EXPONENTS: (f64, f64) = (0.02, 4.0);
const GRID: usize = 24;

/// Golden-section steps between the best exponent's neighbours on the grid.
const REFINEMENTS: usize = 20;

/// The score of one model trained on a share of the labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Training rows with a label.
    pub rows: usize,
    /// The same as a share of all of them, up to 1.
    pub share: f64,
    /// `tuned`, `frozen`, `classical` or `scratch`.
    pub model: String,
    /// Seed of the run and of the rows drawn.
    pub seed: u64,
    /// The metric on the test rows.
    pub score: f64,
}

/// A figure at one number of labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Training rows with a label.
    pub rows: usize,
    /// The same as a share of all of them.
    pub share: f64,
    /// Seeds behind it; a single one has an interval without width.
    pub seeds: usize,
    /// Mean and 95 % interval.
    pub score: Interval,
}

/// What a number of labels is expected to give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Training rows with a label.
    pub at_rows: usize,
    /// Expected score.
    pub value: f64,
    /// Lower bound of the 95 % interval for the score of one run.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// Scores over the number of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelCurve {
    /// The metric of the scores.
    pub metric: String,
    /// Whether a larger score is a better one.
    pub higher_is_better: bool,
    /// One point per model, share and seed.
    pub points: Vec<CurvePoint>,
    /// By share: how much better the tuned model is than the one from random initialisation; positive is better,
    /// whichever way the metric points.
    #[serde(default)]
    pub gaps: Vec<Band>,
    /// What more labels are expected to give.
    #[serde(default)]
    pub forecast: Option<Forecast>,
}

impl LabelCurve {
    /// The curve of these points, with gaps to `scratch` and without a forecast. A metric that is not known is taken to
    /// be better when larger. Points whose score is not finite are left out.
    pub fn new(name: &str, mut points: Vec<CurvePoint>) -> Self {
        points.retain(|p| p.score.is_finite());
        let mut curve = Self {
            metric: name.to_owned(),
            higher_is_better: metric(name).is_none_or(|m| m.higher_is_better),
            points,
            gaps: Vec::new(),
            forecast: None,
        };
        curve.gaps = curve.gaps_to("scratch");
        curve
    }

    /// Names of the models, `tuned` first.
    pub fn models(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.points.iter().map(|p| p.model.as_str()).collect();
        names.sort_unstable_by_key(|name| (*name != "tuned", *name));
        names.dedup();
        names
    }

    /// The scores of one model over seeds, by rising number of rows.
    pub fn bands(&self, model: &str) -> Vec<Band> {
        let of_model = self.points.iter().filter(|p| p.model == model);
        bands(of_model.map(|p| (p.rows, p.share, p.score)))
    }

    /// How much better the tuned model is than a floor, by rising number of rows: mean and interval of the differences
    /// at equal seed, which were trained on the same rows.
    pub fn gaps_to(&self, floor: &str) -> Vec<Band> {
        let sign = if self.higher_is_better { 1.0 } else { -1.0 };
        let tuned = self.points.iter().filter(|p| p.model == "tuned");
        bands(tuned.filter_map(|p| {
            let twin = |q: &&CurvePoint| q.model == floor && q.rows == p.rows && q.seed == p.seed;
            let other = self.points.iter().find(twin)?;
            Some((p.rows, p.share, sign * (p.score - other.score)))
        }))
    }

    /// What the tuned model is expected to score with `at_rows` labels, from its points of at most `share` of them.
    /// `seed` picks the resamples. Figures beyond what the metric can be are cut.
    ///
    /// `None` with fewer than four different numbers of rows.
    pub fn forecast(&self, share: f64, at_rows: usize, seed: u64) -> Option<Forecast> {
        let known = self.points.iter();
        let known = known.filter(|p| p.model == "tuned" && p.share <= share + 1e-9);
        let points: Vec<(f64, f64)> = known.map(|p| (p.rows as f64, p.score)).collect();
        let found = forecast(&points, at_rows, seed)?;
        let possible = |v: f64| {
            if self.higher_is_better {
                v.min(1.0)
            } else {
                v.max(0.0)
            }
        };
        Some(Forecast {
            at_rows,
            value: possible(found.value),
            low: possible(found.low),
            high: possible(found.high),
        })
    }

    /// The fewest labels that would have done: from there on the tuned model's mean lies within the interval of its
    /// score with all labels, or is better. `None` where only all labels do, or the interval has no width.
    pub fn sufficed(&self) -> Option<usize> {
        let bands = self.bands("tuned");
        let (all, fewer) = bands.split_last()?;
        let good = |b: &&Band| {
            if self.higher_is_better {
                b.score.value >= all.score.low
            } else {
                b.score.value <= all.score.high
            }
        };
        let enough = fewer.iter().rev().take_while(good).last()?;
        (all.score.low < all.score.high).then_some(enough.rows)
    }
}

/// Values by number of rows, as means with intervals.
fn bands(values: impl Iterator<Item = (usize, f64, f64)>) -> Vec<Band> {
    let mut groups: BTreeMap<usize, (f64, Vec<f64>)> = BTreeMap::new();
    for (rows, share, value) in values {
        let group = groups.entry(rows).or_insert((share, Vec::new()));
        group.1.push(value);
    }
    let band = |(rows, (share, values)): (usize, (f64, Vec<f64>))| {
        let (value, half) = mean_within(&values)?;
        Some(Band {
            rows,
            share,
            seeds: values.len(),
            score: Interval {
                value,
                low: value - half,
                high: value + half,
            },
        })
    };
    groups.into_iter().filter_map(band).collect()
}

/// `score(n) = a - b n^-c`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLaw {
    /// The score with endless labels.
    pub a: f64,
    /// What one label lacks of it.
    pub b: f64,
    /// How fast the rest shrinks.
    pub c: f64,
}

impl PowerLaw {
    /// The law of least squared error through `(n, score)`: `a` and `b` in closed form for each exponent of a grid,
    /// then golden section between the neighbours of the best one.
    ///
    /// `None` with fewer than three different `n`.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let mut sizes: Vec<f64> = points.iter().map(|p| p.0).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        if sizes.len() < 3 {
            return None;
        }
        let (low, high) = (EXPONENTS.0.ln(), EXPONENTS.1.ln());
        let step = (high - low) / (GRID - 1) as f64;
        let error = |log_c: f64| Self::with_exponent(points, log_c.exp()).1;
        let best = (0..GRID)
            .map(|i| low + step * i as f64)
            .min_by(|&x, &y| error(x).total_cmp(&error(y)))?;
        let (mut left, mut right) = ((best - step).max(low), (best + step).min(high));
        let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
        for _ in 0..REFINEMENTS {
            let inner = golden * (right - left);
            if error(right - inner) <= error(left + inner) {
                right = left + inner;
            } else {
                left = right - inner;
            }
        }
        Some(Self::with_exponent(points, f64::midpoint(left, right).exp()).0)
    }

    /// Least squares over `a` and `b`, and the sum of squared errors.
    fn with_exponent(points: &[(f64, f64)], c: f64) -> (Self, f64) {
        let n = points.len() as f64;
        let falling: Vec<f64> = points.iter().map(|p| p.0.powf(-c)).collect();
        let mean_x = falling.iter().sum::<f64>() / n;
        let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, point) in falling.iter().zip(points) {
            let (x, y) = (x - mean_x, point.1 - mean_y);
            xx += x * x;
            xy += x * y;
            yy += y * y;
        }
        let slope = xy / xx;
        let law = Self {
            a: mean_y - slope * mean_x,
            b: -slope,
            c,
        };
        (law, yy - slope * xy)
    }

    /// The score with `n` labels.
    pub fn at(&self, n: f64) -> f64 {
        self.a - self.b * n.powf(-self.c)
    }
}

/// The score of one run with `at_rows` labels, from `(rows, score)`: fits the power law, then refits it to itself plus
/// resampled residuals, and adds one more residual for the noise of the run to come. Residuals are scaled by
/// `sqrt(N / (N - 3))`, since the law's three numbers have taken up some of the noise.
///
/// Scores need not follow the law: the interval is widened on both sides by what the law, fitted without the largest
/// number of rows, misses the mean score there.
///
/// `None` with fewer than four different numbers of rows.
pub fn forecast(points: &[(f64, f64)], at_rows: usize, seed: u64) -> Option<Forecast> {
    let (law, count) = (PowerLaw::fit(points)?, points.len());
    let (missed, n) = (missed(points)?, at_rows as f64);
    let scale = (count as f64 / (count as f64 - 3.0)).sqrt();
    let residuals: Vec<f64> = points
        .iter()
        .map(|&(rows, score)| scale * (score - law.at(rows)))
        .collect();
    let mut drawn = points.to_vec();
    let scores: Vec<f64> = (0..RESAMPLES)
        .filter_map(|r| {
            let mut random = Random::new(seed, r as u64);
            for (point, &(rows, _)) in drawn.iter_mut().zip(points) {
                point.1 = law.at(rows) + residuals[random.below(count)];
            }
            Some(PowerLaw::fit(&drawn)?.at(n) + residuals[random.below(count)])
        })
        .collect();
    let Interval { value, low, high } = interval(law.at(n), &scores)?;
    Some(Forecast {
        at_rows,
        value,
        low: low - missed,
        high: high + missed,
    })
}

/// How far the mean score of the largest number of rows lies from what the others foretell.
fn missed(points: &[(f64, f64)]) -> Option<f64> {
    let largest = points.iter().map(|p| p.0).max_by(f64::total_cmp)?;
    let (last, others): (Vec<(f64, f64)>, Vec<_>) = points.iter().partition(|p| p.0 == largest);
    let mean = last.iter().map(|p| p.1).sum::<f64>() / last.len() as f64;
    Some((mean - PowerLaw::fit(&others)?.at(largest)).abs())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SHARES: [f64; 7] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

    fn point(model: &str, rows: usize, seed: u64, score: f64) -> CurvePoint {
        CurvePoint {
            rows,
            share: rows as f64 / 1000.0,
            model: model.to_owned(),
            seed,
            score,
        }
    }

    /// A normal number of mean 0 and deviation 1 (Box and Muller).
    fn normal(random: &mut Random) -> f64 {
        let mut uniform = || (random.below(1 << 30) as f64 + 0.5) / f64::from(1 << 30);
        (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
    }

    /// Scores of three seeds on the true curve `of`, with noise that shrinks with the rows.
    fn measured(of: &dyn Fn(f64) -> f64, rows: f64, noise: f64, random: &mut Random) -> LabelCurve {
        let mut points = Vec::new();
        for share in SHARES {
            for seed in 0..3 {
                let spread = noise * (0.5 + 0.1 / share.sqrt());
                let score = of(share * rows) + spread * normal(random);
                let rows = (share * rows) as usize;
                points.push(CurvePoint {
                    share,
                    ..point("tuned", rows, seed, score)
                });
            }
        }
        LabelCurve::new("accuracy", points)
    }

    #[test]
    fn a_forecast_from_half_of_the_labels_covers_the_score_with_all() {
        let curves: [&dyn Fn(f64) -> f64; 5] = [
            &|n| 0.92 - 1.5 * n.powf(-0.35),
            &|n| 0.85 - 2.5 * n.powf(-0.6),
            &|n| 0.97 - 0.8 * n.powf(-0.2),
            // Not power laws: an exponential approach, and chance until some labels are there.
            &|n| 0.9 - 0.35 * (-n / 900.0).exp(),
            &|n| 0.5 + 0.38 / (1.0 + (120.0 / n).powf(1.3)),
        ];
        let (mut covered, mut width) = (0, 0.0);
        for repeat in 0..8 {
            for (i, of) in curves.iter().enumerate() {
                let mut random = Random::new(17, 10 * repeat + i as u64);
                let rows = [2000.0, 6000.0][repeat as usize % 2];
                let curve = measured(of, rows, 0.006, &mut random);
                let found = curve.forecast(0.5, rows as usize, repeat).unwrap();
                // The score of one more run with all labels.
                let score = of(rows) + 0.6 * 0.006 * normal(&mut random);
                covered += usize::from(found.low <= score && score <= found.high);
                width += found.high - found.low;
            }
        }
        assert!(covered >= 36, "{covered} of 40 covered");
        // An interval as wide as the whole range would cover everything and say nothing.
        assert!(width / 40.0 < 0.15, "{}", width / 40.0);
    }

    #[test]
    fn the_fit_finds_the_law_behind_exact_points() {
        let law = PowerLaw {
            a: 0.9,
            b: 1.2,
            c: 0.45,
        };
        let points = [20.0, 50.0, 100.0, 400.0, 2000.0].map(|n| (n, law.at(n)));
        let found = PowerLaw::fit(&points).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
        assert!(close(found.a, law.a) && close(found.c, law.c), "{found:?}");
        let ahead = forecast(&points, 8000, 0).unwrap();
        assert!(close(ahead.value, law.at(8000.0)) && ahead.high - ahead.low < 1e-4);
    }

    #[test]
    fn too_few_sizes_have_no_forecast() {
        let points = [
            (10.0, 0.5),
            (10.0, 0.6),
            (20.0, 0.7),
            (20.0, 0.7),
            (20.0, 0.7),
        ];
        assert_eq!(PowerLaw::fit(&points), None);
        assert_eq!(forecast(&points, 100, 0), None);
        let three = [1.0, 2.0, 3.0].map(|n| (n, 0.1 * n));
        assert!(PowerLaw::fit(&three).is_some() && forecast(&three, 9, 0).is_none());
        let none = LabelCurve::new("accuracy", vec![point("tuned", 10, 0, f64::NAN)]);
        assert!(none.points.is_empty() && none.models().is_empty());
        assert_eq!((none.sufficed(), none.forecast(1.0, 10, 0)), (None, None));
    }

    #[test]
    fn gaps_pair_equal_seeds_and_point_the_way_of_the_metric() {
        let mut points = Vec::new();
        for (seed, noise) in [(1, 0.0), (2, 0.3), (3, -0.2)] {
            points.push(point("scratch", 100, seed, 0.9 + noise));
            points.push(point("tuned", 100, seed, 0.5 + noise + 0.01 * seed as f64));
        }
        points.push(point("tuned", 1000, 1, 0.4));
        let loss = LabelCurve::new("log_loss", points);
        assert_eq!(loss.models(), ["tuned", "scratch"]);
        let [gap] = loss.gaps[..] else {
            panic!("one share has both: {:?}", loss.gaps)
        };
        assert_eq!((gap.rows, gap.seeds), (100, 3));
        // Differences 0.39, 0.38, 0.37: the noise of a seed is on both sides.
        assert!((gap.score.value - 0.38).abs() < 1e-9, "{gap:?}");
        assert!((gap.score.high - 0.38 - 4.302_65 * 0.01 / 3.0_f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn labels_suffice_from_where_the_mean_stays_within_the_final_interval() {
        let mut points = Vec::new();
        for (rows, score) in [(50, 0.9), (100, 0.6), (200, 0.88), (500, 0.89), (1000, 0.9)] {
            for (seed, noise) in [(1, -0.01), (2, 0.0), (3, 0.01)] {
                points.push(point("tuned", rows, seed, score + noise));
            }
        }
        // The final interval reaches down to 0.875; 50 labels were lucky, as 100 show.
        let curve = LabelCurve::new("accuracy", points);
        assert_eq!(curve.sufficed(), Some(200));
    }
}
