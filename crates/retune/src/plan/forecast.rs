//! How much memory and time a run will take, from its work and from a short measurement of this machine.

use serde::Serialize;

use crate::bench;
use crate::families::Facts;
use crate::ops::Precision;
use crate::recipe::VerdictLevel;

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
    pub trained: usize,
    pub frozen_backbone: bool,
    pub verdict: VerdictLevel,
    pub steps: u64,
    pub steps_per_epoch: u64,
    pub train_tokens: usize,
    pub other_tokens: [usize; 2],
    pub batch_tokens: usize,
    pub validations: usize,
}

/// Share of the measured matrix-product rate that whole steps reach.
const EFFICIENCY: f64 = 0.6;
/// Bytes kept per token, layer and unit of width for the backward pass, where products are f32.
const ACTIVATION: f64 = 100.0;
/// Program, tokenizer and data.
const FIXED_BYTES: f64 = 150e6;

/// The forecast. Takes some milliseconds: it multiplies matrices to see how fast this machine is.
pub(super) fn forecast(work: &Work) -> Forecast {
    Forecast {
        memory_bytes: memory(work) as u64,
        seconds: seconds(work),
    }
}

fn seconds(work: &Work) -> f64 {
    let facts = &work.facts;
    let table = facts.vocabulary * facts.width;
    let dense = work.parameters.saturating_sub(table) as f64;
    let epochs = work.steps as f64 / work.steps_per_epoch.max(1) as f64;
    let train = work.train_tokens as f64;
    let [valid, test] = work.other_tokens.map(|t| t as f64);
    // A forward pass, gradients of what flows through, gradients of what trains.
    let share = work.trained.saturating_sub(table) as f64 / dense.max(1.0);
    let step = if work.frozen_backbone {
        0.0
    } else {
        2.0 + share.min(1.0)
    };
    let tuning = step * train * epochs + valid * epochs * work.validations as f64;
    let floors = match work.verdict {
        VerdictLevel::Off => 0.0,
        // The model as it came on the test rows, frozen features of all rows, all of it again from scratch.
        _ => test + train + valid + test + 3.0 * train * epochs + valid * epochs + test,
    };
    let known = if work.frozen_backbone {
        train + valid + test
    } else {
        0.0
    };
    let passes = tuning + floors + known + 2.0 * test + valid;
    let rate = bench::rate_of_a_layer(work.precision) * EFFICIENCY;
    2.0 * dense * passes / rate + 2.0
}

fn memory(work: &Work) -> f64 {
    let (all, trained) = (work.parameters as f64, work.trained as f64);
    let facts = &work.facts;
    // The weights; gradients, two moments and the best weights of what trains.
    let weights = 4.0 * (all + 4.0 * trained);
    // What does not train is packed for products, once per direction.
    let number = match work.precision {
        Precision::F32 => 4.0,
        Precision::Bf16 => 2.0,
    };
    let table = (facts.vocabulary * facts.width) as f64;
    let packed = 2.0 * number * (all - trained - table).max(0.0);
    let activations = work.batch_tokens as f64
        * facts.layers as f64
        * facts.width as f64
        * ACTIVATION
        * (number / 4.0);
    FIXED_BYTES + weights + packed + activations
}
