//! One tensor for two readers, whose gradients are added by all threads rather than by one.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use retune_kernels::pointwise;

use super::pairs::made;
use super::{Inputs, Plain, consume, converted, node};
use crate::ops::clock::Span;

/// The gradient of the reader that came first.
type Waiting = Arc<Mutex<Option<Plain>>>;

/// See [`crate::ops::fork`]; `None` when the tensor is not on the CPU back-end.
pub fn fork(x: &Tensor<2>) -> Option<[Tensor<2>; 2]> {
    let waiting = Waiting::default();
    let branch = || {
        let inputs = Inputs::of([node(x)])?;
        let same = inputs.nodes[0].primitive().clone();
        Some(inputs.finish(Step, Arc::clone(&waiting), same))
    };
    Some([branch()?, branch()?])
}

#[derive(Debug)]
struct Step;

impl Backward<Flex, 1> for Step {
    type State = Waiting;

    fn backward(self, ops: Ops<Waiting, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("sums of gradients");
        let gradient = converted::<f32>(&consume(&ops, grads));
        let Some(parent) = &ops.parents[0] else {
            return;
        };
        let mut waiting = ops.state.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.take() {
            None => *waiting = Some(gradient),
            Some(first) => {
                let sum = made::<f32>(pointwise::sum, &first, &gradient);
                grads.register::<Flex>(parent.id, sum);
            }
        }
    }
}
