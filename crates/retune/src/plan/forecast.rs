//! How much memory and time a run will take, from its work and from a short measurement of this machine.

use serde::Serialize;

use crate::bench;
use crate::families::Facts;
use crate::ops::Precision;

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
    pub precision: Precision,
    pub parameters: usize,
    pub steps: u64,
    pub steps_per_epoch: u64,
    pub train_tokens: usize,
    pub other_tokens: [usize; 2],
    pub batch_tokens: usize,
    pub validations: usize,
}

/// Share of the measured matrix-product rate that whole steps reach.
const EFFICIENCY: f64 = 0.6;
/// Bytes kept per token, layer and unit of width for the backward pass.
const ACTIVATION: f64 = 100.0;
/// Program, tokenizer and data.
const FIXED_BYTES: f64 = 150e6;

/// The forecast. Takes some milliseconds: it multiplies matrices to see how fast this machine is.
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
    let seconds = 2.0 * dense * passes / (bench::rate_of_a_layer(work.precision) * EFFICIENCY);
    // Weights, gradients, two moments, the best weights and the untuned ones.
    let weights = 6.0 * 4.0 * work.parameters as f64;
    let activations =
        work.batch_tokens as f64 * 2.0 * facts.layers as f64 * facts.width as f64 * ACTIVATION;
    Forecast {
        memory_bytes: (FIXED_BYTES + weights + activations) as u64,
        seconds: seconds + 2.0,
    }
}
