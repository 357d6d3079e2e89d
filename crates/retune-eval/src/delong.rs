//! Area under the ROC curve with an interval and a paired test that need no resampling, after DeLong; shares with
//! Wilson's interval for sensitivity and specificity.
//!
//! The area is a mean over positives of how large a share of the negatives each is above, and likewise over negatives.
//! Its variance is that of the two sets of shares, `var(V10) / positives + var(V01) / negatives` (DeLong, DeLong &
//! Clarke-Pearson 1988). Shares come from ranks, in `n log n` (Sun & Xu 2014). Rows are taken for independent: where
//! several rows belong to one patient or card, resample groups instead, as [`crate::fraud`] does.

use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

use crate::records::Interval;

/// 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Above this the continued fraction of the error function converges faster than its series.
const FAR: f64 = 2.5;

/// Terms of either; both are at the precision of a double long before.
const TERMS: u32 = 200;

/// An area under the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auroc {
    /// The area with its 95 % interval, cut to 0 to 1.
    pub area: Interval,
    /// Standard error of the area; 0 where every positive is above every negative, which few rows can be by chance.
    pub standard_error: f64,
}

/// Two areas on the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedAuroc {
    /// First area minus second, with its 95 % interval.
    pub difference: Interval,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// The difference in standard errors; 0 where both scores put the rows in one order.
    pub z: f64,
    /// Two-sided p-value against no difference.
    pub p: f64,
}

/// Shares of the other side that each row is above, ties counting one half.
struct Placements {
    area: f64,
    /// Of each positive, `[positives]`.
    positives: Vec<f64>,
    /// Of each negative, the share of positives above it, `[negatives]`.
    negatives: Vec<f64>,
}

/// The area under the ROC curve of `scores` (higher is more positive), one per row of `truth`. `None` with fewer than
/// two rows of either kind, or a score that is not a number.
///
/// # Panics
/// When the lengths differ.
pub fn auroc(scores: &[f32], truth: &[bool]) -> Option<Auroc> {
    let placed = placements(scores, truth)?;
    let standard_error = variance((&placed, &placed)).max(0.0).sqrt();
    let half = Z * standard_error;
    Some(Auroc {
        area: Interval {
            value: placed.area,
            low: (placed.area - half).max(0.0),
            high: (placed.area + half).min(1.0),
        },
        standard_error,
    })
}

/// The difference of the areas of two scores of the same rows, as paired rows. `None` as for [`auroc`].
///
/// # Panics
/// When the lengths differ.
pub fn paired(first: &[f32], second: &[f32], truth: &[bool]) -> Option<PairedAuroc> {
    let (a, b) = (placements(first, truth)?, placements(second, truth)?);
    let spread = variance((&a, &a)) + variance((&b, &b)) - 2.0 * variance((&a, &b));
    let standard_error = spread.max(0.0).sqrt();
    let value = a.area - b.area;
    // Equal placements leave rounding errors of either sign.
    let z = if standard_error > 1e-12 {
        value / standard_error
    } else {
        0.0
    };
    let half = Z * standard_error;
    Some(PairedAuroc {
        difference: Interval {
            value,
            low: value - half,
            high: value + half,
        },
        standard_error,
        z,
        p: two_sided(z),
    })
}

fn placements(scores: &[f32], truth: &[bool]) -> Option<Placements> {
    assert_eq!(scores.len(), truth.len(), "one score per row");
    let m = truth.iter().filter(|t| **t).count();
    let n = truth.len() - m;
    if m < 2 || n < 2 || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let of = |kind: bool| -> Vec<f32> {
        let rows = scores.iter().zip(truth).filter(|(_, t)| **t == kind);
        rows.map(|(s, _)| *s).collect()
    };
    let (positives, negatives) = (of(true), of(false));
    let all: Vec<f32> = positives.iter().chain(&negatives).copied().collect();
    let ranks = mid_ranks(&all);
    // A row's rank among all minus that among its own kind is the number of the other kind below it.
    let below = |ranks: &[f64], own: &[f32], others: usize| -> Vec<f64> {
        let own = mid_ranks(own);
        let pairs = ranks.iter().zip(own);
        pairs.map(|(r, o)| (r - o) / others as f64).collect()
    };
    let v10 = below(&ranks[..m], &positives, n);
    let v01 = below(&ranks[m..], &negatives, m);
    Some(Placements {
        area: v10.iter().sum::<f64>() / m as f64,
        positives: v10,
        negatives: v01.iter().map(|v| 1.0 - v).collect(),
    })
}

/// Ranks from 1 up; equal values share the mean of theirs.
fn mid_ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let (mut ranks, mut before) = (vec![0.0; values.len()], 0);
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = before as f64 + (tied.len() + 1) as f64 / 2.0;
        for row in tied {
            ranks[*row] = rank;
        }
        before += tied.len();
    }
    ranks
}

/// Covariance of two areas; of one with itself its variance.
fn variance((a, b): (&Placements, &Placements)) -> f64 {
    let side = |x: &[f64], y: &[f64]| {
        let n = x.len() as f64;
        let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
        let (mx, my) = (mean(x), mean(y));
        let products = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my));
        products.sum::<f64>() / (n - 1.0) / n
    };
    side(&a.positives, &b.positives) + side(&a.negatives, &b.negatives)
}

