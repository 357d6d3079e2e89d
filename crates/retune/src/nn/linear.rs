//! Affine layer: `y = x Wᵀ + b`, weight `[out, in]` as Hugging Face checkpoints store it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::ops::{self, Activation, Affine, Compute, LowRank, Precision};
use crate::weights::{Init, Source, WeightsError};

/// An affine layer.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
    /// A low-rank update of the weight.
    pub adapter: Option<Adapter>,
    #[module(skip)]
    compute: Compute,
}

/// The factors of a low-rank update `scale * up down` (Hu et al., arXiv:2106.09685).
#[derive(Module, Debug)]
pub struct Adapter {
    /// `[rank, in]`.
    pub down: Param<Tensor<2>>,
    /// `[out, rank]`; zero at first, so that the layer begins as it was.
    pub up: Param<Tensor<2>>,
    /// Factor of the product.
    pub scale: f64,
}

impl Linear {
    /// Reads `path.weight` and `path.bias`.
    pub fn load(
        source: &mut Source,
        path: &str,
        input: usize,
        output: usize,
    ) -> Result<Self, WeightsError> {
        let weight = source.param(&format!("{path}.weight"), [output, input], Init::Normal)?;
        let bias = source.param(&format!("{path}.bias"), [output], Init::Zeros)?;
        Ok(Self {
            adapter: source.adapter(path, input, output),
            ..Self::new(weight, bias, source.precision())
        })
    }

    /// Of parameters `[out, in]` and `[out]`.
    pub fn new(weight: Param<Tensor<2>>, bias: Param<Tensor<1>>, precision: Precision) -> Self {
        Self {
            weight,
            bias,
            adapter: None,
            compute: Compute::new(precision),
        }
    }

    /// The same layer computing in `precision`.
    #[must_use]
    pub fn in_precision(mut self, precision: Precision) -> Self {
        self.compute = Compute::new(precision);
        self
    }

    /// x `[rows, in]`; result `[rows, out]`.
    pub fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        ops::linear(x, &[self.affine()], activation, &self.compute)
    }

    /// Three layers of the same input, side by side: `[rows, out1 + out2 + out3]`.
    pub fn side_by_side(layers: [&Self; 3], x: Tensor<2>) -> Tensor<2> {
        let parts = layers.map(Self::affine);
        ops::linear(x, &parts, Activation::None, &layers[0].compute)
    }

    fn affine(&self) -> Affine {
        Affine {
            weight: self.weight.val(),
            bias: self.bias.val(),
            low_rank: self.adapter.as_ref().map(|adapter| LowRank {
                down: adapter.down.val(),
                up: adapter.up.val(),
                scale: adapter.scale,
            }),
        }
    }
}
