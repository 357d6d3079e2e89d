//! What members of an ensemble with shared layers have of their own (TabM-mini, Gorishniy et al., arXiv:2410.24210).

use burn::tensor::Tensor;

use super::{cpu, reference};

/// A layer's weight for each member, whose inputs are scaled by its row of `scales`: `weight diag(scales[m])`, one below the
/// other. Weight `[out, in]`, scales `[members, in]`; result `[members * out, in]`.
pub fn scaled_for_members(weight: Tensor<2>, scales: Tensor<2>) -> Tensor<2> {
    cpu::scaled_for_members(&weight, &scales)
        .unwrap_or_else(|| reference::scaled_for_members(weight, scales))
}

/// An output layer for each member: x `[rows * members, width]`, member by member within each row, weight
/// `[members, width, outputs]`, bias `[members, 1, outputs]`; result `[rows * members, outputs]`, f32.
pub fn member_outputs(x: Tensor<2>, weight: Tensor<3>, bias: Tensor<3>) -> Tensor<2> {
    cpu::member_outputs(&x, &weight, &bias)
        .unwrap_or_else(|| reference::member_outputs(x, weight, bias))
}