/// `P(|N| > |z|)` of a standard normal `N`.
fn two_sided(z: f64) -> f64 {
    error_complement(z.abs() / SQRT_2)
}

/// `erfc(x)` for `x >= 0`: one minus the series of Abramowitz and Stegun 7.1.6, or the continued fraction 7.1.14.
fn error_complement(x: f64) -> f64 {
    let scale = (-x * x).exp();
    if x < FAR {
        let (mut term, mut sum) = (x, x);
        for k in 1..TERMS {
            term *= 2.0 * x * x / (2.0 * f64::from(k) + 1.0);
            sum += term;
        }
        return 1.0 - FRAC_2_SQRT_PI * scale * sum;
    }
    let fraction = (1..TERMS)
        .rev()
        .fold(x, |tail, k| x + f64::from(k) / 2.0 / tail);
    scale / PI.sqrt() / fraction
}

/// A share of `n` rows with Wilson's 95 % interval (1927), which stays inside 0 to 1 and is not empty where all rows or
/// none are hits. `None` without rows.
pub fn wilson(hits: u64, n: u64) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let (value, n) = (hits as f64 / n as f64, n as f64);
    let wide = 1.0 + Z * Z / n;
    let middle = (value + Z * Z / (2.0 * n)) / wide;
    let half = Z / wide * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some(Interval {
        value,
        low: (middle - half).clamp(0.0, value),
        high: (middle + half).clamp(value, 1.0),
    })
}

/// What a threshold answers right of each kind of row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtThreshold {
    /// Share of the positive rows with at least the threshold; `None` without a positive row.
    pub sensitivity: Option<Interval>,
    /// Share of the negative rows below it.
    pub specificity: Option<Interval>,
    /// Share of the rows with at least the threshold that are positive.
    pub positive_predictive_value: Option<Interval>,
    /// Share of the rows below it that are negative.
    pub negative_predictive_value: Option<Interval>,
}

/// Sensitivity, specificity and predictive values of calling rows positive from `threshold` on, with Wilson's
/// intervals. Predictive values hold at the share of positives of these rows only.
///
/// # Panics
/// When the lengths differ.
pub fn at_threshold(scores: &[f32], truth: &[bool], threshold: f64) -> AtThreshold {
    assert_eq!(scores.len(), truth.len(), "one score per row");
    let mut rows = [[0_u64; 2]; 2];
    for (score, truth) in scores.iter().zip(truth) {
        rows[usize::from(*truth)][usize::from(*score >= threshold as f32)] += 1;
    }
    let [[right_no, alarm], [miss, hit]] = rows;
    AtThreshold {
        sensitivity: wilson(hit, hit + miss),
        specificity: wilson(right_no, right_no + alarm),
        positive_predictive_value: wilson(hit, hit + alarm),
        negative_predictive_value: wilson(right_no, right_no + miss),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn tails_of_the_normal_distribution_are_known() {
        for (z, p) in [
            (0.0, 1.0),
            (0.5, 0.617_075_077_451_974),
            (-1.0, 0.317_310_507_862_914),
            (3.5, 4.652_581_580_710_5e-4),
            (3.6, 3.182_171_803_150_67e-4),
            (6.0, 1.973_175_290_075_4e-9),
        ] {
            let ours = two_sided(z);
            assert!(
                (ours - p).abs() < 1e-12 * p.max(1e-6),
                "{z}: {ours}, not {p}"
            );
        }
    }

    #[test]
    fn few_rows_and_scores_that_are_none_have_no_area() {
        let truth = [true, true, false, false];
        assert_eq!(auroc(&[0.1, 0.2, f32::NAN, 0.3], &truth), None);
        assert_eq!(auroc(&[0.1, 0.2, 0.3], &[true, false, false]), None);
        let sure = auroc(&[0.8, 0.9, 0.1, 0.2], &truth).unwrap();
        assert_eq!((sure.area.value, sure.standard_error), (1.0, 0.0));
        let same = [0.3, 0.9, 0.2, 0.7];
        let test = paired(&same, &same, &truth).unwrap();
        assert_eq!((test.difference.value, test.z, test.p), (0.0, 0.0, 1.0));
    }

    #[test]
    fn each_kind_of_row_is_counted_on_its_own_side() {
        let scores = [0.9, 0.5, 0.4, 0.5, 0.3, 0.1, 0.1, 0.6];
        let truth = [true, true, true, false, false, false, false, false];
        let found = at_threshold(&scores, &truth, 0.5);
        let values = [
            found.sensitivity,
            found.specificity,
            found.positive_predictive_value,
            found.negative_predictive_value,
        ];
        let values = values.map(|i| i.unwrap().value);
        assert_eq!(values, [2.0 / 3.0, 3.0 / 5.0, 2.0 / 4.0, 3.0 / 4.0]);
        assert_eq!(found.sensitivity, wilson(2, 3));
        let none = at_threshold(&[0.4], &[false], 0.5);
        assert_eq!(
            (none.sensitivity, none.positive_predictive_value),
            (None, None)
        );
    }
}
