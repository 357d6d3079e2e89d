//! A linear model on sparse features: `z = x W + b`, fitted with an L2 penalty on `W`, as scikit-learn's
//! `LogisticRegression(C=c)` and `Ridge(alpha=1/c)` fit it:
//!
//! `mean over rows of loss(z, target) + |W|² / (2 c rows)`

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::lbfgs::minimise;
use super::sparse::Sparse;

/// How far outputs are from a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// One output; the target is 0 or 1.
    Logistic,
    /// One output per class; the target is the index of a class.
    Softmax,
    /// One output; the target is a number. Half of the squared difference.
    Squared,
}

impl Loss {
    /// The loss of one row; its outputs are replaced by the derivative with respect to them.
    fn derive(self, z: &mut [f64], target: f64) -> f64 {
        match self {
            Loss::Logistic => {
                let loss = z[0].max(0.0) + (-z[0].abs()).exp().ln_1p() - target * z[0];
                z[0] = sigmoid(z[0]) - target;
                loss
            }
            Loss::Softmax => {
                let right = target as usize;
                softmax(z);
                let loss = -z[right].ln();
                z[right] -= 1.0;
                loss
            }
            Loss::Squared => {
                z[0] -= target;
                z[0] * z[0] / 2.0
            }
        }
    }
}

/// The logistic function.
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Replaces outputs by probabilities.
pub fn softmax(z: &mut [f64]) {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for v in z.iter_mut() {
        *v = (*v - top).exp();
    }
    let sum: f64 = z.iter().sum();
    for v in z {
        *v /= sum;
    }
}

/// What a linear model is fitted to.
pub struct Problem<'a> {
    /// Features, `[rows, features]`.
    pub x: &'a Sparse,
    /// The same, `[features, rows]`.
    pub transposed: &'a Sparse,
    /// One target per row; a row without one plays no part.
    pub targets: &'a [Option<f64>],
    /// The loss.
    pub loss: Loss,
    /// Number of outputs.
    pub outputs: usize,
}

/// A fitted linear model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    outputs: usize,
    /// `[features + 1, outputs]`: the last row holds the biases, which carry no penalty.
    weights: Vec<f64>,
}

impl Linear {
    /// The model with the smallest penalised loss; the larger `c`, the weaker the penalty.
    pub fn fit(problem: &Problem, c: f64) -> Self {
        let start = vec![0.0; (problem.x.cols + 1) * problem.outputs];
        let f = |weights: &[f64], gradient: &mut [f64]| problem.at(weights, c, gradient);
        Self {
            outputs: problem.outputs,
            weights: minimise(&f, start),
        }
    }

    /// How much a unit of a column adds to an output.
    pub fn weight(&self, column: usize, output: usize) -> f64 {
        self.weights[column * self.outputs + output]
    }

    /// Number of outputs.
    pub fn width(&self) -> usize {
        self.outputs
    }

    /// The outputs of every row, `[rows, outputs]`.
    pub fn outputs(&self, x: &Sparse) -> Vec<f64> {
        outputs(x, &self.weights, self.outputs)
    }
}

fn outputs(x: &Sparse, weights: &[f64], outputs: usize) -> Vec<f64> {
    let (weights, biases) = weights.split_at(x.cols * outputs);
    let mut z = vec![0.0; x.rows() * outputs];
    z.par_chunks_mut(outputs).enumerate().for_each(|(row, z)| {
        z.copy_from_slice(biases);
        for (col, value) in x.row(row) {
            let weights = &weights[*col as usize * outputs..][..outputs];
            add(z, f64::from(*value), weights);
        }
    });
    z
}

fn add(sum: &mut [f64], factor: f64, values: &[f64]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

impl Problem<'_> {
    /// Penalised loss and its gradient at `weights`. Every sum has its own thread and a fixed order, so that the
    /// number of threads changes nothing.
    fn at(&self, weights: &[f64], c: f64, gradient: &mut [f64]) -> f64 {
        let k = self.outputs;
        let rows = self.targets.iter().flatten().count().max(1) as f64;
        let mut z = outputs(self.x, weights, k);
        let losses: Vec<f64> = z
            .par_chunks_mut(k)
            .zip(self.targets)
            .map(|(z, target)| {
                let Some(target) = target else {
                    z.fill(0.0);
                    return 0.0;
                };
                self.loss.derive(z, *target)
            })
            .collect();
        let residuals = z; // [rows, outputs]
        let (weights, _) = weights.split_at(self.x.cols * k);
        let (inner, biases) = gradient.split_at_mut(weights.len());
        inner
            .par_chunks_mut(k)
            .zip(weights.par_chunks(k))
            .enumerate()
            .for_each(|(col, (gradient, weights))| {
                gradient.fill(0.0);
                add(gradient, 1.0 / (c * rows), weights);
                for (row, value) in self.transposed.row(col) {
                    let residuals = &residuals[*row as usize * k..][..k];
                    add(gradient, f64::from(*value) / rows, residuals);
                }
            });
        biases.fill(0.0);
        for residuals in residuals.chunks(k) {
            add(biases, 1.0 / rows, residuals);
        }
        let penalty = weights.iter().map(|w| w * w).sum::<f64>() / (2.0 * c);
        (losses.iter().sum::<f64>() + penalty) / rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The derivative of each loss against the difference of two values.
    #[test]
    fn derivatives_are_those_of_the_losses() {
        let cases = [
            (Loss::Logistic, vec![0.7], 1.0),
            (Loss::Logistic, vec![-30.0], 0.0),
            (Loss::Softmax, vec![0.3, -1.0, 2.0], 1.0),
            (Loss::Squared, vec![0.3], -2.0),
        ];
        for (loss, z, target) in cases {
            let mut slope = z.clone();
            loss.derive(&mut slope, target);
            for at in 0..z.len() {
                let value = |step: f64| {
                    let mut moved = z.clone();
                    moved[at] += step;
                    loss.derive(&mut moved, target)
                };
                let measured = (value(1e-5) - value(-1e-5)) / 2e-5;
                assert!((measured - slope[at]).abs() < 1e-8, "{loss:?} {at}");
            }
        }
    }
}
