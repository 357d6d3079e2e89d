//! Affine layer: `y = x Wᵀ + b`, weight `[out, in]` as Hugging Face checkpoints store it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::ops::{self, Activation};
use crate::weights::{Init, Source, WeightsError};

/// An affine layer.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// Reads `path.weight` and `path.bias`.
    pub fn load(
        source: &mut Source,
        path: &str,
        input: usize,
        output: usize,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: source.param(&format!("{path}.weight"), [output, input], Init::Normal)?,
            bias: source.param(&format!("{path}.bias"), [output], Init::Zeros)?,
        })
    }

    /// x `[rows, in]`; result `[rows, out]`.
    pub fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        ops::linear(x, self.weight.val(), Some(self.bias.val()), activation)
    }
}
