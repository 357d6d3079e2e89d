//! Sums and products of activations, value by value, by all threads rather than by one.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::isa::Isa;
use retune_kernels::pointwise;

use super::{Buffer, Inputs, Node, Number, Plain, consume, converted, node, values};
use crate::ops::clock::Span;

/// Name of these operations where the time of a step is told.
const SPAN: &str = "sums and products";

/// What makes one value of two.
type Kernel<E> = fn(Isa, &[E], &[E], &mut [E]);

/// Two tensors of format `E` made into one.
pub(super) fn made<E: Number>(kernel: Kernel<E>, a: &Plain, b: &Plain) -> Plain {
    let shape: Vec<usize> = a.layout().shape().iter().copied().collect();
    let mut out = Buffer::<E>::new(shape.iter().product());
    kernel(Isa::current(), values(a), values(b), &mut out);
    out.tensor(&shape)
}

/// Two tensors in the format of the first, with the formats in which they came.
struct Pair {
    values: [Plain; 2],
    came: [DType; 2],
}

impl Pair {
    fn of(inputs: &Inputs<2>) -> Self {
        let given = inputs.nodes.each_ref().map(Node::primitive);
        let came = given.map(Plain::dtype);
        Self {
            values: given.map(|x| in_format(x, came[0])),
            came,
        }
    }

    /// Made into one by the kernel of their format.
    fn made(&self, narrow: Kernel<bf16>, wide: Kernel<f32>) -> Plain {
        let [a, b] = &self.values;
        match self.came[0] {
            DType::BF16 => made(narrow, a, b),
            _ => made(wide, a, b),
        }
    }
}

/// `x` in a format of activations.
fn in_format(x: &Plain, format: DType) -> Plain {
    match format {
        DType::BF16 => converted::<bf16>(x),
        _ => converted::<f32>(x),
    }
}

/// Gives each input that trains its gradient, in the format in which the input came.
fn give<S>(
    ops: &Ops<S, 2>,
    came: [DType; 2],
    grads: &mut Gradients,
    gradient: impl Fn(usize) -> Plain,
) {
    for (i, (parent, came)) in ops.parents.iter().zip(came).enumerate() {
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, in_format(&gradient(i), came));
        }
    }
}

/// See [`crate::ops::sum`]; `None` when a tensor is not on the CPU back-end.
pub fn sum(a: &Tensor<2>, b: &Tensor<2>) -> Option<Tensor<2>> {
    let _time = Span::of(SPAN);
    let inputs = Inputs::of([node(a), node(b)])?;
    let pair = Pair::of(&inputs);
    let sum = pair.made(pointwise::sum, pointwise::sum);
    Some(inputs.finish(Sum, pair.came, sum))
}

#[derive(Debug)]
struct Sum;

impl Backward<Flex, 2> for Sum {
    /// Formats of the terms.
    type State = [DType; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = consume(&ops, grads);
        give(&ops, ops.state, grads, |_| dy.clone());
    }
}

/// See [`crate::ops::sum_relu`]; `None` when a tensor is not on the CPU back-end.
pub fn sum_relu(a: &Tensor<2>, b: &Tensor<2>) -> Option<Tensor<2>> {
    let _time = Span::of(SPAN);
    let inputs = Inputs::of([node(a), node(b)])?;
    let pair = Pair::of(&inputs);
    let y = pair.made(pointwise::sum_relu, pointwise::sum_relu);
    Some(inputs.finish(SumRelu, (y.clone(), pair.came), y))
}

#[derive(Debug)]
struct SumRelu;

impl Backward<Flex, 2> for SumRelu {
    /// The result, and the formats of the terms.
    type State = (Plain, [DType; 2]);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (y, came) = &ops.state;
        let pair = Pair {
            values: [y.clone(), in_format(&consume(&ops, grads), came[0])],
            came: *came,
        };
        let dx = pair.made(pointwise::sum_relu_backward, pointwise::sum_relu_backward);
        give(&ops, *came, grads, |_| dx.clone());
    }
}

/// See [`crate::ops::product`]; `None` when a tensor is not on the CPU back-end.
pub fn product(a: &Tensor<2>, b: &Tensor<2>) -> Option<Tensor<2>> {
    let _time = Span::of(SPAN);
    let inputs = Inputs::of([node(a), node(b)])?;
    let pair = Pair::of(&inputs);
    let product = pair.made(pointwise::product, pointwise::product);
    Some(inputs.finish(Product, (pair.values, pair.came), product))
}

#[derive(Debug)]
struct Product;

impl Backward<Flex, 2> for Product {
    /// The factors in the format of the product, and the formats in which they came.
    type State = ([Plain; 2], [DType; 2]);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of(SPAN);
        let (factors, came) = &ops.state;
        let dy = in_format(&consume(&ops, grads), came[0]);
        give(&ops, *came, grads, |i| {
            let pair = Pair {
                values: [dy.clone(), factors[1 - i].clone()],
                came: *came,
            };
            pair.made(pointwise::product, pointwise::product)
        });
    }
}
