//! The one seam between models and arithmetic: every hot operation of every family goes through here.
//!
//! [`reference`] holds plain-Burn twins that run on any Burn device; they are the fallback and the
//! oracle. [`cpu`] holds what runs over plain slices on the CPU. Models call this module only, so a
//! faster kernel changes no family.

mod cpu;
pub mod lengths;
pub mod reference;

use std::sync::Arc;

use burn::tensor::{Int, Tensor, activation};
use retune_kernels::dropout::{Stream, mask};
pub use retune_kernels::optimizer::AdamW;

pub use lengths::Lengths;

/// What follows the affine map of [`linear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `x * 0.5 * (1 + erf(x / sqrt 2))` (Hendrycks & Gimpel, arXiv:1606.08415).
    Gelu,
    /// The tanh form of GELU.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `tanh(x)`.
    Tanh,
}

/// `activation(x Wᵀ + b)`: x `[rows, in]`, weight `[out, in]`, bias `[out]`; result `[rows, out]`.
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<2> {
    reference::linear(x, weight, bias, activation)
}

/// `LayerNorm(x + residual)` over the last axis: x, residual `[rows, width]`, gamma, beta `[width]`.
pub fn add_norm(
    x: Tensor<2>,
    residual: Option<Tensor<2>>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
) -> Tensor<2> {
    reference::add_norm(x, residual, gamma, beta, eps)
}

/// Queries, keys and values of packed sequences, each `[tokens, width]`.
pub struct Qkv {
    /// Queries.
    pub query: Tensor<2>,
    /// Keys.
    pub key: Tensor<2>,
    /// Values.
    pub value: Tensor<2>,
}

/// Bidirectional scaled dot-product attention within each sequence (Vaswani et al.,
/// arXiv:1706.03762); result `[tokens, width]`. `dropout` acts on the attention probabilities.
pub fn attention(qkv: Qkv, lengths: &Lengths, heads: usize, dropout: &Dropout) -> Tensor<2> {
    reference::attention(qkv, lengths, heads, dropout)
}

/// Rows of `weight` `[vocabulary, width]` at `ids` `[tokens]`; result `[tokens, width]`.
pub fn embedding(weight: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    weight.select(0, ids)
}

/// Mean of the rows of each segment: x `[rows, width]`, result `[segments, width]`.
pub fn segment_mean(x: Tensor<2>, segments: &Lengths) -> Tensor<2> {
    reference::segment_mean(x, segments)
}

/// First row of each segment: x `[rows, width]`, result `[segments, width]`.
pub fn segment_first(x: Tensor<2>, segments: &Lengths) -> Tensor<2> {
    let firsts = segments.first_rows(&x.device());
    x.select(0, firsts) // [segments, width]
}

/// Dropout of one pass: which random numbers, how often, and for which sequences.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// Probability of a zero; 0 turns dropout off.
    pub p: f64,
    /// The stream of the pass and layer.
    pub stream: Stream,
    /// Key of each sequence.
    pub keys: Arc<Vec<u64>>,
}

impl Dropout {
    fn off(&self) -> bool {
        self.p <= 0.0
    }
}

/// Dropout on packed tokens `[tokens, width]` (Srivastava et al., JMLR 2014), scaled by `1 / (1 - p)`.
pub fn dropout(x: Tensor<2>, lengths: &Lengths, dropout: &Dropout) -> Tensor<2> {
    if dropout.off() {
        return x;
    }
    let [tokens, width] = x.dims();
    let places = lengths.places();
    let keys = &dropout.keys;
    let values = mask(tokens, width, dropout.p, dropout.stream, |i| {
        let (sequence, place) = places[i];
        (keys[sequence as usize], u64::from(place))
    });
    let device = x.device();
    x * lengths::upload(values, [tokens, width], &device)
}

/// Dropout on one row per sequence `[sequences, width]`.
pub fn dropout_rows(x: Tensor<2>, dropout: &Dropout) -> Tensor<2> {
    if dropout.off() {
        return x;
    }
    let [rows, width] = x.dims();
    let keys = &dropout.keys;
    let values = mask(rows, width, dropout.p, dropout.stream, |i| (keys[i], 0));
    let device = x.device();
    x * lengths::upload(values, [rows, width], &device)
}

/// Log-probabilities over the last axis of logits `[rows, classes]`.
pub fn log_softmax(logits: Tensor<2>) -> Tensor<2> {
    activation::log_softmax(logits, 1)
}

/// Sum of squares of all values, in fixed blocks: the same for any number of threads.
pub fn sum_of_squares(x: Tensor<1>) -> f64 {
    cpu::sum_of_squares(x.clone()).unwrap_or_else(|| reference::sum_of_squares(x))
}

/// A parameter's value with its two AdamW moments, flat.
#[derive(Debug, Clone)]
pub struct Moments {
    /// First moment.
    pub first: Tensor<1>,
    /// Second moment.
    pub second: Tensor<1>,
}

/// One AdamW step on a flat parameter; returns the new value and updates the moments.
pub fn adamw(
    value: Tensor<1>,
    grad: Tensor<1>,
    moments: Option<Moments>,
    c: &AdamW,
) -> (Tensor<1>, Moments) {
    let moments = moments.unwrap_or_else(|| Moments {
        first: Tensor::zeros(value.dims(), &value.device()),
        second: Tensor::zeros(value.dims(), &value.device()),
    });
    match cpu::adamw(value, grad, moments, c) {
        Ok(done) => done,
        Err(given) => {
            let (value, grad, moments) = *given;
            reference::adamw(value, grad, moments, c)
        }
    }
}
