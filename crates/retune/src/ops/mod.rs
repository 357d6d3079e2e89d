//! The one seam between models and arithmetic: every hot operation of every family goes through here.
//!
//! [`reference`] holds plain-Burn twins that run on any Burn device; they are the fallback and the
//! oracle. [`cpu`] holds kernels with backward passes of their own, for tensors of the CPU back-end. Models
//! call this module only, so a faster kernel changes no family.

pub mod clock;
mod conv;
pub mod cpu;
mod folds;
pub mod lengths;
mod lens;
mod members;
mod pairs;
mod ranking;
pub mod reference;
mod rows;
mod statistics;

use std::cell::Cell;
use std::sync::Arc;

use burn::module::Param;
use burn::tensor::Tensor;
pub use retune_kernels::activation::Activation;
pub use retune_kernels::attention::Shape as Heads;
use retune_kernels::dropout::Stream;
use retune_kernels::isa::Isa;
pub use retune_kernels::optimizer::AdamW;
use serde::{Deserialize, Serialize};

pub use conv::{Convolution, Maps, batch_norm, convolution, max_pool};
pub use cpu::Panels;
pub use folds::{Folded, Folds};
pub use lengths::Lengths;
pub use lens::{Lens, Seen};
pub use members::{member_outputs, scaled_for_members};
pub use pairs::{product, sum, sum_relu};
pub use ranking::{Drawn, RankedRows, ranking_loss, sampled_ranking_loss};
pub use rows::{Gradient, RowSink};
pub use statistics::{BatchStatistics, StatisticsSink};

thread_local! {
    static TWINS_ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with the plain-Burn twins of every operation, as on a device without kernels.
pub fn with_twins<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            TWINS_ONLY.set(self.0);
        }
    }
    let _restore = Restore(TWINS_ONLY.replace(true));
    f()
}

/// Format of the operands of products and of what is kept for the backward pass. Weights, sums, norms and
/// the optimiser are f32 in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// bfloat16: the range of f32 with 8 bits of mantissa; twice the speed where the CPU multiplies it.
    Bf16,
}

impl Precision {
    /// bf16 where this CPU multiplies it, f32 elsewhere.
    pub fn best() -> Self {
        if Isa::current() >= Isa::Avx512Bf16 {
            Self::Bf16
        } else {
            Self::F32
        }
    }

