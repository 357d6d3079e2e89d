//! From what a model of two classes says to a probability that holds.
//!
//! ```text
//! p_s ─prior→ p = b p_s / (b p_s - p_s + 1) ─calibration→ p'      of the positive class; the other one has 1 - p'
//! ```
//!
//! The first step is exact: of the legitimate events a share `b` trained (Dal Pozzolo et al. 2015). The second one is fitted
//! to answers to the validation rows of a model that has not seen them. Trees train once more with these rows and are then
//! corrected by what the trees before showed: they are a little surer of themselves than the fit knows.

use retune_data::Target;
use retune_eval::calibration::{Isotonic, Platt, Unfit};
use retune_eval::fraud::Undersampling;
use retune_eval::{Matrix, Targets, temperature};
use serde::{Deserialize, Serialize};

use super::plan::{Plan, Rows};
use crate::error::{Error, Result};
use crate::recipe::Calibrate;

/// Nearest to 0 and 1 that a probability has a logit.
const CERTAIN: f64 = 1e-12;

/// How the probabilities of a model are corrected before anyone sees them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Correction {
    /// Share of the legitimate events that trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Undersampling>,
    /// What the validation rows showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibrator>,
}

/// A function of probabilities that was fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calibrator {
    /// A sigmoid of the logit; a temperature is one without a shift.
    Platt(Platt),
    /// Rising steps.
    Isotonic(Isotonic),
}

impl Correction {
    /// Whether probabilities stay as they are.
    pub fn is_none(&self) -> bool {
        self.kept.is_none() && self.calibration.is_none()
    }

    /// The step that a plan's training on a part of the legitimate events asks for.
    pub(super) fn of_prior(plan: &Plan) -> Self {
        let share = plan.recipe.tables.keep_legitimate;
        let kept = Undersampling::new(share).ok();
        Self {
            kept: kept.filter(|_| share < 1.0),
            calibration: None,
        }
    }

    /// Probability of the positive class, from what the model says.
    pub fn probability(&self, said: f32) -> f32 {
        if self.is_none() {
            return said;
        }
        let said = f64::from(said);
        let p = self.kept.map_or(said, |kept| kept.at_true_prior(said));
        let p = match &self.calibration {
            None => p,
            Some(Calibrator::Platt(fitted)) => fitted.probability(logit(p)),
            Some(Calibrator::Isotonic(fitted)) => fitted.probability(p as f32),
        };
        p as f32
    }

    /// The same of every row, `[rows, 2]`; of other numbers of outputs nothing is corrected.
    pub fn apply(&self, mut scores: Matrix, positive: usize) -> Matrix {
        if self.is_none() || scores.cols != 2 {
            return scores;
        }
        for row in scores.data.chunks_exact_mut(2) {
            let p = self.probability(row[positive]);
            row[positive] = p;
            row[1 - positive] = 1.0 - p;
        }
        scores
    }
}

/// What a model says of validation and test rows, made right.
pub(super) struct Corrected {
    pub correction: Correction,
    /// Answers to the validation rows, `[rows, outputs]`.
    pub valid: Matrix,
    /// Answers to the test rows, `[rows, outputs]`.
    pub test: Matrix,
    /// What became of the probabilities, in words.
    pub note: Option<String>,
}

/// Fits what the recipe asks for and corrects the answers.
///
/// # Errors
/// Answers that are not finite.
pub(super) fn corrected(plan: &Plan, valid: Matrix, test: Matrix) -> Result<Corrected> {
    let positive = plan.positive;
    let mut correction = Correction::of_prior(plan);
    let natural = correction.apply(valid.clone(), positive);
    let before = correction.apply(test.clone(), positive);
    let asked = plan.recipe.tables.calibrate;
    let fitted = fit(asked, &natural, (&plan.valid, positive));
    let fitted = fitted.map_err(|unfit| Error::User(unfit.to_string()))?;
    let Some(fitted) = fitted else {
        let note = (asked != Calibrate::Off).then(|| {
            "scores of the validation rows do not rise with the share of positive ones: nothing is calibrated".to_string()
        });
        return Ok(Corrected {
            correction,
            valid: natural,
            test: before,
            note,
        });
    };
    correction.calibration = Some(fitted);
    let test = correction.apply(test, positive);
    Ok(Corrected {
        note: Some(told(plan, &before, &test)),
        valid: correction.apply(valid, positive),
        test,
        correction,
    })
}

/// The function of the recipe; `None` where none is asked for, or where it would turn the order round.
fn fit(
    asked: Calibrate,
    valid: &Matrix,
    (rows, positive): (&Rows, usize),
) -> std::result::Result<Option<Calibrator>, Unfit> {
    if asked == Calibrate::Off {
        return Ok(None);
    }
    let scores: Vec<f32> = (0..valid.rows).map(|i| valid.row(i)[positive]).collect();
    let logits = || -> Vec<f32> { scores.iter().map(|p| logit(f64::from(*p))).collect() };
    let truth = truth(rows, positive);
    if asked == Calibrate::Isotonic {
        let fitted = Isotonic::fit(&scores, &truth, None)?;
        return Ok(Some(Calibrator::Isotonic(fitted)));
    }
    let fitted = if asked == Calibrate::Platt {
        Platt::fit(&logits(), &truth, None)?
    } else {
        let pairs = Matrix {
            rows: scores.len(),
            cols: 2,
            data: logits().into_iter().flat_map(|z| [0.0, z]).collect(),
        };
        let classes = truth.iter().map(|positive| u32::from(*positive)).collect();
        Platt {
            slope: 1.0 / temperature(&pairs, &Targets::Class(classes)),
            shift: 0.0,
        }
    };
    Ok((fitted.slope > 0.0).then_some(Calibrator::Platt(fitted)))
}

