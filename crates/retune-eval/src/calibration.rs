//! Temperature scaling: logits divided by one number `T`, so that probabilities mean what they say. Beside it
//! [`Platt`] and [`Isotonic`] for rows of two kinds, which can also follow another share of positives.
//!
//! `T` minimises the mean negative log-likelihood of the right answers on validation rows (Guo et al. 2017,
//! arXiv:1706.04599). In `b = 1 / T` the likelihood is convex, with slope `mean(Σ_c p_c z_c - z_y)` for classes and
//! `mean((sigmoid(b z) - y) z)` over the known flags for labels; the slope's zero is found by bisection.

mod isotonic;
mod platt;

use serde::{Deserialize, Serialize};

pub use self::isotonic::Isotonic;
pub use self::platt::{Platt, Unfit};
use crate::metrics::{Sample, metric, reliability};
use crate::predictions::{Matrix, Predictions, Targets};

/// Temperatures beyond which no fit goes; probabilities are certain or even there.
const COLDEST: f64 = 0.05;
const HOTTEST: f64 = 20.0;

/// Halvings of the logarithm of the bracket; the last one is narrower than the precision of a double.
const HALVINGS: usize = 60;

/// Bins of the calibration error, as in the metric `ece`.
const BINS: usize = 15;

/// What temperature scaling did to the rated rows, which took no part in the fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Logits are divided by it.
    pub temperature: f64,
    /// Expected calibration error without it (with labels: over all known flags).
    pub ece_before: f64,
    /// The same with it.
    pub ece_after: f64,
    /// Log loss without it.
    pub log_loss_before: f64,
    /// The same with it.
    pub log_loss_after: f64,
}

/// The temperature that fits `logits` (`[rows, classes | labels]`, before softmax or sigmoid) to `targets`, between
/// 0.05 and 20.
///
/// 1 where nothing can be fitted: no rows, numbers as targets, or answers that are all right, which any sharper
/// temperature would improve for ever. Rows whose logits are not finite are left out.
///
/// # Panics
/// When the lengths differ or a class index has no column.
pub fn temperature(logits: &Matrix, targets: &Targets) -> f64 {
    let slope = |log_t: f64| slope(logits, targets, (-log_t).exp());
    let (mut cold, mut hot) = (COLDEST.ln(), HOTTEST.ln());
    // As the temperature falls, the slope over `b` rises.
    if slope(cold).is_none_or(|s| s <= 0.0) {
        return 1.0;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(cold, hot);
        match slope(middle) {
            Some(s) if s > 0.0 => cold = middle,
            _ => hot = middle,
        }
    }
    f64::midpoint(cold, hot).exp()
}

/// Derivative of the mean negative log-likelihood by `b`; `None` without a usable row.
fn slope(logits: &Matrix, targets: &Targets, b: f64) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0_u64);
    for row in 0..logits.rows {
        let z = logits.row(row);
        if z.iter().any(|v| !v.is_finite()) {
            continue;
        }
        match targets {
            Targets::Class(truth) => {
                let p = softmax(z, b);
                let expected: f64 = p.iter().zip(z).map(|(p, &z)| p * f64::from(z)).sum();
                sum += expected - f64::from(z[truth[row] as usize]);
                n += 1;
            }
            Targets::Labels(flags) => {
                let flags = &flags[row * logits.cols..(row + 1) * logits.cols];
                for (&z, flag) in z.iter().zip(flags) {
                    let Some(flag) = flag else { continue };
                    sum += (sigmoid(b * f64::from(z)) - f64::from(*flag)) * f64::from(z);
                    n += 1;
                }
            }
            Targets::Value(_) | Targets::Vectors(_) => return None,
        }
    }
    (n > 0).then(|| sum / n as f64)
}

/// Probabilities of `logits` at a temperature, in the same shape: softmax over each row for classes, sigmoid of each
/// cell for labels. Numbers and vectors are returned as they are.
pub fn probabilities(logits: &Matrix, targets: &Targets, temperature: f64) -> Matrix {
    let b = 1.0 / temperature;
    let data = match targets {
        Targets::Class(_) => (0..logits.rows)
            .flat_map(|row| softmax(logits.row(row), b))
            .map(|p| p as f32)
            .collect(),
        Targets::Labels(_) => (logits.data.iter())
            .map(|&z| sigmoid(b * f64::from(z)) as f32)
            .collect(),
        Targets::Value(_) | Targets::Vectors(_) => logits.data.clone(),
    };
    Matrix {
        data,
        ..logits.clone()
    }
}

