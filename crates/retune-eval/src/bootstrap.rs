//! Percentile bootstrap: how far a figure would move with other rows from the same source.
//!
//! Resample `r` draws row `floor(u(seed, r, i) * rows)` for `i = 0..rows`, where `u` is a counter-based generator
//! (SplitMix64's finaliser over a counter). A draw depends on nothing but its three numbers: results do not depend on
//! the thread count, and two models rated with one seed are rated on the same resamples.

use std::sync::Arc;
use std::thread;

use crate::metrics::{Facts, Sample};
use crate::records::Interval;

/// Number of resamples behind each interval.
pub const RESAMPLES: usize = 1000;

const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// Which resamples: the first `count` of a seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    pub(crate) seed: u64,
    pub(crate) count: usize,
}

impl Draws {
    /// The resamples behind the interval of a single figure.
    pub(crate) fn usual(seed: u64) -> Self {
        Self {
            seed,
            count: RESAMPLES,
        }
    }
}

/// `width` figures of each resample: `[width][draws.count]`. `models` answer the same rows, and every resample draws
/// the same rows for all of them. `figures` fills one row of `width` figures from one sample per model; figures that
/// are undefined on a resample are not numbers.
pub(crate) fn resample(
    models: &[Arc<Facts>],
    draws: Draws,
    width: usize,
    figures: &(dyn Fn(&[Sample], &mut [f64]) + Sync),
) -> Vec<Vec<f64>> {
    let rows = models.first().map_or(0, |m| m.rows());
    let samples = || -> Vec<Sample> { models.iter().cloned().map(Sample::of).collect() };
    table((rows, width), draws, samples, |samples, drawn, row| {
        for sample in samples.iter_mut() {
            sample.reweigh(drawn);
        }
        figures(samples, row);
    })
}

/// The mean of each column over each resample of its rows: `[columns][draws.count]`. Every column has one value per
/// row, and every resample draws the same rows for all of them; values that are not finite are left out.
///
/// A difference of two models is one column of differences: its means are those of paired rows.
pub(crate) fn means(columns: &[Vec<f64>], draws: Draws) -> Vec<Vec<f64>> {
    let rows = columns.first().map_or(0, Vec::len);
    let shape = (rows, columns.len());
    table(
        shape,
        draws,
        || (),
        |(), drawn, row| {
            for (mean, column) in row.iter_mut().zip(columns) {
                *mean = weighted_mean(
                    column
                        .iter()
                        .copied()
                        .zip(drawn.iter().map(|&w| f64::from(w))),
                );
            }
        },
    )
}

/// `Σ weight value / Σ weight` over the finite values of `(value, weight)` pairs; not a number without any.
pub(crate) fn weighted_mean(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let finite = pairs.filter(|(value, _)| value.is_finite());
    let (sum, weights) = finite.fold((0.0, 0.0), |(sum, weights), (value, weight)| {
        (sum + weight * value, weights + weight)
    });
    sum / weights
}

/// Fills a table, one row of `width` figures per resample, on all threads, and turns it: `[width][draws.count]`.
/// `start` makes what a thread works with, `figures` fills a row from it and from how often each of `rows` is drawn.
/// Rows are whatever is drawn as one: rows of a split, or groups of events that belong together.
pub(crate) fn table<S>(
    (rows, width): (usize, usize),
    draws: Draws,
    start: impl Fn() -> S + Sync,
    figures: impl Fn(&mut S, &[u32], &mut [f64]) + Sync,
) -> Vec<Vec<f64>> {
    let Draws { seed, count } = draws;
    let mut table = vec![f64::NAN; count * width];
    if table.is_empty() || rows == 0 {
        return vec![vec![f64::NAN; count]; width];
    }
    let share = count.div_ceil(threads());
    let (start, figures) = (&start, &figures);
    thread::scope(|scope| {
        for (part, filled) in table.chunks_mut(share * width).enumerate() {
            scope.spawn(move || {
                let mut state = start();
                let mut drawn = vec![0; rows];
                for (i, row) in filled.chunks_mut(width).enumerate() {
                    draw(&mut drawn, seed, part * share + i);
                    figures(&mut state, &drawn, row);
                }
            });
        }
    });
    (0..width)
        .map(|f| table.iter().skip(f).step_by(width).copied().collect())
        .collect()
}

/// Threads that long loops are shared between.
pub(crate) fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, usize::from)
        .min(16)
}

/// The 95 % interval around `value`: see [`interval_at`].
pub(crate) fn interval(value: f64, figures: &[f64]) -> Option<Interval> {
    interval_at(value, figures, 0.05)
}

/// The interval around `value` that leaves out a share `alpha` of its figures, half on each side, widened to hold the
/// value itself, which for biased figures such as the calibration error can lie outside.
///
/// `None` when the value is not finite. Without one finite figure the interval is the value alone.
pub(crate) fn interval_at(value: f64, figures: &[f64], alpha: f64) -> Option<Interval> {
    if !value.is_finite() {
        return None;
    }
    let mut figures: Vec<f64> = figures.iter().copied().filter(|f| f.is_finite()).collect();
    figures.sort_by(f64::total_cmp);
    let bound = |share| quantile(&figures, share).unwrap_or(value);
    Some(Interval {
        value,
        low: bound(alpha / 2.0).min(value),
        high: bound(1.0 - alpha / 2.0).max(value),
    })
}

