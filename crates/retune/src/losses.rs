//! Losses. Each returns the sum over the batch and what to divide by, so that accumulating over
//! micro-batches equals one large batch.

mod objective;

use burn::tensor::Tensor;
use retune_data::Target;

use crate::ops::lengths::upload;
pub use objective::{ClassWeights, LossRecipe, Objective};

/// A loss that carries its weight: the mean is `sum / weight`, divided once per optimiser step.
#[derive(Debug, Clone)]
pub struct Loss {
    /// Sum over rows, `[1]`.
    pub sum: Tensor<1>,
    /// Number of terms in the sum, weighted.
    pub weight: f64,
}

/// Cross-entropy of logits `[rows, classes]`: `-log softmax(logits)[class]`, times the row's weight.
pub fn cross_entropy(logits: Tensor<2>, targets: &[Target], weights: &[f32]) -> Loss {
    Objective::plain().cross_entropy(logits, targets, weights)
}

/// Class and weight of each row, `[rows]` each; a row without a class counts for nothing.
fn classes(targets: &[Target], weights: &[f32]) -> (Vec<u32>, Vec<f32>) {
    let each = targets.iter().zip(weights);
    each.map(|(target, weight)| match target {
        Target::Class(class) => (*class, *weight),
        _ => (0, 0.0),
    })
    .unzip()
}

/// Weight of each flag, 0 where it is not known, and the flag as 0 or 1: `[rows * labels]` each.
fn flags(targets: &[Target], weights: &[f32], [rows, labels]: [usize; 2]) -> (Vec<f32>, Vec<f32>) {
    let (mut known, mut wanted) = (vec![0f32; rows * labels], vec![0f32; rows * labels]);
    for (row, target) in targets.iter().enumerate() {
        let Target::Labels(flags) = target else {
            continue;
        };
        for (label, flag) in flags.iter().enumerate() {
            if let Some(flag) = flag {
                known[row * labels + label] = weights[row];
                wanted[row * labels + label] = f32::from(u8::from(*flag));
            }
        }
    }
    (known, wanted)
}

fn total(weights: &[f32]) -> f64 {
    weights.iter().map(|w| f64::from(*w)).sum()
}

/// Binary cross-entropy on logits `[rows, labels]`, over the labels that are known:
/// `max(z, 0) - z y + log(1 + exp(-|z|))`.
pub fn binary_cross_entropy(logits: Tensor<2>, targets: &[Target], weights: &[f32]) -> Loss {
    let [rows, labels] = logits.dims();
    let (known, wanted) = flags(targets, weights, [rows, labels]);
    let weight = total(&known);
    let device = logits.device();
    let (known, wanted) = (
        upload(known, [rows, labels], &device),
        upload(wanted, [rows, labels], &device),
    );
    let soft = (-logits.clone().abs()).exp().log1p();
    let each = logits.clone().clamp_min(0.0) - logits * wanted + soft; // [rows, labels]
    Loss {
        sum: (each * known).sum(),
        weight,
    }
}

/// Squared error of outputs `[rows, 1]`, in units of `std`: `((y - target) / std)²`.
pub fn squared_error(outputs: Tensor<2>, targets: &[Target], weights: &[f32], std: f64) -> Loss {
    let [rows, _] = outputs.dims();
    let (mut wanted, mut known) = (vec![0f32; rows], vec![0f32; rows]);
    for (row, target) in targets.iter().enumerate() {
        if let Target::Value(value) = target {
            (wanted[row], known[row]) = (*value, weights[row]);
        }
    }
    let weight = total(&known);
    let device = outputs.device();
    let wanted = upload(wanted, [rows, 1], &device);
    let error = (outputs - wanted) * (1.0 / std); // [rows, 1]
    let known = upload(known, [rows, 1], &device);
    Loss {
        sum: (error.clone() * error * known).sum(),
        weight,
    }
}
