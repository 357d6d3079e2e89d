//! What going on with a tuned model did to what it knew before.

use serde::{Deserialize, Serialize};

use super::{FloorVerdict, Interval};

/// The parent's test rows, answered by the parent and by the model that went on from it: whether anything was forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParentTest {
    /// The parent as the user named it.
    pub parent: String,
    /// Rows that both models answered.
    pub n: usize,
    /// Test rows of the parent that are left out because their texts are among the rows of the new training.
    pub seen: usize,
    /// Test rows of the parent that are left out because the new model does not know their class.
    pub unknown: usize,
    /// The parent's figure.
    pub before: Interval,
    /// The new model's figure.
    pub after: Interval,
    /// The metric, and how much better the new model is on these rows: `worse` says that it has forgotten something.
    pub change: FloorVerdict,
}
