//! Layer normalisation with the residual sum folded in (Ba, Kiros & Hinton, arXiv:1607.06450).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::ops::{self, Dropout, Lengths, Norm};
use crate::weights::{Init, Source, WeightsError};

/// LayerNorm over the last axis.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[width]`.
    pub bias: Param<Tensor<1>>,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// Reads `path.weight` and `path.bias`.
    pub fn load(
        source: &mut Source,
        path: &str,
        width: usize,
        eps: f64,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: source.param(&format!("{path}.weight"), [width], Init::Ones)?,
            bias: source.param(&format!("{path}.bias"), [width], Init::Zeros)?,
            eps,
        })
    }

    /// `LayerNorm(dropout(x) + residual)`, all `[rows, width]`.
    pub fn forward(
        &self,
        x: Tensor<2>,
        residual: Option<Tensor<2>>,
        dropout: Option<(&Lengths, &Dropout)>,
    ) -> Tensor<2> {
        let norm = Norm {
            gamma: self.weight.val(),
            beta: self.bias.val(),
            eps: self.eps,
        };
        ops::add_norm(x, residual, norm, dropout)
    }
}
