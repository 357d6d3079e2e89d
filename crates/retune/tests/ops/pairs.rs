//! Sums and products of two activations against their twins, in formats of which each may be another.

use burn::tensor::Tensor;
use proptest::prelude::*;
use proptest::sample::select;
use retune::ops;

use super::case::{Input, PRECISIONS, check};

type Pair = fn(Tensor<2>, Tensor<2>) -> Tensor<2>;

const PAIRS: [(&str, Pair); 3] = [
    ("sum", ops::sum),
    ("sum_relu", ops::sum_relu),
    ("product", ops::product),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn pairs_equal_their_twins(rows in select(vec![1usize, 7, 53]), width in select(vec![1usize, 32, 100]), precision in select(PRECISIONS.to_vec()), trains in 1u32..4, salt in 0u64..1000) {
        let mut inputs = [Input::new("a", [rows, width], salt), Input::new("b", [rows, width], salt + 1)];
        for (i, input) in inputs.iter_mut().enumerate() {
            *input = input.clone().within(precision);
            input.trains = trains >> i & 1 == 1;
        }
        for (name, pair) in PAIRS {
            for mixed in [false, true] {
                check(&inputs, precision, &|t, format| {
                    let b = if mixed { t[1].clone() } else { t[1].clone().cast(format) };
                    let result = pair(t[0].clone().cast(format), b);
                    assert_eq!(result.dtype(), format, "{name}");
                    result
                });
            }
        }
    }
}
