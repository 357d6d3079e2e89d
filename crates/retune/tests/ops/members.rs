//! What members of an ensemble have of their own, against its twin, and a shared layer with the scales on either side.

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Tensor};
use proptest::prelude::*;
use proptest::sample::select;
use retune::nn::Linear;
use retune::ops::{self, Activation, Precision};

use super::case::{Input, evaluate, same, vector};

/// Sums over rows may be small beside their terms.
fn tolerance(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::Bf16 => 1e-2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn scaled_weights_equal_their_twin(
        members in 1usize..5,
        out in select(vec![1usize, 7, 64]),
        input in select(vec![1usize, 33, 300]),
        trains in 1u32..4,
        salt in 0u64..1000,
    ) {
        let mut inputs = [
            Input::new("weight", [out, input], salt),
            Input::new("scales", [members, input], salt + 1),
        ];
        for (i, input) in inputs.iter_mut().enumerate() {
            input.trains = trains >> i & 1 == 1;
        }
        let run = || evaluate(&inputs, &|t| ops::scaled_for_members(t[0].clone(), t[1].clone()));
        let (got, want) = (run(), ops::with_twins(run));
        same(&got, &want, 1e-5);
    }

    #[test]
    fn member_outputs_equal_their_twin(
        rows in select(vec![1usize, 2, 31, 150]),
        members in 1usize..5,
        width in select(vec![1usize, 8, 100]),
        outputs in select(vec![1usize, 2, 5, 40]),
        precision in select(vec![Precision::F32, Precision::Bf16]),
        salt in 0u64..1000,
    ) {
        let size = 1.0 / (width as f32).sqrt();
        let inputs = [
            Input::new("x", [rows * members, width], salt).within(precision),
            Input::new("weight", [members * width, outputs], salt + 1).times(size),
            Input::new("bias", [members, outputs], salt + 2),
        ];
        let run = |format: DType| {
            evaluate(&inputs, &|t| {
                let weight = t[1].clone().reshape([members, width, outputs]);
                let bias = t[2].clone().reshape([members, 1, outputs]);
                ops::member_outputs(t[0].clone().cast(format), weight, bias)
            })
        };
        let format = if precision == Precision::F32 { DType::F32 } else { DType::BF16 };
        let (got, want) = (run(format), ops::with_twins(|| run(DType::F32)));
        prop_assert_eq!(got.format, DType::F32);
        same(&got, &want, tolerance(precision));
    }

    #[test]
    fn scales_on_rows_and_on_weights_are_the_same(
        rows in select(vec![1usize, 3, 4, 5, 40]),
        members in 1usize..4,
        precision in select(vec![Precision::F32, Precision::Bf16]),
        salt in 0u64..1000,
    ) {
        // From four rows on, half as many as outputs, the weight takes the scales.
        let (input, out) = (19, 8);
        let inputs = [
            Input::new("x", [rows, input], salt).within(precision),
            Input::new("weight", [out, input], salt + 1).times(0.3),
            Input::new("bias", [1, out], salt + 2),
            Input::new("scales", [members, input], salt + 3),
        ];
        // A threshold would turn differences of rounding into jumps of a gradient.
        let got = evaluate(&inputs, &|t| {
            let weight = Param::initialized(ParamId::new(), t[1].clone());
            let bias = Param::initialized(ParamId::new(), vector(&t[2]));
            let layer = Linear::new(weight, bias, precision);
            layer.forward_members(t[0].clone(), t[3].clone(), Activation::Tanh, true).cast(DType::F32)
        });
        let want = ops::with_twins(|| evaluate(&inputs, &|t| {
            let x: Tensor<3> = t[0].clone().reshape([rows, 1, input]) * t[3].clone().reshape([1, members, input]);
            let x = x.reshape([rows * members, input]);
            (x.matmul(t[1].clone().transpose()) + t[2].clone()).tanh()
        }));
        same(&got, &want, 3.0 * tolerance(precision));
    }
}
