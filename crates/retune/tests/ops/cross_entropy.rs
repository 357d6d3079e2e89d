//! Cross-entropy against its twin.

use std::sync::Arc;

use burn::tensor::Tensor;
use proptest::prelude::*;
use proptest::sample::select;
use retune::ops;
use retune_kernels::dropout::mix;

use super::case::{Input, draw, evaluate, same};

/// A class and a weight per row; every third weight is 0.
pub fn targets(rows: usize, classes: usize, salt: u64) -> (Arc<Vec<u32>>, Arc<Vec<f32>>) {
    let class = |row: usize| (mix(salt + row as u64) % classes as u64) as u32;
    let mut weights: Vec<f32> = draw(rows, salt + 1).iter().map(|w| w.abs()).collect();
    weights.iter_mut().step_by(3).for_each(|w| *w = 0.0);
    (Arc::new((0..rows).map(class).collect()), Arc::new(weights))
}

/// The loss as a matrix of one value.
pub fn loss(logits: &Tensor<2>, targets: &Arc<Vec<u32>>, weights: &Arc<Vec<f32>>) -> Tensor<2> {
    ops::cross_entropy(logits.clone(), targets, weights).reshape([1, 1])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn it_equals_its_twin(
        rows in select(vec![0usize, 1, 2, 7, 31, 211]),
        classes in select(vec![1usize, 2, 3, 33, 100, 2500]),
        spread in select(vec![1f32, 20.0]),
        salt in 0u64..1000,
    ) {
        let inputs = [Input::new("logits", [rows, classes], salt).times(spread)];
        let (targets, weights) = targets(rows, classes, salt);
        let run = || evaluate(&inputs, &|t| loss(&t[0], &targets, &weights));
        let (got, want) = (run(), ops::with_twins(run));
        // The twin takes exp(log p), whose error grows with the logits.
        same(&got, &want, 1e-5 * spread);
    }
}