    /// The name in recipes and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// How a layer's products are computed.
#[derive(Debug, Clone)]
pub struct Compute {
    /// Format of the operands.
    pub precision: Precision,
    /// Where packed weights are kept while they do not train.
    pub panels: Panels,
}

impl Compute {
    /// With nothing packed yet.
    pub fn new(precision: Precision) -> Self {
        Self {
            precision,
            panels: Panels::default(),
        }
    }
}

/// An affine map, part of [`linear`].
#[derive(Debug, Clone)]
pub struct Affine {
    /// `[out, in]`.
    pub weight: Tensor<2>,
    /// `[out]`.
    pub bias: Tensor<1>,
    /// A low-rank update beside the weight.
    pub low_rank: Option<LowRank>,
}

/// `scale * up down`, as if added to a weight (Hu et al., "LoRA", arXiv:2106.09685).
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[rank, in]`.
    pub down: Tensor<2>,
    /// `[out, rank]`.
    pub up: Tensor<2>,
    /// Factor of the product.
    pub scale: f64,
}

/// `activation(x Wᵀ + b)` for one to three affine maps of the same input, side by side: x `[rows, in]`,
/// result `[rows, out1 + out2 + …]`, in the format of `compute` on the CPU, f32 elsewhere. Low-rank updates read
/// `dropped` where it is given: x after a dropout of their own.
pub fn linear(
    x: Tensor<2>,
    parts: &[Affine],
    dropped: Option<Tensor<2>>,
    activation: Activation,
    compute: &Compute,
) -> Tensor<2> {
    // Panels of packed weights are up to 32 wide: parts of other widths do not lie side by side.
    let (last, before) = parts
        .split_last()
        .unwrap_or_else(|| unreachable!("no weights"));
    if before
        .iter()
        .any(|part| !part.weight.dims()[0].is_multiple_of(32))
    {
        let one = |part: &Affine| {
            let part = std::slice::from_ref(part);
            linear(x.clone(), part, dropped.clone(), activation, compute)
        };
        return Tensor::cat(before.iter().chain([last]).map(one).collect(), 1);
    }
    cpu::linear(&x, parts, dropped.as_ref(), activation, compute)
        .unwrap_or_else(|| reference::linear(&x, parts, dropped.as_ref(), activation))
}

/// Scale, shift and stabiliser of a norm.
#[derive(Debug, Clone)]
pub struct Norm {
    /// `[width]`.
    pub gamma: Tensor<1>,
    /// `[width]`.
    pub beta: Tensor<1>,
    /// Added to the variance.
    pub eps: f64,
}

/// `LayerNorm(dropout(x) + residual)` over the last axis (Ba, Kiros & Hinton, arXiv:1607.06450): x and
/// residual `[rows, width]`, result f32.
pub fn add_norm(
    x: Tensor<2>,
    residual: Option<Tensor<2>>,
    norm: Norm,
    dropout: Option<(&Lengths, &Dropout)>,
) -> Tensor<2> {
    cpu::add_norm(&x, residual.as_ref(), &norm, dropout)
        .unwrap_or_else(|| reference::add_norm(x, residual, norm, dropout))
}

/// Scaled dot-product attention within each sequence (Vaswani et al., arXiv:1706.03762): qkv `[tokens,
/// heads.width()]` holds queries, keys and values side by side, result `[tokens, heads.out_width()]`.
/// `dropout` acts on the attention probabilities.
pub fn attention(qkv: Tensor<2>, lengths: &Lengths, heads: Heads, dropout: &Dropout) -> Tensor<2> {
    cpu::attention(&qkv, lengths, heads, dropout)
        .unwrap_or_else(|| reference::attention(qkv, lengths, heads, dropout))
}

/// The tensor twice, for two readers that both lead to the loss, such as a layer and the residual sum around
/// it: their gradients are added quickly. A reader that does not lead to the loss makes the backward pass
/// panic, since the other waits for it.
pub fn fork(x: Tensor<2>) -> [Tensor<2>; 2] {
    cpu::fork(&x).unwrap_or_else(|| [x.clone(), x])
}

/// Rows of a table to look up.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// `[rows, width]`.
    pub table: &'a Param<Tensor<2>>,
    /// Row of each token, `[tokens]`.
    pub ids: &'a Arc<Vec<u32>>,
}

/// Sum over one to three tables of the row of each token; result `[tokens, width]`, f32.
///
/// On the CPU, gradients of tables go to `sink` (rows in use only), elsewhere into the gradient graph.
///
/// # Panics
/// When an id lies outside its table.
pub fn embedding(lookups: &[Lookup<'_>], sink: &RowSink) -> Tensor<2> {
    cpu::embedding(lookups, sink).unwrap_or_else(|| reference::embedding(lookups))
}

/// Mean of the rows of each segment: x `[rows, width]`, result `[segments, width]`.
pub fn segment_mean(x: Tensor<2>, segments: &Lengths) -> Tensor<2> {
    segment_mean_from(x, segments, 0)
}

/// The same without the first `front` rows of each segment: x `[rows, width]`, result `[segments, width]`.
pub fn segment_mean_from(x: Tensor<2>, segments: &Lengths, front: usize) -> Tensor<2> {
    reference::segment_mean_from(x, segments, front)
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
    /// Whether nothing is dropped.
    pub fn off(&self) -> bool {
        self.p <= 0.0
    }
}

/// Dropout on packed tokens `[tokens, width]` (Srivastava et al., JMLR 2014), scaled by `1 / (1 - p)`.
pub fn dropout(x: Tensor<2>, lengths: &Lengths, dropout: &Dropout) -> Tensor<2> {
    if dropout.off() {
        return x;
    }
    cpu::dropout(&x, lengths, dropout).unwrap_or_else(|| reference::dropout(x, lengths, dropout))
}

/// Dropout on one row per sequence `[sequences, width]`.
pub fn dropout_rows(x: Tensor<2>, rate: &Dropout) -> Tensor<2> {
    let sequences = x.dims()[0];
    dropout(x, &Lengths::new(vec![1; sequences]), rate)
}

/// Weighted sum over rows of `-log softmax(logits)[target]`: logits `[rows, classes]`, a class and a weight per
/// row; result `[1]`.
///
/// # Panics
/// When a target is no class.
pub fn cross_entropy(
    logits: Tensor<2>,
    targets: &Arc<Vec<u32>>,
    weights: &Arc<Vec<f32>>,
) -> Tensor<1> {
    cpu::cross_entropy(&logits, targets, weights)
        .unwrap_or_else(|| reference::cross_entropy(logits, targets, weights))
}

/// Sum of squares of all values, in fixed blocks: the same for any number of threads.
pub fn sum_of_squares(x: Tensor<1>) -> f64 {
    cpu::sum_of_squares(x.clone()).unwrap_or_else(|| reference::sum_of_squares(x))
}

/// `a + share (b - a)`, value by value.
pub fn lerp(a: Tensor<1>, b: Tensor<1>, share: f64) -> Tensor<1> {
    match cpu::lerp(a, &b, share) {
        Ok(done) => done,
        Err(a) => (*a).clone() + (b - *a) * share,
    }
}

/// The two AdamW moments of a parameter, flat.
#[derive(Debug, Clone)]
pub struct Moments {
    /// First moment.
    pub first: Tensor<1>,
    /// Second moment.
    pub second: Tensor<1>,
    /// Of a table whose gradients hold rows: which rows have ever had one. `None` for all.
    pub seen: Option<Vec<bool>>,
}

impl Moments {
    /// All zero, for a flat parameter and the kind of gradient it gets.
    pub fn zero(value: &Tensor<1>, gradient: &Gradient) -> Self {
        let zeros = || Tensor::zeros(value.dims(), &value.device());
        Self {
            first: zeros(),
            second: zeros(),
            seen: match gradient {
                Gradient::Dense(_) => None,
                Gradient::Rows { of, .. } => Some(vec![false; of[0]]),
            },
        }
    }
}

/// One AdamW step on a flat parameter; returns the new value and moments. Rows without a gradient are treated
/// as if it were zero.
pub fn adamw(
    value: Tensor<1>,
    gradient: Gradient,
    moments: Moments,
    c: &AdamW,
) -> (Tensor<1>, Moments) {
    match cpu::adamw(value, gradient, moments, c) {
        Ok(done) => done,
        Err(given) => {
            let (value, gradient, moments) = *given;
            let gradient = gradient.dense(&value.device());
            reference::adamw(value, gradient, moments, c)
        }
    }
}
