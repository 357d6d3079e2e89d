//! Cross-entropy on the CPU: no probabilities are kept, whatever the number of classes.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use retune_kernels::cross_entropy as kernel;

use super::{Buffer, Inputs, Plain, consume, converted, node, values};
use crate::ops::clock::Span;

#[derive(Debug, Clone)]
struct State {
    logits: Plain,
    targets: Arc<Vec<u32>>,
    weights: Arc<Vec<f32>>,
    lse: Arc<Vec<f32>>,
}

/// See [`crate::ops::cross_entropy`]; `None` when the tensor is not on the CPU back-end.
pub fn cross_entropy(
    logits: &Tensor<2>,
    targets: &Arc<Vec<u32>>,
    weights: &Arc<Vec<f32>>,
) -> Option<Tensor<1>> {
    let inputs = Inputs::of([node(logits)])?;
    let _time = Span::of("cross-entropy");
    let logits = converted::<f32>(inputs.nodes[0].primitive());
    let (sum, lse) = kernel::forward(values::<f32>(&logits), targets, weights);
    let mut loss = Buffer::<f32>::new(1);
    loss[0] = sum as f32;
    let state = State {
        logits,
        targets: Arc::clone(targets),
        weights: Arc::clone(weights),
        lse: Arc::new(lse),
    };
    Some(inputs.finish(Step, state, loss.tensor(&[1])))
}

#[derive(Debug)]
struct Step;

impl Backward<Flex, 1> for Step {
    type State = State;

    fn backward(self, ops: Ops<State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("cross-entropy");
        let scale = consume(&ops, grads);
        let Some(parent) = &ops.parents[0] else {
            return;
        };
        let state = &ops.state;
        let logits = values::<f32>(&state.logits);
        let mut dlogits = Buffer::<f32>::new(logits.len());
        let (targets, weights, lse) = (&state.targets, &state.weights, &state.lse);
        let scale = values::<f32>(&scale)[0];
        kernel::backward(logits, targets, weights, lse, scale, &mut dlogits);
        let shape = state.logits.layout().shape();
        grads.register::<Flex>(parent.id, dlogits.tensor(&[shape[0], shape[1]]));
    }
}
