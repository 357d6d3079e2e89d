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

/// `width` figures of each resample: `[width][RESAMPLES]`. `figures` fills one row of `width` figures; figures that
/// are undefined on a resample are not numbers.
pub(crate) fn resample(
    facts: &Arc<Facts>,
    seed: u64,
    width: usize,
    figures: &(dyn Fn(&Sample, &mut [f64]) + Sync),
) -> Vec<Vec<f64>> {
    let mut table = vec![f64::NAN; RESAMPLES * width];
    if width == 0 || facts.rows() == 0 {
        return vec![vec![f64::NAN; RESAMPLES]; width];
    }
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(16);
    let share = RESAMPLES.div_ceil(threads);
    thread::scope(|scope| {
        for (part, rows) in table.chunks_mut(share * width).enumerate() {
            scope.spawn(move || {
                let mut sample = Sample::of(Arc::clone(facts));
                for (i, row) in rows.chunks_mut(width).enumerate() {
                    sample.reweigh(|weights| draw(weights, seed, part * share + i));
                    figures(&sample, row);
                }
            });
        }
    });
    (0..width)
        .map(|f| table.iter().skip(f).step_by(width).copied().collect())
        .collect()
}

/// The interval around `value`: its figures' 2.5 % and 97.5 % points, widened to hold the value itself, which for
/// biased figures such as the calibration error can lie outside.
///
/// `None` when the value is not finite. Without one finite figure the interval is the value alone.
pub(crate) fn interval(value: f64, figures: &[f64]) -> Option<Interval> {
    if !value.is_finite() {
        return None;
    }
    let mut figures: Vec<f64> = figures.iter().copied().filter(|f| f.is_finite()).collect();
    figures.sort_by(f64::total_cmp);
    let bound = |share| quantile(&figures, share).unwrap_or(value);
    Some(Interval {
        value,
        low: bound(0.025).min(value),
        high: bound(0.975).max(value),
    })
}

/// Linear interpolation between the sorted values, numpy's default.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

/// Weights of resample `r`: how often each row is drawn, `Σ weights = rows`.
fn draw(weights: &mut [u32], seed: u64, r: usize) {
    weights.fill(0);
    let rows = weights.len() as u128;
    let mut counter = mix(mix(seed).wrapping_add(r as u64 + 1));
    for _ in 0..weights.len() {
        counter = counter.wrapping_add(GOLDEN_RATIO);
        // The high half of the product is uniform over the rows, up to rows / 2^64.
        weights[((u128::from(mix(counter)) * rows) >> 64) as usize] += 1;
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
        };
        let sign = |weights: &[u32]| {
            weights
                .iter()
                .enumerate()
                .map(|(i, &w)| (i * i) as f64 * f64::from(w))
                .sum()
        };
        let table = resample(&Arc::new(Facts::new(&p)), 9, 1, &|s, out| {
            out[0] = sign(&s.weights);
        });
        let mut weights = vec![0; rows];
        for (r, &figure) in table[0].iter().enumerate() {
            draw(&mut weights, 9, r);
            assert_eq!(figure, sign(&weights), "resample {r}");
        }
        assert_eq!((table.len(), table[0].len()), (1, RESAMPLES));
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
