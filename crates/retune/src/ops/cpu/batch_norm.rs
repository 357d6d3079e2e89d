//! Batch norms by the statistics of their batch on the CPU.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::conv::{BatchNorm, NormGradients, Running, Saved, Source};
use retune_kernels::isa::Isa;

use super::{Buffer, Inputs, Number, Plain, before_activation, consume, node, values};
use crate::ops::clock::Span;
use crate::ops::{Activation, BatchStatistics, Norm};

/// See [`crate::ops::batch_norm`]; `None` when a tensor is not on the CPU back-end.
pub fn batch_norm(
    x: &Tensor<2>,
    norm: &Norm,
    activation: Activation,
) -> Option<(Tensor<2>, BatchStatistics)> {
    let inputs = Inputs::of([node(x), node(&norm.gamma), node(&norm.beta)])?;
    let layer = Layer {
        eps: norm.eps as f32,
        activation,
    };
    Some(match inputs.nodes[0].primitive().dtype() {
        DType::BF16 => layer.forward::<bf16>(inputs),
        _ => layer.forward::<f32>(inputs),
    })
}

#[derive(Debug, Clone, Copy)]
struct Layer {
    eps: f32,
    activation: Activation,
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct State {
    layer: Layer,
    x: Plain,
    gamma: Plain,
    beta: Plain,
    mean: Arc<Vec<f32>>,
    inv_std: Arc<Vec<f32>>,
    /// Slope of the activation at each output.
    slope: Option<Plain>,
}

impl Layer {
    fn kernel<'a>(self, gamma: &'a Plain, beta: &'a Plain) -> BatchNorm<'a> {
        BatchNorm {
            gamma: values(gamma),
            beta: values(beta),
            eps: self.eps,
            activation: self.activation,
        }
    }

    fn forward<E: Number>(self, inputs: Inputs<3>) -> (Tensor<2>, BatchStatistics) {
        let _time = Span::of("batch norm forward");
        let [x, gamma, beta] = [0, 1, 2].map(|i| inputs.plain(i));
        let x_values = values::<E>(&x);
        let channels = values::<f32>(&gamma).len();
        let shape = [x_values.len() / channels.max(1), channels];
        let mut y = Buffer::<E>::new(x_values.len());
        let with_slope = inputs.any_tracked() && self.activation != Activation::None;
        let mut slope = Buffer::<E>::new(if with_slope { y.len() } else { 0 });
        let (mut mean, mut inv_std) = (vec![0.0; channels], vec![0.0; channels]);
        let mut found = BatchStatistics {
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
        };
        let running = Running {
            mean: &mut found.mean,
            var: &mut found.variance,
            momentum: 1.0,
        };
        let saved = Saved {
            mean: &mut mean,
            inv_std: &mut inv_std,
        };
        let source = Source {
            x: x_values,
            residual: None,
        };
        let norm = self.kernel(&gamma, &beta);
        let isa = Isa::current();
        norm.forward(isa, source, Some(running), saved, (&mut y, &mut slope));
        let state = State {
            layer: self,
            x,
            gamma,
            beta,
            mean: Arc::new(mean),
            inv_std: Arc::new(inv_std),
            slope: with_slope.then(|| slope.tensor(&shape)),
        };
        (inputs.finish(Step, state, y.tensor(&shape)), found)
    }
}

#[derive(Debug)]
struct Step;

impl Backward<Flex, 3> for Step {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("batch norm backward");
        let dy = consume(&ops, grads);
        match ops.state.x.dtype() {
            DType::BF16 => gradients::<bf16>(&ops, &dy, grads),
            _ => gradients::<f32>(&ops, &dy, grads),
        }
    }
}

fn gradients<E: Number>(ops: &Ops<State, 3>, dy: &Plain, grads: &mut Gradients) {
    let state = &ops.state;
    let dz = before_activation::<E>(dy, state.slope.as_ref());
    let (x, channels) = (values::<E>(&state.x), state.mean.len());
    let shape = [x.len() / channels.max(1), channels];
    let wanted = ops.parents[0].is_some();
    let mut dx = Buffer::<E>::new(if wanted { x.len() } else { 0 });
    let (mut dgamma, mut dbeta) = (Buffer::<f32>::new(channels), Buffer::<f32>::new(channels));
    let out = NormGradients {
        dx: &mut dx,
        dgamma: &mut dgamma,
        dbeta: &mut dbeta,
    };
    let norm = state.layer.kernel(&state.gamma, &state.beta);
    let statistics = (&state.mean[..], &state.inv_std[..]);
    norm.backward(Isa::current(), (x, values(&dz)), statistics, false, out);
    if let Some(x) = &ops.parents[0] {
        grads.register::<Flex>(x.id, dx.tensor(&shape));
    }
    for (parent, gradient) in ops.parents[1..].iter().zip([dgamma, dbeta]) {
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, gradient.tensor(&[channels]));
        }
    }
}
