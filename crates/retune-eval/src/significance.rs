//! Tests and corrections behind a verdict: McNemar's exact test, Holm's step-down correction, Student's t.
//!
//! Checked against scipy and statsmodels in `golden/statistics.json`.

use std::f64::consts::{FRAC_PI_2, LN_2};

/// Halvings of an angle: the last step is narrower than the precision of a double.
const HALVINGS: usize = 60;

/// Two-sided p-value of McNemar's exact test: of the rows that exactly one of two models answers right, `left` are
/// won by the first and `right` by the second; under no difference `left` is binomial with one half.
///
/// `p = min(1, 2 P(X <= min(left, right)))` with `X ~ Binomial(left + right, 1/2)` (McNemar 1947), which is 1 without
/// such rows.
pub fn mcnemar(left: u64, right: u64) -> f64 {
    let (n, fewer) = ((left + right) as f64, left.min(right));
    let mut log_p = -n * LN_2;
    let mut tail = 0.0;
    for i in 0..=fewer {
        tail += log_p.exp();
        log_p += ((n - i as f64) / (i as f64 + 1.0)).ln();
    }
    (2.0 * tail).min(1.0)
}

/// Holm's adjusted p-values in the order given (Holm 1979): the `i`-th smallest of `m` is multiplied by `m - i`
/// (`i` from 0), is at least as large as the ones before it, and at most 1.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (i, at) in ascending(p).into_iter().enumerate() {
        largest = largest.max((p.len() - i) as f64 * p[at]).min(1.0);
        adjusted[at] = largest;
    }
    adjusted
}

/// Indices of the values from the smallest up; equal ones keep their order.
pub(crate) fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order
}

/// The 97.5 % point of Student's t with `freedom` degrees of freedom; infinite when there are none.
pub fn student_t(freedom: usize) -> f64 {
    if freedom == 0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if between(middle, freedom) < 0.95 {
            low = middle;
        } else {
            high = middle;
        }
    }
    (freedom as f64).sqrt() * low.tan()
}

/// `P(|T| < sqrt(freedom) tan(angle))`, a finite series (Abramowitz and Stegun 26.7.3 and 26.7.4).
fn between(angle: f64, freedom: usize) -> f64 {
    let (sin, cos) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    let (mut term, mut sum) = (if odd { cos } else { 1.0 }, 0.0);
    for k in (freedom % 2..freedom - 1).step_by(2) {
        sum += term;
        term *= cos * cos * (k as f64 + 1.0) / (k as f64 + 2.0);
    }
    if odd {
        (angle + sin * sum) / FRAC_PI_2
    } else {
        sin * sum
    }
}

/// Mean of the values and half the width of its 95 % interval by Student's t, for independent values. The half-width
/// is 0 where a single value has no spread to show. `None` without values.
pub(crate) fn mean_within(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Some((mean, 0.0));
    }
    Some((
        mean,
        student_t(n - 1) * deviation(values) / (n as f64).sqrt(),
    ))
}

/// Standard deviation with `n - 1` in the denominator; not a number for fewer than two values.
pub(crate) fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    (squares / (n - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn nothing_to_compare_is_no_evidence() {
        assert_eq!(mcnemar(0, 0), 1.0);
        assert!(holm(&[]).is_empty());
        assert_eq!(student_t(0), f64::INFINITY);
        assert_eq!(mean_within(&[]), None);
        assert_eq!(mean_within(&[0.5]), Some((0.5, 0.0)));
    }

    #[test]
    fn holm_keeps_order_and_never_falls() {
        let adjusted = holm(&[0.04, 0.01, 0.03]);
        let expected = [0.06, 0.03, 0.06];
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(adjusted.iter().zip(&expected).all(close), "{adjusted:?}");
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_t_distribution() {
        // s = 1, n = 3: 4.3027 / sqrt(3).
        let (mean, half) = mean_within(&[1.0, 2.0, 3.0]).unwrap();
        assert!(
            (mean - 2.0).abs() < 1e-12 && (half - 2.484_138).abs() < 1e-5,
            "{half}"
        );
    }
}
