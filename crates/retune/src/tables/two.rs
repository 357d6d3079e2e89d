//! Figures of two classes as a clinic reads them: the area under the ROC curve with DeLong's interval, and what a threshold
//! that was chosen elsewhere finds, misses and raises, each with an interval.

use retune_eval::delong::{at_threshold, auroc};
use retune_eval::records::{Interval, Metrics};

/// 97.5 % point of the normal distribution.
const Z: f64 = 1.96;

/// `auroc` (DeLong), `sensitivity`, `specificity`, `ppv` and `npv` (Wilson) of calling rows positive from `threshold` on, and
/// `predicted_minus_observed`, the mean score less the share of positives (normal). Those that the rows leave undefined are
/// left out.
pub(super) fn figures(scores: &[f32], truth: &[bool], threshold: f64) -> Metrics {
    let at = at_threshold(scores, truth, threshold);
    let found = [
        ("auroc", auroc(scores, truth).map(|found| found.area)),
        ("sensitivity", at.sensitivity),
        ("specificity", at.specificity),
        ("ppv", at.positive_predictive_value),
        ("npv", at.negative_predictive_value),
        ("predicted_minus_observed", gap(scores, truth)),
    ];
    let known = found.into_iter();
    known
        .filter_map(|(name, found)| Some((name.to_string(), found?)))
        .collect()
}

/// Mean of `score - positive`, with the interval of a mean.
fn gap(scores: &[f32], truth: &[bool]) -> Option<Interval> {
    let n = scores.len() as f64;
    if scores.len() < 2 {
        return None;
    }
    let gaps = || {
        scores
            .iter()
            .zip(truth)
            .map(|(s, t)| f64::from(*s) - f64::from(u8::from(*t)))
    };
    let value = gaps().sum::<f64>() / n;
    let variance = gaps().map(|gap| (gap - value).powi(2)).sum::<f64>() / (n - 1.0);
    let half = Z * (variance / n).sqrt();
    Some(Interval {
        value,
        low: value - half,
        high: value + half,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_at_a_threshold_that_was_chosen_elsewhere() {
        let scores = [0.9, 0.8, 0.4, 0.3, 0.2, 0.1];
        let truth = [true, true, false, true, false, false];
        let found = figures(&scores, &truth, 0.5);
        let value = |name: &str| found[name].value;
        assert_eq!(value("auroc"), 8.0 / 9.0);
        assert_eq!(value("sensitivity"), 2.0 / 3.0);
        assert_eq!(value("specificity"), 1.0);
        assert_eq!(value("ppv"), 1.0);
        assert_eq!(value("npv"), 0.75);
        assert!((value("predicted_minus_observed") - (2.7 - 3.0) / 6.0).abs() < 1e-7);
        let gap = &found["predicted_minus_observed"];
        assert!(gap.low < gap.value && gap.value < gap.high);
        assert!(!figures(&[0.5], &[true], 0.5).contains_key("auroc"));
    }
}