impl Calibration {
    /// Rates `logits`, which took no part in the fit, without and with the temperature. `None` where a figure is not
    /// defined: no rows, logits that are not finite, numbers as targets.
    ///
    /// # Panics
    /// As [`temperature`].
    pub fn measure(logits: &Matrix, targets: &Targets, temperature: f64) -> Option<Self> {
        let rate = |temperature: f64| {
            let p = Predictions {
                scores: probabilities(logits, targets, temperature),
                targets: targets.clone(),
                slices: Vec::new(),
                ids: Vec::new(),
                decision: None,
            };
            let log_loss = (metric("log_loss")?.compute)(&Sample::new(&p));
            let bins = reliability(&p, BINS);
            let answers: u64 = bins.iter().map(|b| b.2).sum();
            let gap = |b: &(f64, f64, u64)| (b.0 - b.1).abs() * b.2 as f64;
            let ece = bins.iter().map(gap).sum::<f64>() / answers as f64;
            (log_loss.is_finite() && ece.is_finite()).then_some((log_loss, ece))
        };
        let (before, after) = (rate(1.0)?, rate(temperature)?);
        Some(Self {
            temperature,
            ece_before: before.1,
            ece_after: after.1,
            log_loss_before: before.0,
            log_loss_after: after.0,
        })
    }
}

/// Weight of the negative and of the positive rows that something is fitted to.
fn both_kinds(scores: &[f32], truth: &[bool], weights: Option<&[f64]>) -> Result<[f64; 2], Unfit> {
    assert_eq!(scores.len(), truth.len(), "one score per row");
    let mut kinds = [0.0; 2];
    for (row, (score, truth)) in scores.iter().zip(truth).enumerate() {
        let weight = weights.map_or(1.0, |w| w[row]);
        if !score.is_finite() || !weight.is_finite() || weight < 0.0 {
            return Err(Unfit::NotFinite);
        }
        kinds[usize::from(*truth)] += weight;
    }
    if kinds.iter().all(|k| *k > 0.0) {
        Ok(kinds)
    } else {
        Err(Unfit::OneKind)
    }
}

fn softmax(z: &[f32], b: f64) -> Vec<f64> {
    let scaled = || z.iter().map(|&z| b * f64::from(z));
    let largest = scaled().fold(f64::NEG_INFINITY, f64::max);
    let mut p: Vec<f64> = scaled().map(|z| (z - largest).exp()).collect();
    let sum: f64 = p.iter().sum();
    for p in &mut p {
        *p /= sum;
    }
    p
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::predictions::top;

    fn logits(cols: usize, data: &[f32]) -> Matrix {
        Matrix {
            rows: data.len() / cols,
            cols,
            data: data.to_vec(),
        }
    }

    #[test]
    fn overconfident_logits_are_cooled_to_the_share_that_is_right() {
        // Three of four right at a margin of 4: sigmoid(4 / T) must be 3/4, so T = 4 / ln 3.
        let z = logits(2, &[4.0, 0.0, 4.0, 0.0, 4.0, 0.0, 4.0, 0.0]);
        let classes = Targets::Class(vec![0, 0, 0, 1]);
        let expected = 4.0 / 3.0_f64.ln();
        let t = temperature(&z, &classes);
        assert!((t - expected).abs() < 1e-9, "{t}");
        let z = logits(1, &[4.0, 4.0, 4.0, 4.0, 9.0]);
        let flags = Targets::Labels(vec![Some(true), Some(true), Some(true), Some(false), None]);
        let t = temperature(&z, &flags);
        assert!((t - expected).abs() < 1e-9, "{t}");
        let measured = Calibration::measure(&z, &flags, t).unwrap();
        assert!(
            measured.ece_before > 0.2 && measured.ece_after < 1e-6,
            "{measured:?}"
        );
        assert!(measured.log_loss_after < measured.log_loss_before);
    }

    #[test]
    fn what_cannot_be_fitted_is_left_as_it_is() {
        let right = logits(2, &[4.0, 0.0, 0.0, 4.0]);
        assert_eq!(temperature(&right, &Targets::Class(vec![0, 1])), 1.0);
        assert_eq!(
            temperature(&logits(1, &[3.0]), &Targets::Value(vec![2.0])),
            1.0
        );
        let none = (logits(2, &[]), Targets::Class(vec![]));
        assert_eq!(temperature(&none.0, &none.1), 1.0);
        assert_eq!(Calibration::measure(&none.0, &none.1, 1.0), None);
        let broken = logits(2, &[f32::NAN, 0.0]);
        assert_eq!(temperature(&broken, &Targets::Class(vec![0])), 1.0);
        let useless = logits(2, &[1.0, 0.0, 1.0, 0.0]);
        let t = temperature(&useless, &Targets::Class(vec![1, 1]));
        assert!((t - HOTTEST).abs() < 1e-9, "{t}");
    }

    #[test]
    fn a_temperature_changes_no_answer() {
        let z = logits(3, &[0.3, 2.0, -1.0, 5.0, 4.0, 4.5]);
        let p = probabilities(&z, &Targets::Class(vec![0, 0]), 3.0);
        for row in 0..2 {
            assert_eq!(top(p.row(row)), top(z.row(row)));
            assert!((p.row(row).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}
