//! Attention on the CPU.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::attention::{self as kernel, Call, Saved};
use retune_kernels::dropout::Rate;
use retune_kernels::isa::Isa;

use super::{Buffer, Inputs, Number, Plain, consume, converted, node, values};
use crate::ops::clock::Span;
use crate::ops::{Dropout, Heads, Lengths};

/// See [`crate::ops::attention`]; `None` when the tensor is not on the CPU back-end.
pub fn attention(
    qkv: &Tensor<2>,
    lengths: &Lengths,
    heads: Heads,
    dropout: &Dropout,
) -> Option<Tensor<2>> {
    let inputs = Inputs::of([node(qkv)])?;
    let layer = Layer {
        heads,
        lengths: lengths.clone(),
        dropout: dropout.clone(),
    };
    Some(match inputs.nodes[0].primitive().dtype() {
        DType::BF16 => layer.forward::<bf16>(inputs),
        _ => layer.forward::<f32>(inputs),
    })
}

#[derive(Debug, Clone)]
struct Layer {
    heads: Heads,
    lengths: Lengths,
    dropout: Dropout,
}

#[derive(Debug, Clone)]
struct State {
    layer: Layer,
    qkv: Plain,
    out: Plain,
    lse: Arc<Vec<f32>>,
}

impl Layer {
    fn forward<E: Number>(self, inputs: Inputs<1>) -> Tensor<2> {
        let _time = Span::of("attention forward");
        let qkv = inputs.plain(0);
        let rows = self.lengths.total();
        let mut out = Buffer::<E>::new(rows * self.heads.out_width());
        let mut lse = vec![0f32; rows * self.heads.heads];
        self.with_call(|call| kernel::forward(call, values::<E>(&qkv), &mut out, &mut lse));
        let out = out.tensor(&[rows, self.heads.out_width()]);
        let state = State {
            layer: self,
            qkv,
            out: out.clone(),
            lse: Arc::new(lse),
        };
        inputs.finish(Step, state, out)
    }

    fn with_call(&self, f: impl FnOnce(&Call<'_>)) {
        f(&Call {
            isa: Isa::current(),
            shape: self.heads,
            starts: self.lengths.starts(),
            dropout: (!self.dropout.off()).then(|| kernel::Dropout {
                rate: Rate::new(self.dropout.p),
                stream: self.dropout.stream,
                keys: &self.dropout.keys,
            }),
        });
    }
}

#[derive(Debug)]
struct Step;

impl Backward<Flex, 1> for Step {
    type State = State;

    fn backward(self, ops: Ops<State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("attention backward");
        let dout = consume(&ops, grads);
        let Some(parent) = &ops.parents[0] else {
            return;
        };
        let dqkv = match ops.state.qkv.dtype() {
            DType::BF16 => gradient::<bf16>(&ops.state, &dout),
            _ => gradient::<f32>(&ops.state, &dout),
        };
        grads.register::<Flex>(parent.id, dqkv);
    }
}

fn gradient<E: Number>(state: &State, dout: &Plain) -> Plain {
    let dout = converted::<E>(dout);
    let qkv = values::<E>(&state.qkv);
    let mut dqkv = Buffer::<E>::new(qkv.len());
    let saved = Saved {
        qkv,
        out: values(&state.out),
        lse: &state.lse,
    };
    state
        .layer
        .with_call(|call| kernel::backward(call, saved, values(&dout), &mut dqkv));
    dqkv.tensor(&[state.layer.lengths.total(), state.layer.heads.width()])
}
