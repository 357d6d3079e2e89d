//! Plain-Burn twins of the hot operations: any device, gradients by autodiff.

use burn::tensor::{Tensor, activation, module};

use super::{Activation, AdamW, Dropout, Lengths, Moments, Qkv, lengths::upload};
use retune_kernels::dropout::mask;

/// Elements per block of a fixed-order sum: below the size from which Burn's CPU sum is split by
/// thread count.
const BLOCK: usize = 1 << 20;

/// See [`super::linear`].
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<2> {
    let y = x.matmul(weight.transpose()); // [rows, out]
    let y = match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    };
    match activation {
        Activation::None => y,
        Activation::Gelu => activation::gelu(y),
        Activation::GeluTanh => activation::gelu_approximate(y),
        Activation::Relu => activation::relu(y),
        Activation::Tanh => y.tanh(),
    }
}

/// See [`super::add_norm`].
pub fn add_norm(
    x: Tensor<2>,
    residual: Option<Tensor<2>>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
) -> Tensor<2> {
    let x = match residual {
        Some(residual) => x + residual,
        None => x,
    };
    module::layer_norm(x, gamma, Some(beta), eps)
}

/// See [`super::attention`]: gathers to `[sequences, heads, longest, size]` with a mask, and scatters back.
pub fn attention(qkv: Qkv, lengths: &Lengths, heads: usize, dropout: &Dropout) -> Tensor<2> {
    let [_, width] = qkv.query.dims();
    let size = width / heads;
    let device = qkv.query.device();
    let padded = lengths.padded(&device);
    let sequences = lengths.host().len();
    let longest = padded.longest;
    let split = |x: Tensor<2>| -> Tensor<4> {
        x.select(0, padded.gather.clone()) // [sequences * longest, width]
            .reshape([sequences, longest, heads, size])
            .swap_dims(1, 2) // [sequences, heads, longest, size]
    };
    let (q, k, v) = (split(qkv.query), split(qkv.key), split(qkv.value));
    let scale = 1.0 / (size as f64).sqrt();
    let scores = (q * scale).matmul(k.swap_dims(2, 3)); // [sequences, heads, longest, longest]
    let p = activation::softmax(scores + padded.mask.clone(), 3);
    let p = drop_probabilities(p, dropout);
    p.matmul(v) // [sequences, heads, longest, size]
        .swap_dims(1, 2)
        .reshape([sequences * longest, width])
        .select(0, padded.scatter.clone()) // [tokens, width]
}

fn drop_probabilities(p: Tensor<4>, dropout: &Dropout) -> Tensor<4> {
    if dropout.p <= 0.0 {
        return p;
    }
    let [sequences, heads, queries, keys] = p.dims();
    let per_sequence = heads * queries;
    let values = mask(
        sequences * per_sequence,
        keys,
        dropout.p,
        dropout.stream,
        |row| {
            let (sequence, rest) = (row / per_sequence, row % per_sequence);
            let (head, query) = (rest / queries, rest % queries);
            // The place must not depend on how long the batch's longest sequence is.
            let place = ((head as u64) << 32) | query as u64;
            (dropout.keys[sequence], place)
        },
    );
    let device = p.device();
    p * upload(values, [sequences, heads, queries, keys], &device)
}

/// See [`super::segment_mean`].
pub fn segment_mean(x: Tensor<2>, segments: &Lengths) -> Tensor<2> {
    let device = x.device();
    segments.averaging(&device).matmul(x) // [segments, width]
}

/// See [`super::sum_of_squares`].
#[expect(
    clippy::disallowed_methods,
    reason = "the norm is read once per step, by the training loop"
)]
pub fn sum_of_squares(x: Tensor<1>) -> f64 {
    let [n] = x.dims();
    (0..n)
        .step_by(BLOCK)
        .map(|start| {
            let block = x.clone().narrow(0, start, BLOCK.min(n - start));
            let sum: f32 = (block.clone() * block).sum().into_scalar();
            f64::from(sum)
        })
        .sum()
}

/// See [`super::adamw`].
pub fn adamw(
    value: Tensor<1>,
    grad: Tensor<1>,
    moments: Moments,
    c: &AdamW,
) -> (Tensor<1>, Moments) {
    let grad = grad * c.grad_scale;
    let first = moments.first * c.beta1 + grad.clone() * (1.0 - c.beta1);
    let second = moments.second * c.beta2 + grad.clone() * grad * (1.0 - c.beta2);
    let correction1 = 1.0 - c.beta1.powf(c.step as f64);
    let correction2 = (1.0 - c.beta2.powf(c.step as f64)).sqrt();
    let denominator = second.clone().sqrt() * (1.0 / correction2) + c.eps;
    let value =
        value * (1.0 - c.lr * c.weight_decay) - first.clone() * (c.lr / correction1) / denominator;
    (value, Moments { first, second })
}
