//! The list of metrics. A metric is one function over a [`Sample`] and one row of [`METRICS`].

mod calibration;
mod classification;
mod decided;
mod evaluate;
mod regression;
mod retrieval;
mod sample;

pub use calibration::reliability;
pub(crate) use evaluate::unrateable;
pub use evaluate::{evaluate, gain, majority, majority_predictions, mistakes, point, right};
pub use regression::rank_correlation;
pub use sample::Sample;
pub(crate) use sample::{BINS, Facts, bin_of};

/// What the right answers of a split are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One class per row.
    Classes,
    /// Any number of labels per row, each yes, no or not known.
    Labels,
    /// One number per row.
    Value,
    /// One vector per row, rated by what lies near it.
    Vectors,
}

/// One figure of merit.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its key in `metrics.json`.
    pub name: &'static str,
    /// Whether a larger value is a better one.
    pub higher_is_better: bool,
    /// What it is defined for.
    pub kinds: &'static [Kind],
    /// The value; not a number where it is undefined, as on a sample of one class.
    pub compute: fn(&Sample) -> f64,
    /// One sentence for people, with the range.
    pub doc: &'static str,
}

const RATED: &[Kind] = &[Kind::Classes, Kind::Labels];
const CLASSES: &[Kind] = &[Kind::Classes];
const VALUE: &[Kind] = &[Kind::Value];
const VECTORS: &[Kind] = &[Kind::Vectors];

const fn higher(
    name: &'static str,
    kinds: &'static [Kind],
    compute: fn(&Sample) -> f64,
    doc: &'static str,
) -> Metric {
    Metric {
        name,
        higher_is_better: true,
        kinds,
        compute,
        doc,
    }
}

const fn lower(
    name: &'static str,
    kinds: &'static [Kind],
    compute: fn(&Sample) -> f64,
    doc: &'static str,
) -> Metric {
    Metric {
        name,
        higher_is_better: false,
        kinds,
        compute,
        doc,
    }
}

impl Metric {
    /// The factor that makes a difference positive when the first of the two is better.
    pub(crate) fn sign(&self) -> f64 {
        if self.higher_is_better { 1.0 } else { -1.0 }
    }
}

/// Every metric, in the order in which lists show them. Definitions equal scikit-learn's.
pub const METRICS: &[Metric] = &[
    higher(
        "accuracy",
        RATED,
        classification::accuracy,
        "Share of rows answered right; with labels, of rows with every known label right. 0 to 1.",
    ),
    higher(
        "f1_macro",
        RATED,
        classification::f1_macro,
        "F1 of each class, averaged with equal weight: rare classes count as much as common ones. 0 to 1.",
    ),
    higher(
        "f1_micro",
        RATED,
        classification::f1_micro,
        "F1 of all answers pooled; equals accuracy when each row has one class. 0 to 1.",
    ),
    higher(
        "f1_weighted",
        RATED,
        classification::f1_weighted,
        "F1 of each class, weighted by its number of rows. 0 to 1.",
    ),
    higher(
        "precision_macro",
        RATED,
        classification::precision_macro,
        "Of the rows predicted as a class, the share that is right, averaged over classes. 0 to 1.",
    ),
    higher(
        "recall_macro",
        RATED,
        classification::recall_macro,
        "Of the rows of a class, the share that is found, averaged over classes. 0 to 1.",
    ),
    higher(
        "mcc",
        CLASSES,
        classification::mcc,
        "Matthews correlation of answers and truth; 0 for a model that always says the same. -1 to 1.",
    ),
    higher(
        "auroc",
        RATED,
        classification::auroc,
        "Chance that a row of a class scores above a row of another, one class against the rest, averaged; \
         0.5 is guessing. 0 to 1.",
    ),
    higher(
        "average_precision",
        RATED,
        classification::average_precision,
        "Area under the precision-recall curve, averaged over classes; guessing gives the share of the class. 0 to 1.",
    ),
    lower(
        "log_loss",
        RATED,
        calibration::log_loss,
        "Mean negative logarithm of the probability given to the truth. 0 and up.",
    ),
    lower(
        "brier",
        RATED,
        calibration::brier,
        "Mean squared error of the probabilities. 0 to 1 for two classes or labels, to 2 for more classes.",
    ),
    lower(
        "ece",
        CLASSES,
        calibration::ece,
        "Expected calibration error: mean gap between confidence and share right over 15 equal bins. 0 to 1.",
    ),
    lower(
        "rmse",
        VALUE,
        regression::rmse,
        "Root of the mean squared error, in the units of the target. 0 and up.",
    ),
    lower(
        "mae",
        VALUE,
        regression::mae,
        "Mean absolute error, in the units of the target. 0 and up.",
    ),
    higher(
        "r2",
        VALUE,
        regression::r2,
        "Share of the target's variance that is explained; 0 for always answering its mean. Up to 1.",
    ),
    higher(
        "pearson",
        VALUE,
        regression::pearson,
        "Linear correlation of predictions and truth. -1 to 1.",
    ),
    higher(
        "spearman",
        VALUE,
        regression::spearman,
        "Correlation of the ranks of predictions and truth. -1 to 1.",
    ),
    higher(
        "map@r",
        VECTORS,
        retrieval::map_at_r,
        "Mean average precision of each row's R nearest others, R being how many others are of its label. 0 to 1.",
    ),
    higher(
        "recall@1",
        VECTORS,
        retrieval::recall_at_1,
        "Share of rows whose nearest other row is of their label. 0 to 1.",
    ),
    higher(
        "recall@5",
        VECTORS,
        retrieval::recall_at_5,
        "Share of rows with another row of their label among the 5 nearest. 0 to 1.",
    ),
    higher(
        "recall@10",
        VECTORS,
        retrieval::recall_at_10,
        "Share of rows with another row of their label among the 10 nearest. 0 to 1.",
    ),
    higher(
        "knn@1",
        VECTORS,
        retrieval::knn_at_1,
        "Share of rows whose nearest training or validation row is of their label. 0 to 1.",
    ),
    higher(
        "knn@5",
        VECTORS,
        retrieval::knn_at_5,
        "Share of rows whose label most of the 5 nearest training and validation rows have. 0 to 1.",
    ),
];

/// The metric of this name.
pub fn metric(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|m| m.name == name)
}
