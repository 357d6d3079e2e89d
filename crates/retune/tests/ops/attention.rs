//! Attention against its twin: bidirectional and causal, shared key heads, dropout, ragged sequences.

use burn::tensor::{DType, Tensor};
use proptest::prelude::*;
use proptest::sample::select;
use retune::ops::{self, Dropout, Heads, Lengths, Precision};

use super::case::{Input, alike, dropout, evaluate, same};

/// Asserts that kernels and twins agree on sequences of these lengths.
fn check(heads: Heads, lengths: &[u32], (p, precision): (f64, Precision), salt: u64) {
    let tokens = lengths.iter().sum::<u32>() as usize;
    let inputs = [Input::new("qkv", [tokens, heads.width()], salt).within(precision)];
    let rate = dropout(p, lengths.len(), salt);
    let format = match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
    };
    let run = |qkv: Tensor<2>, lengths: &[u32], rate: &Dropout| {
        ops::attention(qkv, &Lengths::new(lengths.to_vec()), heads, rate)
    };
    let got = evaluate(&inputs, &|t| run(t[0].clone().cast(format), lengths, &rate));
    assert_eq!(got.format, format);
    assert_eq!(got.out.len(), tokens * heads.out_width());
    if tokens == 0 {
        return;
    }
    let want = ops::with_twins(|| evaluate(&inputs, &|t| run(t[0].clone(), lengths, &rate)));
    let tolerance = if precision == Precision::F32 {
        2e-5
    } else {
        1.5e-2
    };
    same(&got, &want, tolerance);
    if precision == Precision::Bf16 {
        alike(&got, &want);
    }
}

fn heads() -> impl Strategy<Value = Heads> {
    let counts = select(vec![
        (1, 1),
        (2, 1),
        (2, 2),
        (3, 1),
        (3, 3),
        (4, 2),
        (6, 2),
        (12, 12),
    ]);
    let sizes = select(vec![8usize, 12, 16, 24, 32, 40, 48, 64]);
    (counts, sizes, any::<bool>()).prop_map(|((heads, kv_heads), size, causal)| Heads {
        heads,
        kv_heads,
        size,
        causal,
    })
}

fn lengths() -> impl Strategy<Value = Vec<u32>> {
    let length = prop_oneof![Just(0u32), Just(1), 2u32..20, 20u32..80];
    prop::collection::vec(length, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn f32_equals_its_twin(heads in heads(), lengths in lengths(), p in select(vec![0.0, 0.1, 0.5]), salt in 0u64..1000) {
        check(heads, &lengths, (p, Precision::F32), salt);
    }

    #[test]
    fn bf16_equals_its_twin(heads in heads(), lengths in lengths(), p in select(vec![0.0, 0.1, 0.5]), salt in 0u64..1000) {
        check(heads, &lengths, (p, Precision::Bf16), salt);
    }
}

/// Longer than every block of queries and of keys.
#[test]
fn long_sequences() {
    for causal in [false, true] {
        for precision in [Precision::F32, Precision::Bf16] {
            let heads = Heads {
                heads: 4,
                kv_heads: 2,
                size: 32,
                causal,
            };
            check(heads, &[331, 1, 0, 128], (0.1, precision), 5);
        }
    }
}
