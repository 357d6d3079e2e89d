//! Whether probabilities mean what they say: log loss, Brier score, expected calibration error.

use super::sample::{BINS, ClassFacts, Facts, Sample, bin_of, weighted_mean};
use crate::predictions::{Predictions, Targets};

pub(super) fn log_loss(s: &Sample) -> f64 {
    match &*s.facts {
        Facts::Classes(f) => weighted_mean(&f.log_loss, &s.weights),
        Facts::Labels(f) => f.macro_mean(&f.log_loss, &s.weights),
        Facts::Value(_) | Facts::Vectors(_) => f64::NAN,
    }
}

pub(super) fn brier(s: &Sample) -> f64 {
    match &*s.facts {
        Facts::Classes(f) => weighted_mean(&f.brier, &s.weights),
        Facts::Labels(f) => f.macro_mean(&f.brier, &s.weights),
        Facts::Value(_) | Facts::Vectors(_) => f64::NAN,
    }
}

/// `Σ_bins |Σ right - Σ confidence| / rows` (Naeini 2015, Guo 2017).
pub(super) fn ece(s: &Sample) -> f64 {
    let Facts::Classes(f) = &*s.facts else {
        return f64::NAN;
    };
    let ClassFacts {
        truth,
        predicted,
        confidence,
        bin,
        ..
    } = f;
    let mut gaps = [0.0; BINS];
    let mut rows = 0_u64;
    for (row, &w) in s.weights.iter().enumerate() {
        let right = f64::from(truth[row] == predicted[row]);
        gaps[usize::from(bin[row])] += f64::from(w) * (right - confidence[row]);
        rows += u64::from(w);
    }
    gaps.iter().map(|g| g.abs()).sum::<f64>() / rows as f64
}

/// Reliability diagram: `(mean confidence, share right, answers)` of each of `bins` equal-width bins that is not
/// empty, by rising confidence.
///
/// The confidence is the score of the predicted class; with labels, each known flag is one answer whose confidence is
/// `p` where it is answered with yes and `1 - p` else. Empty for regression and vectors. Scores that are not finite are left out.
pub fn reliability(p: &Predictions, bins: usize) -> Vec<(f64, f64, u64)> {
    let answers: Vec<(f64, bool)> = match &p.targets {
        Targets::Class(truth) => (0..p.scores.rows)
            .map(|r| {
                let best = p.class(r);
                (f64::from(p.scores.row(r)[best]), best == truth[r] as usize)
            })
            .collect(),
        Targets::Labels(truth) => (p.scores.data.iter().zip(truth).enumerate())
            .filter_map(|(cell, (&s, t))| {
                let flag = p.flag(cell % p.scores.cols, s);
                let confidence = if flag { s } else { 1.0 - s };
                t.map(|t| (f64::from(confidence), t == flag))
            })
            .collect(),
        Targets::Value(_) | Targets::Vectors(_) => Vec::new(),
    };
    let mut sums = vec![(0.0, 0.0, 0_u64); bins];
    for (confidence, right) in answers.into_iter().filter(|a| a.0.is_finite()) {
        if let Some(bin) = sums.get_mut(bin_of(confidence, bins)) {
            bin.0 += confidence;
            bin.1 += f64::from(right);
            bin.2 += 1;
        }
    }
    let full = sums.into_iter().filter(|b| b.2 > 0);
    full.map(|(confidence, right, n)| (confidence / n as f64, right / n as f64, n))
        .collect()
}
