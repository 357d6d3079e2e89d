//! The head: dense layer, activation, dropout and output layer over one vector of each sequence, which the family says:
//! that of the first token, the mean of all places of a picture, or both. Pictures have no dense layer.
//!
//! One shape serves the `*ForSequenceClassification` heads of transformers: BERT (pooler with tanh,
//! then dropout), DistilBERT (ReLU, then dropout), RoBERTa (dropout, tanh, dropout).

use burn::module::Module;
use burn::tensor::Tensor;

use crate::model::{HEAD_SITE, Hidden, Inputs, Pass, Pooling};
use crate::nn::{Linear, unit_rows};
use crate::ops::{self, Activation, Precision};
use crate::weights::{Source, WeightsError, host_values, with_values};

/// How a family's head differs from its siblings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadStyle {
    /// What follows the dense layer; `None` where there is no such layer.
    pub dense: Option<Activation>,
    /// Whether dropout also precedes the dense layer.
    pub dropout_first: bool,
    /// Dropout probability.
    pub dropout: f64,
    /// Width of the vector that the head reads.
    pub width: usize,
    /// How the backbone's vectors become it.
    pub pooling: Pooling,
}

/// What a head makes of the vector that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Form {
    /// `W x + b`.
    #[default]
    Affine,
    /// `scale * cos(w, x) + b` for each row `w` of the weight, and behind these outputs the vector itself at length 1
    /// ("NormFace", Wang et al., arXiv:1704.06369; Zhai & Wu, arXiv:1811.12649). `b` takes on how frequent classes are.
    Cosine {
        /// Factor of the cosines; 1 over the temperature of the softmax.
        scale: f64,
    },
}

/// A classification or regression head.
#[derive(Module, Debug)]
pub struct Head {
    /// `[width, width]`; comes with some checkpoints (BERT's pooler).
    pub dense: Option<Linear>,
    /// `[outputs, width]`.
    pub out: Linear,
    /// How the token vectors of a sequence become the vector that the head reads.
    #[module(skip)]
    pub pooling: Pooling,
    #[module(skip)]
    form: Form,
    #[module(skip)]
    style: HeadStyle,
    #[module(skip)]
    units: Units,
}

/// Outputs are `raw * scale + shift`: a regression head trains in standard units and answers in the user's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Units {
    /// Standard deviation of the training answers.
    pub scale: f64,
    /// Their mean.
    pub shift: f64,
}

impl Default for Units {
    fn default() -> Self {
        Self {
            scale: 1.0,
            shift: 0.0,
        }
    }
}

impl Head {
    /// Reads `head.dense` and `head.out`; whatever the checkpoint lacks starts anew.
    pub fn load(
        source: &mut Source,
        style: HeadStyle,
        outputs: usize,
    ) -> Result<Self, WeightsError> {
        source.allow_new();
        Ok(Self {
            dense: style
                .dense
                .map(|_| Linear::load(source, "head.dense", style.width, style.width).map(exact))
                .transpose()?,
            out: exact(Linear::load(source, "head.out", style.width, outputs)?),
            pooling: style.pooling,
            form: Form::default(),
            style,
            units: Units::default(),
        })
    }

    /// The head with one output per entry of `origins`: the present output of that number, or a fresh one.
    ///
    /// # Errors
    /// As [`Source::param`]: none for a source without a checkpoint.
    ///
    /// # Panics
    /// When an entry is no number of a present output.
    pub fn rearranged(
        mut self,
        source: &mut Source,
        origins: &[Option<usize>],
    ) -> Result<Self, WeightsError> {
        source.allow_new();
        let width = self.out.weight.dims()[1];
        let before = host_values(&self.out);
        let fresh = exact(Linear::load(source, "head.out", width, origins.len())?);
        let mut now = host_values(&fresh);
        for ((_, _, now), (_, _, before)) in now.iter_mut().zip(&before) {
            let size = now.len() / origins.len().max(1); // width, or 1 for the bias
            for (row, origin) in now.chunks_exact_mut(size.max(1)).zip(origins) {
                if let Some(old) = origin {
                    row.copy_from_slice(&before[old * size..(old + 1) * size]);
                }
            }
        }
        self.out = with_values(fresh, &|path| {
            let found = now.iter().find(|(name, ..)| name == path);
            found.map(|(_, _, values)| values.clone())
        });
        Ok(self)
    }

    /// The head training in `units`. The answers of a head that has been trained stay as they are; a `fresh`
    /// one begins in these units.
    #[must_use]
    pub fn in_units(mut self, units: Units, fresh: bool) -> Self {
        if !fresh {
            let (scale, shift) = (1.0 / units.scale, -units.shift / units.scale);
            self = self.changed(Units { scale, shift });
        }
        self.units = units;
        self
    }

    /// The head answering in another form.
    #[must_use]
    pub fn in_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Token vectors to `[sequences, outputs]`.
    pub fn forward(&self, hidden: &Hidden, x: &Inputs, pass: &Pass) -> Tensor<2> {
        self.answer(self.pooling.of(hidden), x, pass)
    }

    /// From pooled vectors `[sequences, width]` to `[sequences, outputs]`, or `[sequences, outputs + width]` by cosines.
    pub fn answer(&self, pooled: Tensor<2>, x: &Inputs, pass: &Pass) -> Tensor<2> {
        let p = self.style.dropout;
        let pooled = if self.style.dropout_first {
            ops::dropout_rows(pooled, &pass.dropout(p, HEAD_SITE, x))
        } else {
            pooled
        };
        let dense = match (&self.dense, self.style.dense) {
            (Some(dense), Some(activation)) => dense.forward(pooled, activation),
            _ => pooled,
        };
        let dense = ops::dropout_rows(dense, &pass.dropout(p, HEAD_SITE + 1, x));
        if let Form::Cosine { scale } = self.form {
            let vectors = unit_rows(dense); // [sequences, width]
            let cosines = self.out.forward_directions(vectors.clone(), scale);
            return Tensor::cat(vec![cosines, vectors], 1); // [sequences, outputs + width]
        }
        let raw = self.out.forward(dense, Activation::None); // [sequences, outputs]
        if self.units == Units::default() {
            return raw;
        }
        raw * self.units.scale + self.units.shift
    }

    /// The same head with its units moved into the output layer, as it is saved.
    #[must_use]
    pub fn folded(mut self) -> Self {
        let units = std::mem::take(&mut self.units);
        self.changed(units)
    }

    /// The head with its logits divided by `temperature`.
    #[must_use]
    pub fn at_temperature(self, temperature: f64) -> Self {
        self.changed(Units {
            scale: 1.0 / temperature,
            shift: 0.0,
        })
    }

    /// The output layer with `scale` and `shift` applied to its answers.
    fn changed(mut self, units: Units) -> Self {
        let Units { scale, shift } = units;
        self.out.weight = self.out.weight.map(|w| keep_leaf(w.clone(), w * scale));
        self.out.bias = self
            .out
            .bias
            .map(|b| keep_leaf(b.clone(), b * scale + shift));
        self
    }
}

/// A head works on one row per sequence: it is exact in f32 and costs next to nothing.
fn exact(layer: Linear) -> Linear {
    layer.in_precision(Precision::F32)
}

/// `new` as a leaf of the gradient graph, trainable when `old` was.
fn keep_leaf<const D: usize>(old: Tensor<D>, new: Tensor<D>) -> Tensor<D> {
    let trained = old.is_require_grad();
    let leaf = new.detach();
    if leaf.is_autodiff() {
        leaf.set_require_grad(trained)
    } else {
        leaf
    }
}
