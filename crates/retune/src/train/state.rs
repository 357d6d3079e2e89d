//! The state of a run between two steps: with it a run goes on as if it had never stopped.

use std::collections::HashMap;
use std::sync::Arc;

use burn::module::{Module, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::optimizer::Optimizer;
use super::{Best, Loop};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::ops::Moments;
use crate::weights::{Named, host, params, with_values};

/// Where a run stands, apart from its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Optimiser steps done.
    pub step: u64,
    /// Forward passes done: the number that dropout counts by.
    pub passes: u64,
    /// Epoch of the next micro-batch, from 0.
    pub epoch: u64,
    /// Micro-batches of that epoch that are done.
    pub taken: u64,
    /// Validations since the best one.
    pub stale: usize,
    /// The best validation: score, loss, step.
    pub best: Option<(f64, f64, u64)>,
    /// Why training has ended, if it has.
    pub stopped: Option<String>,
}

/// A state with its tensors: `model.PATH`, `first.PATH`, `second.PATH`, `seen.PATH`, `best.PATH`,
/// `average.PATH` for each parameter that has trained; `model.PATH` and `best.PATH` for running statistics.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where the run stands.
    pub state: State,
    /// Its tensors: name, shape, where the values are.
    pub tensors: Vec<(String, Vec<usize>, Values)>,
}

/// Where the values of a tensor are; they are brought to the host one tensor at a time.
#[derive(Debug, Clone)]
pub enum Values {
    /// On a device, flat.
    Device(Box<Tensor<1>>),
    /// Flags of rows, as 0 and 1.
    Flags(Vec<bool>),
    /// In a saved state, under the tensor's name.
    Stored(Arc<Checkpoint>),
}

impl Values {
    /// The values of the tensor `name`.
    ///
    /// # Errors
    /// A saved state that cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        Ok(match self {
            Self::Device(tensor) => host((**tensor).clone()),
            Self::Flags(flags) => flags
                .iter()
                .map(|flag| f32::from(u8::from(*flag)))
                .collect(),
            Self::Stored(checkpoint) => checkpoint.f32(name)?,
        })
    }
}

/// Reasons to stop that a finished run keeps.
const REASONS: [&str; 2] = ["finished", "early_stopping"];

impl<M: Module + Clone, B> Loop<'_, M, B> {
    /// The run as it stands, at the given place in its epochs.
    pub(super) fn snapshot(&self, model: &M, (epoch, taken): (u64, u64)) -> Snapshot {
        let mut tensors = Vec::new();
        let trained = |id| self.optimizer.moments.contains_key(&id);
        let moved = |named: &Named| trained(named.id) || self.statistics.contains(&named.id);
        for named in params(model).into_iter().filter(moved) {
            let path = &named.path;
            let flat = vec![named.shape.iter().product()];
            let mut add = |kind: &str, shape: Vec<usize>, values: Values| {
                tensors.push((format!("{kind}.{path}"), shape, values));
            };
            add(
                "model",
                named.shape.clone(),
                Values::Device(Box::new(named.value)),
            );
            let Some(moments) = self.optimizer.moments.get(&named.id) else {
                continue;
            };
            add(
                "first",
                flat.clone(),
                Values::Device(Box::new(moments.first.clone())),
            );
            add(
                "second",
                flat.clone(),
                Values::Device(Box::new(moments.second.clone())),
            );
            if let Some(seen) = &moments.seen {
                add("seen", vec![seen.len()], Values::Flags(seen.clone()));
            }
            if let Some(average) = self.average.as_ref().and_then(|a| a.values.get(&named.id)) {
                add("average", flat, Values::Device(Box::new(average.clone())));
            }
        }
        if let Some(best) = &self.best {
            for named in params(&best.model).into_iter().filter(moved) {
                let name = format!("best.{}", named.path);
                tensors.push((name, named.shape, Values::Device(Box::new(named.value))));
            }
        }
        Snapshot {
            state: State {
                step: self.step,
                passes: self.passes,
                epoch,
                taken,
                stale: self.stale,
                best: self.best.as_ref().map(|b| (b.score, b.loss, b.step)),
                stopped: self.stop.filter(|r| REASONS.contains(r)).map(String::from),
            },
            tensors,
        }
    }

    /// The loop and its model as they were when `snapshot` was taken.
    pub(super) fn restored(mut self, model: M, snapshot: Snapshot) -> (Self, M) {
        let state = snapshot.state;
        let named = params(&model);
        let tensors: HashMap<String, Values> = snapshot
            .tensors
            .into_iter()
            .map(|(name, _, values)| (name, values))
            .collect();
        let of = |kind: &'static str| {
            let tensors = &tensors;
            move |path: &str| {
                let name = format!("{kind}.{path}");
                // What could not be read was refused when the state was opened.
                tensors.get(&name)?.read(&name).ok()
            }
        };
        if let Some((score, loss, step)) = state.best {
            self.best = Some(Best {
                score,
                loss,
                step,
                model: with_values(model.clone(), &of("best")),
            });
        }
        restore_moments(&mut self.optimizer, &named, &of);
        self.optimizer.step = state.step;
        if let Some(average) = &mut self.average {
            restore_average(average, &named, &of("average"));
        }
        self.step = state.step;
        self.passes = state.passes;
        self.stale = state.stale;
        let stopped = state.stopped.as_deref();
        self.stop = REASONS.into_iter().find(|reason| Some(*reason) == stopped);
        let model = with_values(model, &of("model"));
        (self, model)
    }
}

fn restore_moments<F: Fn(&str) -> Option<Vec<f32>>>(
    optimizer: &mut Optimizer,
    named: &[Named],
    of: &dyn Fn(&'static str) -> F,
) {
    let (first, second, seen) = (of("first"), of("second"), of("seen"));
    for named in named {
        let device = named.value.device();
        let (Some(first), Some(second)) = (first(&named.path), second(&named.path)) else {
            continue;
        };
        let moments = Moments {
            first: flat(first, &device),
            second: flat(second, &device),
            seen: seen(&named.path).map(|s| s.iter().map(|v| *v != 0.0).collect()),
        };
        optimizer.moments.insert(named.id, moments);
    }
}

fn restore_average(average: &mut Average, named: &[Named], of: &dyn Fn(&str) -> Option<Vec<f32>>) {
    let value = |named: &Named| -> Option<(ParamId, Tensor<1>)> {
        Some((named.id, flat(of(&named.path)?, &named.value.device())))
    };
    average.values.extend(named.iter().filter_map(value));
}

fn flat(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let size = values.len();
    Tensor::from_data(TensorData::new(values, [size]), device)
}