/// Linear interpolation between the sorted values, numpy's default.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

/// Whole numbers at random, from a counter that starts where `seed` and `stream` say.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed).wrapping_add(stream + 1)))
    }

    /// A number from `0..n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(GOLDEN_RATIO);
        // The high half of the product is uniform, up to n / 2^64.
        ((u128::from(mix(self.0)) * n as u128) >> 64) as usize
    }
}

/// Weights of resample `r`: how often each row is drawn, `Σ weights = rows`.
fn draw(weights: &mut [u32], seed: u64, r: usize) {
    weights.fill(0);
    let (mut random, rows) = (Random::new(seed, r as u64), weights.len());
    for _ in 0..rows {
        weights[random.below(rows)] += 1;
    }
}

fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(GOLDEN_RATIO);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_draw_weighs_every_row_once_on_average() {
        let mut sums = vec![0_u64; 50];
        let mut weights = vec![0; 50];
        for r in 0..RESAMPLES {
            draw(&mut weights, 7, r);
            assert_eq!(weights.iter().sum::<u32>(), 50);
            sums.iter_mut()
                .zip(&weights)
                .for_each(|(s, &w)| *s += u64::from(w));
        }
        // A row's count over 1000 resamples has mean 1000 and standard deviation 31.
        assert!(sums.iter().all(|&s| (840..=1160).contains(&s)), "{sums:?}");
    }

    #[test]
    fn draws_differ_by_seed_and_by_resample_and_repeat() {
        let of = |seed, r| {
            let mut weights = vec![0; 100];
            draw(&mut weights, seed, r);
            weights
        };
        assert_eq!(of(1, 5), of(1, 5));
        assert_ne!(of(1, 5), of(2, 5));
        assert_ne!(of(1, 5), of(1, 6));
        // Seed and resample must not be exchangeable: neighbouring seeds would share resamples.
        assert_ne!(of(2, 5), of(1, 6));
    }

    #[test]
    fn every_resample_is_drawn_once_in_order_whatever_the_threads() {
        use crate::predictions::{Matrix, Predictions, Targets};
        let rows = 40;
        let p = Predictions {
            scores: Matrix {
                rows,
                cols: 1,
                data: vec![0.0; rows],
            },
            targets: Targets::Value(vec![0.0; rows]),
            slices: Vec::new(),
            ids: Vec::new(),
            decision: None,
        };
        let sign = |weights: &[u32]| {
            weights
                .iter()
                .enumerate()
                .map(|(i, &w)| (i * i) as f64 * f64::from(w))
                .sum()
        };
        let models = [Arc::new(Facts::new(&p))];
        let table = resample(&models, Draws::usual(9), 1, &|s, out| {
            out[0] = sign(&s[0].weights);
        });
        let mut weights = vec![0; rows];
        for (r, &figure) in table[0].iter().enumerate() {
            draw(&mut weights, 9, r);
            assert_eq!(figure, sign(&weights), "resample {r}");
        }
        assert_eq!((table.len(), table[0].len()), (1, RESAMPLES));
    }

    #[test]
    fn means_are_those_of_the_drawn_rows_and_leave_gaps_out() {
        let columns = [
            vec![1.0, 2.0, 4.0],
            vec![1.0, f64::NAN, 3.0],
            vec![f64::NAN; 3],
        ];
        let table = means(&columns, Draws::usual(3));
        let mut weights = vec![0; 3];
        let [full, gappy, empty] = &table[..] else {
            panic!("{} columns", table.len());
        };
        for (r, mean) in full.iter().enumerate() {
            draw(&mut weights, 3, r);
            let [a, b, c] = [0, 1, 2].map(|i| f64::from(weights[i]));
            assert_eq!(*mean, (a + 2.0 * b + 4.0 * c) / 3.0, "resample {r}");
            let second = (a + 3.0 * c) / (a + c);
            assert!(gappy[r] == second || (a + c == 0.0 && gappy[r].is_nan()));
            assert!(empty[r].is_nan());
        }
        assert_eq!(full.len(), RESAMPLES);
    }

    #[test]
    fn quantiles_interpolate_like_numpy() {
        let sorted = [0.0, 1.0, 2.0, 10.0];
        assert_eq!(quantile(&sorted, 0.5), Some(1.5));
        assert!((quantile(&sorted, 0.975).unwrap() - 9.4).abs() < 1e-12);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn an_interval_holds_its_value_and_no_value_has_none() {
        let held = interval(0.1, &[0.2, 0.3, f64::NAN]).unwrap();
        assert_eq!((held.value, held.low), (0.1, 0.1));
        assert_eq!(interval(f64::NAN, &[0.2]), None);
        assert_eq!(interval(f64::INFINITY, &[0.2]), None);
        assert_eq!(
            interval(0.4, &[f64::NAN]),
            Some(Interval {
                value: 0.4,
                low: 0.4,
                high: 0.4
            })
        );
    }
}
