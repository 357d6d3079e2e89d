//! How much memory and time a run will take, from its work and from a short measurement of this machine.

use std::time::Instant;

use burn::tensor::{Distribution, Tensor};
use serde::Serialize;

use crate::families::Facts;
use crate::scoring;

/// What a run is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Forecast {
    /// Peak resident memory in bytes.
    pub memory_bytes: u64,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// The work of a run.
pub(super) struct Work {
    pub facts: Facts,
    pub parameters: usize,
    pub steps: u64,
    pub steps_per_epoch: u64,
    pub train_tokens: usize,
    pub other_tokens: [usize; 2],
    pub batch_tokens: usize,
    pub validations: usize,
}

/// Share of the measured matrix-product rate that whole steps reach.
const EFFICIENCY: f64 = 0.35;
/// Bytes kept per token, layer and unit of width for the backward pass.
const ACTIVATION: f64 = 100.0;
/// Program, tokenizer and data.
const FIXED_BYTES: f64 = 150e6;

/// The forecast. Takes about 50 ms: it multiplies matrices to see how fast this machine is.
pub(super) fn forecast(work: &Work) -> Forecast {
    let facts = &work.facts;
    let table = facts.vocabulary * facts.width;
    let dense = work.parameters.saturating_sub(table) as f64;
    let epochs = work.steps as f64 / work.steps_per_epoch.max(1) as f64;
    let trained = work.train_tokens as f64 * epochs;
    let [valid, test] = work.other_tokens.map(|t| t as f64);
    // Forward and backward cost 3 forward passes; floors and validations cost one each.
    let passes = 3.0 * trained
        + valid * (epochs * work.validations as f64 + 1.0)
        + 3.0 * test
        + work.train_tokens as f64;
    let seconds = 2.0 * dense * passes / (rate() * EFFICIENCY);
    // Weights, gradients, two moments, the best weights and the untuned ones.
    let weights = 6.0 * 4.0 * work.parameters as f64;
    let activations =
        work.batch_tokens as f64 * 2.0 * facts.layers as f64 * facts.width as f64 * ACTIVATION;
    Forecast {
        memory_bytes: (FIXED_BYTES + weights + activations) as u64,
        seconds: seconds + 2.0,
    }
}

/// Floating-point operations per second of a matrix product on this machine.
fn rate() -> f64 {
    const N: usize = 512;
    let device = scoring::cpu(false);
    let draw = || Tensor::<2>::random([N, N], Distribution::Default, &device);
    let (a, b) = (draw(), draw());
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let started = Instant::now();
        let product = a.clone().matmul(b.clone());
        std::hint::black_box(&product);
        best = best.min(started.elapsed().as_secs_f64());
    }
    2.0 * (N * N * N) as f64 / best
}
