//! Exponential moving average of the weights (Polyak & Juditsky, SIAM J. Control Optim. 1992), with the usual
//! warm-up: after `t` steps the decay is at most `(1 + t) / (10 + t)`.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::ops;

/// The average of the trained parameters.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    /// Flat values by parameter.
    pub values: HashMap<ParamId, Tensor<1>>,
}

impl Average {
    /// With nothing seen yet.
    pub fn new(decay: f64) -> Self {
        Self {
            decay,
            values: HashMap::new(),
        }
    }

    /// Takes in the weights after step `step` (from 1).
    pub fn add<M: Module>(&mut self, module: &M, step: u64) {
        let warm = (1.0 + step as f64) / (10.0 + step as f64);
        module.visit(&mut Add {
            share: 1.0 - self.decay.min(warm),
            values: &mut self.values,
        });
    }

    /// The module with averaged weights, as leaves of the graph that it was in.
    pub fn of<M: Module>(&self, module: M) -> M {
        module.map(&mut Take {
            values: &self.values,
        })
    }
}

struct Add<'a> {
    share: f64,
    values: &'a mut HashMap<ParamId, Tensor<1>>,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() {
            return;
        }
        let size: usize = value.dims().iter().product();
        let now = value.inner().reshape([size]);
        let average = match self.values.remove(&param.id) {
            Some(before) => ops::lerp(before, now, self.share),
            None => now,
        };
        self.values.insert(param.id, average);
    }
}

struct Take<'a> {
    values: &'a HashMap<ParamId, Tensor<1>>,
}

impl ModuleMapper for Take<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(average) = self.values.get(&param.id) else {
            return param;
        };
        param.map(|value| {
            let average = average.clone().reshape(value.dims());
            Tensor::from_inner(average).set_require_grad(value.is_require_grad())
        })
    }
}
