//! Probabilities of a model that was trained on a part of the legitimate events, made right for all of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which share of the legitimate events was kept for training, all fraud being kept.
///
/// Keeping a share `b` at random multiplies the odds of fraud by `1 / b`. A model of the kept events that says `ps`
/// therefore means `p = b ps / (b ps - ps + 1)` (Dal Pozzolo et al., "Calibrating Probability with Undersampling for
/// Unbalanced Classification", 2015); in logits it is a shift by `ln b`. The correction is exact and keeps the order of
/// scores, so that no figure of the ranking changes. It is written as the share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Undersampling {
    kept: f64,
}

/// A share of kept events that cannot be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BadShare(pub f64);

impl fmt::Display for BadShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the share of legitimate events that was kept is {}, not above 0 and up to 1; write 0.1 where one in ten was kept",
            self.0
        )
    }
}

impl std::error::Error for BadShare {}

impl TryFrom<f64> for Undersampling {
    type Error = BadShare;

    fn try_from(kept: f64) -> Result<Self, BadShare> {
        Self::new(kept)
    }
}

impl From<Undersampling> for f64 {
    fn from(of: Undersampling) -> Self {
        of.kept
    }
}

impl Undersampling {
    /// Of the legitimate events the share `kept` was trained on; 1 is all of them.
    ///
    /// # Errors
    /// A share that is not above 0 and up to 1.
    pub fn new(kept: f64) -> Result<Self, BadShare> {
        if kept > 0.0 && kept <= 1.0 {
            Ok(Self { kept })
        } else {
            Err(BadShare(kept))
        }
    }

    /// The share that was kept.
    pub fn kept(self) -> f64 {
        self.kept
    }

    /// Probability of fraud among all events, from the probability `ps` among the kept ones.
    pub fn at_true_prior(self, ps: f64) -> f64 {
        let odds = self.kept * ps;
        odds / (odds + (1.0 - ps))
    }

    /// The reverse: what a model of the kept events says where the probability among all of them is `p`. A threshold
    /// that is meant for all events is carried over to such a model by it.
    pub fn among_kept(self, p: f64) -> f64 {
        p / (p + self.kept * (1.0 - p))
    }

    /// What is added to the logits of a model of the kept events: `ln b`, 0 or less.
    pub fn logit_shift(self) -> f64 {
        self.kept.ln()
    }
}
