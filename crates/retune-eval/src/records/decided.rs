//! What answers that are decided for a goal give, beside the usual ones.

use serde::{Deserialize, Serialize};

use super::{Evaluated, Interval, Metrics, PerClass};
use crate::threshold::Threshold;

/// Answers that serve a stated goal, in place of the usual ones: the class with the largest score, and every label from
/// one half on. Thresholds were chosen on validation rows; everything else is about the rated rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The goal, in words.
    pub goal: String,
    /// The positive class with its threshold, or every label with its own; none where costs of the classes decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Chosen>,
    /// Mean cost of a row, where the goal is a cost; with labels, summed over the known labels of the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Change>,
    /// The model's figures with the usual answers: what floors and the verdict are compared with.
    pub usual: Metrics,
}

/// A threshold and what it changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The threshold, with its figures on the validation rows.
    pub threshold: Threshold,
    /// Figures of the class with the usual answers.
    pub before: PerClass,
    /// Figures of the class with the threshold.
    pub after: PerClass,
}

/// A figure with the usual answers and with the decided ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// With the usual answers.
    pub before: Interval,
    /// With the decided ones.
    pub after: Interval,
}

impl Evaluated {
    /// The model's figures with the usual answers, which are those of `metrics` where no goal was stated.
    pub fn usual(&self) -> &Metrics {
        self.decision.as_ref().map_or(&self.metrics, |d| &d.usual)
    }
}
