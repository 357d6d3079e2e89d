//! Sums and products of activations, value by value, by all threads rather than by one.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor};
use half::bf16;
use retune_kernels::isa::Isa;
use retune_kernels::pointwise;

use super::{Buffer, Inputs, Number, Plain, consume, converted, node, values};
use crate::ops::clock::Span;

/// See [`crate::ops::sum`]; `None` when a tensor is not on the CPU back-end.
pub fn sum(a: &Tensor<2>, b: &Tensor<2>) -> Option<Tensor<2>> {
    let _time = Span::of("sums and products");
    let inputs = Inputs::of([node(a), node(b)])?;
    let came = [0, 1].map(|i| inputs.nodes[i].primitive().dtype());
    let sum = match came[0] {
        DType::BF16 => summed::<bf16>(&inputs),
        _ => summed::<f32>(&inputs),
    };
    Some(inputs.finish(Sum, came, sum))
}

fn summed<E: Number>(inputs: &Inputs<2>) -> Plain {
    let [a, b] = [0, 1].map(|i| converted::<E>(inputs.nodes[i].primitive()));
    let shape: Vec<usize> = a.layout().shape().iter().copied().collect();
    let mut sum = Buffer::<E>::new(shape.iter().product());
    pointwise::sum(Isa::current(), values::<E>(&a), values::<E>(&b), &mut sum);
    sum.tensor(&shape)
}

#[derive(Debug)]
struct Sum;

impl Backward<Flex, 2> for Sum {
    /// Formats of the terms.
    type State = [DType; 2];

    fn backward(self, ops: Ops<[DType; 2], 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = consume(&ops, grads);
        for (parent, came) in ops.parents.iter().zip(ops.state) {
            let Some(parent) = parent else {
                continue;
            };
            let gradient = match came {
                DType::BF16 => converted::<bf16>(&dy),
                _ => converted::<f32>(&dy),
            };
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}

/// See [`crate::ops::sum_relu`]; `None` when a tensor is not on the CPU back-end.
pub fn sum_relu(a: &Tensor<2>, b: &Tensor<2>) -> Option<Tensor<2>> {
    let _time = Span::of("sums and products");
    let inputs = Inputs::of([node(a), node(b)])?;
    let came = [0, 1].map(|i| inputs.nodes[i].primitive().dtype());
    let y = match came[0] {
        DType::BF16 => rectified::<bf16>(&inputs),
        _ => rectified::<f32>(&inputs),
    };
    Some(inputs.finish(SumRelu, (y.clone(), came), y))
}

fn rectified<E: Number>(inputs: &Inputs<2>) -> Plain {
    let [a, b] = [0, 1].map(|i| converted::<E>(inputs.nodes[i].primitive()));
    let shape: Vec<usize> = a.layout().shape().iter().copied().collect();
    let mut y = Buffer::<E>::new(shape.iter().product());
    pointwise::sum_relu(Isa::current(), values::<E>(&a), values::<E>(&b), &mut y);
    y.tensor(&shape)
}

#[derive(Debug)]
struct SumRelu;

impl Backward<Flex, 2> for SumRelu {
    /// The result, and the formats of the terms.
    type State = (Plain, [DType; 2]);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = consume(&ops, grads);
        let (y, came) = &ops.state;
        let dx = match y.dtype() {
            DType::BF16 => rectified_back::<bf16>(y, &dy),
            _ => rectified_back::<f32>(y, &dy),
        };
        for (parent, came) in ops.parents.iter().zip(came) {
            let Some(parent) = parent else {
                continue;
            };
            let gradient = match came {
                DType::BF16 => converted::<bf16>(&dx),
                _ => converted::<f32>(&dx),
            };
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}

fn rectified_back<E: Number>(y: &Plain, dy: &Plain) -> Plain {
    let dy = converted::<E>(dy);
    let shape: Vec<usize> = y.layout().shape().iter().copied().collect();
    let mut dx = Buffer::<E>::new(shape.iter().product());
    pointwise::sum_relu_backward(Isa::current(), values::<E>(y), values::<E>(&dy), &mut dx);
    dx.tensor(&shape)
}

/// See [`crate::ops::product`]; `None` when a tensor is not on the CPU back-end.
pub fn product(a: &Tensor<2>, b: &Tensor<2>) -> Option<Tensor<2>> {
    let _time = Span::of("sums and products");
    let inputs = Inputs::of([node(a), node(b)])?;
    Some(match inputs.nodes[0].primitive().dtype() {
        DType::BF16 => multiplied::<bf16>(inputs),
        _ => multiplied::<f32>(inputs),
    })
}

fn multiplied<E: Number>(inputs: Inputs<2>) -> Tensor<2> {
    let came = [0, 1].map(|i| inputs.nodes[i].primitive().dtype());
    let factors = [0, 1].map(|i| converted::<E>(inputs.nodes[i].primitive()));
    let product = times::<E>(&factors[0], &factors[1]);
    inputs.finish(Product, (factors, came), product)
}

/// `a b` of the format of both.
pub(super) fn times<E: Number>(a: &Plain, b: &Plain) -> Plain {
    let shape: Vec<usize> = a.layout().shape().iter().copied().collect();
    let mut product = Buffer::<E>::new(shape.iter().product());
    pointwise::product(Isa::current(), values::<E>(a), values::<E>(b), &mut product);
    product.tensor(&shape)
}

#[derive(Debug)]
struct Product;

impl Backward<Flex, 2> for Product {
    /// The factors in the format of the product, and the formats they came in.
    type State = ([Plain; 2], [DType; 2]);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _time = Span::of("sums and products");
        let dy = consume(&ops, grads);
        let (factors, came) = &ops.state;
        let pairs = factors.iter().rev().zip(came);
        for (parent, (other, came)) in ops.parents.iter().zip(pairs) {
            let Some(parent) = parent else {
                continue;
            };
            let gradient = match other.dtype() {
                DType::BF16 => times::<bf16>(&converted::<bf16>(&dy), other),
                _ => times::<f32>(&converted::<f32>(&dy), other),
            };
            let gradient = match came {
                DType::BF16 => converted::<bf16>(&gradient),
                _ => converted::<f32>(&gradient),
            };
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}
