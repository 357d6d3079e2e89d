//! Metrics of numbers, in the user's units.

use super::sample::{Facts, Ranking, Sample, ValueFacts, weighted_mean};
use crate::predictions::{Matrix, Predictions, Targets};

pub(super) fn rmse(s: &Sample) -> f64 {
    squared_error(s).sqrt()
}

pub(super) fn mae(s: &Sample) -> f64 {
    let Some(f) = facts(s) else { return f64::NAN };
    let errors: Vec<f64> = f
        .truth
        .iter()
        .zip(&f.predicted)
        .map(|(t, p)| (t - p).abs())
        .collect();
    weighted_mean(&errors, &s.weights)
}

/// `1 - Σ (t - p)² / Σ (t - mean t)²`; undefined when all true values are equal.
pub(super) fn r2(s: &Sample) -> f64 {
    let Some(f) = facts(s) else { return f64::NAN };
    if constant(&f.truth, &s.weights) {
        return f64::NAN;
    }
    let mean = weighted_mean(&f.truth, &s.weights);
    let around: Vec<f64> = f.truth.iter().map(|t| (t - mean).powi(2)).collect();
    1.0 - squared_error(s) / weighted_mean(&around, &s.weights)
}

pub(super) fn pearson(s: &Sample) -> f64 {
    let Some(f) = facts(s) else { return f64::NAN };
    correlation(&f.truth, &f.predicted, &s.weights)
}

/// Pearson's correlation of the ranks, ties at their mean rank.
pub(super) fn spearman(s: &Sample) -> f64 {
    let Some(f) = facts(s) else { return f64::NAN };
    correlation(
        &ranks(&f.truth_order, &s.weights),
        &ranks(&f.predicted_order, &s.weights),
        &s.weights,
    )
}

/// Spearman's correlation of two rows of numbers, -1 to 1; not a number where either is constant.
///
/// # Panics
/// When the two differ in length.
pub fn rank_correlation(a: &[f32], b: &[f32]) -> f64 {
    let p = Predictions {
        scores: Matrix {
            rows: b.len(),
            cols: 1,
            data: b.to_vec(),
        },
        targets: Targets::Value(a.to_vec()),
        slices: Vec::new(),
        ids: Vec::new(),
        decision: None,
    };
    spearman(&Sample::new(&p))
}

fn facts(s: &Sample) -> Option<&ValueFacts> {
    match &*s.facts {
        Facts::Value(f) => Some(f),
        Facts::Classes(_) | Facts::Labels(_) | Facts::Vectors(_) => None,
    }
}

fn squared_error(s: &Sample) -> f64 {
    let Some(f) = facts(s) else { return f64::NAN };
    let errors: Vec<f64> = f
        .truth
        .iter()
        .zip(&f.predicted)
        .map(|(t, p)| (t - p).powi(2))
        .collect();
    weighted_mean(&errors, &s.weights)
}

fn correlation(a: &[f64], b: &[f64], weights: &[u32]) -> f64 {
    // Rounding would leave a tiny spread in equal values, and a correlation made of rounding errors.
    if constant(a, weights) || constant(b, weights) {
        return f64::NAN;
    }
    let (mean_a, mean_b) = (weighted_mean(a, weights), weighted_mean(b, weights));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for ((&a, &b), &w) in a.iter().zip(b).zip(weights) {
        let (a, b, w) = (a - mean_a, b - mean_b, f64::from(w));
        ab += w * a * b;
        aa += w * a * a;
        bb += w * b * b;
    }
    (ab / (aa.sqrt() * bb.sqrt())).clamp(-1.0, 1.0)
}

fn constant(values: &[f64], weights: &[u32]) -> bool {
    let mut weighed = values
        .iter()
        .zip(weights)
        .filter(|(_, w)| **w > 0)
        .map(|(v, _)| v);
    let first = weighed.next();
    weighed.all(|v| Some(v) == first)
}

/// Mean rank of each row among the weighted rows: `[rows]`.
fn ranks(order: &Ranking, weights: &[u32]) -> Vec<f64> {
    let mut ranks = vec![0.0; weights.len()];
    let (mut before, mut start) = (0_u64, 0);
    for (i, rank) in order.0.iter().enumerate() {
        if !rank.last_of_tie {
            continue;
        }
        let tied = &order.0[start..=i];
        let size: u64 = tied
            .iter()
            .map(|r| u64::from(weights[r.row as usize]))
            .sum();
        for r in tied {
            ranks[r.row as usize] = before as f64 + f64::midpoint(size as f64, 1.0);
        }
        before += size;
        start = i + 1;
    }
    ranks
}
