//! What a few steps do: frozen parameters stay, and one batch can be learned by heart.

use std::collections::BTreeMap;

use burn::module::Module;
use retune_eval::Event;

use super::{Case, Finding, State};
use crate::error::Result;
use crate::model::Pass;
use crate::train::{EpochBatches, Flow, Parts, TrainOptions, Validation, fit};
use crate::weights::{Named, host, params};

/// Steps in which what is frozen may not move.
const FEW: u64 = 3;
/// Steps in which one batch has to be learned.
const MANY: u64 = 100;
/// The share of its first loss to which the loss of one batch has to fall.
const FALL: f64 = 0.2;
/// A loss that is as good as none.
const NONE: f64 = 0.01;
/// Factors of the run's learning rate, tried one after the other.
const RATES: [f64; 3] = [10.0, 100.0, 1.0];

/// Every parameter that does not train has the same bits after a few steps.
pub(super) fn frozen<M: Module + Clone, B: Clone>(case: &Case<M, B>) -> Vec<Finding> {
    const CHECK: &str = "frozen";
    let still = |named: &Named| !case.groups.0.contains_key(&named.id);
    let before: Vec<Named> = params(&case.model).into_iter().filter(still).collect();
    if before.is_empty() {
        return vec![Finding::new(CHECK, State::Ok, "none: every tensor trains")];
    }
    let fitted = match train(case, (FEW, case.lr), case.loss, &mut |_| Flow::Continue) {
        Ok(fitted) => fitted,
        Err(error) => return vec![Finding::new(CHECK, State::Problem, error.to_string())],
    };
    let bits = |named: Named| {
        host(named.value)
            .into_iter()
            .map(f32::to_bits)
            .collect::<Vec<_>>()
    };
    let after = params(&fitted);
    let all = before.len();
    let moved = before.into_iter().filter_map(|before| {
        let path = before.path.clone();
        let after = after.iter().find(|named| named.path == path)?.clone();
        (bits(before) != bits(after)).then_some(path)
    });
    let mut found: Vec<Finding> = moved
        .map(|path| {
            let text = format!("does not train, yet it has changed after {FEW} steps");
            Finding::new(CHECK, State::Problem, text).of(&path)
        })
        .collect();
    if found.is_empty() {
        let text = format!("{all} tensors that do not train are bit-equal after {FEW} steps");
        found.push(Finding::new(CHECK, State::Ok, text));
    }
    found
}

/// The loss of one batch can be brought down without dropout.
pub(super) fn one_batch<M: Module + Clone, B: Clone>(
    case: &Case<M, B>,
    on: &mut dyn FnMut(&Event) -> Flow,
) -> Finding {
    const CHECK: &str = "one batch";
    on(&Event::Stage {
        name: CHECK.to_string(),
        total: Some(MANY),
    });
    let quiet = |model: &M, batch: &B, pass: &Pass| {
        let pass = Pass {
            train: false,
            ..pass.clone()
        };
        (case.plain)(model, batch, &pass)
    };
    let mut tried = Vec::new();
    for factor in RATES {
        let lr = factor * case.lr;
        let mut seen = Vec::new();
        let learned = |seen: &[f64]| match seen {
            [first, .., last] => *last <= (FALL * first).max(NONE),
            _ => false,
        };
        let end = train(case, (MANY, lr), &quiet, &mut |event| {
            if let Event::Step { step, loss, .. } = event {
                seen.push(*loss);
                on(&Event::Progress { done: *step });
            }
            if learned(&seen) {
                Flow::Stop
            } else {
                Flow::Continue
            }
        });
        let (first, last) = (seen.first().copied(), seen.last().copied());
        let (first, last) = (first.unwrap_or(f64::NAN), last.unwrap_or(f64::NAN));
        let steps = seen.len().saturating_sub(1);
        let fall = format!("loss {first:.4} to {last:.4} in {steps} steps at a rate of {lr:e}");
        match end {
            Ok(_) if learned(&seen) => return Finding::new(CHECK, State::Ok, fall),
            Ok(_) => tried.push(fall),
            Err(error) => tried.push(error.to_string()),
        }
    }
    let text = format!(
        "it cannot be learned by heart: {}; equal rows with different labels would be a reason",
        tried.join("; ")
    );
    Finding::new(CHECK, State::Problem, text)
}

/// So many steps on the batch at one rate; the last weights.
fn train<M: Module + Clone, B: Clone>(
    case: &Case<M, B>,
    (steps, lr): (u64, f64),
    loss: &dyn Fn(&M, &B, &Pass) -> crate::losses::Loss,
    on: &mut dyn FnMut(&Event) -> Flow,
) -> Result<M> {
    let (model, groups) = case.training();
    let options = TrainOptions {
        steps,
        steps_per_epoch: steps,
        lr,
        clip_norm: 1.0,
        groups,
        ..TrainOptions::default()
    };
    let parts = Parts {
        batches: &mut |_| -> EpochBatches<'_, B> {
            Box::new((0..steps).map(|_| Ok((case.batch.clone(), 0))))
        },
        loss,
        // One validation, at the end: the last weights are kept.
        validate: &mut |_| {
            Ok(Validation {
                loss: 0.0,
                metrics: BTreeMap::new(),
                score: 0.0,
            })
        },
        on,
        first: None,
        save: None,
    };
    Ok(fit(model, parts, &options, None)?.model)
}
