//! Affine layer: `y = x Wᵀ + b`, weight `[out, in]` as Hugging Face checkpoints store it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::model::{ADAPTER_SITE, Inputs, Pass};
use crate::ops::{self, Activation, Affine, Compute, Dropout, LowRank, Maps, Precision};
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

    /// The same with its result scaled channel by channel, `[out]`, which the weight takes on: a pass over the weight
    /// costs less than one over the tokens.
    pub fn forward_scaled(
        &self,
        x: Tensor<2>,
        scale: Tensor<1>,
        (inputs, pass): (&Inputs, &Pass),
    ) -> Tensor<2> {
        let dropped = dropped([self], &x, inputs, pass);
        let part = scaled(self.affine(), scale);
        ops::linear(x, &[part], dropped, Activation::None, &self.compute)
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

    /// Each place of maps with `in` channels by itself, `activation(scale * (x Wᵀ + b))` with `scale` `[out]`, where there
    /// is one ("LayerScale", Touvron et al., arXiv:2103.17239): it folds into weight and bias, which are smaller than maps.
    pub fn forward_places(
        &self,
        x: &Maps,
        activation: Activation,
        scale: Option<Tensor<1>>,
        (inputs, pass): (&Inputs, &Pass),
    ) -> Maps {
        let dropped = self.adapter.as_ref().and_then(|adapter| {
            let dropout = adapter.dropout_of(inputs, pass);
            (!dropout.off()).then(|| ops::dropout(x.places.clone(), &x.lengths(), &dropout))
        });
        let layer = match scale {
            Some(scale) => scaled(self.affine(), scale),
            None => self.affine(),
        };
        let places = x.places.clone();
        x.with(ops::linear(
            places,
            &[layer],
            dropped,
            activation,
            &self.compute,
        )) // [places, out]
    }

    /// Of every member of an ensemble that shares the layer and scales its inputs by a row of `scales`, `[members, in]`:
    /// x `[rows, in]`, result `[rows * members, out]`, member by member within each row.
    ///
    /// Training puts the scales where they cost less, on few rows or on the weight; a weight with its scales also saves the
    /// backward pass a product, since rows that are data have no gradient. Elsewhere rows take them always: what a row is
    /// answered then does not depend on its company, to the bit.
    pub fn forward_members(
        &self,
        x: Tensor<2>,
        scales: Tensor<2>,
        activation: Activation,
        train: bool,
    ) -> Tensor<2> {
        let ([rows, input], [members, _]) = (x.dims(), scales.dims());
        let layer = self.affine();
        let [out, _] = layer.weight.dims();
        if !train || 2 * rows < out || layer.low_rank.is_some() {
            let x = x.reshape([rows, 1, input]) * scales.reshape([1, members, input]); // [rows, members, in]
            return self.forward(x.reshape([rows * members, input]), activation);
        }
        let bias: Tensor<2> = layer.bias.reshape([1, out]);
        let layer = Affine {
            weight: ops::scaled_for_members(layer.weight, scales), // [members * out, in]
            bias: bias.repeat_dim(0, members).reshape([members * out]),
            low_rank: None,
        };
        ops::linear(x, &[layer], None, activation, &self.compute).reshape([rows * members, out])
    }

    /// `length * cos(x, w)` for each row `w` of the weight, where the rows of x `[rows, in]` have length 1, and the bias:
    /// result `[rows, out]`.
    pub fn forward_directions(&self, x: Tensor<2>, length: f64) -> Tensor<2> {
        let part = Affine {
            weight: unit_rows(self.weight.val()) * length, // [out, in]
            ..self.affine()
        };
        ops::linear(x, &[part], None, Activation::None, &self.compute)
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

/// The rows of x `[rows, width]` at length 1.
pub fn unit_rows(x: Tensor<2>) -> Tensor<2> {
    let squares = (x.clone() * x.clone()).sum_dim(1); // [rows, 1]
    x / squares.clamp_min(1e-24).sqrt()
}

/// The layer times `scale`, `[out]`.
fn scaled(layer: Affine, scale: Tensor<1>) -> Affine {
    let [out] = scale.dims();
    let rows = scale.clone().reshape([out, 1]);
    Affine {
        weight: layer.weight * rows.clone(),
        bias: layer.bias * scale,
        low_rank: layer.low_rank.map(|update| LowRank {
            up: update.up * rows,
            ..update
        }),
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
