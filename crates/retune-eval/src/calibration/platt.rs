//! Platt scaling: the probability of a positive row as a sigmoid of its logit, with a slope and a shift.

use serde::{Deserialize, Serialize};

/// Newton steps; a handful is enough wherever there is a minimum.
const STEPS: usize = 100;

/// Halvings of a step that does not lower the loss.
const HALVINGS: usize = 40;

/// `p = sigmoid(slope logit + shift)`, fitted to rows that took no part in training (Platt 1999).
///
/// Beside a temperature it has a shift, and so can follow another share of positives. The fitted targets are
/// `(n_1 + 1) / (n_1 + 2)` for the `n_1` positive rows and `1 / (n_0 + 2)` for the negative ones, Platt's guard against
/// certainty, as in scikit-learn's `method="sigmoid"`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Platt {
    /// Factor of the logit.
    pub slope: f64,
    /// What is added to it.
    pub shift: f64,
}

/// Why nothing could be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// All rows are of one kind.
    OneKind,
    /// A score or a weight is not a finite number, or a weight is below 0.
    NotFinite,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OneKind => {
                "all rows to calibrate on are of one kind; give rows of both, of a longer time for instance"
            }
            Self::NotFinite => {
                "a score or weight to calibrate on is not a finite number from 0 up; leave that row out or correct it"
            }
        })
    }
}

impl std::error::Error for Unfit {}

/// One row of the fit.
struct Row {
    logit: f64,
    target: f64,
    weight: f64,
}

impl Platt {
    /// Fits `logits` (before the sigmoid, `[rows]`) to `truth`. Weights stand for how many rows a row is.
    ///
    /// # Errors
    /// Rows of one kind, and values that are not finite.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn fit(logits: &[f32], truth: &[bool], weights: Option<&[f64]>) -> Result<Self, Unfit> {
        let [negatives, positives] = super::both_kinds(logits, truth, weights)?;
        let weight = |row: usize| weights.map_or(1.0, |w| w[row]);
        let [miss, hit] = [
            1.0 / (negatives + 2.0),
            (positives + 1.0) / (positives + 2.0),
        ];
        let rows = logits.iter().zip(truth).enumerate();
        let rows: Vec<Row> = rows
            .map(|(row, (logit, truth))| Row {
                logit: f64::from(*logit),
                target: if *truth { hit } else { miss },
                weight: weight(row),
            })
            .collect();
        let mut fitted = Self {
            slope: 0.0,
            shift: ((positives + 1.0) / (negatives + 1.0)).ln(),
        };
        let mut loss = fitted.loss(&rows);
        for _ in 0..STEPS {
            let Some((next, next_loss)) = fitted.step(&rows, loss) else {
                break;
            };
            (fitted, loss) = (next, next_loss);
        }
        Ok(fitted)
    }

    /// Probability that a row is positive, from its logit.
    pub fn probability(self, logit: f32) -> f64 {
        sigmoid(self.logit(f64::from(logit)))
    }

    fn logit(self, logit: f64) -> f64 {
        self.slope * logit + self.shift
    }

    /// Cross-entropy against the targets, in a form that does not overflow (Lin, Lin & Weng 2007).
    fn loss(self, rows: &[Row]) -> f64 {
        let each = rows.iter().map(|r| {
            let z = self.logit(r.logit);
            r.weight * (z.max(0.0) - z * r.target + (-z.abs()).exp().ln_1p())
        });
        each.sum()
    }

    /// A Newton step that lowers the loss; `None` at the minimum.
    fn step(self, rows: &[Row], loss: f64) -> Option<(Self, f64)> {
        let (mut slope, mut shift) = (0.0, 0.0);
        // A little curvature keeps the step finite where all logits are alike.
        let (mut aa, mut ab, mut bb) = (1e-12, 0.0, 1e-12);
        for r in rows {
            let p = sigmoid(self.logit(r.logit));
            let (gap, curvature) = (r.weight * (p - r.target), r.weight * p * (1.0 - p));
            slope += gap * r.logit;
            shift += gap;
            aa += curvature * r.logit * r.logit;
            ab += curvature * r.logit;
            bb += curvature;
        }
        let determinant = aa * bb - ab * ab;
        let step = [
            (bb * slope - ab * shift) / determinant,
            (aa * shift - ab * slope) / determinant,
        ];
        let mut part = 1.0;
        for _ in 0..HALVINGS {
            let next = Self {
                slope: self.slope - part * step[0],
                shift: self.shift - part * step[1],
            };
            let next_loss = next.loss(rows);
            if next_loss < loss {
                return Some((next, next_loss));
            }
            part /= 2.0;
        }
        None
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_sigmoid_follows_another_share_of_positives() {
        // 300 of 1000 at logit 0: sigmoid(shift) is 301/1002 up to Platt's guard, whatever the slope.
        let truth: Vec<bool> = (0..1000).map(|i| i % 10 < 3).collect();
        let fitted = Platt::fit(&vec![0.0; 1000], &truth, None).unwrap();
        assert!((fitted.probability(0.0) - 0.3).abs() < 1e-3, "{fitted:?}");
    }

    #[test]
    fn a_weight_is_as_many_rows() {
        let (logits, truth) = ([-1.0, 0.5, 0.2, 2.0], [false, false, true, true]);
        let weighed = Platt::fit(&logits, &truth, Some(&[3.0, 1.0, 1.0, 1.0])).unwrap();
        let rows = (
            [-1.0, -1.0, -1.0, 0.5, 0.2, 2.0],
            [false, false, false, false, true, true],
        );
        let repeated = Platt::fit(&rows.0, &rows.1, None).unwrap();
        assert!((weighed.slope - repeated.slope).abs() < 1e-9, "{weighed:?}");
        assert!((weighed.shift - repeated.shift).abs() < 1e-9, "{weighed:?}");
    }

    #[test]
    fn perfect_logits_stay_short_of_certainty() {
        let truth = [false, false, true, true];
        let fitted = Platt::fit(&[-30.0, -20.0, 20.0, 30.0], &truth, None).unwrap();
        let p = fitted.probability(30.0);
        assert!(
            fitted.slope > 0.0 && (0.7..0.9).contains(&p),
            "{fitted:?} {p}"
        );
        assert_eq!(Platt::fit(&[1.0], &[true], None), Err(Unfit::OneKind));
        let broken = Platt::fit(&[f32::NAN, 1.0], &[true, false], None);
        assert_eq!(broken, Err(Unfit::NotFinite));
        assert!(Unfit::OneKind.to_string().contains("give rows of both"));
    }
}
