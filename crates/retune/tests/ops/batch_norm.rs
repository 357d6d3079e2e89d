//! Batch norms by the statistics of their batch against their twin.

use std::cell::RefCell;

use burn::tensor::{DType, Tensor};
use proptest::prelude::*;
use proptest::sample::select;
use retune::ops::{self, Activation, BatchStatistics, Norm, Precision};

use super::case::{Input, evaluate, same_beside, vector};

fn close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (g, w) in got.iter().zip(want) {
        assert!(
            (g - w).abs() <= tolerance * w.abs().max(1.0),
            "{what}: {g} {w}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn equals_its_twin(
        rows in select(vec![2usize, 3, 7, 53, 211]),
        channels in select(vec![1usize, 8, 31, 64, 100]),
        activation in select(vec![Activation::None, Activation::Relu6, Activation::Silu]),
        precision in select(vec![Precision::F32, Precision::Bf16]),
        salt in 0u64..1000,
        trains in any::<u32>(),
    ) {
        let mut inputs = [
            Input::new("x", [rows, channels], salt).within(precision),
            Input::new("gamma", [1, channels], salt + 1),
            Input::new("beta", [1, channels], salt + 2),
        ];
        for (i, input) in inputs.iter_mut().enumerate() {
            input.trains = trains >> i & 1 == 1;
        }
        let format = match precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        let run = |format: DType| {
            let seen = RefCell::new(None);
            let found = evaluate(&inputs, &|t: &[Tensor<2>]| {
                let norm = Norm {
                    gamma: vector(&t[1]),
                    beta: vector(&t[2]),
                    eps: 1e-3,
                };
                let (y, statistics) = ops::batch_norm(t[0].clone().cast(format), norm, activation);
                *seen.borrow_mut() = Some(statistics);
                y
            });
            (found, seen.into_inner().unwrap())
        };
        let (got, seen): (_, BatchStatistics) = run(format);
        prop_assert_eq!(got.format, format);
        let (want, wanted) = ops::with_twins(|| run(DType::F32));
        let tolerance = if precision == Precision::F32 { 5e-5 } else { 3e-2 };
        // Gradients of x are differences of sums over all rows: by themselves they may be near 0.
        same_beside(&got, &want, (tolerance, 4.0));
        close("mean", &seen.mean, &wanted.mean, 1e-5);
        close("variance", &seen.variance, &wanted.variance, 1e-4);
    }
}
