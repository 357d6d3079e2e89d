//! Gradients of a module in module order, and AdamW over all of them.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Gradients as Tape, Tensor};

use super::groups::Groups;
use crate::ops::{self, AdamW, Gradient, Moments, RowSink};

/// One number on the host.
#[expect(
    clippy::disallowed_methods,
    reason = "the loop reads the loss once per micro-batch"
)]
pub fn scalar(x: Tensor<1>) -> f64 {
    let value: f32 = x.into_scalar();
    f64::from(value)
}

/// Gradients of a module's trained parameters, in module order.
#[derive(Debug, Default)]
pub struct Gradients {
    /// Parameter and gradient.
    pub found: Vec<(ParamId, Gradient)>,
}

impl Gradients {
    /// Adds the gradients of a backward pass: those in the graph, and those of tables that the forward pass
    /// left in `rows`.
    pub fn add<M: Module>(&mut self, module: &M, mut tape: Tape, rows: &RowSink) {
        let mut collect = Collect {
            tape: &mut tape,
            rows,
            found: Vec::new(),
        };
        module.visit(&mut collect);
        let new = collect.found;
        if self.found.is_empty() {
            self.found = new;
            return;
        }
        let mut sums: HashMap<ParamId, Gradient> = self.found.drain(..).collect();
        for (id, gradient) in new {
            let sum = match sums.remove(&id) {
                Some(sum) => sum.plus(gradient),
                None => gradient,
            };
            self.found.push((id, sum));
        }
        // A parameter that this micro-batch did not touch keeps its gradient.
        let mut rest: Vec<(ParamId, Gradient)> = sums.into_iter().collect();
        rest.sort_by_key(|(id, _)| id.val());
        self.found.extend(rest);
    }

    /// The first parameter, in module order, whose gradient is not finite.
    pub fn broken(&self) -> Option<ParamId> {
        let broken = |gradient: &Gradient| !gradient.sum_of_squares().is_finite();
        let found = self.found.iter().find(|(_, gradient)| broken(gradient));
        found.map(|(id, _)| *id)
    }

    /// Global L2 norm.
    pub fn norm(&self) -> f64 {
        let squares = self.found.iter().map(|(_, g)| g.sum_of_squares());
        squares.sum::<f64>().sqrt()
    }
}

struct Collect<'a> {
    tape: &'a mut Tape,
    rows: &'a RowSink,
    found: Vec<(ParamId, Gradient)>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let in_graph = value.grad_remove(self.tape).map(|gradient| {
            let size: usize = gradient.dims().iter().product();
            Gradient::Dense(gradient.reshape([size]))
        });
        let rows = self.rows.take(param.id).map(|rows| {
            let dims = value.dims();
            Gradient::Rows {
                rows,
                of: [dims[0], dims[1..].iter().product()],
            }
        });
        let gradient = match (in_graph, rows) {
            (Some(a), Some(b)) => Some(a.plus(b)),
            (a, b) => a.or(b),
        };
        self.found
            .extend(gradient.map(|gradient| (param.id, gradient)));
    }
}

/// AdamW with the usual betas and epsilon, and its state.
#[derive(Debug)]
pub struct Optimizer {
    weight_decay: f64,
    anchor: Option<Anchor>,
    pub(super) step: u64,
    pub(super) moments: HashMap<ParamId, Moments>,
}

/// Pulls parameters to where they began: after each step `w += lr strength (w₀ - w)`, which is L2-SP (Li,
/// Grandvalet & Davoine, arXiv:1802.01483) decoupled from the gradient as AdamW decouples weight decay.
#[derive(Debug)]
struct Anchor {
    strength: f64,
    values: HashMap<ParamId, Tensor<1>>,
}

impl Optimizer {
    /// With the weight decay of matrices; vectors (biases, norms) are not decayed.
    pub fn new(weight_decay: f64) -> Self {
        Self {
            weight_decay,
            anchor: None,
            step: 0,
            moments: HashMap::new(),
        }
    }

    /// The anchored parameters of `groups` are pulled to their values in `module` with this strength; they are
    /// not decayed to zero.
    #[must_use]
    pub fn anchored<M: Module>(mut self, module: &M, groups: &Groups, strength: f64) -> Self {
        let anchored = crate::weights::params(module).into_iter();
        let anchored = anchored.filter(|named| groups.of(named.id).anchored);
        self.anchor = Some(Anchor {
            strength,
            values: anchored.map(|named| (named.id, named.value)).collect(),
        });
        self
    }

    /// One step; every gradient is multiplied by `grad_scale` first.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: Gradients,
        groups: &Groups,
        (lr, grad_scale): (f64, f64),
    ) -> M {
        self.step += 1;
        let mut update = Update {
            settings: AdamW {
                lr,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: self.weight_decay,
                step: self.step,
                grad_scale,
            },
            groups,
            gradients: gradients.found.into_iter().collect(),
            anchor: self.anchor.as_ref(),
            moments: &mut self.moments,
        };
        module.map(&mut update)
    }
}

struct Update<'a> {
    settings: AdamW,
    groups: &'a Groups,
    gradients: HashMap<ParamId, Gradient>,
    anchor: Option<&'a Anchor>,
    moments: &'a mut HashMap<ParamId, Moments>,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let Some(grad) = self.gradients.remove(&id) else {
            return param;
        };
        let mut settings = self.settings;
        settings.lr *= self.groups.of(id).lr_scale;
        let anchor = self.anchor.and_then(|anchor| {
            let value = anchor.values.get(&id)?;
            Some((value.clone(), settings.lr * anchor.strength))
        });
        if D == 1 || anchor.is_some() {
            settings.weight_decay = 0.0;
        }
        param.map(|value| {
            let shape = value.dims();
            let flat = value.inner().reshape([shape.iter().product::<usize>()]);
            let moments = self.moments.remove(&id);
            let moments = moments.unwrap_or_else(|| Moments::zero(&flat, &grad));
            let (mut flat, moments) = ops::adamw(flat, grad, moments, &settings);
            self.moments.insert(id, moments);
            if let Some((start, share)) = anchor {
                flat = ops::lerp(flat, start, share);
            }
            Tensor::from_inner(flat.reshape(shape)).require_grad()
        })
    }
}
