//! How much memory and time a run will take, from its work and from a short measurement of this machine.

use retune_data::Example;
use serde::{Deserialize, Serialize};

use super::memory;
use super::work::Work;
use crate::bench;
use crate::proof;
use crate::recipe::VerdictLevel;

/// What a run is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Peak resident memory in bytes.
    pub memory_bytes: u64,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Share of the measured matrix-product rate that whole steps reach.
const EFFICIENCY: f64 = 0.6;

/// The forecast. Takes some milliseconds: it multiplies matrices to see how fast this machine is.
pub(super) fn forecast(work: &Work) -> Forecast {
    Forecast {
        memory_bytes: memory::peak(work) as u64,
        seconds: seconds(work),
    }
}

fn seconds(work: &Work) -> f64 {
    let recipe = work.recipe;
    let sizes = work.sizes(work.method());
    let dense = match work.facts.picture {
        Some(cost) => cost.products * work.pixels as f64 / cost.rate,
        None => sizes.matrices as f64,
    };
    let (steps, steps_per_epoch) = work.steps;
    let epochs = steps as f64 / steps_per_epoch.max(1) as f64;
    let tokens = |rows: &[Example]| rows.iter().map(Example::tokens).sum::<usize>() as f64;
    let train = tokens(work.rows.train);
    let [valid, test] = work.others.map(tokens);
    // A forward pass, gradients of what flows through, gradients of what trains.
    let whole = match work.facts.picture {
        Some(_) => sizes.all as f64,
        None => dense,
    };
    let share = sizes.trained.saturating_sub(sizes.trained_tables) as f64 / whole.max(1.0);
    let frozen = work.method().frozen_backbone();
    let step = if frozen { 0.0 } else { 2.0 + share.min(1.0) };
    // A run ends with one, however short it is.
    let validations = (epochs * recipe.train.evals_per_epoch as f64).max(1.0);
    let tuning = step * train * epochs + valid * validations;
    let scratch = 3.0 * train * epochs + valid * validations;
    let (again, floors) = match recipe.verdict {
        VerdictLevel::Off => (0.0, 0.0),
        // The model as it came on the test rows, frozen features of all rows, all of it again from scratch.
        VerdictLevel::Fast => (0.0, test + train + valid + test + scratch + test),
        VerdictLevel::Full => {
            let (seeds, steps) = (proof::SEEDS as f64, proof::SCRATCH_STEPS as f64);
            let trials = proof::SCRATCH_LRS.len() as f64;
            let scratches = (trials + seeds * steps) * scratch + (trials + seeds) * test;
            (
                (seeds - 1.0) * (tuning + test),
                test + train + valid + test + scratches,
            )
        }
    };
    let refit = if recipe.refit.is_some() { tuning } else { 0.0 };
    let known = if frozen { train + valid + test } else { 0.0 };
    let views = recipe.pictures.tta.views() as f64;
    let passes = tuning + again + refit + floors + known + (1.0 + views) * test + valid;
    let rate = bench::rate_of_a_layer(recipe.products()) * EFFICIENCY;
    2.0 * dense * passes / rate + 2.0
}
