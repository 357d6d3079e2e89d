//! Affine layer: `y = x Wᵀ + b`, weight `[out, in]` as Hugging Face checkpoints store it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::model::{ADAPTER_SITE, Inputs, Pass};
use crate::ops::{self, Activation, Affine, Compute, Dropout, LowRank, Precision};
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
    /// Probability of a zero before the update.
    pub dropout: f64,
    /// Number among the updates of the model, from 1.
    pub site: usize,
}

impl Adapter {
    /// The dropout before the update, in a pass.
    pub(super) fn dropout_of(&self, inputs: &Inputs, pass: &Pass) -> Dropout {
        pass.dropout(self.dropout, ADAPTER_SITE + self.site as u64, inputs)
    }
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
        ops::linear(x, &[self.affine()], None, activation, &self.compute)
    }

    /// The same for x `[tokens, in]`, with the dropout of a low-rank update.
    pub fn forward_tokens(
        &self,
        x: Tensor<2>,
        activation: Activation,
        (inputs, pass): (&Inputs, &Pass),
    ) -> Tensor<2> {
        let dropped = dropped([self], &x, inputs, pass);
        ops::linear(x, &[self.affine()], dropped, activation, &self.compute)
    }

    /// Three layers of the same tokens, side by side: `[tokens, out1 + out2 + out3]`. Their updates share one
    /// dropout.
    pub fn side_by_side(
        layers: [&Self; 3],
        x: Tensor<2>,
        (inputs, pass): (&Inputs, &Pass),
    ) -> Tensor<2> {
        let parts = layers.map(Self::affine);
        let dropped = dropped(layers, &x, inputs, pass);
        ops::linear(x, &parts, dropped, Activation::None, &layers[0].compute)
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

/// What the updates of `layers` read instead of x, where they have a dropout that is on.
fn dropped<const N: usize>(
    layers: [&Linear; N],
    x: &Tensor<2>,
    inputs: &Inputs,
    pass: &Pass,
) -> Option<Tensor<2>> {
    let adapter = layers.iter().find_map(|layer| layer.adapter.as_ref())?;
    let dropout = adapter.dropout_of(inputs, pass);
    (!dropout.off()).then(|| ops::dropout(x.clone(), &inputs.lengths, &dropout))
}
