//! Metrics of classes and labels: from counts of hits, and from the order of the scores.
//!
//! Per class `precision = hit / predicted`, `recall = hit / truth`, `F1 = 2 hit / (predicted + truth)`; a share of
//! nothing is 0, as in scikit-learn. Averages over classes take the classes that occur or are predicted.

use super::Kind;
use super::sample::{Counts, Sample, mean};

pub(super) fn accuracy(s: &Sample) -> f64 {
    let c = s.counts();
    c.right as f64 / c.rows as f64
}

pub(super) fn f1_macro(s: &Sample) -> f64 {
    macro_average(s.counts(), f1)
}

pub(super) fn precision_macro(s: &Sample) -> f64 {
    macro_average(s.counts(), precision)
}

pub(super) fn recall_macro(s: &Sample) -> f64 {
    macro_average(s.counts(), recall)
}

pub(super) fn f1_micro(s: &Sample) -> f64 {
    let c = s.counts();
    let sum = |v: &[u64]| v.iter().sum::<u64>();
    if c.rows == 0 {
        f64::NAN
    } else {
        share(2 * sum(&c.hit), sum(&c.predicted) + sum(&c.truth))
    }
}

pub(super) fn f1_weighted(s: &Sample) -> f64 {
    let c = s.counts();
    let support = c.truth.iter().sum::<u64>();
    match (c.rows, support) {
        (0, _) => f64::NAN,
        (_, 0) => 0.0,
        _ => {
            (0..c.hit.len())
                .map(|k| c.truth[k] as f64 * f1(c, k))
                .sum::<f64>()
                / support as f64
        }
    }
}

/// `(c s - Σ p t) / sqrt((s² - Σ p²) (s² - Σ t²))` with `c` right rows of `s`, and `p`, `t` the predicted and true
/// counts of each class (Gorodkin 2004); 0 when either side names one class only.
pub(super) fn mcc(s: &Sample) -> f64 {
    if s.kind() != Kind::Classes {
        return f64::NAN;
    }
    let c = s.counts();
    let dot = |a: &[u64], b: &[u64]| {
        a.iter()
            .zip(b)
            .map(|(&x, &y)| x as f64 * y as f64)
            .sum::<f64>()
    };
    let rows = c.rows as f64;
    let spread = |v: &[u64]| rows * rows - dot(v, v);
    let scale = (spread(&c.predicted) * spread(&c.truth)).sqrt();
    match c.rows {
        0 => f64::NAN,
        _ if scale == 0.0 => 0.0,
        _ => (c.right as f64 * rows - dot(&c.predicted, &c.truth)) / scale,
    }
}

pub(super) fn auroc(s: &Sample) -> f64 {
    s.ranked().auroc
}

pub(super) fn average_precision(s: &Sample) -> f64 {
    s.ranked().average_precision
}

pub(super) fn precision(c: &Counts, k: usize) -> f64 {
    share(c.hit[k], c.predicted[k])
}

pub(super) fn recall(c: &Counts, k: usize) -> f64 {
    share(c.hit[k], c.truth[k])
}

pub(super) fn f1(c: &Counts, k: usize) -> f64 {
    share(2 * c.hit[k], c.predicted[k] + c.truth[k])
}

fn macro_average(c: &Counts, of: fn(&Counts, usize) -> f64) -> f64 {
    mean((0..c.hit.len()).filter(|&k| c.counted[k]).map(|k| of(c, k)))
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
