//! Groups of parameters: from which step on each trains, and how fast.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;

/// How a parameter trains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Optimiser steps that are done when it begins to train.
    pub from: u64,
    /// Factor of the learning rate.
    pub lr_scale: f64,
    /// Whether it is pulled to where it began instead of to zero.
    pub anchored: bool,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            from: 0,
            lr_scale: 1.0,
            anchored: false,
        }
    }
}

/// The groups of a module's trained parameters; a parameter that is not in here has the default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Groups(pub HashMap<ParamId, Group>);

impl Groups {
    /// Of one parameter.
    pub fn of(&self, id: ParamId) -> Group {
        self.0.get(&id).copied().unwrap_or_default()
    }

    /// Whether some parameter begins to train after exactly `done` steps, at least one.
    pub fn change_after(&self, done: u64) -> bool {
        done > 0 && self.0.values().any(|group| group.from == done)
    }

    /// The module with every parameter in the gradient graph that trains once `done` steps are done.
    pub fn unfrozen<M: Module>(&self, module: M, done: u64) -> M {
        module.map(&mut Unfreeze { groups: self, done })
    }
}

struct Unfreeze<'a> {
    groups: &'a Groups,
    done: u64,
}

impl ModuleMapper for Unfreeze<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(group) = self.groups.0.get(&param.id) else {
            return param;
        };
        param.set_require_grad(group.from <= self.done)
    }
}
