//! What members of an ensemble with shared layers have of their own, on the CPU.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::isa::Isa;
use retune_kernels::members::{self as kernel, Back, Shape};

use super::linear::dims;
use super::{Buffer, Inputs, Number, Plain, consume, converted, node, values};
use crate::ops::clock::Span;

/// Outputs of a member up to which passes over its rows beat a matrix product.
const FEW: usize = 32;

/// See [`crate::ops::scaled_for_members`]; `None` when a tensor is not on the CPU back-end.
pub fn scaled_for_members(weight: &Tensor<2>, scales: &Tensor<2>) -> Option<Tensor<2>> {
    let inputs = Inputs::of([node(weight), node(scales)])?;
    let _time = Span::of("weights of members");
    let state = Scaled {
        weight: inputs.plain(0),
        scales: inputs.plain(1),
    };
    let (rows, width) = dims(&state.weight);
    let members = dims(&state.scales).0;
    let mut out = Buffer::<f32>::new(members * rows * width);
    let (weight, scales) = (values(&state.weight), values(&state.scales));
    kernel::scale(Isa::current(), weight, scales, width, &mut out);
    Some(inputs.finish(Scale, state, out.tensor(&[members * rows, width])))
}

#[derive(Debug, Clone)]
struct Scaled {
    weight: Plain,
    scales: Plain,
}

#[derive(Debug)]
struct Scale;

impl Backward<Flex, 2> for Scale {
    type State = Scaled;

    fn backward(self, ops: Ops<Scaled, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("weights of members");
        let dout = converted::<f32>(&consume(&ops, grads));
        let Scaled { weight, scales } = &ops.state;
        let ((rows, width), (members, _)) = (dims(weight), dims(scales));
        let mut dweight = Buffer::<f32>::new(rows * width);
        let mut dscales = Buffer::<f32>::new(members * width);
        kernel::scale_backward(
            Isa::current(),
            values(&dout),
            (values(weight), values(scales)),
            width,
            (&mut dweight, &mut dscales),
        );
        let found = [
            dweight.tensor(&[rows, width]),
            dscales.tensor(&[members, width]),
        ];
        for (parent, gradient) in ops.parents.iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// See [`crate::ops::member_outputs`]; `None` when a tensor is not on the CPU back-end, or there are so many outputs that a
/// matrix product is faster.
pub fn member_outputs(x: &Tensor<2>, weight: &Tensor<3>, bias: &Tensor<3>) -> Option<Tensor<2>> {
    let [members, width, outputs] = weight.dims();
    if outputs > FEW {
        return None;
    }
    let inputs = Inputs::of([node(x), node(weight), node(bias)])?;
    let shape = Shape {
        members,
        width,
        outputs,
    };
    Some(match inputs.nodes[0].primitive().dtype() {
        DType::BF16 => forward::<bf16>(shape, inputs),
        _ => forward::<f32>(shape, inputs),
    })
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct State {
    shape: Shape,
    /// `[rows * members, width]`.
    x: Plain,
    /// `[members, width, outputs]`.
    weight: Plain,
}

fn forward<E: Number>(shape: Shape, inputs: Inputs<3>) -> Tensor<2> {
    let _time = Span::of("outputs of members");
    let state = State {
        shape,
        x: inputs.plain(0),
        weight: inputs.plain(1),
    };
    let rows = dims(&state.x).0;
    let mut out = Buffer::<f32>::new(rows * shape.outputs);
    let bias = inputs.plain(2);
    let parameters = (values::<f32>(&state.weight), values::<f32>(&bias));
    let x = values::<E>(&state.x);
    kernel::outputs(Isa::current(), shape, x, parameters, &mut out);
    inputs.finish(Outputs, state, out.tensor(&[rows, shape.outputs]))
}

#[derive(Debug)]
struct Outputs;

impl Backward<Flex, 3> for Outputs {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("outputs of members");
        let dout = converted::<f32>(&consume(&ops, grads));
        match ops.state.x.dtype() {
            DType::BF16 => gradients::<bf16>(&ops, &dout, grads),
            _ => gradients::<f32>(&ops, &dout, grads),
        }
    }
}

fn gradients<E: Number>(ops: &Ops<State, 3>, dout: &Plain, grads: &mut Gradients) {
    let State { shape, x, weight } = &ops.state;
    let (rows, width) = dims(x);
    let mut dx = Buffer::<E>::new(rows * width);
    let mut dweight = Buffer::<f32>::new(shape.members * width * shape.outputs);
    let mut dbias = Buffer::<f32>::new(shape.members * shape.outputs);
    let back = Back {
        dx: &mut dx,
        dweight: &mut dweight,
        dbias: &mut dbias,
    };
    let given = (values::<E>(x), values::<f32>(weight));
    kernel::outputs_backward(Isa::current(), *shape, values(dout), given, back);
    let found = [
        dx.tensor(&[rows, width]),
        dweight.tensor(&[shape.members, width, shape.outputs]),
        dbias.tensor(&[shape.members, 1, shape.outputs]),
    ];
    for (parent, gradient) in ops.parents.iter().zip(found) {
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}
