//! Sums and products of two activations, value by value.

use burn::tensor::Tensor;

use super::{cpu, reference};

/// `max(a + b, 0)`, both `[rows, width]`; the result has the format of a.
pub fn sum_relu(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    cpu::sum_relu(&a, &b).unwrap_or_else(|| reference::sum_relu(a, b))
}

/// `a + b`, both `[rows, width]` in the format of a, which is that of the result.
pub fn sum(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    cpu::sum(&a, &b).unwrap_or_else(|| a + b)
}

/// `a b`, value by value, both `[rows, width]`; the result has the format of a.
pub fn product(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    cpu::product(&a, &b).unwrap_or_else(|| a * b)
}