fn truth(rows: &Rows, positive: usize) -> Vec<bool> {
    let positive = Target::Class(positive as u32);
    rows.targets.iter().map(|t| *t == positive).collect()
}

/// `ln(p / (1 - p))`.
fn logit(p: f64) -> f32 {
    let p = p.clamp(CERTAIN, 1.0 - CERTAIN);
    (p / (1.0 - p)).ln() as f32
}

/// How far probabilities of the test rows were off, and are.
fn told(plan: &Plan, before: &Matrix, after: &Matrix) -> String {
    let truth = truth(&plan.test, plan.positive);
    let n = truth.len() as f64;
    let share = truth.iter().filter(|positive| **positive).count() as f64 / n;
    let of = |scores: &Matrix| {
        let rows = || (0..scores.rows).map(|i| f64::from(scores.row(i)[plan.positive]));
        let mean = rows().sum::<f64>() / n;
        let loss = |(p, positive): (f64, &bool)| {
            let p = p.clamp(CERTAIN, 1.0 - CERTAIN);
            if *positive { -p.ln() } else { -(1.0 - p).ln() }
        };
        (mean, rows().zip(&truth).map(loss).sum::<f64>() / n)
    };
    let ((mean, loss), (now, loss_now)) = (of(before), of(after));
    let advice = if loss_now > loss {
        ", which is worse: leave --calibrate out, or give it more validation rows"
    } else {
        ""
    };
    format!(
        "calibrated on {} validation rows: of the test rows {share:.5} are `{}`, and the mean score is {mean:.5} before and \
         {now:.5} after; log loss {loss:.5} before and {loss_now:.5} after{advice}",
        plan.valid.at.len(),
        plan.labels
            .names()
            .get(plan.positive)
            .map_or("", String::as_str),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn rows(truth: &[bool]) -> Rows {
        Rows {
            targets: truth.iter().map(|t| Target::Class(u32::from(*t))).collect(),
            ..Rows::default()
        }
    }

    fn matrix(positive: &[f32]) -> Matrix {
        Matrix {
            rows: positive.len(),
            cols: 2,
            data: positive.iter().flat_map(|p| [1.0 - p, *p]).collect(),
        }
    }

    #[test]
    fn the_prior_is_undone_before_what_was_fitted() {
        let kept = Correction {
            kept: Undersampling::new(0.1).ok(),
            calibration: None,
        };
        // Odds of 1 among the kept events are odds of 0.1 among all.
        assert!((kept.probability(0.5) - 1.0 / 11.0).abs() < 1e-7);
        let both = Correction {
            calibration: Some(Calibrator::Platt(Platt {
                slope: 2.0,
                shift: 0.0,
            })),
            ..kept.clone()
        };
        assert!((both.probability(0.5) - 1.0 / 101.0).abs() < 1e-7);
        for p in [0.0, 1.0] {
            assert!((both.probability(p) - p).abs() < 1e-6);
            assert_eq!(kept.probability(p), p);
        }
        let all: Vec<f32> = (0..=1000)
            .map(|i| kept.probability(i as f32 / 1e3))
            .collect();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "order");
        let turned = kept.apply(matrix(&[0.5, 0.9]), 0);
        assert!((turned.row(0)[0] - 1.0 / 11.0).abs() < 1e-7);
        assert!(
            (turned.row(1)[0] - kept.probability(0.1)).abs() < 1e-7,
            "{turned:?}"
        );
        let three = Matrix {
            rows: 1,
            cols: 3,
            data: vec![0.2, 0.3, 0.5],
        };
        assert_eq!(kept.apply(three.clone(), 1), three);
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(serde_json::from_str::<Correction>(&text).unwrap(), both);
        let wrong = serde_json::from_str::<Correction>("{\"kept\": 1.5}");
        assert!(wrong.unwrap_err().to_string().contains("1.5"));
    }

    #[test]
    fn what_is_fitted_follows_the_share_and_never_turns_the_order() {
        // Scores of .8 are right in four of ten cases, scores of .4 in one of ten.
        let scores: Vec<f32> = (0..2000).map(|i| [0.4, 0.8][i % 2]).collect();
        let truth: Vec<bool> = (0..2000).map(|i| (i / 2) % 10 < [1, 4][i % 2]).collect();
        let given = (matrix(&scores), rows(&truth));
        for asked in [Calibrate::Platt, Calibrate::Isotonic] {
            let fitted = fit(asked, &given.0, (&given.1, 1)).unwrap();
            let correction = Correction {
                kept: None,
                calibration: Some(fitted.unwrap()),
            };
            let found = [0.4, 0.8].map(|p| correction.probability(p));
            assert!(
                (found[0] - 0.1).abs() < 0.01 && (found[1] - 0.4).abs() < 0.01,
                "{asked:?} {found:?}"
            );
        }
        let cooled = fit(Calibrate::Temperature, &given.0, (&given.1, 1)).unwrap();
        let Some(Calibrator::Platt(cooled)) = cooled else {
            panic!("{cooled:?}");
        };
        assert!(cooled.shift == 0.0 && cooled.slope < 1.0, "{cooled:?}");
        let turned: Vec<bool> = truth.iter().map(|t| !t).collect();
        let none = fit(Calibrate::Platt, &given.0, (&rows(&turned), 1)).unwrap();
        assert_eq!(none, None);
        let off = fit(Calibrate::Off, &given.0, (&given.1, 1)).unwrap();
        assert_eq!(off, None);
        let one_kind = fit(Calibrate::Isotonic, &given.0, (&rows(&[true; 2000]), 1));
        assert_eq!(one_kind, Err(Unfit::OneKind));
    }
}
