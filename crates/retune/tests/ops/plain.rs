//! The hot operations against plain loops in f64.

use burn::tensor::{Tensor, TensorData};
use proptest::prelude::*;
use retune::ops::{self, Activation, Affine, Compute, Heads, Lengths, Norm, Precision};
use retune::scoring;

use super::case::dropout;

fn matrix(values: &[f64], rows: usize, cols: usize) -> Tensor<2> {
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows, cols]), &scoring::cpu(false))
}

fn vector(values: &[f64]) -> Tensor<1> {
    matrix(values, 1, values.len()).reshape([values.len()])
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().unwrap()
}

fn draw(n: usize, salt: u64) -> Vec<f64> {
    (0..n as u64)
        .map(|i| {
            let bits = retune_kernels::dropout::mix(salt << 32 | i) >> 11;
            bits as f64 / (1u64 << 53) as f64 * 4.0 - 2.0
        })
        .collect()
}

fn near(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!(
            (f64::from(*g) - w).abs() <= tolerance * w.abs().max(1.0),
            "{g} and {w}"
        );
    }
}

/// Attention by its definition, sequence by sequence and head by head.
fn plain_attention(
    [q, k, v]: [&[f64]; 3],
    lengths: &[u32],
    heads: usize,
    width: usize,
) -> Vec<f64> {
    let size = width / heads;
    let mut out = vec![0.0; q.len()];
    let mut first = 0;
    for length in lengths.iter().map(|l| *l as usize) {
        for (head, i) in (0..heads).flat_map(|h| (0..length).map(move |i| (h, i))) {
            let at = |row: usize, j: usize| (first + row) * width + head * size + j;
            let dot = |j: usize| (0..size).map(|d| q[at(i, d)] * k[at(j, d)]).sum::<f64>();
            let scores: Vec<f64> = (0..length).map(|j| dot(j) / (size as f64).sqrt()).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            for d in 0..size {
                let weigh = |j: usize| (scores[j] - top).exp() / total * v[at(j, d)];
                out[at(i, d)] = (0..length).map(weigh).sum();
            }
        }
        first += length;
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn linear_equals_the_plain_loop(rows in 0usize..9, input in 1usize..20, output in 1usize..9, salt in 0u64..99) {
        let (x, w, b) = (draw(rows * input, salt), draw(output * input, salt + 1), draw(output, salt + 2));
        let want: Vec<f64> = (0..rows * output).map(|i| {
            let (r, o) = (i / output, i % output);
            let sum = (0..input).map(|j| x[r * input + j] * w[o * input + j]).sum::<f64>() + b[o];
            sum.max(0.0)
        }).collect();
        let part = Affine { weight: matrix(&w, output, input), bias: vector(&b), low_rank: None };
        let compute = Compute::new(Precision::F32);
        let got = ops::linear(matrix(&x, rows, input), &[part], None, Activation::Relu, &compute);
        near(&host(got), &want, 1e-5);
    }

    #[test]
    fn attention_equals_its_definition(lengths in prop::collection::vec(1u32..14, 1..6), heads in 1usize..4, half in 1usize..5, salt in 0u64..99) {
        let width = heads * half * 2;
        let tokens = lengths.iter().sum::<u32>() as usize;
        let [q, k, v] = [salt, salt + 1, salt + 2].map(|s| draw(tokens * width, s));
        let want = plain_attention([&q, &k, &v], &lengths, heads, width);
        let side_by_side = [&q, &k, &v].map(|x| matrix(x, tokens, width)).to_vec();
        let qkv = Tensor::cat(side_by_side, 1);
        let shape = Heads { heads, kv_heads: heads, size: half * 2, causal: false };
        let sequences = lengths.len();
        let got = ops::attention(qkv, &Lengths::new(lengths), shape, &dropout(0.0, sequences, 0));
        near(&host(got), &want, 1e-5);
    }

    #[test]
    fn add_norm_equals_the_plain_loop(rows in 1usize..7, width in 2usize..40, salt in 0u64..99) {
        let [x, r] = [salt, salt + 1].map(|s| draw(rows * width, s));
        let [g, b] = [salt + 2, salt + 3].map(|s| draw(width, s));
        let mut want = Vec::new();
        for row in 0..rows {
            let sum: Vec<f64> = (0..width).map(|j| x[row * width + j] + r[row * width + j]).collect();
            let mean = sum.iter().sum::<f64>() / width as f64;
            let variance = sum.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
            want.extend((0..width).map(|j| (sum[j] - mean) / (variance + 1e-5).sqrt() * g[j] + b[j]));
        }
        let norm = Norm { gamma: vector(&g), beta: vector(&b), eps: 1e-5 };
        let got = ops::add_norm(matrix(&x, rows, width), Some(matrix(&r, rows, width)), norm, None);
        near(&host(got), &want, 2e-4);
    }

    #[test]
    fn segments_are_averaged_and_their_first_rows_found(lengths in prop::collection::vec(1u32..6, 1..6), salt in 0u64..99) {
        let total = lengths.iter().sum::<u32>() as usize;
        let x = draw(total * 3, salt);
        let (mut mean, mut first, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for length in lengths.iter().map(|l| *l as usize) {
            first.extend_from_slice(&x[start * 3..start * 3 + 3]);
            let of = |from: usize| {
                let sum = |j| (start + from..start + length).map(|r| x[r * 3 + j]).sum::<f64>();
                [0, 1, 2].map(|j| sum(j) / (length - from).max(1) as f64)
            };
            mean.extend(of(0));
            rest.extend(of(1));
            start += length;
        }
        let segments = Lengths::new(lengths);
        near(&host(ops::segment_mean(matrix(&x, total, 3), &segments)), &mean, 1e-5);
        near(&host(ops::segment_mean_from(matrix(&x, total, 3), &segments, 1)), &rest, 1e-5);
        near(&host(ops::segment_first(matrix(&x, total, 3), &segments)), &first, 1e-6);
    }
}

#[test]
fn gelu_follows_the_error_function() {
    // scipy: x * 0.5 * (1 + erf(x / sqrt 2))
    let (x, want) = (
        [-3.0, -1.0, -0.1, 0.0, 0.5, 2.0],
        [
            -0.004_049_694,
            -0.158_655_25,
            -0.046_017_215,
            0.0,
            0.345_731_23,
            1.954_499_7,
        ],
    );
    let one = Affine {
        weight: matrix(&[1.0], 1, 1),
        bias: vector(&[0.0]),
        low_rank: None,
    };
    let compute = Compute::new(Precision::F32);
    let got = ops::linear(matrix(&x, 6, 1), &[one], None, Activation::Gelu, &compute);
    near(&host(got), &want, 3e-7);
}
