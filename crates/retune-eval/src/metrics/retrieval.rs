//! Metrics of vectors: means of what each row is rated with. Rows without a figure are left out.

use super::sample::{Facts, Sample};
use crate::bootstrap::weighted_mean;

pub(super) fn map_at_r(s: &Sample) -> f64 {
    mean(s, 0)
}

pub(super) fn recall_at_1(s: &Sample) -> f64 {
    mean(s, 1)
}

pub(super) fn recall_at_5(s: &Sample) -> f64 {
    mean(s, 2)
}

pub(super) fn recall_at_10(s: &Sample) -> f64 {
    mean(s, 3)
}

pub(super) fn knn_at_1(s: &Sample) -> f64 {
    mean(s, 4)
}

pub(super) fn knn_at_5(s: &Sample) -> f64 {
    mean(s, 5)
}

/// Of the figure at this place of [`FIGURES`](crate::retrieval::FIGURES).
fn mean(s: &Sample, figure: usize) -> f64 {
    let Facts::Vectors(found) = &*s.facts else {
        return f64::NAN;
    };
    let weights = s.weights.iter().map(|w| f64::from(*w));
    weighted_mean(found.figures[figure].iter().copied().zip(weights))
}
