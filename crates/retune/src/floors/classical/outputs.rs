//! From the labels of a task to linear models and back to its scores.
//!
//! Classes: softmax, or one logistic output where the training rows have two of them. Several labels: one logistic
//! model each, over the rows where the label is known. A number: ridge regression on the standardised label.

use retune_data::Target;
use retune_data::processor::Labels;
use retune_eval::Matrix;
use serde::{Deserialize, Serialize};

use super::linear::{Linear, Loss, Problem, sigmoid, softmax};
use super::sparse::Sparse;

/// Training rows as features.
pub struct Training<'a> {
    x: &'a Sparse,
    transposed: Sparse,
    targets: &'a [Target],
    labels: &'a Labels,
}

/// What answers for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outputs {
    /// Classes.
    Classes {
        /// Number of classes of the task.
        classes: usize,
        /// Those that the training rows have; the others get probability 0.
        present: Vec<u32>,
        /// `None` where there is nothing to tell apart.
        linear: Option<Linear>,
    },
    /// One answer per label.
    Labels(Vec<Flag>),
    /// A number, as `z * std + mean`.
    Value {
        /// On the standardised label.
        linear: Linear,
        /// Mean of the training rows.
        mean: f64,
        /// Standard deviation of the training rows.
        std: f64,
    },
}

/// The answer for one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Flag {
    /// A logistic model.
    Fitted(Linear),
    /// The share of known training rows with the label, where all or none have it.
    Constant(f64),
}

impl<'a> Training<'a> {
    /// Training rows `x`, `[rows, features]`, with their targets.
    pub fn new(x: &'a Sparse, targets: &'a [Target], labels: &'a Labels) -> Self {
        Self {
            x,
            transposed: x.transposed(),
            targets,
            labels,
        }
    }

    /// Fits everything the task needs; the larger `c`, the weaker the penalty.
    pub fn fit(&self, c: f64) -> Outputs {
        match self.labels {
            Labels::Classes { names } => self.classes(names.len(), c),
            Labels::MultiLabel { names } => {
                Outputs::Labels((0..names.len()).map(|label| self.flag(label, c)).collect())
            }
            &Labels::Number { mean, std } => {
                let targets = self.targets.iter().map(|target| match target {
                    Target::Value(value) => Some((f64::from(*value) - mean) / std),
                    _ => None,
                });
                let linear = self.linear(Loss::Squared, 1, &targets.collect::<Vec<_>>(), c);
                Outputs::Value { linear, mean, std }
            }
        }
    }

    fn classes(&self, classes: usize, c: f64) -> Outputs {
        let class = |target: &Target| match target {
            Target::Class(class) => Some(*class),
            _ => None,
        };
        let mut present: Vec<u32> = self.targets.iter().filter_map(class).collect();
        present.sort_unstable();
        present.dedup();
        let (loss, outputs) = match present.len() {
            2 => (Loss::Logistic, 1),
            n => (Loss::Softmax, n),
        };
        let place = |class: u32| present.binary_search(&class).ok().map(|at| at as f64);
        let targets = self.targets.iter().map(|t| class(t).and_then(place));
        let targets: Vec<Option<f64>> = targets.collect();
        let linear = (present.len() > 1).then(|| self.linear(loss, outputs, &targets, c));
        Outputs::Classes {
            classes,
            present,
            linear,
        }
    }

    fn flag(&self, label: usize, c: f64) -> Flag {
        let known = |target: &Target| match target {
            Target::Labels(flags) => flags[label].map(f64::from),
            _ => None,
        };
        let targets: Vec<Option<f64>> = self.targets.iter().map(known).collect();
        let rows = targets.iter().flatten().count().max(1) as f64;
        let share = targets.iter().flatten().sum::<f64>() / rows;
        if share > 0.0 && share < 1.0 {
            Flag::Fitted(self.linear(Loss::Logistic, 1, &targets, c))
        } else {
            Flag::Constant(share)
        }
    }

    fn linear(&self, loss: Loss, outputs: usize, targets: &[Option<f64>], c: f64) -> Linear {
        let problem = Problem {
            x: self.x,
            transposed: &self.transposed,
            targets,
            loss,
            outputs,
        };
        Linear::fit(&problem, c)
    }
}

impl Outputs {
    /// Probabilities or values of rows `x`: `[rows, classes | labels | 1]`.
    pub fn scores(&self, x: &Sparse) -> Matrix {
        let rows = x.rows();
        let (cols, data) = match self {
            Outputs::Classes {
                classes,
                present,
                linear,
            } => (
                *classes,
                class_scores(x, *classes, present, linear.as_ref()),
            ),
            Outputs::Labels(flags) => (flags.len(), flag_scores(x, flags)),
            Outputs::Value { linear, mean, std } => {
                let value = |z: &f64| (z * std + mean) as f32;
                (1, linear.outputs(x).iter().map(value).collect())
            }
        };
        Matrix { rows, cols, data }
    }
}

fn class_scores(x: &Sparse, classes: usize, present: &[u32], linear: Option<&Linear>) -> Vec<f32> {
    let mut data = vec![0.0; x.rows() * classes];
    let mut z = linear.map_or_else(Vec::new, |linear| linear.outputs(x));
    for (row, scores) in data.chunks_mut(classes).enumerate() {
        let probabilities = match present.len() {
            0 | 1 => vec![1.0],
            2 => vec![1.0 - sigmoid(z[row]), sigmoid(z[row])],
            n => {
                let z = &mut z[row * n..][..n];
                softmax(z);
                z.to_vec()
            }
        };
        for (class, p) in present.iter().zip(probabilities) {
            scores[*class as usize] = p as f32;
        }
    }
    data
}

fn flag_scores(x: &Sparse, flags: &[Flag]) -> Vec<f32> {
    let mut data = vec![0.0; x.rows() * flags.len()];
    for (label, flag) in flags.iter().enumerate() {
        let z = match flag {
            Flag::Fitted(linear) => linear.outputs(x).into_iter().map(sigmoid).collect(),
            Flag::Constant(share) => vec![*share; x.rows()],
        };
        for (scores, p) in data.chunks_mut(flags.len()).zip(z) {
            scores[label] = p as f32;
        }
    }
    data
}
