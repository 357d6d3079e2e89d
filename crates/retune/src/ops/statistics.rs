//! Statistics of batches: what norms that follow their batch leave for use without one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;

use super::lengths::upload;

/// Mean and variance of each channel of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStatistics {
    /// `[channels]`.
    pub mean: Vec<f32>,
    /// `[channels]`, divided by one less than the rows; 1 where there are fewer than two rows.
    pub variance: Vec<f32>,
}

/// Where the norms of a forward pass leave what they saw; one per pass.
#[derive(Debug, Clone, Default)]
pub struct StatisticsSink(Arc<Mutex<HashMap<ParamId, Seen>>>);

/// What the running statistic of one parameter moves towards.
#[derive(Debug, Clone)]
struct Seen {
    values: Vec<f32>,
    /// How far, from 0 to 1.
    share: f32,
}

impl StatisticsSink {
    /// The vector `of` is to move towards `values`, `share` of the way.
    pub fn add(&self, of: ParamId, values: Vec<f32>, share: f32) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(of, Seen { values, share });
    }

    /// The module with its running statistics moved, and which ones; none is left behind.
    pub fn apply<M: Module>(&self, module: M) -> (M, Vec<ParamId>) {
        let seen = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if seen.is_empty() {
            return (module, Vec::new());
        }
        let moved = seen.keys().copied().collect();
        (module.map(&mut Move { seen }), moved)
    }
}

struct Move {
    seen: HashMap<ParamId, Seen>,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(Seen { values, share }) = self.seen.remove(&param.id) else {
            return param;
        };
        param.map(|value| {
            let value = value.detach();
            let towards = upload(values, value.dims(), &value.device());
            value.clone() + (towards - value) * share
        })
    }
}
