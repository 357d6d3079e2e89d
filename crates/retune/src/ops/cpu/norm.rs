//! Residual sums, norms and dropout on the CPU.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::dropout::{self as kernel_dropout, Rate};
use retune_kernels::isa::Isa;
use retune_kernels::{norm as kernel, pointwise};

use super::{Buffer, Inputs, Number, Plain, consume, converted, node, values};
use crate::ops::clock::Span;
use crate::ops::{Dropout, Lengths, Norm};

/// See [`crate::ops::add_norm`]; `None` when a tensor is not on the CPU back-end.
pub fn add_norm(
    x: &Tensor<2>,
    residual: Option<&Tensor<2>>,
    norm: &Norm,
    dropout: Option<(&Lengths, &Dropout)>,
) -> Option<Tensor<2>> {
    let dropout = dropout
        .filter(|(_, dropout)| !dropout.off())
        .map(|(lengths, dropout)| Drop {
            lengths: lengths.clone(),
            dropout: dropout.clone(),
        });
    let layer = Layer {
        eps: norm.eps as f32,
        dropout,
    };
    let (x, gamma, beta) = (node(x), node(&norm.gamma), node(&norm.beta));
    Some(match residual {
        Some(residual) => layer.forward(Inputs::of([x, gamma, beta, node(residual)])?),
        None => layer.forward(Inputs::of([x, gamma, beta])?),
    })
}

#[derive(Debug, Clone)]
struct Layer {
    eps: f32,
    dropout: Option<Drop>,
}

/// Dropout of packed rows.
#[derive(Debug, Clone)]
struct Drop {
    lengths: Lengths,
    dropout: Dropout,
}

impl Drop {
    fn kernel(&self) -> kernel_dropout::Dropout<'_> {
        kernel_dropout::Dropout {
            rate: Rate::new(self.dropout.p),
            stream: self.dropout.stream,
            keys: &self.dropout.keys,
            places: self.lengths.places(),
        }
    }
}

#[derive(Debug, Clone)]
struct State {
    layer: Layer,
    gamma: Plain,
    /// Normalised rows, in the format of the products that follow.
    normed: Plain,
    inv_std: Arc<Vec<f32>>,
    came: DType,
}

impl Layer {
    fn forward<const N: usize>(self, inputs: Inputs<N>) -> Tensor<2> {
        match inputs.nodes[0].primitive().dtype() {
            DType::BF16 => self.run::<bf16, N>(inputs),
            _ => self.run::<f32, N>(inputs),
        }
    }

    fn run<E: Number, const N: usize>(self, inputs: Inputs<N>) -> Tensor<2> {
        let _time = Span::of("norm forward");
        let (x, gamma, beta) = (inputs.plain(0), inputs.plain(1), inputs.plain(2));
        let residual = (N == 4).then(|| inputs.plain(3));
        let x_values = values::<E>(&x);
        let width = values::<f32>(&gamma).len();
        let rows = x_values.len() / width.max(1);
        let mut y = Buffer::<f32>::new(rows * width);
        let mut normed = Buffer::<E>::new(rows * width);
        let mut inv_std = vec![0f32; rows];
        kernel::forward(
            x_values,
            residual.as_ref().map(values::<f32>),
            self.dropout.as_ref().map(Drop::kernel).as_ref(),
            &kernel::Norm {
                kind: kernel::Kind::Layer,
                eps: self.eps,
                gamma: values(&gamma),
                beta: Some(values(&beta)),
            },
            kernel::Forward {
                y: &mut y,
                normed: &mut normed,
                inv_std: &mut inv_std,
            },
        );
        let shape = [rows, width];
        let state = State {
            layer: self,
            gamma,
            normed: normed.tensor(&shape),
            inv_std: Arc::new(inv_std),
            came: E::dtype(),
        };
        inputs.finish(Step, state, y.tensor(&shape))
    }
}

#[derive(Debug)]
struct Step;

impl<const N: usize> Backward<Flex, N> for Step {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("norm backward");
        let dy = converted::<f32>(&consume(&ops, grads));
        match ops.state.came {
            DType::BF16 => gradients::<bf16, N>(&ops, &dy, grads),
            _ => gradients::<f32, N>(&ops, &dy, grads),
        }
    }
}

fn gradients<E: Number, const N: usize>(ops: &Ops<State, N>, dy: &Plain, grads: &mut Gradients) {
    let state = &ops.state;
    let (dy, width) = (values::<f32>(dy), values::<f32>(&state.gamma).len());
    let shape = [dy.len() / width.max(1), width];
    let (mut dsum, mut dx) = (Buffer::<f32>::new(dy.len()), Buffer::<E>::new(dy.len()));
    let (mut dgamma, mut dbeta) = (Buffer::<f32>::new(width), Buffer::<f32>::new(width));
    kernel::backward(
        dy,
        values::<E>(&state.normed),
        &state.inv_std,
        &kernel::Norm {
            kind: kernel::Kind::Layer,
            eps: state.layer.eps,
            gamma: values(&state.gamma),
            beta: None,
        },
        state.layer.dropout.as_ref().map(Drop::kernel).as_ref(),
        kernel::Backward {
            dsum: &mut dsum,
            dx: &mut dx,
            dgamma: &mut dgamma,
            dbeta: Some(&mut dbeta),
        },
    );
    let found = [
        dx.tensor(&shape),
        dgamma.tensor(&[width]),
        dbeta.tensor(&[width]),
    ];
    let found = found.into_iter().chain([dsum.tensor(&shape)]);
    for (parent, gradient) in ops.parents.iter().zip(found) {
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}

/// See [`crate::ops::dropout`]; `None` when the tensor is not on the CPU back-end.
pub fn dropout(x: &Tensor<2>, lengths: &Lengths, dropout: &Dropout) -> Option<Tensor<2>> {
    let _time = Span::of("dropout");
    let inputs = Inputs::of([node(x)])?;
    let drop = Drop {
        lengths: lengths.clone(),
        dropout: dropout.clone(),
    };
    let y = dropped(&drop, &inputs.plain(0));
    Some(inputs.finish(drop.clone(), drop, y))
}

impl Backward<Flex, 1> for Drop {
    type State = Drop;

    fn backward(self, ops: Ops<Drop, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = consume(&ops, grads);
        if let Some(parent) = &ops.parents[0] {
            grads.register::<Flex>(parent.id, dropped(&ops.state, &dy));
        }
    }
}

/// `x` times its dropout factors.
fn dropped(drop: &Drop, x: &Plain) -> Plain {
    match x.dtype() {
        DType::BF16 => dropped_in::<bf16>(drop, x),
        _ => dropped_in::<f32>(drop, x),
    }
}

fn dropped_in<E: Number>(drop: &Drop, x: &Plain) -> Plain {
    let shape = [x.layout().shape()[0], x.layout().shape()[1]];
    let mut y = Buffer::<E>::new(shape[0] * shape[1]);
    pointwise::drop(Isa::current(), values(x), shape[1], &drop.kernel(), &mut y);
    y.tensor(&shape)
}
